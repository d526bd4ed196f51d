//! How an instance's health is observed.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use flow_core::port::{Health, ProcessManager};
use flow_local::process::Addresses;

use super::child::server;
use super::world::{GRACE, WEB, World, kill, named, sleeper};
use crate::outside::{runs, until};

impl World {
    async fn health(&self, instance: &str) -> Health {
        self.manager.health(&WEB, &named(instance)).await.unwrap()
    }

    /// Waits until the instance is healthy, as a rollout does.
    async fn healthy(&self, instance: &str) {
        let begun = Instant::now();
        loop {
            match self.health(instance).await {
                Health::Healthy => return,
                health => assert!(begun.elapsed() < Duration::from_secs(20), "{health:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_server_is_healthy_on_a_socket_that_goes_away_with_it() {
    let sockets = tempfile::tempdir().unwrap();
    let directory = sockets.path().to_owned();
    let world = World::with(|config| config.addresses(Addresses::Sockets { directory }));
    let instance = world.launch(&server("web-1")).await.unwrap();
    world.healthy("web-1").await;
    let socket = instance.address.strip_prefix("unix:").unwrap();
    assert!(fs::metadata(socket).unwrap().file_type().is_socket());

    // A killed server leaves its socket behind, which must not keep the next one from binding.
    kill(instance.pid.unwrap());
    until("it is gone", || !runs(instance.pid.unwrap())).await;
    world.launch(&server("web-1")).await.unwrap();
    world.healthy("web-1").await;

    world.stop("web-1", GRACE).await.unwrap();
    assert!(!fs::exists(socket).unwrap());
}

#[tokio::test]
async fn only_a_status_from_200_to_299_is_healthy() {
    let world = World::new();
    for (instance, status, healthy) in
        [("web-1", 204, true), ("web-2", 299, true), ("web-3", 301, false), ("web-4", 503, false)]
    {
        let mut wanted = server(instance);
        world.launch(&wanted).await.unwrap();
        world.healthy(instance).await;
        world.stop(instance, GRACE).await.unwrap();

        wanted.health.path = format!("/status/{status}");
        world.launch(&wanted).await.unwrap();
        let expected = if healthy {
            Health::Healthy
        } else {
            Health::Unhealthy { reason: format!("it answered `{status}`") }
        };
        let begun = Instant::now();
        while world.health(instance).await != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "{status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn no_answer_in_time_and_nobody_listening_are_unhealthy() {
    let world = World::new();
    let mut silent = server("web-1");
    world.launch(&silent).await.unwrap();
    world.healthy("web-1").await;
    world.stop("web-1", GRACE).await.unwrap();
    silent.health.path = "/never".to_owned();
    silent.health.timeout = Duration::from_millis(200);
    world.launch(&silent).await.unwrap();
    let timed_out = Health::Unhealthy { reason: "no answer within 200ms".to_owned() };
    let begun = Instant::now();
    while world.health("web-1").await != timed_out {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    world.launch(&sleeper("web-2")).await.unwrap();
    let Health::Unhealthy { reason } = world.health("web-2").await else { panic!("nobody listens there") };
    assert!(reason.contains("refused"), "{reason}");
}

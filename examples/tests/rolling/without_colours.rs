//! Controls, in the long tier alone: what users lose where processes share one port and PM2 hands out the connections. Counted
//! and said, and not asked to be nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::port::{HealthCheck, InstanceId, LaunchSpec, ProcessManager as _};
use flow_core::{Digest, Name, SystemClock, name};
use flow_examples::private;
use flow_pm2::{Addresses, Mode, Pm2Config, Pm2Processes, Readiness, Replacement};
use flow_proving::app::Behaviour;
use flow_proving::server::{Pm2, Pm2Version};
use flow_proving::{Directory, Outside, Port, Request, exchange, is_long, until};
use flow_testkit::permit;

use crate::round::{Users, rate, rounds};

const SIZE: u32 = 4;

fn worker(version: &str, index: u32, script: &Path) -> Outside<LaunchSpec> {
    Ok(LaunchSpec {
        service: name!("shop"),
        instance: Name::new(format!("{version}-{index}"))?,
        version: Name::new(version)?,
        digest: Digest::of(version.as_bytes()),
        program: script.to_owned(),
        args: Vec::new(),
        env: [("A".to_owned(), "b".to_owned())].into(),
        directory: script.parent().ok_or("a script has a directory")?.to_owned(),
        health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(2) },
    })
}

/// Replaces all workers by those of a version.
async fn replace(pm2: &Pm2Processes, directory: &Directory, version: &str) -> Outside<()> {
    // One that ends well when it is asked: the best case.
    let script = private::release(directory.path(), &Behaviour::of(version))?;
    let old: Vec<InstanceId> =
        pm2.instances(&name!("shop")).await?.into_iter().map(|instance| instance.id).collect();
    let new = (0..SIZE).map(|index| worker(version, index, &script)).collect::<Outside<_>>()?;
    let (ready_within, grace) = (Duration::from_secs(20), Duration::from_secs(5));
    Ok(pm2.replace(&permit(), &Replacement { new, old, ready_within, grace }).await?)
}

#[tokio::test]
async fn workers_of_a_cluster_are_replaced_with_a_loss_that_is_counted() -> Outside<()> {
    if !is_long() {
        return Ok(());
    }
    let (directory, port) = (Directory::new()?, Port::free()?);
    let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
    let sockets = Addresses::Sockets { directory: directory.path().join("run") };
    let mut config = Pm2Config::new(pm2.home(), directory.path().join("state"), sockets);
    config.mode = Mode::Cluster { port: port.number() };
    config.readiness = Readiness::Message;
    config.settle = Duration::from_millis(300);
    let processes = Pm2Processes::open(config, Arc::new(SystemClock::new()))?;
    replace(&processes, &directory, "1.0.0").await?;
    for round in 1..=rounds() {
        let users = Users::start(&port.address(), rate())?;
        users.until_answered(30).await?;
        let begun = Instant::now();
        replace(&processes, &directory, &format!("1.{round}.0")).await?;
        let took = begun.elapsed();
        users.until_answered(60).await?;
        let log = users.stop().await?;
        println!("beside it, cluster replace of 4: {}; {took:.1?}", log.summary());
        assert!(log.answered_by(&format!("1.{round}.0")) > 0, "it was not replaced");
    }
    Ok(())
}

#[tokio::test]
async fn pm2s_own_reload_loses_what_is_counted() -> Outside<()> {
    if !is_long() {
        return Ok(());
    }
    let (directory, port) = (Directory::new()?, Port::free()?);
    let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
    let script = private::release(directory.path(), &Behaviour::of("1.0.0"))?;
    let started = pm2
        .command()?
        .args(["start", &script.display().to_string(), "--name", "shop", "-i", "4"])
        .env("PORT", port.number().to_string())
        .output()?;
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    until("the shop answers", || async { Ok(exchange(&port.address(), &Request::get("/")).await.ok()) })
        .await?;
    for _ in 0..rounds() {
        let users = Users::start(&port.address(), rate())?;
        users.until_answered(30).await?;
        let begun = Instant::now();
        assert!(pm2.run(["reload", "shop"])?.status.success());
        let took = begun.elapsed();
        users.until_answered(60).await?;
        println!("beside it, `pm2 reload` of 4: {}; {took:.1?}", users.stop().await?.summary());
    }
    Ok(())
}

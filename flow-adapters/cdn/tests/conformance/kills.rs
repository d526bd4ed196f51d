//! Deployments that die, under the eyes of a reader.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flow_cdn::{CdnConfig, CosAssets, SiteConfig, TencentCdn};
use flow_core::port::{AssetStore as _, Cdn as _};
use flow_core::{SystemClock, name};
use flow_proving::is_long;
use flow_testkit::cloud::{Fault, Target};
use flow_testkit::permit;
use tokio::process::{Child, Command};

use crate::world::{URL, World, cos, credential, named, site};

const FILES: usize = 100;
/// Tells the child process where the cloud is.
const CLOUD: &str = "FLOW_CDN_TEST_CLOUD";
/// Tells the child process what to deploy.
const DIRECTORY: &str = "FLOW_CDN_TEST_DIRECTORY";

/// The body of the child process. By itself it is no test.
#[tokio::test]
#[ignore = "the child process of the test below"]
async fn child_that_deploys_until_it_is_killed() {
    let url = std::env::var(CLOUD).unwrap();
    let directory = PathBuf::from(std::env::var(DIRECTORY).unwrap());
    deploy(&url, &directory).await;
}

async fn deploy(url: &str, directory: &Path) {
    let clock = Arc::new(SystemClock::new());
    let config = SiteConfig { keep_releases: 2, ..SiteConfig::new() };
    let store = CosAssets::new(name!("site"), cos(url, credential(), clock.clone()), config).unwrap();
    let delivery = CdnConfig {
        endpoint: Some(url.to_owned()),
        look_every: Duration::from_millis(5),
        ..CdnConfig::new(URL)
    };
    let cdn = TencentCdn::new(delivery, Arc::new(credential()), clock).unwrap();
    let manifest = store.read(directory).await.unwrap();
    store.put(&permit(), directory, &manifest).await.unwrap();
    cdn.purge(&permit(), &["index.html".to_owned(), "site.css".to_owned()]).await.unwrap();
}

/// Starts the child process that deploys `directory`.
pub(crate) fn start(world: &World, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::child_that_deploys_until_it_is_killed", "--ignored", "--nocapture"])
        .env(CLOUD, world.cloud.url())
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Loads the page and all that it names, as the edge has it and as the bucket has it behind the edge's cache; tells what was missing.
async fn load(world: &World) -> Vec<String> {
    let mut missing = Vec::new();
    let pages = [world.fetch("index.html").await, world.files("").remove("index.html")];
    for asset in pages.iter().flatten().flat_map(|page| named(page)) {
        if world.fetch(&asset).await.is_none() {
            missing.push(asset);
        }
    }
    missing
}

/// Loads again and again; tells how often, and what was missing.
async fn read(world: &World, stop: &AtomicBool) -> (u32, Vec<String>) {
    let (mut loads, mut missing) = (0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        missing.extend(load(world).await);
        loads += 1;
        tokio::task::yield_now().await;
    }
    (loads, missing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_deployment_dies_no_reader_meets_a_page_without_its_assets_and_the_next_one_ends_it() {
    let kills = if is_long() { 20 } else { 3 };
    for kill in 0..kills {
        let world = World::new().await;
        world.cloud.changes_take(Duration::ZERO);
        for number in 1..=2 {
            deploy(&world.cloud.url(), &world.lay_out(&site(number, FILES))).await;
        }
        let release = site(3, FILES);
        let directory = world.lay_out(&release);
        let changed =
            release.iter().filter(|(path, content)| world.files("").get(*path) != Some(*content)).count();
        let before = world.since(0).0.iter().filter(|entry| entry.service != "edge").count();
        // So slow that a death between two waves of files is one.
        let target = Target { service: None, action: Some("PUT object".into()), times: u32::MAX };
        world.cloud.fault(Fault::Delay { target, seconds: 0.01 });
        // From the first request to the last but some.
        let at = before + 1 + (changed + 8) * kill / kills;
        let stop = AtomicBool::new(false);
        let deployed = async {
            let mut child = start(&world, &directory);
            while world.since(0).0.iter().filter(|entry| entry.service != "edge").count() < at {
                assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed at {at}");
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            child.kill().await.unwrap();
            // And as the dead left it, for as long as a load takes.
            let missing = load(&world).await;
            let resumed = start(&world, &directory).wait().await.unwrap();
            assert!(resumed.success());
            stop.store(true, Ordering::SeqCst);
            missing
        };
        let (left, (loads, missing)) = tokio::join!(deployed, read(&world, &stop));
        assert_eq!((left, missing), (Vec::<String>::new(), Vec::new()), "killed at request {at}");
        assert!(loads > 1, "nobody read");
        let served = world.files("");
        assert!(
            release.iter().all(|(path, content)| served.get(path) == Some(content)),
            "killed at request {at}"
        );
        assert_eq!(world.fetch("index.html").await.as_ref(), release.get("index.html"));
    }
}

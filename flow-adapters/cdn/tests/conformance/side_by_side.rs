//! The same files by the official client and by ours, against the same fake in one run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use flow_cdn::{CosAssets, SiteConfig};
use flow_core::port::AssetStore as _;
use flow_core::{SystemClock, name};
use flow_proving::{Port, Request, cargo, exchange, is_long, kept_folder};
use flow_testkit::permit;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::world::{BUCKET, World, cos, credential, site};

const FILES: usize = 2000;
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_files_go_up_three_times_as_fast_as_by_the_official_client() {
    // It compiles all that is measured with optimisation: too much for the short tier.
    if !is_long() {
        return;
    }
    if cfg!(debug_assertions) {
        return optimised().await;
    }
    let world = World::new().await;
    let directory = world.lay_out(&site(1, FILES));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let cloud = Cloud::start().await;
    for _ in 0..ROUNDS {
        cloud.reset().await;
        theirs.push(official(&cloud, &directory).await);
        assert_eq!(cloud.puts().await, FILES);
        cloud.reset().await;
        ours.push(own(&cloud, &directory).await);
        assert_eq!(cloud.puts().await, FILES + 1, "and the record");
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("official client {theirs:.2} s, ours {ours:.2} s: {:.1} times as fast", theirs / ours);
    assert!(theirs >= 3.0 * ours, "official client {theirs:.2} s, ours {ours:.2} s");
}

/// Runs this test as users compile what is measured.
async fn optimised() {
    let name = "side_by_side::two_thousand_files_go_up_three_times_as_fast_as_by_the_official_client";
    let test =
        ["test", "--release", "--locked", "-p", "flow-cdn", "--test", "conformance", "--", "--exact", name];
    let ran = Command::from(cargo()).args(test).arg("--nocapture").kill_on_drop(true).status();
    assert!(ran.await.unwrap().success());
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

async fn own(cloud: &Cloud, directory: &Path) -> f64 {
    let cos = cos(&format!("http://{}", cloud.address), credential(), Arc::new(SystemClock::new()));
    let store = CosAssets::new(name!("site"), cos, SiteConfig { at_once: 16, ..SiteConfig::new() }).unwrap();
    let manifest = store.read(directory).await.unwrap();
    let begun = Instant::now();
    store.put(&permit(), directory, &manifest).await.unwrap();
    begun.elapsed().as_secs_f64()
}

async fn official(cloud: &Cloud, directory: &Path) -> f64 {
    let (host, port) = cloud.address.split_once(':').unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/upload.py");
    let mut upload = Command::new("python3");
    upload.args([script, host, port]).arg(directory).kill_on_drop(true);
    let ran = upload.env("PYTHONPATH", sdk()).env("PYTHONDONTWRITEBYTECODE", "1").output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().parse().unwrap()
}

/// The official client, which stands with the other ones that the suite keeps.
fn sdk() -> PathBuf {
    let kept = std::fs::read_dir(kept_folder().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let mut found = kept.filter(|folder| folder.join("qcloud_cos").is_dir());
    found.next().expect("`cargo xtask test` keeps cos-python-sdk-v5")
}

/// The fake cloud as a program of its own, compiled with optimisation.
struct Cloud {
    address: String,
    port: Port,
    _process: Child,
}

impl Cloud {
    async fn start() -> Self {
        let build = ["build", "--release", "--locked", "-p", "flow-examples", "--example", "fake_cloud"];
        let built = Command::from(cargo()).args(build).kill_on_drop(true).status().await.unwrap();
        assert!(built.success());
        // target/debug/deps/this
        let target =
            std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("release/examples/fake_cloud");
        let port = Port::free().unwrap();
        let address = format!("127.0.0.1:{}", port.number());
        let mut process = Command::new(target)
            .args(["--listen", &address, "--bucket", BUCKET])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = said.next_line().await.unwrap().unwrap();
        assert_eq!(ready, format!("listening http://{address}"));
        Self { address, port, _process: process }
    }

    async fn control(&self, command: &str) -> Vec<u8> {
        let request = Request::with_body("POST", format!("/__fake__/{command}"), "{}");
        let reply = exchange(&self.port.address(), &request).await.unwrap();
        assert_eq!(reply.status, 200, "{command}");
        reply.body
    }

    async fn reset(&self) {
        self.control("reset").await;
    }

    /// How many objects were written since the last reset.
    async fn puts(&self) -> usize {
        let log: Vec<serde_json::Value> = serde_json::from_slice(&self.control("log").await).unwrap();
        log.iter().filter(|entry| entry["a"] == "PUT object" && entry["r"] == "ok").count()
    }
}

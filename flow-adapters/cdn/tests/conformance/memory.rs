//! How much memory a deployment needs, as the system counts it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use flow_proving::is_long;

use crate::kills::start;
use crate::world::World;

const MIB: usize = 1 << 20;
const MOST_KIB: u64 = 64 * 1024;

/// One large file, and as much again in files of one piece.
fn lay_out(directory: &Path, mib: usize) {
    let mut block = vec![0_u8; MIB];
    let mut fill = |file: &mut File, blocks: usize, of: usize| {
        for number in 0..blocks {
            block[..8].copy_from_slice(&(of * 10_000 + number).to_le_bytes());
            file.write_all(&block).unwrap();
        }
    };
    fill(&mut File::create(directory.join("film.mp4")).unwrap(), mib / 2, 1);
    for number in 0..mib / 4 {
        fill(&mut File::create(directory.join(format!("picture{number}.png"))).unwrap(), 2, 2 + number);
    }
    fs::write(directory.join("index.html"), "page\n").unwrap();
    fs::write(directory.join("site.css"), "css").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_needs_less_memory_than_64_mib_however_much_it_sends() {
    let mib = if is_long() { 1024 } else { 96 };
    let world = World::new().await;
    world.cloud.changes_take(Duration::ZERO);
    let directory = world.directory.path().join("large");
    fs::create_dir(&directory).unwrap();
    lay_out(&directory, mib);
    let mut child = start(&world, &directory);
    let status = format!("/proc/{}/status", child.id().unwrap());
    let mut peak = 0;
    let ended = loop {
        // Gone once the process has ended.
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(line) = line {
            peak = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        }
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(ended.success());
    let sent: usize = world.files("").values().map(Vec::len).sum();
    assert!(sent > mib * MIB, "{sent} bytes arrived");
    println!("{mib} MiB were sent with {} MiB of memory", peak / 1024);
    assert!(0 < peak && peak < MOST_KIB, "{mib} MiB needed {peak} KiB");
}

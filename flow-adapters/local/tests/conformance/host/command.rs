//! Commands: what they get, and how they end.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use flow_core::ErrorKind;
use flow_core::port::{Command, CommandOutput, Host};
use flow_local::host::{HostConfig, LocalHost};
use flow_testkit::permit;
use tempfile::TempDir;

use super::file::{at, open};
use crate::outside::{group_of, runs, until};

fn host() -> (TempDir, LocalHost) {
    let directory = tempfile::tempdir().unwrap();
    let config = HostConfig { grace: Duration::from_millis(200), ..HostConfig::new(directory.path()) };
    (directory, open(config).unwrap())
}

fn shell(script: &str) -> Command {
    Command::new("sh", ["-c", script])
}

fn text(output: &CommandOutput) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Two processes that will not end when asked: a command and its child. Their ids come into files.
fn stubborn_family() -> Command {
    shell(
        "trap '' TERM; sh -c 'echo $$ > child.new; mv child.new child; while :; do sleep 0.05; done' & \
         echo $$ > self.new; mv self.new self; while :; do sleep 0.05; done",
    )
}

fn family(directory: &Path) -> Option<[u32; 2]> {
    let number = |name| fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok();
    Some([number("self")?, number("child")?])
}

#[tokio::test]
async fn a_command_answers_with_its_code_and_both_streams() {
    let (_directory, host) = host();
    let output = host.query(&shell("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!(output.code, Some(3));
    assert!(!output.succeeded());
    assert_eq!(text(&output), ("out\n".to_owned(), "err\n".to_owned()));

    let signalled = host.run(&permit(), &shell("kill -9 $$")).await.unwrap();
    assert_eq!(signalled.code, None);
}

#[tokio::test]
async fn a_command_runs_in_the_root_or_in_its_directory_with_nothing_to_read() {
    let (directory, host) = host();
    fs::create_dir(directory.path().join("below")).unwrap();
    let root = fs::canonicalize(directory.path()).unwrap();
    let pwd = Command::new("/bin/pwd", ["-P"]);
    assert_eq!(text(&host.query(&pwd).await.unwrap()).0.trim_end(), root.display().to_string());
    let below = host.query(&pwd.directory(at("below"))).await.unwrap();
    assert_eq!(text(&below).0.trim_end(), root.join("below").display().to_string());
    assert_eq!(host.query(&Command::new("cat", [""; 0])).await.unwrap().stdout, b"");

    let nowhere = Command::new("cat", [""; 0]).directory(at("none"));
    assert_eq!(host.query(&nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_command_out_of_time_is_ended_with_all_its_children() {
    let (directory, host) = host();
    let begun = Instant::now();
    let late = stubborn_family().timeout(Duration::from_millis(500));
    assert_eq!(host.run(&permit(), &late).await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(700), "they were given their grace");

    for pid in family(directory.path()).unwrap() {
        assert!(!runs(pid));
    }
}

#[tokio::test]
async fn a_command_and_its_children_are_asked_to_end_before_they_are_made_to() {
    let directory = tempfile::tempdir().unwrap();
    let host =
        open(HostConfig { grace: Duration::from_secs(60), ..HostConfig::new(directory.path()) }).unwrap();
    let permit = permit();
    let polite = shell(
        "sh -c 'trap \"echo yes > asked; exit\" TERM; echo 1 > ready; while :; do sleep 0.05; done' & wait",
    );
    let (result, ()) = tokio::join!(host.run(&permit, &polite), async {
        until("the child runs", || directory.path().join("ready").exists()).await;
        permit.cancel().cancel();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_to_string(directory.path().join("asked")).unwrap(), "yes\n");
}

#[tokio::test]
async fn a_dropped_command_is_ended_with_all_its_children() {
    let (directory, host) = host();
    let (permit, command) = (permit(), stubborn_family());
    {
        let running = host.run(&permit, &command);
        let started = until("both run", || family(directory.path()).is_some());
        let first = futures::future::select(running, Box::pin(started)).await;
        assert!(matches!(first, futures::future::Either::Right(_)), "it runs on until it is dropped");
        let [leader, child] = family(directory.path()).unwrap();
        assert_eq!((group_of(leader), group_of(child)), (leader, leader));
    }
    let family = family(directory.path()).unwrap();
    until("both are gone", || family.iter().all(|pid| !runs(*pid))).await;
}

#[tokio::test]
async fn a_command_that_leaves_a_daemon_with_its_streams_is_not_waited_for() {
    let (directory, host) = host();
    let begun = Instant::now();
    let output = host.run(&permit(), &shell("sleep 60 & echo $! > daemon; echo started")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(text(&output).0, "started\n");
    let pid: u32 = fs::read_to_string(directory.path().join("daemon")).unwrap().trim().parse().unwrap();
    assert!(runs(pid), "what a command leaves on purpose stays");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_program_is_looked_up_in_the_hosts_own_path() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = open(HostConfig::new(directory.path()).env("PATH", "/does/not/exist:relative")).unwrap();
    for program in ["sh", "no-such-program"] {
        let refused = elsewhere.query(&Command::new(program, [""; 0])).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
        assert!(refused.to_string().contains(program));
    }
    let missing = elsewhere.query(&Command::new("/does/not/exist/sh", [""; 0])).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(elsewhere.query(&Command::new("/bin/sh", ["-c", ":"])).await.unwrap().succeeded());
}

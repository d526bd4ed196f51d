//! Commands: what they get, and how they end.

use std::error::Error;
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
async fn a_command_sees_the_allowed_environment_and_its_own_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let host = open(HostConfig::new(directory.path()).env("LANG", "C").env("TZ", "UTC")).unwrap();
    let output = host.query(&Command::new("env", [""; 0]).env("OWN", "a b")).await.unwrap();
    let mut lines: Vec<String> = text(&output).0.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["LANG=C", "OWN=a b", "PATH=/usr/local/bin:/usr/bin:/bin", "TZ=UTC"]);
}

#[tokio::test]
async fn arguments_are_passed_as_they_are_and_no_shell_reads_them() {
    let (directory, host) = host();
    let output = host.query(&Command::new("printf", ["%s", "$(touch pwned); `id` * \n'"])).await.unwrap();
    assert_eq!(text(&output).0, "$(touch pwned); `id` * \n'");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
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
async fn only_the_last_mebibyte_of_each_stream_is_kept() {
    let (_directory, host) = host();
    let script =
        "head -c 3000000 /dev/zero | tr '\\0' a; echo end; head -c 3000000 /dev/zero | tr '\\0' b >&2";
    let output = host.query(&shell(script)).await.unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((stdout.len(), stderr.len()), (1024 * 1024, 1024 * 1024));
    assert!(stdout.ends_with("aaaend\n"));
    assert!(stderr.bytes().all(|byte| byte == b'b'));
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
async fn a_cancelled_command_is_ended_with_all_its_children() {
    let (directory, host) = host();
    let permit = permit();
    let command = stubborn_family();
    let (result, ()) = tokio::join!(host.run(&permit, &command), async {
        until("both run", || family(directory.path()).is_some()).await;
        permit.cancel().cancel();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    for pid in family(directory.path()).unwrap() {
        assert!(!runs(pid));
    }

    fs::remove_file(directory.path().join("self")).unwrap();
    assert_eq!(host.run(&permit, &command).await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(!directory.path().join("self").exists(), "cancelled before it was started");
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

#[tokio::test]
async fn a_bad_command_is_refused_with_all_its_problems() {
    let (_directory, host) = host();
    let bad = Command::new("./sh", ["a\0b"]).env("A=B", "").timeout(Duration::ZERO);
    let refused = host.query(&bad).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let problems = refused.source().unwrap().to_string();
    for field in ["program", "args.0", "env.A=B", "timeout"] {
        assert!(problems.contains(&format!("`{field}`")), "{field} in {problems}");
    }
}

//! Commands: what they get, what nobody else sees of it, and that all of them ends.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flow_core::ErrorKind;
use flow_core::port::{Command, CommandOutput, Host};
use flow_proving::is_long;
use flow_proving::table::Process;
use flow_ssh::SshConfig;
use flow_testkit::permit;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::machine::{Machine, shell, until};

/// Any text that may be an argument: all but the zero byte, with much of what a shell reads.
fn argument() -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(
        "'\"\\\n\r\t $`!*?~#&;|<>(){}[]=-\u{1}\u{1e}\u{7f}\u{81}".chars().collect::<Vec<_>>(),
    );
    let char = prop_oneof![hostile, any::<char>()].prop_filter("no argument", |char| *char != '\0');
    vec(char, 0..24).prop_map(|chars| chars.into_iter().collect())
}

#[test]
fn every_text_arrives_as_the_argument_that_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let machine = runtime.block_on(Machine::start());
    let cases = if is_long() { 2_000 } else { 48 };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 8,
        ..Config::default()
    });
    let tried = runner.run(&vec(argument(), 1..12), |args| {
        let printf = Command::new("printf", [vec!["%s\\0".to_owned()], args.clone()].concat());
        let output = runtime.block_on(machine.host.query(&printf)).unwrap();
        let expected: String = args.iter().map(|arg| format!("{arg}\0")).collect();
        prop_assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        Ok(())
    });
    tried.unwrap();
}

#[tokio::test]
async fn the_longest_argument_arrives_and_a_longer_one_is_refused() {
    let machine = Machine::start().await;
    let longest = "'".repeat(128 * 1024 - 2);
    let printf = |arg: &str| Command::new("printf", ["%s", arg]);
    let output = machine.host.query(&printf(&longest)).await.unwrap();
    assert!(output.stdout == longest.as_bytes());
    let refused = machine.host.query(&printf(&format!("{longest}''"))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
}

/// The argument lists that were seen to hold `needle`, and how often all of them were looked at.
fn look_for(needle: &str, looking: &AtomicBool) -> (Vec<String>, u32) {
    let (mut shown, mut looks) = (Vec::new(), 0);
    while looking.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let list = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let list = String::from_utf8_lossy(&list);
            if list.contains(needle) {
                shown.push(list.into_owned());
            }
        }
        looks += 1;
    }
    (shown, looks)
}

#[tokio::test]
async fn no_process_shows_the_environment_that_a_command_brings() {
    let machine = Machine::start().await;
    let secret = format!("s3cr3t-{}", machine.sshd.port());
    let looking = Arc::new(AtomicBool::new(true));
    let (needle, look_on) = (secret.clone(), Arc::clone(&looking));
    let looker = std::thread::spawn(move || look_for(&needle, &look_on));
    let command = shell("printf %s \"$TOKEN\"; sleep 0.02").env("TOKEN", &secret);
    for _ in 0..if is_long() { 400 } else { 25 } {
        let output = machine.host.run(&permit(), &command).await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), secret, "the command itself knows it");
    }
    // What the look would find: the same text as an argument.
    machine.host.query(&Command::new("sh", ["-c", "sleep 1; :", &secret])).await.unwrap();
    looking.store(false, Ordering::Relaxed);
    let (shown, looks) = looker.join().unwrap();
    assert!(looks > 20, "only {looks} looks");
    assert!(!shown.is_empty(), "the look finds nothing");
    assert!(shown.iter().all(|list| list.contains("sleep 1; :")), "{shown:?}");
    assert!(!machine.sshd.log().unwrap().contains(&secret));
}

/// A command whose child has left its process group, as `timeout` makes it; neither ends when it is asked to.
fn spread(machine: &Machine) -> Command {
    let stubborn = "trap '' TERM; timeout 600 sh -c 'trap \"\" TERM; echo > spread; while :; do sleep 0.05; done' & \
                    while :; do sleep 0.05; done";
    shell(stubborn).env("MARK", machine.mark("mark"))
}

#[tokio::test]
async fn children_that_left_the_process_group_are_ended_too() {
    let machine = Machine::start().await;
    let permit = permit();
    let command = spread(&machine);
    let (result, ()) = tokio::join!(machine.host.run(&permit, &command), async {
        until("the child runs", || machine.root("spread").exists()).await;
        let groups = machine.marked("mark").len();
        assert!(groups >= 4, "only {groups} processes");
        permit.cancel().cancel();
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_eq!(machine.marked("mark"), [], "something runs on");
}

#[tokio::test]
async fn a_command_and_its_children_are_asked_to_end_before_they_are_made_to() {
    let machine = Machine::with(|config| SshConfig { grace: Duration::from_secs(60), ..config }).await;
    let permit = permit();
    let polite = shell(
        "sh -c 'trap \"echo yes > asked; exit\" TERM; echo 1 > ready; while :; do sleep 0.05; done' & wait",
    );
    let (result, ()) = tokio::join!(machine.host.run(&permit, &polite), async {
        until("the child runs", || machine.root("ready").exists()).await;
        permit.cancel().cancel();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_to_string(machine.root("asked")).unwrap(), "yes\n");
}

#[tokio::test]
async fn a_command_that_is_dropped_at_any_moment_leaves_nothing() {
    let machine = Machine::start().await;
    machine.host.reach().await.unwrap();
    let command = shell("trap '' TERM; sleep 600 & while :; do sleep 0.05; done");
    let command = command.env("MARK", machine.mark("mark"));
    let moments = if is_long() { 100 } else { 6 };
    for moment in 1..=moments {
        let permit = permit();
        let running = machine.host.run(&permit, &command);
        let given = Duration::from_millis(300) * moment / moments;
        assert!(tokio::time::timeout(given, running).await.is_err(), "it ended by itself");
        // The server serves the connection and its files, and nothing else.
        until("all of it is gone", || machine.marked("mark").is_empty() && machine.sessions().len() <= 2)
            .await;
    }
}

#[tokio::test]
async fn a_command_that_leaves_a_daemon_with_its_streams_is_not_waited_for() {
    let machine = Machine::start().await;
    let begun = Instant::now();
    let daemon = shell("sleep 60 & echo $! > daemon; echo started");
    let output = machine.host.run(&permit(), &daemon).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(output.stdout, b"started\n");
    let pid = fs::read_to_string(machine.root("daemon")).unwrap().trim().parse().unwrap();
    let daemon = Process::of(pid).expect("what a command leaves on purpose stays");
    daemon.signal(rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_command_that_a_signal_ended_has_no_code_and_one_that_reads_finds_nothing() {
    let machine = Machine::start().await;
    assert_eq!(machine.host.run(&permit(), &shell("kill -9 $$")).await.unwrap().code, None);
    assert_eq!(machine.host.query(&Command::new("cat", [""; 0])).await.unwrap().stdout, b"");
}

#[tokio::test]
async fn what_cannot_be_run_says_why_and_the_shells_own_names_are_free() {
    let machine = Machine::start().await;
    fs::write(machine.root("plain"), "x").unwrap();
    let plain = Command::new(machine.root("plain").display().to_string(), [""; 0]);
    assert_eq!(machine.host.query(&plain).await.unwrap_err().kind(), ErrorKind::Denied);
    // What the shell counts with itself.
    let kept = shell("echo").env("OPTIND", "no number");
    assert_eq!(machine.host.query(&kept).await.unwrap_err().kind(), ErrorKind::Invalid);
    let names = ["IFS", "PWD", "SHLVL", "f", "p", "r", "s"];
    let own = names.iter().fold(Command::new("env", [""; 0]), |command, name| command.env(*name, "own"));
    let output = String::from_utf8(machine.host.query(&own).await.unwrap().stdout).unwrap();
    let mut seen: Vec<_> = output.lines().filter(|line| !line.starts_with("PATH=")).collect();
    seen.sort_unstable();
    assert_eq!(seen, names.map(|name| format!("{name}=own")));
}

#[tokio::test]
async fn more_commands_than_places_wait_for_their_turn() {
    let machine = Machine::start().await;
    machine.host.reach().await.unwrap();
    let command = shell("sleep 0.3").env("MARK", machine.mark("mark"));
    let all = futures::future::join_all((0..20).map(|_| machine.host.query(&command)));
    let watching = async {
        let mut most = 0;
        while most <= 7 {
            let programs = machine.marked("mark").into_iter().map(Process::command);
            most = most
                .max(programs.filter(|list| list.first().is_some_and(|name| name.ends_with("/sh"))).count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        most
    };
    tokio::select! {
        ended = all => assert!(ended.iter().all(|output| output.as_ref().is_ok_and(CommandOutput::succeeded))),
        most = watching => panic!("{most} at once"),
    }
}

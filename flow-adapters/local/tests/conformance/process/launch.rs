//! What a launch starts, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::ProcessManager;
use flow_core::{Digest, ErrorKind, SystemClock, name};
use flow_local::process::{Addresses, LocalProcesses, ProcessesConfig};
use flow_testkit::permit;

use super::world::{Bystander, GRACE, WEB, World, kill, named, ports_in_a_row, script, sleeper, spec};
use crate::outside::{arguments_of, environment_of, group_of, processes_of, runs, tree, until};

#[tokio::test]
async fn a_process_has_its_own_group_and_inherits_nothing() {
    let world = World::new();
    let mut wanted = sleeper("web-1");
    wanted.env = BTreeMap::from([("GREETING".to_owned(), "hello world".to_owned())]);
    wanted.directory = world.directory.path().to_owned();
    let pid = world.launch(&wanted).await.unwrap().pid.unwrap();

    let mut environment = environment_of(pid);
    let marker = environment.remove("FLOW_INSTANCE").unwrap();
    assert!(marker.contains("/instances/web/web-1.json#"), "{marker}");
    assert_eq!(environment, wanted.env);
    assert_eq!(group_of(pid), pid);
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), wanted.directory);
    // Whatever this test was itself started with goes to every child; nothing of the manager's may come to it.
    let plain = Bystander::new();
    until("it has what any child has", || descriptors_of(pid) == descriptors_of(plain.id())).await;
}

fn descriptors_of(pid: u32) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn output_goes_to_a_file_and_never_through_the_controller() {
    let world = World::new();
    let wanted = script("web-1", "echo to stdout; echo to stderr >&2; exec sleep 1000");
    let pid = world.launch(&wanted).await.unwrap().pid.unwrap();
    let log = world.manager.log(&WEB, &named("web-1"));

    until("both lines are there", || {
        fs::read_to_string(&log).is_ok_and(|log| log == "to stdout\nto stderr\n")
    })
    .await;
    let open = |descriptor| fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap();
    assert_eq!((open(0), open(1), open(2)), (PathBuf::from("/dev/null"), log.clone(), log));
}

#[tokio::test]
async fn a_full_log_is_put_aside_when_its_instance_starts_and_one_earlier_log_is_kept() {
    let world = World::with(|config| ProcessesConfig { log_limit: 8, ..config });
    let log = world.manager.log(&WEB, &named("web-1"));
    let earlier = log.with_added_extension("1");
    for (line, now, then) in [
        ("one", "one\n", None),
        ("two two", "one\ntwo two\n", None),
        ("three", "three\n", Some("one\ntwo two\n")),
        ("four", "three\nfour\n", Some("one\ntwo two\n")),
        ("five", "five\n", Some("three\nfour\n")),
    ] {
        let wanted = script("web-1", &format!("echo {line}; exec sleep 1000"));
        world.launch(&wanted).await.unwrap();
        until("the line is there", || fs::read_to_string(&log).is_ok_and(|log| log == now)).await;
        assert_eq!(fs::read_to_string(&earlier).ok().as_deref(), then);
        world.stop("web-1", GRACE).await.unwrap();
    }
}

#[tokio::test]
async fn the_address_stands_in_the_arguments_and_each_instance_has_its_own() {
    let world = World::new();
    let wanted = |id: &str| spec(id, "/bin/sh", &["-c", "exec sleep 1000", "--at={address}", "{address}"]);
    let (first, second) = (wanted("web-1"), wanted("web-2"));
    let (first, second) = tokio::join!(world.launch(&first), world.launch(&second));
    let (first, second) = (first.unwrap(), second.unwrap());

    assert_ne!(first.address, second.address);
    for instance in [first, second] {
        let port: u16 = instance.address.strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
        assert!((20_000..32_000).contains(&port), "{port}");
        let state = world.state(instance.id.as_str());
        assert_eq!(state["address"], instance.address.as_str());
        until("the shell has become `sleep`", || arguments_of(instance.pid.unwrap())[0] == "sleep").await;
    }
}

#[tokio::test]
async fn arguments_reach_the_program_with_the_address_in_them() {
    let world = World::new();
    let wanted =
        spec("web-1", "/bin/sh", &["-c", "while :; do sleep 1; done", "--at={address}", "{address}"]);
    let instance = world.launch(&wanted).await.unwrap();
    let at = format!("--at={}", instance.address);
    assert_eq!(arguments_of(instance.pid.unwrap())[3..], [at, instance.address]);
}

#[tokio::test]
async fn a_taken_port_is_passed_over_and_a_full_range_is_refused() {
    let (first, mut held) = ports_in_a_row(3);
    let last = first + 2;
    let world = World::with(|config| config.addresses(Addresses::Ports { first, last }));

    let refused = world.launch(&sleeper("web-1")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(!world.state_file("web-1").exists());
    assert!(processes_of(&world.root()).is_empty());

    drop(held.remove(1));
    // A child that another test is just starting may hold a copy of the listener until it has become its program.
    let middle = (Ipv4Addr::LOCALHOST, first + 1);
    until("the port in the middle is free", || TcpListener::bind(middle).is_ok()).await;
    let instance = world.launch(&sleeper("web-1")).await.unwrap();
    assert_eq!(instance.address, format!("127.0.0.1:{}", first + 1));
    // Nobody listens there, but it was given to the first.
    assert_eq!(world.launch(&sleeper("web-2")).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn another_digest_under_the_same_id_is_refused_while_it_runs() {
    let world = World::new();
    let pid = world.launch(&sleeper("web-1")).await.unwrap().pid.unwrap();
    let before = tree(&world.root());
    let mut other = sleeper("web-1");
    other.digest = Digest::of(b"2.0.0");

    assert_eq!(world.launch(&other).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(tree(&world.root()), before);
    assert!(runs(pid));

    kill(pid);
    until("it is gone", || !runs(pid)).await;
    assert_eq!(world.launch(&other).await.unwrap().digest, other.digest);
}

#[tokio::test]
async fn an_instance_that_has_ended_is_started_anew() {
    let world = World::new();
    let first = world.launch(&sleeper("web-1")).await.unwrap();
    kill(first.pid.unwrap());
    until("it is gone", || !runs(first.pid.unwrap())).await;

    let second = world.launch(&sleeper("web-1")).await.unwrap();
    assert_ne!(first.pid, second.pid);
    assert_eq!(first.address, second.address, "the address is free again");
    assert_eq!(world.pids().await, [second.pid.unwrap()]);
}

#[tokio::test]
async fn what_an_ended_instance_left_running_is_ended_before_it_is_started_anew() {
    let world = World::new();
    let file = world.file("worker");
    let wanted = script("web-1", &format!("sleep 1000 & echo $! > {}; wait", file.display()));
    let first = world.launch(&wanted).await.unwrap();
    let worker = super::world::number_in(&file).await;
    kill(first.pid.unwrap());
    until("the first process is gone", || !runs(first.pid.unwrap())).await;
    assert!(runs(worker));

    world.launch(&sleeper("web-1")).await.unwrap();
    assert!(!runs(worker));
    assert_eq!(processes_of(&world.root()).len(), 1);
}

#[tokio::test]
async fn a_missing_program_or_directory_is_named_and_leaves_nothing() {
    let world = World::new();
    let mut nowhere = sleeper("web-1");
    nowhere.directory = PathBuf::from("/does/not/exist");
    let not_a_program = world.file("not-a-program");
    fs::write(&not_a_program, "data").unwrap();
    let orphan_script = world.file("script");
    fs::write(&orphan_script, "#!/does/not/exist\n").unwrap();
    fs::set_permissions(&orphan_script, fs::Permissions::from_mode(0o755)).unwrap();
    for (wanted, kind, fact) in [
        (spec("web-1", "/does/not/exist", &[]), ErrorKind::NotFound, "program: `/does/not/exist`"),
        (nowhere, ErrorKind::NotFound, "directory: `/does/not/exist`"),
        (spec("web-1", &not_a_program, &[]), ErrorKind::Denied, "not-a-program"),
        (spec("web-1", &orphan_script, &[]), ErrorKind::NotFound, "script"),
    ] {
        let refused = world.launch(&wanted).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().contains(fact), "{refused}");
        assert!(world.pids().await.is_empty());
        assert!(!world.state_file("web-1").exists());
        assert!(processes_of(&world.root()).is_empty());
    }
}

#[tokio::test]
async fn a_process_that_ends_at_once_is_a_failed_launch_that_shows_its_log() {
    let world = World::with(|config| ProcessesConfig { watch: Duration::from_secs(20), ..config });
    let failing = script("web-1", "sleep 1000 & echo the port is taken >&2; exit 3");
    let failed = world.launch(&failing).await.unwrap_err();

    assert_eq!(failed.kind(), ErrorKind::Failed);
    let text = failed.to_string();
    assert!(text.contains("the port is taken") && text.contains("exit status: 3"), "{text}");
    assert!(!world.state_file("web-1").exists());
    assert!(processes_of(&world.root()).is_empty(), "its children are ended too");
}

#[tokio::test]
async fn a_bad_specification_is_refused_with_all_its_problems() {
    let world = World::new();
    let mut bad = spec("web-1", "sleep", &["a\0b"]);
    bad.directory = PathBuf::from(".");
    bad.env = BTreeMap::from([
        ("A=B".to_owned(), String::new()),
        ("C".to_owned(), "\0".to_owned()),
        ("FLOW_INSTANCE".to_owned(), "mine".to_owned()),
    ]);
    bad.health.path = "health".to_owned();
    bad.health.timeout = Duration::ZERO;
    let before = tree(&world.root());
    let refused = world.launch(&bad).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let problems = refused.source().unwrap().to_string();
    for field in [
        "program",
        "directory",
        "args.0",
        "env.A=B",
        "env.C",
        "env.FLOW_INSTANCE",
        "health.path",
        "health.timeout",
    ] {
        assert!(problems.contains(&format!("`{field}`")), "{field} in {problems}");
    }
    assert_eq!(tree(&world.root()), before);
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_problems() {
    let open = |config| LocalProcesses::open(config, Arc::new(SystemClock::new())).map(drop).unwrap_err();
    let mut config = ProcessesConfig::new("relative").addresses(Addresses::Ports { first: 80, last: 79 });
    config.log_limit = 0;
    let refused = open(config);
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let problems = refused.source().unwrap().to_string();
    for field in ["root", "log_limit", "addresses.ports", "addresses.ports.first"] {
        assert!(problems.contains(&format!("`{field}`")), "{field} in {problems}");
    }

    let directory = tempfile::tempdir().unwrap();
    let outgoing = ProcessesConfig::new(directory.path().join("root"));
    let refused = open(outgoing.addresses(Addresses::Ports { first: 20_000, last: 65_535 }));
    assert!(refused.source().unwrap().to_string().contains("outgoing connections"));
    assert!(!directory.path().join("root").exists());

    fs::write(directory.path().join("file"), "x").unwrap();
    let refused = open(ProcessesConfig::new(directory.path().join("file/root")));
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.to_string().contains("file/root"));
}

#[test]
fn a_configuration_reads_from_json_and_refuses_unknown_fields() {
    let config: ProcessesConfig = serde_json::from_str(r#"{ "root": "/srv/app" }"#).unwrap();
    assert_eq!(config, ProcessesConfig::new("/srv/app"));
    let refused = serde_json::from_str::<ProcessesConfig>(r#"{ "root": "/srv/app", "rot": 1 }"#).unwrap_err();
    assert!(refused.to_string().contains("`rot`"));
}

#[tokio::test]
async fn a_state_file_and_a_log_are_readable_by_their_user_alone() {
    let world = World::new();
    world.launch(&sleeper("web-1")).await.unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(world.state_file("web-1")), 0o600);
    assert_eq!(mode(world.manager.log(&WEB, &named("web-1"))), 0o600);
    assert_eq!(mode(world.root()), 0o700);
}

#[tokio::test]
async fn instances_are_those_of_the_service_in_order_of_their_ids() {
    let world = World::new();
    for id in ["web-2", "web-10", "web-1"] {
        world.launch(&sleeper(id)).await.unwrap();
    }
    let mut other = sleeper("api-1");
    other.service = name!("api");
    world.launch(&other).await.unwrap();

    let found = world.manager.instances(&WEB).await.unwrap();
    let ids: Vec<&str> = found.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["web-1", "web-10", "web-2"]);
    assert!(world.manager.instances(&name!("none")).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_an_instance_was_launched_with_is_known_while_it_runs() {
    let world = World::new();
    let mut wanted = sleeper("web-1");
    wanted.env = BTreeMap::from([("SECRET".to_owned(), "hunter2".to_owned())]);
    let pid = world.launch(&wanted).await.unwrap().pid.unwrap();
    assert_eq!(world.next_controller().launched(&WEB, &wanted.instance).await.unwrap(), wanted);

    kill(pid);
    until("it is gone", || !runs(pid)).await;
    let refused = world.manager.launched(&WEB, &wanted.instance).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_cancelled_launch_starts_nothing() {
    let world = World::new();
    let permit = permit();
    permit.cancel().cancel();
    let refused = world.manager.launch(&permit, &sleeper("web-1")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Cancelled);
    assert!(processes_of(&world.root()).is_empty());
}

#[tokio::test]
async fn a_socket_path_longer_than_the_system_allows_is_refused() {
    let world = World::new();
    let directory = world.file(&"d".repeat(100));
    let manager = LocalProcesses::open(
        ProcessesConfig::new(world.root()).addresses(Addresses::Sockets { directory }),
        Arc::new(SystemClock::new()),
    )
    .unwrap();
    let refused = manager.launch(&permit(), &sleeper("web-1")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(!world.state_file("web-1").exists());
}

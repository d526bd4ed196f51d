//! What makes an instance healthy, and what never does.

use std::fs;
use std::time::{Duration, Instant};

use flow_core::port::{Health, ProcessManager as _};
use flow_core::{Digest, ErrorKind};
use flow_pm2::Readiness;
use flow_proving::app::Behaviour;
use flow_proving::{Outside, PATIENCE, until};
use flow_testkit::permit;
use rustix::process::Signal;

use super::world::{WEB, World, named, never_restarted, processes};

/// Why an instance is not healthy; an error where it is.
async fn reason(world: &World, instance: &str) -> Outside<String> {
    match world.health(instance).await? {
        Health::Unhealthy { reason } => Ok(reason),
        Health::Gone => Ok("gone".to_owned()),
        Health::Healthy => Err("it is called healthy".into()),
    }
}

/// Asks again and again, and is sure at the end that it was never healthy.
async fn never_healthy(world: &World, instance: &str, seen_enough: impl Fn(&str) -> bool) -> Outside<()> {
    until("enough was seen", async || Ok(seen_enough(&reason(world, instance).await?).then_some(()))).await
}

#[tokio::test]
async fn what_crashes_at_boot_is_refused_with_its_log_and_nothing_is_left() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.watch = PATIENCE;
        config
    })
    .await?;
    let crashing = Behaviour { crash_at_boot: true, ..Behaviour::of("2") };
    let refused = world.launch(&world.app("2", &crashing)?).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Failed);
    assert!(refused.to_string().contains("told to crash at boot"), "{refused}");
    assert!(world.running().is_empty() && world.listed()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_crash_loop_is_never_healthy_though_pm2_calls_it_online() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.settle = Duration::from_secs(5);
        config.settle_again = Duration::from_secs(5);
        config.readiness = Readiness::Message;
        config
    })
    .await?;
    // Ready each time, and dead soon after: PM2 starts it again each time.
    let dying = Behaviour { dies_after_ms: 300, ..Behaviour::of("2") };
    let first = world.launch(&world.app("2", &dying)?).await?.pid.unwrap();
    let again = async || Ok((world.pids("2").first().is_some_and(|pid| *pid != first)).then_some(()));
    until("PM2 has started it again", again).await?;
    never_healthy(&world, "2", |reason| reason.contains("started it again")).await?;
    world.stop("2").await?;
    assert!(world.running().is_empty() && world.listed()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_dies_late_without_being_started_again_is_gone() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.settle = Duration::from_secs(10);
        never_restarted(config)
    })
    .await?;
    let dying = Behaviour { dies_after_ms: 300, ..Behaviour::of("2") };
    world.launch(&world.app("2", &dying)?).await?;
    never_healthy(&world, "2", |reason| reason == "gone").await?;
    assert!(world.manager.instances(&WEB).await?.is_empty());
    // Its row in PM2's list makes room for another digest.
    let mut other = world.app("2", &Behaviour::of("3"))?;
    other.digest = Digest::of(b"3");
    world.launch(&other).await?;
    assert_eq!(world.listed()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_errored_app_can_be_stopped_and_leaves_nothing() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.watch = Duration::ZERO;
        config
    })
    .await?;
    // Long enough to be launched, and so short that PM2 gives up soon.
    let mut crashing = world.app("2", &Behaviour::of("2"))?;
    crashing.program = "/bin/sleep".into();
    crashing.args = vec!["0.2".to_owned()];
    world.launch(&crashing).await?;
    let errored = async || {
        assert!(!world.health("2").await?.is_healthy());
        Ok((world.listed()?["web:2"]["pm2_env"]["status"] == "errored").then_some(()))
    };
    until("PM2 has given up", errored).await?;
    assert_eq!(world.health("2").await?, Health::Gone);
    world.stop("2").await?;
    assert!(world.running().is_empty() && world.listed()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn who_says_ready_and_listens_elsewhere_is_unhealthy() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.readiness = Readiness::Message;
        config
    })
    .await?;
    let wrong = Behaviour { wrong_address: true, ..Behaviour::of("2") };
    let instance = world.launch(&world.app("2", &wrong)?).await?;
    let path = format!("{}.wrong", instance.address.strip_prefix("unix:").unwrap());
    until("it listens elsewhere", async || Ok(fs::metadata(&path).ok())).await?;
    never_healthy(&world, "2", |reason| reason.contains("nobody listens")).await
}

#[tokio::test]
async fn who_listens_and_never_says_ready_is_unhealthy_where_the_message_counts() -> Outside<()> {
    for readiness in [Readiness::Message, Readiness::Both] {
        let world = World::with(|mut config, _| {
            config.readiness = readiness;
            config
        })
        .await?;
        let mut silent = world.app("2", &Behaviour::of("2"))?;
        // Without its channel it cannot say anything.
        silent.args.insert(0, "-e".to_owned());
        silent.args[1] = format!("process.send = undefined; require('{}')", silent.args[1]);
        let address = world.launch(&silent).await?.address;
        let path = address.strip_prefix("unix:").unwrap().to_owned();
        until("it listens", async || Ok(std::os::unix::net::UnixStream::connect(&path).ok())).await?;
        never_healthy(&world, "2", |reason| reason.contains("not said")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn that_an_instance_said_ready_is_known_to_the_next_controller() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.readiness = Readiness::Message;
        config
    })
    .await?;
    world.launch(&world.app("1", &Behaviour::of("1"))?).await?;
    world.until_healthy("1").await?;
    let next = world.next_controller()?;
    assert!(next.health(&WEB, &named("1")).await?.is_healthy());

    // A process that came later has not said it to anybody who was there.
    fs::remove_dir_all(world.path("state/ready"))?;
    let next = world.next_controller()?;
    let Health::Unhealthy { reason } = next.health(&WEB, &named("1")).await? else {
        return Err("it is healthy without evidence".into());
    };
    assert!(reason.contains("nobody heard it"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_note_is_of_one_process_and_not_of_the_next() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.readiness = Readiness::Message;
        config
    })
    .await?;
    world.launch(&world.app("1", &Behaviour::of("1"))?).await?;
    world.until_healthy("1").await?;
    let note = world.path("state/ready/web/1.json");
    let first = fs::read(&note)?;
    let pid = world.pids("1")[0];
    processes().find(|process| process.pid == pid).ok_or("gone")?.signal(Signal::KILL);
    until("PM2 has started it again", async || {
        Ok(world.pids("1").first().is_some_and(|now| *now != pid).then_some(()))
    })
    .await?;
    world.until_healthy("1").await?;
    assert_ne!(fs::read(&note)?, first, "the note is still of the process that was killed");
    Ok(())
}

#[tokio::test]
async fn nothing_is_healthy_before_it_has_settled() -> Outside<()> {
    let settle = Duration::from_millis(1500);
    let world = World::with(|mut config, _| {
        config.settle = settle;
        config
    })
    .await?;
    let begun = Instant::now();
    world.launch(&world.app("1", &Behaviour::of("1"))?).await?;
    world.until_healthy("1").await?;
    assert!(begun.elapsed() >= settle, "healthy after {:?}", begun.elapsed());
    Ok(())
}

/// It has run for longer than it must have been ready for.
#[tokio::test]
async fn who_boots_slowly_and_dies_soon_after_it_was_ready_is_never_healthy() -> Outside<()> {
    for readiness in [Readiness::Message, Readiness::Probe] {
        let world = World::with(|mut config, _| {
            config.readiness = readiness;
            config.settle = Duration::from_millis(1_500);
            never_restarted(config)
        })
        .await?;
        let slow = Behaviour { boot_ms: 2_000, dies_after_ms: 600, ..Behaviour::of("2") };
        world.launch(&world.app("2", &slow)?).await?;
        never_healthy(&world, "2", |reason| reason.contains("has been ready for")).await?;
        never_healthy(&world, "2", |reason| reason == "gone").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_stopped_before_it_is_ready_does_not_come_back() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.readiness = Readiness::Message;
        config
    })
    .await?;
    let slow = Behaviour { boot_ms: 3_000, ..Behaviour::of("2") };
    for instance in ["1", "2", "3"] {
        world.launch(&world.app(instance, &slow)?).await?;
    }
    // With this PM2 7 would start again what is deleted before it is ready, and not know it.
    assert_eq!(world.listed()?["web:1"]["pm2_env"]["wait_ready"], false);
    for instance in ["1", "2", "3"] {
        world.stop(instance).await?;
    }
    // By the time that PM2 has started another one and that is healthy it would have started those again.
    world.launch(&world.app("4", &Behaviour::of("4"))?).await?;
    world.until_healthy("4").await?;
    let started: Vec<u32> = world.pm2.started().into_iter().map(|process| process.pid).collect();
    assert_eq!(started, world.pids("4"));
    assert_eq!(world.listed()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_leader_leaves_behind_is_ended_with_it() -> Outside<()> {
    let world = World::new().await?;
    let mut parent = world.app("1", &Behaviour::of("1"))?;
    parent.program = "/bin/sh".into();
    parent.args = vec!["-c".to_owned(), "trap '' INT; sleep 1000 & trap - INT; wait".to_owned()];
    world.launch(&parent).await?;
    until("it has a child", async || Ok((world.pids("1").len() == 2).then_some(()))).await?;
    let service = &WEB;
    // The child ignores being asked.
    world.manager.stop(&permit(), service, &named("1"), Duration::from_millis(300)).await?;
    assert!(world.running().is_empty() && world.listed()?.is_empty());
    Ok(())
}

/// PM2 has 0 for the id of a process that has just ended: a signal sent through it then would end PM2.
#[tokio::test]
async fn stops_without_any_grace_end_no_daemon() -> Outside<()> {
    let world = World::new().await?;
    let daemon = world.pm2.daemon().ok_or("no daemon")?;
    let mut quick = world.app("1", &Behaviour::of("1"))?;
    quick.program = "/bin/sleep".into();
    quick.args = vec!["1000".to_owned()];
    for _ in 0..30 {
        world.launch(&quick).await?;
        world.manager.stop(&permit(), &WEB, &named("1"), Duration::ZERO).await?;
        assert_eq!(world.pm2.daemon(), Some(daemon));
    }
    assert!(world.running().is_empty() && world.listed()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_killed_instance_leaves_no_socket_for_the_next_to_stumble_over() -> Outside<()> {
    let world = World::with(|config, _| never_restarted(config)).await?;
    // Does not remove what lies at its path.
    let mut strict = world.app("1", &Behaviour::of("1"))?;
    strict.args = vec![
        "-e".to_owned(),
        "require('http').createServer((q, r) => r.end()).listen(process.env.SOCKET_PATH)".to_owned(),
    ];
    for somebody_deletes_it in [true, false, false] {
        let launched = world.launch(&strict).await?;
        world.until_healthy("1").await?;
        let pid = launched.pid.unwrap();
        let process = processes().find(|process| process.pid == pid).ok_or("gone")?;
        process.signal(Signal::KILL);
        until("it has ended", async || Ok((!process.runs()).then_some(()))).await?;
        assert!(
            fs::metadata(launched.address.strip_prefix("unix:").unwrap()).is_ok(),
            "the test is of no use"
        );
        // So that nothing but the socket is left, of which nobody knows whose it was.
        if somebody_deletes_it {
            assert!(world.pm2.run(["delete", "web:1"])?.status.success());
        }
    }
    world.stop("1").await?;
    assert_eq!(fs::read_dir(world.path("run/web"))?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn an_app_of_the_same_name_that_is_not_ours_is_left_alone() -> Outside<()> {
    let world = World::new().await?;
    let script = Behaviour::of("1").write_to(&world.path("theirs"))?;
    let mut start = world.pm2.command()?;
    start.arg("start").arg(&script).args(["--name", "web:1"]).env("SOCKET_PATH", world.path("theirs.sock"));
    assert!(start.output()?.status.success());
    let before = world.pm2.started();
    let refused = world.launch(&world.app("1", &Behaviour::of("1"))?).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    world.stop("1").await?;
    assert!(world.manager.instances(&WEB).await?.is_empty());
    assert_eq!(world.pm2.started(), before);
    Ok(())
}

#[tokio::test]
async fn a_grace_longer_than_pm2_was_told_is_refused() -> Outside<()> {
    let world = World::without_daemon(flow_proving::server::Pm2Version::Seven, |config, _| config)?;
    let grace = world.config.longest_grace + Duration::from_millis(1);
    let refused = world.manager.stop(&permit(), &WEB, &named("1"), grace).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    Ok(())
}

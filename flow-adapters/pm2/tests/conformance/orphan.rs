//! What a killed daemon leaves is told apart, goes on serving, is never doubled, and is ended like anything else.

use std::sync::Mutex;
use std::time::Duration;

use flow_core::port::{Health, LaunchSpec, ProcessManager as _};
use flow_core::{Digest, ErrorKind};
use flow_pm2::Pm2Config;
use flow_proving::app::Behaviour;
use flow_proving::load::{Client, Load};
use flow_proving::server::Pm2Version;
use flow_proving::{Address, Outside, PATIENCE, Request, exchange, until};
use flow_testkit::permit;

use super::world::{WEB, World, named, node_path, on_ports};

#[tokio::test]
async fn what_a_killed_daemon_leaves_serves_on_and_is_replaced_under_the_next_daemon() -> Outside<()> {
    for version in Pm2Version::of_this_tier() {
        // As a script, which PM2 runs in a wrapper of its own.
        let interpreter = Some(node_path());
        let world = World::without_daemon(*version, |config, _| Pm2Config { interpreter, ..config })?;
        world.pm2.revive().await?;
        let scripted = |mut spec: LaunchSpec| {
            spec.program = spec.args.remove(0).into();
            spec
        };
        let old = scripted(world.app("1", &Behaviour::of("1"))?);
        let orphan = world.launch(&old).await?;
        world.until_healthy("1").await?;
        world.pm2.kill_daemon().await?;

        // Without a daemon it is still an instance, and a healthy one.
        assert_eq!(world.manager.instances(&WEB).await?, std::slice::from_ref(&orphan));
        assert_eq!(world.manager.launched(&WEB, &named("1")).await?, old);
        assert_eq!(world.health("1").await?, Health::Healthy);
        // PM2's own library would look for the daemon every second.
        let address: Address = orphan.address.parse()?;
        let users = Load::of(address.clone(), Client::New).at_rate(50).at_most(200, PATIENCE).start()?;
        assert_eq!(users.finish().await?.answered_by("1"), 200);

        world.pm2.revive().await?;
        assert_eq!(world.launch(&old).await?, orphan, "it was started twice");
        let other = LaunchSpec { digest: Digest::of(b"2"), ..old.clone() };
        assert_eq!(world.launch(&other).await.unwrap_err().kind(), ErrorKind::Conflict);
        world.launch(&scripted(world.app("2", &Behaviour::of("2"))?)).await?;
        world.until_healthy("2").await?;
        let reply = exchange(&address, &Request::get("/")).await?;
        assert_eq!(reply.header("x-pid"), Some(orphan.pid.unwrap().to_string().as_str()));

        world.stop("1").await?;
        assert_eq!(world.pids("1"), [0; 0]);
        let ids: Vec<_> =
            world.manager.instances(&WEB).await?.into_iter().map(|instance| instance.id).collect();
        assert_eq!(ids, [named("2")]);
        let path = orphan.address.strip_prefix("unix:").unwrap();
        assert!(!std::fs::exists(path)?, "its socket was left");
    }
    Ok(())
}

#[tokio::test]
async fn a_crash_loop_behind_an_orphan_that_answers_is_not_healthy() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.settle_again = Duration::ZERO;
        config.settle = Duration::ZERO;
        on_ports(config)
    })
    .await?;
    world.launch(&world.app("1", &Behaviour::of("1"))?).await?;
    world.until_healthy("1").await?;
    world.manager.save(&permit()).await?;
    world.pm2.kill_daemon().await?;
    // The next daemon starts the same app again, whose port is taken: it calls it online, and the orphan answers.
    assert!(world.pm2.run(["resurrect"])?.status.success());
    let looked = Mutex::new(String::new());
    let (outside, seen) = (&world, &looked);
    until("the loop was looked at while it ran", || async move {
        match outside.health("1").await? {
            Health::Healthy => Err("it is called healthy".into()),
            Health::Unhealthy { reason } => {
                let found = reason.contains("another process listens").then_some(());
                *seen.lock().unwrap() = reason;
                Ok(found)
            }
            _ => Ok(None),
        }
    })
    .await
    .map_err(|error| format!("{error}; last: {looked:?}"))?;
    world.stop("1").await?;
    assert!(world.running().is_empty(), "{:?}", world.running());
    assert!(world.listed()?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_orphan_is_stopped_without_any_daemon() -> Outside<()> {
    let world = World::new().await?;
    let ignoring = Behaviour { ignores_signals: true, ..Behaviour::of("1") };
    world.launch(&world.app("1", &ignoring)?).await?;
    world.until_healthy("1").await?;
    world.pm2.kill_daemon().await?;
    world.manager.stop(&permit(), &WEB, &named("1"), Duration::from_millis(200)).await?;
    assert!(world.running().is_empty());
    assert_eq!(world.health("1").await?, Health::Gone);
    Ok(())
}

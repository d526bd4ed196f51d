//! Instances in PM2's cluster are replaced one at a time, or not at all.

use std::time::Duration;

use flow_core::ErrorKind;
use flow_core::port::{LaunchSpec, ProcessManager as _};
use flow_pm2::{Mode, Pm2Config, Readiness, Replacement};
use flow_proving::app::Behaviour;
use flow_proving::server::Pm2Version;
use flow_proving::{Outside, Port, Request, exchange};
use flow_testkit::permit;

use super::world::{GRACE, WEB, World, named};

fn in_cluster(mut config: Pm2Config, port: &Port) -> Pm2Config {
    config.mode = Mode::Cluster { port: port.number() };
    config.readiness = Readiness::Message;
    config
}

/// The application as a worker: the script itself is the program.
fn worker(world: &World, instance: &str, behaviour: &Behaviour) -> Outside<LaunchSpec> {
    let mut spec = world.app(instance, behaviour)?;
    spec.program = spec.args.remove(0).into();
    Ok(spec)
}

fn replacement(world: &World, new: &[&str], old: &[&str], behaviour: &Behaviour) -> Outside<Replacement> {
    Ok(Replacement {
        new: new.iter().map(|instance| worker(world, instance, behaviour)).collect::<Outside<_>>()?,
        old: old.iter().map(|instance| named(instance)).collect(),
        ready_within: Duration::from_secs(20),
        grace: GRACE,
    })
}

#[tokio::test]
async fn workers_are_replaced_one_by_one_and_a_bad_one_ends_the_whole() -> Outside<()> {
    for version in Pm2Version::of_this_tier() {
        let port = Port::free()?;
        let world = World::without_daemon(*version, |config, _| in_cluster(config, &port))?;
        world.pm2.revive().await?;
        let first = replacement(&world, &["a1", "a2"], &[], &Behaviour::of("1"))?;
        world.manager.replace(&permit(), &first).await?;
        let old: Vec<_> = world.manager.instances(&WEB).await?;
        assert_eq!(old.len(), 2);
        assert!(old.iter().all(|instance| instance.address == format!("127.0.0.1:{}", port.number())));

        let daemon = world.pm2.daemon();
        for behaviour in [
            Behaviour { crash_at_boot: true, ..Behaviour::of("2") },
            Behaviour { dies_after_ms: 10, ..Behaviour::of("2") },
        ] {
            let bad = replacement(&world, &["b1", "b2"], &["a1", "a2"], &behaviour)?;
            let refused = world.manager.replace(&permit(), &bad).await;
            let refused = refused.expect_err(&format!("{version:?} took {behaviour:?}"));
            assert_eq!(refused.kind(), ErrorKind::Failed, "{refused}");
            assert_eq!(world.manager.instances(&WEB).await?, old);
            assert_eq!(world.pm2.started().len(), 2);
            assert_eq!(world.pm2.daemon(), daemon);
        }
        let good = replacement(&world, &["c1", "c2"], &["a1", "a2"], &Behaviour::of("3"))?;
        world.manager.replace(&permit(), &good).await?;
        let reply = exchange(&port.address(), &Request::get("/")).await?;
        assert_eq!(reply.header("x-version"), Some("3"));
        let pids: Vec<u32> = world.pm2.started().into_iter().map(|process| process.pid).collect();
        let mut now: Vec<u32> =
            world.manager.instances(&WEB).await?.iter().map(|instance| instance.pid.unwrap()).collect();
        now.sort_unstable();
        assert_eq!(pids, now, "somebody else runs");
        let ids: Vec<String> = world.listed()?.into_keys().collect();
        assert_eq!(ids, ["web:c1", "web:c2"]);
    }
    Ok(())
}

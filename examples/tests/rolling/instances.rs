//! Four instances of one machine under PM2, each with a socket of its own, behind the slots of an nginx.

use std::sync::Arc;
use std::time::Duration;

use flow_core::strategy::Headroom;
use flow_core::{SystemClock, name};
use flow_examples::private;
use flow_nginx::{SocketConfig, SocketRouter};
use flow_pm2::{Addresses, Pm2Config, Pm2Processes, Readiness};
use flow_proving::server::{Nginx, Pm2, Pm2Version};
use flow_proving::{Directory, Outside, Port};

use crate::round::{Ground, nothing_around, rounds, service};

const SIZE: u32 = 4;

struct World {
    ground: Ground,
    // Ended before the port is given back.
    _pm2: Pm2,
    _nginx: Nginx,
    _port: Port,
}

async fn world() -> Outside<World> {
    let (directory, port) = (Directory::new()?, Port::free()?);
    let at = |name: &str| directory.path().join(name);
    let slots = SocketConfig::slots(name!("shop"), at("slots"), at("shop.log"));
    let listen = port.address();
    let http =
        format!("{}server {{ listen {listen}; location / {{ {} }} }}", slots.block()?, slots.location()?);
    let nginx = Nginx::start(&directory, &http, &listen).await?;
    let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
    let mut config = Pm2Config::new(pm2.home(), at("state"), Addresses::Sockets { directory: at("run") });
    config.interpreter = Some(private::node()?);
    config.readiness = Readiness::Both;
    config.settle = Duration::from_millis(300);
    let clock = Arc::new(SystemClock::new());
    let ground = Ground {
        address: listen,
        roots: vec![directory.path().to_owned()],
        processes: Arc::new(Pm2Processes::open(config, clock.clone())?),
        router: Arc::new(SocketRouter::new(slots, clock)?),
        service: service(SIZE),
        headroom: Headroom::ONE_MORE,
        slow_ms: 1500,
        around: nothing_around,
        directory: tempfile::tempdir()?,
    };
    ground.deploy("1.0.0", ground.release("1.0.0")?).await??;
    Ok(World { ground, _pm2: pm2, _nginx: nginx, _port: port })
}

#[tokio::test]
async fn four_instances_roll_one_by_one_or_are_taken_back_and_no_request_is_lost() -> Outside<()> {
    let World { ground, .. } = &world().await?;
    for round in 1..=rounds() {
        let good = format!("1.{round}.0");
        let seen = ground.under_load(&good, ground.release(&good)?).await?;
        seen.say("rolling over 4 instances, PM2 behind nginx's slots");
        seen.ended.as_ref().unwrap();
        seen.lost_nothing(4);
        seen.stands(&good, 4);

        let bad = format!("2.{round}.0");
        let script = ground.release(&bad)?;
        // Two instances of it serve when the third one crashes.
        private::crash_from_boot(&script, 3, &script.with_extension("boots"))?;
        let seen = ground.under_load(&bad, script).await?;
        seen.say("a release whose third instance crashes at boot");
        seen.was_taken_back();
        assert!(seen.log.answered_by(&bad) > 0, "it never served");
        seen.lost_nothing(4);
        seen.stands(&good, 4);
        let kept = seen.last.keys().filter(|pid| seen.before.contains_key(pid)).count();
        assert!(kept >= 2, "{kept} of the old processes still serve");
    }
    Ok(())
}

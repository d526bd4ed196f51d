//! A canary behind nginx: a hundred links, so a share of 5 % is five of them, moved without a reload; a user stays with the
//! version that the first answer came from. What nginx logs is what the gate judges. PM2 and nginx are private to this example.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::time::Duration;

use flow_core::gate::{OnSilence, Thresholds};
use flow_core::port::HealthCheck;
use flow_core::strategy::{BlueGreen, Canary, CanaryStep};
use flow_core::{Service, SystemClock, Work, Workflow, name};
use flow_examples::{private, shop};
use flow_nginx::{AccessLog, SocketConfig, SocketRouter, Stickiness};
use flow_pm2::{Addresses, Pm2Config, Pm2Processes};
use flow_proving::load::{Client, Load};
use flow_proving::{Outside, app::Behaviour};

#[tokio::main]
async fn main() -> Outside<()> {
    let (mut here, clock) = (private::Local::start().await?, Arc::new(SystemClock::new()));
    let root = here.root().to_owned();
    let slots = SocketConfig {
        stickiness: Stickiness::Cookie("uid".to_owned()),
        ..SocketConfig::slots(name!("shop"), root.join("links"), root.join("shop.log"))
    };
    let front = here.nginx(&slots).await?;
    let metrics = Arc::new(AccessLog::of_sockets(&slots, clock.clone())?);
    let nginx = Arc::new(SocketRouter::new(slots, clock.clone())?);
    let sockets = Addresses::Sockets { directory: root.join("run") };
    let pm2 = Pm2Config {
        interpreter: Some(private::node()?),
        settle: Duration::from_millis(500),
        ..Pm2Config::new(here.pm2.home(), root.join("state"), sockets)
    };
    let pm2 = Arc::new(Pm2Processes::open(pm2, clock)?);

    let (on_insufficient, on_provider_error) = (OnSilence::Wait { times: 3 }, OnSilence::Abort);
    let gate = Thresholds {
        max_failure_ratio: 0.02,
        max_p99_ms: None,
        min_requests: 10,
        on_insufficient,
        on_provider_error,
    };
    let dwell = Duration::from_secs(2);
    let steps = [5, 25, 100].map(|weight| CanaryStep { weight, dwell }).to_vec();
    // Its health is asked where it never fails: what it does to users is the gate's to see.
    let health = HealthCheck { path: "/under-way".to_owned(), timeout: Duration::from_secs(1) };
    let service = Service { health, ..Service::new(name!("shop")) };
    let mut users = None;
    let failing = Behaviour { fails_percent: 30, ..Behaviour::of("1.2.0") };
    for release in [Behaviour::of("1.0.0"), Behaviour::of("1.1.0"), failing] {
        let version = release.version.clone();
        let build = Work::step(shop::TakeArtifact { name: name!("shop"), path: here.release(&release)? });
        let (service, canary) = (service.clone(), Canary { steps: steps.clone(), ..Canary::default() });
        let rollout = match users {
            // Nobody comes before the first release serves: there is nothing to judge it by.
            None => Work::rollout(BlueGreen { bake: Duration::ZERO, ..BlueGreen::default() }, service)
                .on(pm2.clone(), nginx.clone()),
            Some(_) => Work::rollout(canary, service)
                .watched_by(metrics.clone(), gate.clone())
                .on(pm2.clone(), nginx.clone()),
        };
        let services = shop::static_program(rollout)?;
        let workflow = Workflow { build, services, ..shop::workflow(&root)? };
        match shop::deploy(&workflow, &shop::setting(&root, &version)?).await {
            Ok(_) => println!("{version} serves"),
            Err(refused) => println!("{version} is refused: {refused:#}"),
        }
        let cookie = |number| ("cookie".to_owned(), format!("uid={}", number % 1_000));
        users.get_or_insert(Load::of(front.clone(), Client::Careful).at_rate(200).header(cookie).start()?);
    }
    println!("{}", users.ok_or("nobody came")?.stop().await?.summary());
    Ok(())
}

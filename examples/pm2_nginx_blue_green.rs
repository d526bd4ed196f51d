//! A Node application under PM2 behind nginx, replaced by a second colour: proved on a socket of its own, switched to by one
//! rename, the first one kept until the run is verified. What stands for your PM2 and nginx is private to this example.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::time::Duration;

use flow_core::strategy::BlueGreen;
use flow_core::{Service, SystemClock, Work, Workflow, name};
use flow_examples::{private, shop};
use flow_nginx::{SocketConfig, SocketRouter};
use flow_pm2::{Addresses, Pm2Config, Pm2Processes, Readiness};
use flow_proving::load::{Client, Load};
use flow_proving::{Outside, app::Behaviour};

#[tokio::main]
async fn main() -> Outside<()> {
    let (mut here, clock) = (private::Local::start().await?, Arc::new(SystemClock::new()));
    let root = here.root().to_owned();

    // nginx's upstream is a link to the socket that serves. `block` and `location` give what your nginx.conf includes, once.
    let links = SocketConfig::link(name!("shop"), root.join("links"), root.join("shop.log"));
    let front = here.nginx(&links).await?;
    let nginx = Arc::new(SocketRouter::new(links, clock.clone())?);

    // PM2 starts each colour at a socket of its own, and is believed in nothing but what can be observed.
    let sockets = Addresses::Sockets { directory: root.join("run") };
    let pm2 = Pm2Config {
        interpreter: Some(private::node()?),
        readiness: Readiness::Both,
        settle: Duration::from_millis(500),
        ..Pm2Config::new(here.pm2.home(), root.join("state"), sockets)
    };
    let pm2 = Arc::new(Pm2Processes::open(pm2, clock)?);

    let mut users = None;
    let bad = Behaviour { dies_after_ms: 200, ..Behaviour::of("1.2.0") };
    for release in [Behaviour::of("1.0.0"), Behaviour::of("1.1.0"), bad] {
        let version = release.version.clone();
        let build = Work::step(shop::TakeArtifact { name: name!("shop"), path: here.release(&release)? });
        let strategy = BlueGreen { bake: Duration::from_secs(2), ..BlueGreen::default() };
        let service = Service { ready_within: Duration::from_secs(5), ..Service::new(name!("shop")) };
        let services = shop::static_program(Work::rollout(strategy, service).on(pm2.clone(), nginx.clone()))?;
        let workflow = Workflow { build, services, ..shop::workflow(&root)? };
        match shop::deploy(&workflow, &shop::setting(&root, &version)?).await {
            Ok(_) => println!("{version} serves"),
            Err(refused) => println!("{version} is refused: {refused:#}"),
        }
        users.get_or_insert(Load::of(front.clone(), Client::Careful).at_rate(100).start()?);
    }
    let log = users.ok_or("nobody came")?.stop().await?;
    println!("{}", log.summary());
    if log.failures().count() == 0 { Ok(()) } else { Err("a request was lost".into()) }
}

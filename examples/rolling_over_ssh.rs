//! Three machines behind one HAProxy, reached over SSH: PM2 runs the shop on each, and nginx there leads to it by a link. A
//! release rolls over them one at a time, and no request is lost. What stands for the machines is private to this example.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::Router;
use flow_core::strategy::{Headroom, Rolling};
use flow_core::{Name, Service, SystemClock, Work, Workflow, name};
use flow_examples::{private, shop};
use flow_haproxy::{HaproxyConfig, HaproxyRouter};
use flow_host::{Edge, HostProcesses, Machine};
use flow_nginx::SocketRouter;
use flow_pm2::{Addresses, Pm2Config, Pm2Processes, Readiness};
use flow_proving::load::{Client, Load};
use flow_proving::{Outside, app::Behaviour};
use flow_ssh::{Forward, Identity, SshConfig, SshHost};

/// A machine's PM2, through sockets that SSH forwards, and its nginx, by links that are made through SSH.
async fn machine(name: Name, there: &private::Machine) -> Outside<(Machine, [Forward; 2])> {
    let (clock, root) = (Arc::new(SystemClock::new()), there.root().display().to_string());
    let identity = Identity::File { path: there.sshd.key(), passphrase: None };
    let ssh = SshConfig::new("127.0.0.1", there.sshd.user(), identity, there.sshd.known_hosts(), root);
    let host = Arc::new(SshHost::new(ssh.port(there.sshd.port()), clock.clone())?);

    let socket = |name: &str| there.pm2.home().join(name).display().to_string();
    let forwards = [host.forward(&socket("rpc.sock")).await?, host.forward(&socket("pub.sock")).await?];
    let addresses = Addresses::Sockets { directory: there.root().join("run") };
    let mut pm2 = Pm2Config::new(there.pm2.home(), there.here().join("state"), addresses);
    pm2.sockets = Some(there.pm2_sockets(forwards[0].path(), forwards[1].path())?);
    pm2.interpreter = Some(private::node()?);
    pm2.readiness = Readiness::Message;
    pm2.settle = Duration::from_millis(500);
    let pm2 = Pm2Processes::open_on(pm2, flow_linux::Machine::remote(host.clone()), clock.clone())?;

    let mut machine = Machine::new(name, Arc::new(pm2));
    for (links, address) in &there.edges {
        let nginx = SocketRouter::on_host(links.clone(), host.clone(), there.root(), clock.clone())?;
        let (called, address) = (links.service.clone(), address.clone());
        machine = machine.edge(Edge { service: name!("shop"), router: Arc::new(nginx), called, address });
    }
    Ok((machine, forwards))
}

#[tokio::main]
async fn main() -> Outside<()> {
    let balancer = private::Balancer::start().await?;
    let (mut servers, mut machines, mut forwards) = (Vec::new(), Vec::new(), Vec::new());
    for name in [name!("web-1"), name!("web-2"), name!("web-3")] {
        let there = private::Machine::start().await?;
        let (machine, forwarded) = machine(name, &there).await?;
        servers.push(there);
        machines.push(machine);
        forwards.push(forwarded);
    }
    let processes = Arc::new(HostProcesses::new(machines, Arc::new(SystemClock::new()))?);
    let router = Arc::new(HaproxyRouter::new(HaproxyConfig::at(balancer.haproxy.socket()))?);
    let service = Service { size: 3, ..Service::new(name!("shop")) };
    let bake = Duration::from_millis(500);
    let rolling = Rolling { headroom: Headroom::ONE_LESS, bake, ..Rolling::default() };

    let (root, mut users) = (tempfile::tempdir()?, None);
    for version in ["1.0.0", "1.1.0"] {
        let path = private::release(root.path(), &Behaviour::of(version))?;
        let build = Work::step(shop::TakeArtifact { name: name!("shop"), path });
        let services = Work::rollout(rolling.clone(), service.clone()).on(processes.clone(), router.clone());
        let services = shop::static_program(services)?;
        let workflow = Workflow { build, services, ..shop::workflow(root.path())? };
        shop::deploy(&workflow, &shop::setting(root.path(), version)?).await?;
        println!("{version} stands: {}", router.routing(&service.name).await?.weights()?);
        users.get_or_insert(Load::of(balancer.address(), Client::Careful).at_rate(100).start()?);
    }
    let log = users.ok_or("nobody came")?.stop().await?;
    println!("{}", log.summary());
    if log.failures().count() == 0 { Ok(()) } else { Err("a request was lost".into()) }
}

//! Three machines that are reached over SSH, each with its own PM2 and nginx, behind one HAProxy.

use std::sync::Arc;
use std::time::Duration;

use flow_core::strategy::Headroom;
use flow_core::{Name, SystemClock, name};
use flow_examples::private::{self, Balancer};
use flow_haproxy::{HaproxyConfig, HaproxyRouter};
use flow_host::{Edge, HostProcesses, Machine};
use flow_nginx::SocketRouter;
use flow_pm2::{Addresses, Pm2Config, Pm2Processes, Readiness};
use flow_proving::{Outside, is_long};
use flow_ssh::{Forward, Identity, SshConfig, SshHost};

use crate::round::{Ground, nothing_around, rounds, service};

struct World {
    ground: Ground,
    machines: Vec<private::Machine>,
    _forwards: Vec<Forward>,
    _balancer: Balancer,
}

fn ssh(there: &private::Machine) -> Outside<Arc<SshHost>> {
    let identity = Identity::File { path: there.sshd.key(), passphrase: None };
    let (root, known) = (there.root().display().to_string(), there.sshd.known_hosts());
    let config = SshConfig::new("127.0.0.1", there.sshd.user(), identity, known, root);
    Ok(Arc::new(SshHost::new(config.port(there.sshd.port()), Arc::new(SystemClock::new()))?))
}

async fn machine(name: Name, there: &private::Machine, forwards: &mut Vec<Forward>) -> Outside<Machine> {
    let (host, clock) = (ssh(there)?, Arc::new(SystemClock::new()));
    let socket = |name: &str| there.pm2.home().join(name).display().to_string();
    let rpc = host.forward(&socket("rpc.sock")).await?;
    let events = host.forward(&socket("pub.sock")).await?;
    let addresses = Addresses::Sockets { directory: there.root().join("run") };
    let mut config = Pm2Config::new(there.pm2.home(), there.here().join("state"), addresses);
    config.sockets = Some(there.pm2_sockets(rpc.path(), events.path())?);
    config.interpreter = Some(private::node()?);
    // An address over there is not probed from here.
    config.readiness = Readiness::Message;
    config.settle = Duration::from_millis(300);
    let pm2 = Pm2Processes::open_on(config, flow_linux::Machine::remote(host.clone()), clock.clone())?;
    forwards.extend([rpc, events]);
    let mut machine = Machine::new(name, Arc::new(pm2));
    for (links, address) in &there.edges {
        let nginx = SocketRouter::on_host(links.clone(), host.clone(), there.root(), clock.clone())?;
        let (called, address) = (links.service.clone(), address.clone());
        machine = machine.edge(Edge { service: name!("shop"), router: Arc::new(nginx), called, address });
    }
    Ok(machine)
}

async fn world() -> Outside<World> {
    let balancer = Balancer::start().await?;
    let (mut there, mut machines, mut forwards) = (Vec::new(), Vec::new(), Vec::new());
    for name in [name!("web-1"), name!("web-2"), name!("web-3")] {
        let started = private::Machine::start().await?;
        machines.push(machine(name, &started, &mut forwards).await?);
        there.push(started);
    }
    let ground = Ground {
        address: balancer.address(),
        roots: there.iter().map(|machine| machine.root().to_owned()).collect(),
        processes: Arc::new(HostProcesses::new(machines, Arc::new(SystemClock::new()))?),
        router: Arc::new(HaproxyRouter::new(HaproxyConfig::at(balancer.haproxy.socket()))?),
        service: service(3),
        headroom: Headroom::ONE_LESS,
        slow_ms: 3000,
        around: nothing_around,
        directory: tempfile::tempdir()?,
    };
    ground.deploy("1.0.0", ground.release("1.0.0")?).await??;
    Ok(World { ground, machines: there, _forwards: forwards, _balancer: balancer })
}

/// How many instances run on each machine.
fn spread(world: &World) -> Vec<usize> {
    let on = |machine: &private::Machine| crate::watch::with_sockets(&[machine.root().to_owned()]).len();
    world.machines.iter().map(on).collect()
}

#[tokio::test]
async fn three_machines_roll_one_at_a_time_or_are_taken_back_and_no_request_is_lost() -> Outside<()> {
    let world = world().await?;
    let ground = &world.ground;
    for round in 1..=rounds() {
        let good = format!("1.{round}.0");
        let seen = ground.under_load(&good, ground.release(&good)?).await?;
        seen.say("rolling over 3 machines, nginx and PM2 on each, behind HAProxy");
        seen.ended.as_ref().unwrap();
        seen.lost_nothing(2);
        seen.stands(&good, 3);
        assert_eq!(spread(&world), [1, 1, 1]);
        if !is_long() {
            // The way back is the same over the instances of one machine, and many commands shorter.
            break;
        }

        let bad = format!("2.{round}.0");
        let script = ground.release(&bad)?;
        private::crash_from_boot(&script, 2, &script.with_extension("boots"))?;
        let seen = ground.under_load(&bad, script).await?;
        seen.say("a release that crashes at boot on the second of 3 machines");
        seen.was_taken_back();
        assert!(seen.log.answered_by(&bad) > 0, "it never served");
        seen.lost_nothing(2);
        seen.stands(&good, 3);
        assert_eq!(spread(&world), [1, 1, 1]);
        let kept = seen.last.keys().filter(|pid| seen.before.contains_key(pid)).count();
        assert_eq!(kept, 1, "old processes that still serve");
    }
    for machine in &world.machines {
        println!("{} commands over SSH", machine.sshd.log()?.matches("Starting session").count());
    }
    Ok(())
}

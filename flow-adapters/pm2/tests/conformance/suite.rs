//! `Pm2Processes` keeps every promise of a `ProcessManager`, on sockets and on ports.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{NAME_MAX, Name};
use flow_pm2::{Pm2Config, Readiness, Restart};
use flow_proving::server::Pm2Version;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::process::{AfterKill, ProcessFixture, Program};
use rustix::process::Signal;

use super::app;
use super::world::{World, never_restarted, on_ports};

const _: () = assert!(NAME_MAX < 107, "a socket's path has room for a name");

struct Fixture(World);

/// The long tier has the older versions' turn: the short one has proved the newest.
async fn fresh(older: Pm2Version, change: fn(Pm2Config) -> Pm2Config) -> Fixture {
    let version = if flow_proving::is_long() { older } else { Pm2Version::Seven };
    let world = World::without_daemon(version, |config, _| change(config)).unwrap();
    world.pm2.revive().await.unwrap();
    Fixture(world)
}

/// As configured without a word: sockets, a probe, and PM2 starts again what ends.
async fn on_sockets() -> Fixture {
    fresh(Pm2Version::Five, |config| config).await
}

/// The other choices: ports, message and probe, and what ends stays dead.
async fn on_own_ports() -> Fixture {
    fresh(Pm2Version::Six, others).await
}

fn others(config: Pm2Config) -> Pm2Config {
    let mut config = never_restarted(on_ports(config));
    config.readiness = Readiness::Both;
    config
}

#[async_trait]
impl ProcessFixture for Fixture {
    fn processes(&self) -> Arc<dyn ProcessManager> {
        Arc::new(self.0.manager.clone())
    }

    fn next_controller(&self) -> Arc<dyn ProcessManager> {
        Arc::new(self.0.next_controller().unwrap())
    }

    fn spec(&self, service: &Name, instance: &InstanceId, program: Program) -> Option<LaunchSpec> {
        let role = match program {
            Program::Serves => "serves",
            Program::Sick => "sick",
            Program::Silent => "silent",
            Program::Stubborn => "stubborn",
            Program::EndsAtOnce | Program::Missing => "",
            _ => return None,
        };
        let mut spec = app::spec(&self.0, service.as_str(), instance.as_str(), role).unwrap();
        spec.service = service.clone();
        match program {
            Program::EndsAtOnce => spec.program = "/bin/false".into(),
            Program::Missing => spec.program = "/does/not/exist".into(),
            _ => {}
        }
        Some(spec)
    }

    async fn running(&self, service: &Name) -> Outside<Vec<InstanceId>> {
        let of_service = self.0.running().into_iter().filter(|(name, _, _)| name == service.as_str());
        Ok(of_service.map(|(_, id, _)| Name::new(id).unwrap()).collect())
    }

    async fn answers(&self, instance: &Instance) -> Outside<bool> {
        Ok(match instance.address.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).is_ok(),
            None => TcpStream::connect(&instance.address).is_ok(),
        })
    }

    async fn was_asked_to_end(&self, service: &Name, instance: &InstanceId) -> Outside<bool> {
        Ok(self.0.path(&format!("{service}-{instance}-asked")).exists())
    }

    async fn kill(&self, service: &Name, instance: &InstanceId) -> Outside<AfterKill> {
        let of_instance =
            |(name, id, _): &(String, String, _)| name == service.as_str() && id == instance.as_str();
        for (_, _, process) in self.0.running().into_iter().filter(of_instance) {
            process.signal(Signal::KILL);
            // Nothing outlives SIGKILL.
            while process.runs() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(match self.0.config.restart {
            Restart::Always => AfterKill::StartedAgain,
            Restart::Never => AfterKill::StaysDead,
        })
    }
}

mod sockets {
    use super::on_sockets;

    flow_testkit::process_conformance!(on_sockets);
}

mod ports {
    use super::on_own_ports;

    flow_testkit::process_conformance!(on_own_ports);
}

//! `LocalProcesses` keeps every promise of a `ProcessManager`, on ports and on sockets.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{Name, SystemClock};
use flow_local::process::{Addresses, LocalProcesses, ProcessesConfig};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::process::{AfterKill, ProcessFixture, Program};
use tempfile::TempDir;

use super::child::{polite_server, server, stubborn_server};
use super::world::{World, kill, sleeper, spec};
use crate::outside::{environment_of, processes_of, runs, until};

struct Fixture {
    world: World,
    /// Short enough for the path of a socket.
    sockets: Option<TempDir>,
}

impl Fixture {
    fn config(&self, config: ProcessesConfig) -> ProcessesConfig {
        match &self.sockets {
            Some(sockets) => config.addresses(Addresses::Sockets { directory: sockets.path().to_owned() }),
            None => config,
        }
    }

    /// The processes that run as instances of `service`, each with its id, by the marker in their environment.
    fn instances(&self, service: &Name) -> Vec<(u32, InstanceId)> {
        let of_service = format!("/instances/{service}/");
        let instance = |pid: u32| {
            let environment = environment_of(pid);
            let (_, file) = environment.get("FLOW_INSTANCE")?.rsplit_once(&of_service)?;
            Some((pid, Name::new(file.split_once(".json#")?.0).ok()?))
        };
        processes_of(&self.world.root()).into_iter().filter_map(instance).collect()
    }
}

async fn on_ports() -> Fixture {
    Fixture { world: World::new(), sockets: None }
}

async fn on_sockets() -> Fixture {
    let sockets = tempfile::tempdir().unwrap();
    let directory = sockets.path().to_owned();
    let world = World::with(|config| config.addresses(Addresses::Sockets { directory }));
    Fixture { world, sockets: Some(sockets) }
}

#[async_trait]
impl ProcessFixture for Fixture {
    fn processes(&self) -> Arc<dyn ProcessManager> {
        Arc::new(self.world.manager.clone())
    }

    fn next_controller(&self) -> Arc<dyn ProcessManager> {
        let config = self.config(ProcessesConfig::new(self.world.root()));
        Arc::new(LocalProcesses::open(config, Arc::new(SystemClock::new())).unwrap())
    }

    fn spec(&self, service: &Name, instance: &InstanceId, program: Program) -> Option<LaunchSpec> {
        let id = instance.as_str();
        let mut wanted = match program {
            Program::Serves => polite_server(id, &self.world.file(&format!("{service}-{id}-asked"))),
            Program::Sick => {
                let mut sick = server(id);
                sick.health.path = "/status/503".to_owned();
                sick
            }
            Program::Silent => sleeper(id),
            Program::EndsAtOnce => spec(id, "/bin/false", &["{address}"]),
            Program::Stubborn => stubborn_server(id),
            Program::Missing => spec(id, "/does/not/exist", &["{address}"]),
            _ => return None,
        };
        wanted.service = service.clone();
        wanted.env.insert("TOKEN".to_owned(), "a secret = value".to_owned());
        Some(wanted)
    }

    async fn running(&self, service: &Name) -> Outside<Vec<InstanceId>> {
        Ok(self.instances(service).into_iter().map(|(_, id)| id).collect())
    }

    async fn answers(&self, instance: &Instance) -> Outside<bool> {
        Ok(match instance.address.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).is_ok(),
            None => TcpStream::connect(&instance.address).is_ok(),
        })
    }

    async fn was_asked_to_end(&self, service: &Name, instance: &InstanceId) -> Outside<bool> {
        Ok(self.world.file(&format!("{service}-{instance}-asked")).exists())
    }

    async fn kill(&self, service: &Name, instance: &InstanceId) -> Outside<AfterKill> {
        for (pid, _) in self.instances(service).into_iter().filter(|(_, id)| id == instance) {
            kill(pid);
            until("it has ended", || !runs(pid)).await;
        }
        Ok(AfterKill::StaysDead)
    }
}

mod ports {
    use super::on_ports;

    flow_testkit::process_conformance!(on_ports);
}

mod sockets {
    use super::on_sockets;

    flow_testkit::process_conformance!(on_sockets);
}

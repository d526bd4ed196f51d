//! Processes of two machines: here two managers of this one, with and without edges before their instances.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{
    Health, HealthCheck, InFlight, Instance, InstanceId, LaunchSpec, ProcessManager, Router, Routing,
};
use flow_core::{Digest, ErrorKind, Name, Permit, StepError, SystemClock, name};
use flow_host::{Edge, HostProcesses, Machine};
use flow_local::process::{Addresses, LocalProcesses, ProcessesConfig};
use flow_proving::table::{self, Process};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::process::{AfterKill, ProcessFixture, Program};
use flow_testkit::permit;
use rustix::process::Signal;
use tempfile::TempDir;

/// Serves at the socket that is its last argument, as the first one says, and leaves a note when it is asked to end.
const SOURCE: &str = r"
const fs = require('fs');
const [role, note, address] = process.argv.slice(2);
process.on('SIGTERM', () => {
  if (role === 'stubborn') return;
  fs.writeFileSync(note, 'asked');
  process.exit(0);
});
const server = require('http').createServer((request, response) => {
  response.statusCode = role === 'sick' ? 503 : 200;
  response.end();
});
if (role === 'silent') setInterval(() => {}, 1000);
else server.listen(address.replace('unix:', ''));
";
const MACHINES: [&str; 2] = ["one", "two"];
const WEB: Name = name!("web");
/// How long one that never answers is waited for, and one that answers may take on a busy machine.
const READY: Duration = Duration::from_secs(4);

/// An edge that keeps where it leads, and refuses to lead where nobody listens.
#[derive(Default)]
struct OwnEdge {
    routing: Mutex<Routing>,
    is_lost: AtomicBool,
}

impl OwnEdge {
    fn target(&self) -> Option<String> {
        let routing = self.routing.lock().unwrap();
        routing.0.values().next().map(|route| route.addresses[0].clone())
    }
}

fn listens(address: &str) -> bool {
    address.strip_prefix("unix:").is_some_and(|path| UnixStream::connect(path).is_ok())
}

#[async_trait]
impl Router for OwnEdge {
    fn granularity(&self) -> u8 {
        100
    }
    async fn routing(&self, called: &Name) -> Result<Routing, StepError> {
        assert_eq!(called.as_str(), "edge");
        if self.is_lost.load(Ordering::SeqCst) {
            return Err(StepError::new(ErrorKind::Unavailable, "the edge is not reached"));
        }
        Ok(self.routing.lock().unwrap().clone())
    }
    async fn route(&self, _: &Permit, called: &Name, routing: &Routing) -> Result<(), StepError> {
        assert_eq!(called.as_str(), "edge");
        if let Some(deaf) = routing.0.values().flat_map(|route| &route.addresses).find(|to| !listens(to)) {
            return Err(StepError::new(ErrorKind::Conflict, "nobody listens").fact("address", deaf));
        }
        *self.routing.lock().unwrap() = routing.clone();
        Ok(())
    }
    async fn in_flight(&self, _: &Name) -> Result<InFlight, StepError> {
        Ok(InFlight::new())
    }
}

/// A manager that can be out of reach.
struct Reached {
    processes: LocalProcesses,
    is_lost: AtomicBool,
}

impl Reached {
    fn answer(&self) -> Result<&LocalProcesses, StepError> {
        let lost = || StepError::new(ErrorKind::Unavailable, "the machine is not reached");
        if self.is_lost.load(Ordering::SeqCst) { Err(lost()) } else { Ok(&self.processes) }
    }
}

#[async_trait]
impl ProcessManager for Reached {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        self.answer()?.launch(permit, spec).await
    }
    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        self.answer()?.instances(service).await
    }
    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        self.answer()?.launched(service, instance).await
    }
    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        self.answer()?.health(service, instance).await
    }
    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError> {
        self.answer()?.stop(permit, service, instance, grace).await
    }
}

struct Fixture {
    directory: TempDir,
    /// By the address at which traffic comes in.
    edges: BTreeMap<String, (Name, &'static str, Arc<OwnEdge>)>,
    machines: Vec<Arc<Reached>>,
    processes: HostProcesses,
}

impl Fixture {
    fn new(edges: &[(Name, usize)]) -> Self {
        let directory = tempfile::Builder::new().prefix("flow-").tempdir().unwrap();
        std::fs::write(directory.path().join("app.js"), SOURCE).unwrap();
        let mut found = BTreeMap::new();
        for (number, machine) in MACHINES.into_iter().enumerate() {
            for (service, count) in edges {
                for _ in 0..*count {
                    let address = format!("10.0.0.{}:{}", number + 1, 8000 + found.len());
                    found.insert(address, (service.clone(), machine, Arc::default()));
                }
            }
        }
        let open = |machine| {
            let sockets = Addresses::Sockets { directory: directory.path().join(machine).join("run") };
            let config = ProcessesConfig::new(directory.path().join(machine)).addresses(sockets);
            let processes = LocalProcesses::open(config, Arc::new(SystemClock::new())).unwrap();
            Arc::new(Reached { processes, is_lost: AtomicBool::new(false) })
        };
        let machines: Vec<_> = MACHINES.into_iter().map(open).collect();
        let processes = over(&machines, &found);
        Self { directory, edges: found, machines, processes }
    }

    fn root(&self, machine: &str) -> PathBuf {
        self.directory.path().join(machine)
    }

    /// The instances that run on a machine, by the marker in their environment.
    fn on(&self, machine: &str) -> Vec<(String, Process)> {
        let instance = |process: Process| {
            let environment = process.environment();
            let marker = environment.iter().find_map(|entry| entry.strip_prefix("FLOW_INSTANCE="))?;
            let (_, file) = marker.split_once("/instances/")?;
            Some((file.split_once(".json#")?.0.to_owned(), process))
        };
        table::environment_names(&self.root(machine)).into_iter().filter_map(instance).collect()
    }

    fn names_on(&self, machine: &str) -> Vec<String> {
        let mut names: Vec<String> = self.on(machine).into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn serving(&self, service: &str, instance: &str) -> LaunchSpec {
        let (service, instance) = (Name::new(service).unwrap(), Name::new(instance).unwrap());
        self.spec(&service, &instance, Program::Serves).unwrap()
    }

    async fn launch(&self, instance: &str) -> Result<Instance, StepError> {
        self.processes.launch(&permit(), &self.serving("web", instance)).await
    }

    async fn stop(&self, instance: &str) -> Result<(), StepError> {
        let grace = Duration::from_secs(10);
        self.processes.stop(&permit(), &WEB, &Name::new(instance).unwrap(), grace).await
    }
}

fn edge_of(service: &Name, router: Arc<OwnEdge>, address: &str) -> Edge {
    Edge { service: service.clone(), router, called: name!("edge"), address: address.to_owned() }
}

fn over(
    machines: &[Arc<Reached>],
    edges: &BTreeMap<String, (Name, &'static str, Arc<OwnEdge>)>,
) -> HostProcesses {
    let machine = |(name, processes): (&str, &Arc<Reached>)| {
        let own = edges.iter().filter(|(_, (_, machine, _))| *machine == name);
        let machine = Machine::new(Name::new(name).unwrap(), processes.clone());
        own.fold(machine, |machine, (address, (service, _, edge))| {
            machine.edge(edge_of(service, edge.clone(), address))
        })
    };
    let machines = MACHINES.into_iter().zip(machines).map(machine);
    HostProcesses::new(machines, Arc::new(SystemClock::new())).unwrap().ready_within(READY)
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for (_, process) in MACHINES.into_iter().flat_map(|machine| self.on(machine)) {
            process.signal(Signal::KILL);
        }
    }
}

async fn plain() -> Fixture {
    Fixture::new(&[])
}

/// `api` has no edges: only its instances are reached directly.
async fn behind_edges() -> Fixture {
    Fixture::new(&[(WEB, 2)])
}

#[async_trait]
impl ProcessFixture for Fixture {
    fn processes(&self) -> Arc<dyn ProcessManager> {
        Arc::new(self.processes.clone())
    }

    fn next_controller(&self) -> Arc<dyn ProcessManager> {
        Arc::new(over(&self.machines, &self.edges))
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
        let path = std::env::var_os("PATH").unwrap();
        let node = std::env::split_paths(&path).map(|folder| folder.join("node")).find(|node| node.exists());
        let program = match program {
            Program::EndsAtOnce => "/bin/false".into(),
            Program::Missing => "/does/not/exist".into(),
            _ => node.unwrap(),
        };
        let own = |file: &str| self.directory.path().join(file).display().to_string();
        Some(LaunchSpec {
            service: service.clone(),
            instance: instance.clone(),
            version: name!("1.0.0"),
            digest: Digest::of(b"1.0.0"),
            program,
            args: vec![
                own("app.js"),
                role.to_owned(),
                own(&format!("{service}-{instance}-asked")),
                "{address}".to_owned(),
            ],
            env: [("TOKEN".to_owned(), "a secret = value".to_owned())].into(),
            directory: self.directory.path().to_owned(),
            health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(5) },
        })
    }

    async fn running(&self, service: &Name) -> Outside<Vec<InstanceId>> {
        let names = MACHINES.into_iter().flat_map(|machine| self.names_on(machine));
        let of_service =
            names.filter_map(|name| name.strip_prefix(&format!("{service}/")).map(str::to_owned));
        Ok(of_service.map(|id| Name::new(id).unwrap()).collect())
    }

    async fn answers(&self, instance: &Instance) -> Outside<bool> {
        Ok(match self.edges.get(&instance.address) {
            Some((_, _, edge)) => edge.target().is_some_and(|target| listens(&target)),
            None => listens(&instance.address),
        })
    }

    async fn was_asked_to_end(&self, service: &Name, instance: &InstanceId) -> Outside<bool> {
        Ok(self.directory.path().join(format!("{service}-{instance}-asked")).exists())
    }

    async fn kill(&self, service: &Name, instance: &InstanceId) -> Outside<AfterKill> {
        let own = format!("{service}/{instance}");
        let all = MACHINES.into_iter().flat_map(|machine| self.on(machine));
        for (_, process) in all.filter(|(name, _)| *name == own) {
            process.signal(Signal::KILL);
            while process.runs() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(AfterKill::StaysDead)
    }
}

mod reached_directly {
    use super::plain;

    flow_testkit::process_conformance!(plain);
}

mod reached_through_edges {
    use super::behind_edges;

    flow_testkit::process_conformance!(behind_edges);
}

#[tokio::test]
async fn a_launch_goes_to_the_machine_with_the_fewest_and_first_to_the_first() {
    let fixture = plain().await;
    for instance in ["a", "b", "c"] {
        fixture.launch(instance).await.unwrap();
    }
    assert_eq!(fixture.names_on("one"), ["web/a", "web/c"]);
    assert_eq!(fixture.names_on("two"), ["web/b"]);
    fixture.stop("a").await.unwrap();
    fixture.stop("c").await.unwrap();
    // Another service's instances do not count.
    fixture.processes.launch(&permit(), &fixture.serving("api", "x")).await.unwrap();
    fixture.launch("d").await.unwrap();
    assert_eq!(fixture.names_on("one"), ["api/x", "web/d"]);
    // What runs already is not launched on the machine with fewer.
    fixture.stop("d").await.unwrap();
    fixture.launch("b").await.unwrap();
    assert_eq!(
        (fixture.names_on("one"), fixture.names_on("two")),
        (vec!["api/x".into()], vec!["web/b".into()])
    );
}

#[tokio::test]
async fn an_instance_that_is_brought_back_beside_the_version_that_replaced_it_goes_where_that_version_is() {
    let fixture = plain().await;
    fixture.launch("a").await.unwrap();
    let new = LaunchSpec { version: name!("2.0.0"), ..fixture.serving("web", "x") };
    fixture.processes.launch(&permit(), &new).await.unwrap();
    // Both machines have as many.
    fixture.launch("b").await.unwrap();
    assert_eq!(
        (fixture.names_on("one"), fixture.names_on("two")),
        (vec!["web/a".into()], vec!["web/b".into(), "web/x".into()])
    );
}

#[tokio::test]
async fn an_instance_that_another_controller_moved_is_found_where_it_is_now() {
    let fixture = plain().await;
    fixture.launch("a").await.unwrap();
    assert_eq!(fixture.processes.instances(&WEB).await.unwrap().len(), 1);
    let (other, grace) = (fixture.next_controller(), Duration::from_secs(10));
    other.stop(&permit(), &WEB, &name!("a"), grace).await.unwrap();
    for instance in ["b", "a"] {
        other.launch(&permit(), &fixture.serving("web", instance)).await.unwrap();
    }
    assert_eq!(fixture.names_on("two"), ["web/a"]);
    assert_ne!(fixture.processes.health(&WEB, &name!("a")).await.unwrap(), Health::Gone);
    fixture.processes.launched(&WEB, &name!("a")).await.unwrap();
}

#[tokio::test]
async fn an_edge_leads_to_an_instance_from_when_it_is_healthy_until_it_is_stopped() {
    let fixture = behind_edges().await;
    let launched = fixture.launch("a").await.unwrap();
    let (_, machine, edge) = &fixture.edges[&launched.address];
    assert_eq!(*machine, "one");
    assert_eq!(edge.target(), Some(format!("unix:{}", fixture.root("one").join("run/web/a.sock").display())));
    assert!(fixture.processes.health(&WEB, &name!("a")).await.unwrap().is_healthy());
    fixture.stop("a").await.unwrap();
    assert_eq!(edge.target(), None);
    // The next one finds the edge free.
    assert_eq!(fixture.launch("b").await.unwrap().address, launched.address);
}

#[tokio::test]
async fn an_instance_that_no_edge_leads_to_is_not_healthy_and_is_let_in_when_it_is_launched_again() {
    let fixture = behind_edges().await;
    let launched = fixture.launch("a").await.unwrap();
    let (_, _, edge) = &fixture.edges[&launched.address];
    edge.routing.lock().unwrap().0.clear();
    let health = fixture.processes.health(&WEB, &name!("a")).await.unwrap();
    assert!(matches!(health, Health::Unhealthy { .. }), "{health:?}");
    assert_ne!(fixture.processes.instances(&WEB).await.unwrap()[0].address, launched.address);
    assert_eq!(fixture.launch("a").await.unwrap(), launched);
    assert!(fixture.processes.health(&WEB, &name!("a")).await.unwrap().is_healthy());
}

#[tokio::test]
async fn without_a_free_edge_nothing_is_launched() {
    let fixture = behind_edges().await;
    for instance in ["a", "b", "c", "d"] {
        fixture.launch(instance).await.unwrap();
    }
    let full = fixture.launch("e").await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Conflict, "{full}");
    assert_eq!(fixture.running(&WEB).await.unwrap().len(), 4);
    assert!(fixture.edges.values().all(|(_, _, edge)| edge.target().is_some()));
    // A killed one leaves its edge to the next.
    fixture.kill(&WEB, &name!("b")).await.unwrap();
    fixture.launch("e").await.unwrap();
    assert_eq!(fixture.names_on("two"), ["web/d", "web/e"]);
}

#[tokio::test]
async fn a_machine_that_is_not_reached_is_an_error_wherever_it_may_have_the_answer_and_changes_nothing() {
    for of_edge in [false, true] {
        let fixture = behind_edges().await;
        fixture.launch("a").await.unwrap();
        let edges = || fixture.edges.values().filter(|(_, machine, _)| *machine == "two");
        if of_edge {
            edges().for_each(|(_, _, edge)| edge.is_lost.store(true, Ordering::SeqCst));
        } else {
            fixture.machines[1].is_lost.store(true, Ordering::SeqCst);
        }
        let (processes, z) = (&fixture.processes, name!("z"));
        let errors = [
            processes.instances(&WEB).await.unwrap_err(),
            processes.health(&WEB, &z).await.unwrap_err(),
            processes.launched(&WEB, &z).await.unwrap_err(),
            fixture.launch("b").await.unwrap_err(),
            fixture.stop("a").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("machine: `two`"), "{error}");
        }
        assert_eq!((fixture.names_on("one"), fixture.names_on("two")), (vec!["web/a".into()], vec![]));
    }
}

#[tokio::test]
async fn an_instance_that_runs_on_two_machines_is_a_conflict_and_is_stopped_on_both() {
    let fixture = plain().await;
    for machine in &fixture.machines {
        machine.launch(&permit(), &fixture.serving("web", "a")).await.unwrap();
    }
    let conflict = fixture.processes.instances(&WEB).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict, "{conflict}");
    fixture.stop("a").await.unwrap();
    assert_eq!(fixture.running(&WEB).await.unwrap(), Vec::<Name>::new());
}

#[test]
fn everything_that_is_wrong_with_machines_is_said_at_once() {
    let machine = |name: &str| {
        let clock = Arc::new(SystemClock::new());
        let root = std::env::temp_dir().join("flow-host-nothing");
        let processes = LocalProcesses::open(ProcessesConfig::new(root), clock).unwrap();
        Machine::new(Name::new(name).unwrap(), Arc::new(processes))
    };
    let edge = |address| edge_of(&WEB, Arc::default(), address);
    let machines = [
        machine("one").edge(edge("10.0.0.1:80")).edge(edge("nowhere")),
        machine("one").edge(edge("10.0.0.1:80")),
    ];
    let clock = Arc::new(SystemClock::new());
    let problems = HostProcesses::new(machines, clock.clone()).unwrap_err().to_string();
    for part in ["`machines.one`: stands twice", "`10.0.0.1:80` stands twice", "must be `host:port`"] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
    assert!(HostProcesses::new([], clock).is_err());
}

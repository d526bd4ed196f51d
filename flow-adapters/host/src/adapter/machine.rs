use std::fmt;
use std::sync::Arc;

use flow_core::port::{Instance, ProcessManager, Route, Router, Routing};
use flow_core::{ErrorKind, Name, Permit, Problems, StepError};
use futures::future::try_join_all;

/// A machine that runs instances: what starts them there, and where they are reached from outside.
#[derive(Clone)]
pub struct Machine {
    pub(super) name: Name,
    pub(super) processes: Arc<dyn ProcessManager>,
    edges: Vec<Edge>,
}

/// A router on the machine itself that leads one address to one instance.
#[derive(Clone)]
pub struct Edge {
    /// The service whose instances it leads to.
    pub service: Name,
    /// The router.
    pub router: Arc<dyn Router>,
    /// What the router calls it: two edges of one service in one nginx are two upstreams with two names.
    pub called: Name,
    /// Where its traffic comes in, as the router before all machines knows it: `host:port` or `unix:PATH`.
    pub address: String,
}

/// An instance of a machine, and whether traffic can reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The instance, at the address that is seen from outside.
    pub(super) instance: Instance,
    /// Where it listens on its machine.
    own: String,
    /// Whether it is waiting for an edge to lead to it.
    pub(super) waits: bool,
}

impl Machine {
    /// A machine whose instances are reached at their own addresses, as `processes` gives them.
    #[must_use]
    pub fn new(name: Name, processes: Arc<dyn ProcessManager>) -> Self {
        Self { name, processes, edges: Vec::new() }
    }

    /// Adds an edge. A service with edges has at most as many instances on the machine: one edge more than it usually has instances is
    /// what the way back from a bad release takes, which starts an old one while the new one still serves.
    #[must_use]
    pub fn edge(mut self, edge: Edge) -> Self {
        self.edges.push(edge);
        self
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        for edge in &self.edges {
            let is_address = match edge.address.strip_prefix("unix:") {
                Some(path) => path.starts_with('/'),
                None => edge.address.rsplit_once(':').is_some_and(|(host, port)| {
                    !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
                }),
            };
            let field = format!("machines.{}.edge", self.name);
            problems.check(is_address, &field, "must be `host:port` or `unix:PATH`");
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.edges.iter().map(|edge| edge.address.as_str())
    }

    fn edges_of<'a>(&'a self, service: &Name) -> impl Iterator<Item = &'a Edge> {
        self.edges.iter().filter(move |edge| edge.service == *service)
    }

    pub(super) fn has_edges(&self, service: &Name) -> bool {
        self.edges_of(service).next().is_some()
    }

    /// Whether one more instance of `service` would be reached beside those that run.
    pub(super) fn has_room(&self, service: &Name, running: usize) -> bool {
        !self.has_edges(service) || running < self.edges_of(service).count()
    }

    /// The instances of `service` that run on the machine.
    pub(super) async fn look(&self, service: &Name) -> Result<Vec<Found>, StepError> {
        let instances = self.processes.instances(service).await.map_err(|error| self.at(error))?;
        let edges = self.targets(service).await?;
        let found = instances.into_iter().map(|mut instance| {
            let edge = edges.iter().find(|(_, targets)| targets.contains(&instance.address));
            let address = edge.map_or(&instance.address, |(edge, _)| &edge.address).clone();
            let own = std::mem::replace(&mut instance.address, address);
            Found { instance, own, waits: edge.is_none() && !edges.is_empty() }
        });
        Ok(found.collect())
    }

    /// Leads a free edge to an instance that is proved healthy, if the machine has edges, and says where it is reached.
    pub(super) async fn let_in(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &Instance,
    ) -> Result<String, StepError> {
        let running = self.processes.instances(service).await.map_err(|error| self.at(error))?;
        let edges = self.targets(service).await?;
        let serves = |target: &String| running.iter().any(|other| other.address == *target);
        let own = edges.iter().find(|(_, targets)| targets.contains(&instance.address));
        let free = || edges.iter().find(|(_, targets)| !targets.iter().any(serves));
        let Some((edge, _)) = own.or_else(free) else {
            let error = StepError::new(ErrorKind::Conflict, "every edge leads to another instance");
            return Err(self.at(error));
        };
        let route = Route { weight: 100, addresses: vec![instance.address.clone()] };
        let routing = Routing([(instance.version.clone(), route)].into());
        edge.router.route(permit, &edge.called, &routing).await.map_err(|error| self.at(error))?;
        Ok(edge.address.clone())
    }

    /// Takes an instance away from its edge, so that the edge leads nowhere.
    pub(super) async fn let_out(
        &self,
        permit: &Permit,
        service: &Name,
        found: &Found,
    ) -> Result<(), StepError> {
        for (edge, targets) in self.targets(service).await? {
            if targets.contains(&found.own) {
                let taken = edge.router.route(permit, &edge.called, &Routing::default()).await;
                taken.map_err(|error| self.at(error))?;
            }
        }
        Ok(())
    }

    /// The edges of `service`, each with where it leads.
    async fn targets(&self, service: &Name) -> Result<Vec<(&Edge, Vec<String>)>, StepError> {
        let asked = self.edges_of(service).map(|edge| async move {
            let routing = edge.router.routing(&edge.called).await.map_err(|error| self.at(error))?;
            Ok((edge, routing.0.into_values().flat_map(|route| route.addresses).collect()))
        });
        try_join_all(asked).await
    }

    /// The error of this machine.
    pub(super) fn at(&self, error: StepError) -> StepError {
        error.fact("machine", &self.name)
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("name", &self.name)
            .field("edges", &self.edges)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, called, address, .. } = self;
        f.debug_struct("Edge")
            .field("service", service)
            .field("called", called)
            .field("address", address)
            .finish_non_exhaustive()
    }
}

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{InFlight, Metrics, Router, Routing, Sample};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError, SystemClock};

use super::config::RouterConfig;
use super::launch::Launch;
use super::link::Link;
use super::process::ProxyProcess;
use super::protocol::{Answer, Request, Response};
use super::state::StateDir;

/// Steers the proxy of one state directory: starts it, routes through it, reads its counters, stops it.
///
/// The proxy outlives its controller: a later router on the same directory finds it running. Routing, counting and
/// sampling never start one; without one they are [`Unavailable`](ErrorKind::Unavailable).
///
/// Latencies are taken from a request's arrival to the head of its response. A request whose user gave up before
/// that counts as a failure, and so does one whose response broke off.
#[derive(Debug)]
pub struct LocalRouter {
    config: RouterConfig,
    state: StateDir,
    link: Link,
    clock: Arc<dyn Clock>,
}

impl LocalRouter {
    /// A router on the machine's clock. Nothing is started.
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn new(config: RouterConfig) -> Result<Self, Problems> {
        Self::with_clock(config, Arc::new(SystemClock::new()))
    }

    /// A router that waits by `clock`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(config: RouterConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.validate()?;
        let state = StateDir::new(&config.proxy.state_dir);
        let link = Link::new(state.clone(), Arc::clone(&clock));
        Ok(Self { config, state, link, clock })
    }

    /// Makes sure that the proxy runs: finds it, else starts it and waits until it serves what it served last.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for an occupied address, a state that is not understood or a proxy that serves
    /// something else, [`NotFound`](ErrorKind::NotFound) without the program, [`Denied`](ErrorKind::Denied) for a
    /// directory that cannot be written, [`Unavailable`](ErrorKind::Unavailable) where it does not answer in time; in
    /// each of these no process is left behind.
    pub async fn start(&self, permit: &Permit) -> Result<ProxyProcess, StepError> {
        self.launch(permit).start().await
    }

    /// Asks the proxy to accept nothing more, to finish the requests under way and to end; returns when its process is
    /// gone. The routing stays in its directory. One that does not run is done.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) where the process still stands after the drain timeout.
    pub async fn stop(&self, permit: &Permit) -> Result<(), StepError> {
        self.launch(permit).stop().await
    }

    /// The process that answers now.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) where none does.
    pub async fn process(&self) -> Result<ProxyProcess, StepError> {
        match self.link.ask(&Request::Ping {}).await?.answer {
            Answer::Running { process, .. } => Ok(process),
            other => Err(unexpected(&other)),
        }
    }

    fn launch<'a>(&'a self, permit: &'a Permit) -> Launch<'a> {
        Launch {
            config: &self.config,
            state: &self.state,
            link: &self.link,
            clock: &self.clock,
            cancel: permit.cancel(),
        }
    }

    fn check_service(&self, service: &Name) -> Result<(), StepError> {
        let own = &self.config.proxy.service;
        if service == own {
            return Ok(());
        }
        let error = StepError::new(ErrorKind::NotFound, "this router serves another service");
        Err(error.fact("service", service).fact("served", own))
    }

    async fn observe(&self) -> Result<(u64, Routing), StepError> {
        match self.link.ask(&Request::Routing {}).await? {
            Response { generation, answer: Answer::Routing(routing) } => Ok((generation, routing)),
            Response { answer, .. } => Err(unexpected(&answer)),
        }
    }
}

#[async_trait]
impl Router for LocalRouter {
    fn granularity(&self) -> u8 {
        1
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        self.check_service(service)?;
        self.observe().await.map(|(_, routing)| routing)
    }

    async fn route(&self, _permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        self.check_service(service)?;
        let request = Request::Route { service: service.clone(), routing: routing.clone() };
        let commanded = match self.link.ask(&request).await? {
            Response { generation, answer: Answer::Routed } => generation,
            Response { answer, .. } => return Err(unexpected(&answer).after_effect()),
        };
        let (generation, observed) = self.observe().await.map_err(StepError::after_effect)?;
        if observed == *routing {
            return Ok(());
        }
        let error = StepError::in_doubt("the routing was changed by somebody else meanwhile");
        Err(error.fact("generation", generation).fact("commanded", commanded))
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        self.check_service(service)?;
        match self.link.ask(&Request::InFlight {}).await?.answer {
            Answer::InFlight(counted) => Ok(counted),
            other => Err(unexpected(&other)),
        }
    }
}

#[async_trait]
impl Metrics for LocalRouter {
    async fn sample(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError> {
        self.check_service(service)?;
        match self.link.ask(&Request::Sample { version: version.clone() }).await?.answer {
            Answer::Sample(sample) => Ok(sample),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> StepError {
    StepError::new(ErrorKind::Unavailable, "the proxy answers something else than was asked")
        .fact("answer", format!("{answer:?}").chars().take(100).collect::<String>())
}

//! The fake fleet as a router, and routers that break one promise each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{HealthCheck, InFlight, LaunchSpec, ProcessManager, Route, Router, Routing};
use flow_core::{Digest, ErrorKind, Name, Permit, StepError, name};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::router::{Answer, Held, RouterFixture};
use flow_testkit::fake::{Answered, FakeFleet, UnderWay};
use flow_testkit::permit;

const WEB: Name = name!("web");

/// What a router does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    InventsARouting,
    ForgetsAddresses,
    ReturnsBeforeItIsInForce,
    SendsAllToTheLargest,
    UsesTheFirstAddress,
    TriesAnotherVersion,
    KeepsTheLastRouting,
    OneTableForAll,
    KnowsOnlyItsOwn,
    LookingTakesItOut,
    CutsOffAtASwitch,
    CountsOnlyWhatIsRouted,
    CutsOffWhenTheSameComesAgain,
    OnlyTheFirstProblem,
    CallsARefusedRoutingDone,
}

#[derive(Clone)]
struct Steering {
    fleet: FakeFleet,
    how: Break,
    commanded: Arc<Mutex<Option<Routing>>>,
    /// How often everything under way was cut off.
    cuts: Arc<AtomicU64>,
}

struct Fixture(Steering);

async fn with_granularity(percent: u8, how: Break) -> Fixture {
    let fleet = FakeFleet::new().with_granularity(percent);
    Fixture(Steering { fleet, how, commanded: Arc::default(), cuts: Arc::default() })
}

async fn with(how: Break) -> Fixture {
    with_granularity(1, how).await
}

fn answer(answered: Answered) -> Answer {
    Answer { version: answered.version, address: answered.address }
}

struct Request {
    under_way: UnderWay,
    cuts: Arc<AtomicU64>,
    begun_after: u64,
}

#[async_trait]
impl Held for Request {
    async fn finish(self: Box<Self>) -> Outside<Option<Answer>> {
        let cut = self.cuts.load(Ordering::SeqCst) != self.begun_after;
        Ok(self.under_way.finish().filter(|_| !cut).map(answer))
    }
}

#[async_trait]
impl RouterFixture for Fixture {
    fn router(&self) -> Arc<dyn Router> {
        Arc::new(self.0.clone())
    }

    fn next_controller(&self) -> Arc<dyn Router> {
        let own = self.0.how == Break::KnowsOnlyItsOwn;
        if own { Arc::new(FakeFleet::new()) } else { self.router() }
    }

    fn service(&self) -> Name {
        WEB
    }

    fn other_service(&self) -> Option<Name> {
        Some(name!("api"))
    }

    async fn backend(&self, service: &Name, version: &Name) -> Outside<String> {
        let number = self.0.fleet.running(service).len();
        let spec = LaunchSpec {
            service: service.clone(),
            instance: Name::new(format!("{service}-{number}"))?,
            version: version.clone(),
            digest: Digest::of(b"one"),
            program: "/bin/web".into(),
            args: Vec::new(),
            env: Default::default(),
            directory: "/".into(),
            health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(1) },
        };
        let instance = self.0.fleet.launch(&permit(), &spec).await?;
        self.0.fleet.health(service, &spec.instance).await?;
        Ok(instance.address)
    }

    async fn kill(&self, address: &str) -> Outside<()> {
        let web = self.0.fleet.instances_of("web");
        for instance in ["1.0.0", "1.1.0"].iter().flat_map(|version| web.running(version)) {
            if instance.address == address {
                web.kill(instance.id.as_str());
            }
        }
        Ok(())
    }

    async fn request(&self, service: &Name) -> Outside<Option<Answer>> {
        let tries = if self.0.how == Break::TriesAnotherVersion { 10 } else { 1 };
        let answered = (0..tries).find_map(|_| self.0.fleet.router_of(service.as_str()).request());
        Ok(answered.map(answer))
    }

    async fn begin(&self, service: &Name) -> Outside<Box<dyn Held>> {
        let under_way = self.0.fleet.router_of(service.as_str()).begin().ok_or("nobody took the request")?;
        let cuts = Arc::clone(&self.0.cuts);
        let begun_after = cuts.load(Ordering::SeqCst);
        Ok(Box::new(Request { under_way, cuts, begun_after }))
    }
}

impl Steering {
    /// What is put in force in place of what was commanded.
    fn bent(&self, routing: &Routing) -> Routing {
        let mut bent = routing.clone();
        match self.how {
            Break::SendsAllToTheLargest => {
                let largest = bent.0.values().map(|route| route.weight).max().unwrap_or(0);
                bent.0.retain(|_, route| route.weight == largest);
                bent.0.values_mut().for_each(|route| route.weight = 100);
            }
            Break::UsesTheFirstAddress => bent.0.values_mut().for_each(|route| route.addresses.truncate(1)),
            _ => {}
        }
        bent
    }
}

#[async_trait]
impl Router for Steering {
    fn granularity(&self) -> u8 {
        self.fleet.granularity()
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        let mut routing = self.fleet.routing(service).await?;
        match self.how {
            Break::InventsARouting if routing.0.is_empty() => {
                let route = Route { weight: 100, addresses: vec!["127.0.0.1:80".to_owned()] };
                routing.0.insert(name!("1.0.0"), route);
            }
            Break::ForgetsAddresses => routing.0.values_mut().for_each(|route| route.addresses.truncate(1)),
            Break::ReturnsBeforeItIsInForce
            | Break::SendsAllToTheLargest
            | Break::UsesTheFirstAddress
            | Break::KeepsTheLastRouting => {
                routing = self.commanded.lock().unwrap().clone().unwrap_or(routing);
            }
            _ => {}
        }
        Ok(routing)
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let before = self.fleet.routing(service).await?;
        let commanded = self.commanded.lock().unwrap().replace(routing.clone());
        match self.how {
            Break::ReturnsBeforeItIsInForce => {
                // What was commanded last time comes into force now.
                return match commanded {
                    Some(last) => self.fleet.route(permit, service, &last).await,
                    None => Ok(()),
                };
            }
            Break::KeepsTheLastRouting if routing.0.is_empty() => return Ok(()),
            Break::OneTableForAll if *service != WEB => {
                self.fleet.route(permit, &WEB, &Routing::default()).await?;
            }
            _ => {}
        }
        let ended = self.fleet.route(permit, service, &self.bent(routing)).await;
        let same = before == *routing;
        if (self.how == Break::CutsOffAtASwitch && !same)
            || (self.how == Break::CutsOffWhenTheSameComesAgain && same)
        {
            self.cuts.fetch_add(1, Ordering::SeqCst);
        }
        match ended {
            Err(error) if error.kind() == ErrorKind::Invalid => match self.how {
                Break::CallsARefusedRoutingDone => Ok(()),
                Break::OnlyTheFirstProblem => {
                    Err(StepError::new(ErrorKind::Invalid, "`routing`: the weights sum to 200"))
                }
                _ => Err(error),
            },
            ended => ended,
        }
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        let mut counted = self.fleet.in_flight(service).await?;
        if self.how == Break::CountsOnlyWhatIsRouted {
            let routing = self.fleet.routing(service).await?;
            counted.retain(|address, _| routing.0.values().any(|route| route.addresses.contains(address)));
        }
        if self.how == Break::LookingTakesItOut {
            self.fleet.route(&permit(), service, &Routing::default()).await?;
        }
        Ok(counted)
    }
}

mod fake {
    use super::{Break, with};

    flow_testkit::router_conformance!(|| with(Break::Nothing));
}

mod fake_that_can_only_switch {
    use super::{Break, with_granularity};

    flow_testkit::router_conformance!(|| with_granularity(100, Break::Nothing));
}

mod broken {
    use super::{Break, with, with_granularity};

    flow_testkit::broken_implementations! { router_conformance, router:
        traffic::nothing_is_routed_at_first => || with(Break::InventsARouting),
        traffic::a_routing_reads_back_as_it_was_put => || with(Break::ForgetsAddresses),
        traffic::the_first_request_after_a_switch_goes_to_the_new_version => || with(Break::ReturnsBeforeItIsInForce),
        traffic::traffic_is_divided_as_the_weights_say => || with(Break::SendsAllToTheLargest),
        traffic::the_addresses_of_a_version_share_its_traffic => || with(Break::UsesTheFirstAddress),
        traffic::a_version_that_is_down_is_not_hidden_behind_another => || with(Break::TriesAnotherVersion),
        traffic::an_empty_routing_takes_the_service_out => || with(Break::KeepsTheLastRouting),
        traffic::services_do_not_disturb_each_other => || with(Break::OneTableForAll),
        traffic::the_next_controller_sees_the_routing_in_force => || with(Break::KnowsOnlyItsOwn),
        traffic::looking_at_the_traffic_changes_nothing => || with(Break::LookingTakesItOut),
        flight::a_request_under_way_finishes_where_it_began => || with(Break::CutsOffAtASwitch),
        flight::a_request_is_counted_where_it_is_under_way_until_it_ends => || with(Break::CountsOnlyWhatIsRouted),
        flight::the_same_routing_again_cuts_nothing_off => || with(Break::CutsOffWhenTheSameComesAgain),
        refusal::a_bad_routing_is_refused_with_all_its_problems => || with(Break::OnlyTheFirstProblem),
        refusal::every_address_that_is_none_is_refused => || with(Break::CallsARefusedRoutingDone),
        refusal::an_address_that_stands_twice_is_refused => || with(Break::CallsARefusedRoutingDone),
        refusal::weights_finer_than_the_granularity_are_refused =>
            || with_granularity(10, Break::CallsARefusedRoutingDone),
    }
}

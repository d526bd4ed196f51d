//! What every [`Router`] promises, as checks.
//!
//! [`router_conformance!`](crate::router_conformance) makes a test of each. They judge by who answers real requests.

pub mod flight;
pub mod refusal;
pub mod traffic;

use crate::conformance::Outside;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Route, Router, Routing};
use flow_core::{Name, Permit, name};

use crate::permit_under;

const OLD: Name = name!("1.0.0");
const NEW: Name = name!("1.1.0");

/// Makes one `#[tokio::test]` for every promise of [`Router`].
///
/// It takes an async function without arguments that gives a fresh [`RouterFixture`]: nothing is routed. What the fixture
/// holds lives as long as the test, so its `Drop` is the place to end what is left.
///
/// ```
/// use std::sync::Arc;
///
/// use flow_core::port::{HealthCheck, LaunchSpec, ProcessManager, Router};
/// use flow_core::{Digest, Name, name};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::router::{Answer, Held, RouterFixture};
/// use flow_testkit::fake::{FakeFleet, UnderWay};
///
/// struct Fixture(FakeFleet);
///
/// async fn fresh() -> Fixture {
///     Fixture(FakeFleet::new())
/// }
///
/// struct Request(UnderWay);
///
/// #[async_trait::async_trait]
/// impl Held for Request {
///     async fn finish(self: Box<Self>) -> Outside<Option<Answer>> {
///         let answered = self.0.finish();
///         Ok(answered.map(|answered| Answer { version: answered.version, address: answered.address }))
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl RouterFixture for Fixture {
///     fn router(&self) -> Arc<dyn Router> {
///         Arc::new(self.0.clone())
///     }
///
///     fn next_controller(&self) -> Arc<dyn Router> {
///         Arc::new(self.0.clone())
///     }
///
///     fn service(&self) -> Name {
///         name!("web")
///     }
///
///     fn other_service(&self) -> Option<Name> {
///         Some(name!("api"))
///     }
///
///     async fn backend(&self, service: &Name, version: &Name) -> Outside<String> {
///         let number = self.0.running(service).len();
///         let spec = LaunchSpec {
///             service: service.clone(),
///             instance: Name::new(format!("{service}-{number}"))?,
///             version: version.clone(),
///             digest: Digest::of(b"one"),
///             program: "/bin/web".into(),
///             args: Vec::new(),
///             env: Default::default(),
///             directory: "/".into(),
///             health: HealthCheck { path: "/".to_owned(), timeout: std::time::Duration::from_secs(1) },
///         };
///         let instance = self.0.launch(&flow_testkit::permit(), &spec).await?;
///         self.0.health(service, &spec.instance).await?;
///         Ok(instance.address)
///     }
///
///     async fn kill(&self, address: &str) -> Outside<()> {
///         for instance in self.0.instances_of("web").running("1.1.0") {
///             if instance.address == address {
///                 self.0.instances_of("web").kill(instance.id.as_str());
///             }
///         }
///         Ok(())
///     }
///
///     async fn request(&self, service: &Name) -> Outside<Option<Answer>> {
///         let answered = self.0.router_of(service.as_str()).request();
///         Ok(answered.map(|answered| Answer { version: answered.version, address: answered.address }))
///     }
///
///     async fn begin(&self, service: &Name) -> Outside<Box<dyn Held>> {
///         let begun = self.0.router_of(service.as_str()).begin().ok_or("nobody took the request")?;
///         Ok(Box::new(Request(begun)))
///     }
/// }
///
/// flow_testkit::router_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! router_conformance {
    ($fresh:expr) => {
        $crate::router_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { router $with
            traffic:
                nothing_is_routed_at_first
                a_routing_reads_back_as_it_was_put
                the_first_request_after_a_switch_goes_to_the_new_version
                traffic_is_divided_as_the_weights_say
                the_addresses_of_a_version_share_its_traffic
                a_version_that_is_down_is_not_hidden_behind_another
                an_empty_routing_takes_the_service_out
                services_do_not_disturb_each_other
                the_next_controller_sees_the_routing_in_force
                looking_at_the_traffic_changes_nothing;
            flight:
                a_request_under_way_finishes_where_it_began
                a_request_is_counted_where_it_is_under_way_until_it_ends
                the_same_routing_again_cuts_nothing_off;
            refusal:
                a_bad_routing_is_refused_with_all_its_problems
                every_address_that_is_none_is_refused
                an_address_that_stands_twice_is_refused
                weights_finer_than_the_granularity_are_refused;
        }
    };
}

/// Who answered a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The version of the backend.
    pub version: Name,
    /// The address of the backend, as [`backend`](RouterFixture::backend) gave it.
    pub address: String,
}

/// How many addresses a version may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Any number: they share its traffic.
    Addresses,
    /// One only, for a reason: a routing with more is refused.
    Impossible(&'static str),
}

/// What a router can tell of the requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// How many there are.
    Exact,
    /// It cannot count them, for a reason: it tells where one cannot be excluded.
    Impossible(&'static str),
}

/// A request that its backend keeps open.
#[async_trait]
pub trait Held: Send + Sync {
    /// Lets the backend answer, and reads the answer to its end; none where it did not come whole.
    async fn finish(self: Box<Self>) -> Outside<Option<Answer>>;
}

/// A router under test, the backends behind it and the users before it.
#[async_trait]
pub trait RouterFixture: Send + Sync {
    /// The router under test: the same one on every call.
    fn router(&self) -> Arc<dyn Router>;

    /// Another router over the same platform, as the next controller would open it.
    fn next_controller(&self) -> Arc<dyn Router>;

    /// The service that the checks route.
    fn service(&self) -> Name;

    /// Another service that the same router serves. None where a router serves one service only: asked for another one, it must
    /// then say that it is not found.
    fn other_service(&self) -> Option<Name>;

    /// How many addresses a version may have.
    fn sharing(&self) -> Sharing {
        Sharing::Addresses
    }

    /// What the router can tell of the requests under way.
    fn counting(&self) -> Counting {
        Counting::Exact
    }

    /// Starts a backend that answers as `version` of `service`, and gives its address once it accepts connections.
    async fn backend(&self, service: &Name, version: &Name) -> Outside<String>;

    /// Kills the backend at `address`; returns when nothing listens there.
    async fn kill(&self, address: &str) -> Outside<()>;

    /// Makes one new request of `service` as a user would, on a connection of its own, and says which backend answered it by
    /// what that backend itself said; none where there was no good answer.
    async fn request(&self, service: &Name) -> Outside<Option<Answer>>;

    /// Makes a request of `service` that its backend keeps open, and returns when it has arrived there.
    async fn begin(&self, service: &Name) -> Outside<Box<dyn Held>>;
}

/// A permit of its own for the nth change of a check, as each move of a rollout has.
fn nth(number: u32) -> Permit {
    permit_under(&format!("run/{number}"), flow_core::Fence(1), 1)
}

fn routing(routes: &[(Name, u8, &[String])]) -> Routing {
    let route = |(version, weight, addresses): &(Name, u8, &[String])| {
        (version.clone(), Route { weight: *weight, addresses: addresses.to_vec() })
    };
    Routing(routes.iter().map(route).collect())
}

/// Routes all traffic to one fresh backend of `version`, and gives its address.
async fn all_to(fixture: &impl RouterFixture, version: &Name, number: u32) -> Outside<String> {
    let service = fixture.service();
    let address = fixture.backend(&service, version).await?;
    let all = routing(&[(version.clone(), 100, std::slice::from_ref(&address))]);
    fixture.router().route(&nth(number), &service, &all).await?;
    Ok(address)
}

/// Who answers `count` requests, one after another.
async fn answers(
    fixture: &impl RouterFixture,
    service: &Name,
    count: usize,
) -> Outside<BTreeMap<Option<String>, usize>> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let answer = fixture.request(service).await?;
        *answers.entry(answer.map(|answer| answer.address)).or_default() += 1;
    }
    Ok(answers)
}

/// The largest share of at most `percent` that the router can give.
fn near(fixture: &impl RouterFixture, percent: u8) -> u8 {
    let granularity = fixture.router().granularity().clamp(1, 100);
    percent / granularity * granularity
}

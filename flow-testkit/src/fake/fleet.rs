//! A process manager and a router in one: one world that both see.

mod history;
mod instances;
mod life;
mod processes;
mod router;
mod routing;
mod share;
mod state;
mod trouble;
mod users;

pub use history::Snapshot;
pub use instances::{FleetInstances, Trouble};
pub use router::FleetRouter;
pub(super) use share::Share;
pub use users::{Answered, UnderWay};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::Name;
use tokio::time::Instant;

use crate::ledger::Ledger;
use state::State;
use trouble::{Kind, Trouble as Arranged};

/// A process manager and a router in memory: one world that both see.
///
/// What goes wrong in it is arranged beforehand and happens in tokio's time, so that under
/// `#[tokio::test(start_paused = true)]` minutes pass in no time. Whatever only a wrong caller does is refused as a
/// [conflict](flow_core::ErrorKind::Conflict) and noted among the [refusals](Ledger::refusals): traffic to an address where nothing
/// listens, to an instance of another version or to one whose health nobody has asked and seen good; stopping what still gets
/// traffic; launching what runs already under another key of the same run.
///
/// ```
/// use std::time::Duration;
///
/// use flow_core::port::{Health, HealthCheck, LaunchSpec, ProcessManager};
/// use flow_core::{Digest, name};
/// use flow_testkit::fake::FakeFleet;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let fleet = FakeFleet::new();
/// fleet.instances_of("web").fail_health("1.1.0").after(Duration::from_secs(30));
/// let spec = LaunchSpec {
///     service: name!("web"),
///     instance: name!("web-1"),
///     version: name!("1.1.0"),
///     digest: Digest::of(b"web"),
///     program: "/bin/web".into(),
///     args: Vec::new(),
///     env: Default::default(),
///     directory: "/srv".into(),
///     health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(1) },
/// };
/// fleet.launch(&flow_testkit::permit(), &spec).await?;
/// assert_eq!(fleet.health(&spec.service, &spec.instance).await?, Health::Healthy);
/// tokio::time::sleep(Duration::from_secs(30)).await;
/// assert!(!fleet.health(&spec.service, &spec.instance).await?.is_healthy());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct FakeFleet {
    ledger: Ledger,
    state: Arc<Mutex<State>>,
}

impl FakeFleet {
    /// An empty world with a ledger of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty world that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), state: Arc::default() }
    }

    /// The same world behind a router that takes weights in steps of `percent`; 1 unless told otherwise.
    #[must_use]
    pub fn with_granularity(self, percent: u8) -> Self {
        self.state().granularity = percent.clamp(1, 100);
        self
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The instances of `service`: to look at them, and to arrange what happens to them.
    #[must_use]
    pub fn instances_of(&self, service: &str) -> FleetInstances {
        FleetInstances::new(self, service)
    }

    /// The traffic of `service`: to look at it, and to be one of its users.
    #[must_use]
    pub fn router_of(&self, service: &str) -> FleetRouter {
        FleetRouter::new(self, service)
    }

    /// Makes every instance of `version` answer its health badly from now on, whatever its service.
    pub fn sicken(&self, version: &Name) {
        self.state().troubles.push(Arranged::new(None, version.as_str(), Kind::Unhealthy));
    }

    /// The versions that run for `service`, one entry an instance, ordered by id.
    #[must_use]
    pub fn running(&self, service: &Name) -> Vec<Name> {
        let state = self.state();
        state.running(service.as_str(), Instant::now()).map(|life| life.instance.version.clone()).collect()
    }

    /// Everything that was changed, in order, in words: `launch web-1`, `route web to 1.1.0 100 %`, `stop web-1`.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        self.history().into_iter().map(|snapshot| snapshot.change).collect()
    }

    /// Every change with what stood after it, in order.
    #[must_use]
    pub fn history(&self) -> Vec<Snapshot> {
        self.state().snapshots.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

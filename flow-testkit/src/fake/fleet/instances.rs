use std::time::Duration;

use flow_core::port::Instance;
use tokio::time::Instant;

use super::FakeFleet;
use super::life::Life;
use super::state::State;
use super::trouble::{Kind, Trouble as Arranged};

/// The instances of one service of a [`FakeFleet`]. What is arranged for a version happens to those that run and to those
/// that are launched later.
#[derive(Debug, Clone)]
pub struct FleetInstances {
    fleet: FakeFleet,
    service: String,
}

impl FleetInstances {
    pub(super) fn new(fleet: &FakeFleet, service: &str) -> Self {
        Self { fleet: fleet.clone(), service: service.to_owned() }
    }

    /// The instances of `version` that run, by id.
    #[must_use]
    pub fn running(&self, version: &str) -> Vec<Instance> {
        self.of(version, |_, _, _| true)
    }

    /// The instances of `version` that are healthy, by id.
    #[must_use]
    pub fn healthy(&self, version: &str) -> Vec<Instance> {
        self.of(version, |state, life, at| state.health(life, at).is_healthy())
    }

    fn of(&self, version: &str, wanted: impl Fn(&State, &Life, Instant) -> bool) -> Vec<Instance> {
        let (state, at) = (self.fleet.state(), Instant::now());
        let running = state.running(&self.service, at);
        let chosen =
            running.filter(|life| life.instance.version.as_str() == version && wanted(&state, life, at));
        chosen.map(|life| life.instance.clone()).collect()
    }

    /// Each instance of `version` answers its health badly: at once, or [after](Trouble::after) a time.
    pub fn fail_health(&self, version: &str) -> Trouble {
        self.arrange(version, Kind::Unhealthy)
    }

    /// Each instance of `version` ends by itself: at once, or [after](Trouble::after) a time.
    pub fn die(&self, version: &str) -> Trouble {
        self.arrange(version, Kind::Ends)
    }

    /// Each instance of `version` ends as soon as it is started: its launch fails and leaves nothing.
    pub fn die_at_launch(&self, version: &str) {
        self.arrange(version, Kind::EndsAtLaunch);
    }

    /// The program of `version` is not there: its launch finds nothing and leaves nothing.
    pub fn lose_the_program(&self, version: &str) {
        self.arrange(version, Kind::ProgramMissing);
    }

    /// Each instance of `version` listens only `takes` after its launch.
    pub fn start_slowly(&self, version: &str, takes: Duration) {
        self.arrange(version, Kind::SlowStart(takes));
    }

    /// Each instance of `version` takes `takes` to end when asked, and is killed where that is beyond its grace.
    pub fn end_slowly(&self, version: &str, takes: Duration) {
        self.arrange(version, Kind::SlowEnd(Some(takes)));
    }

    /// Each instance of `version` ignores the request to end and is killed after its grace.
    pub fn ignore_the_request_to_end(&self, version: &str) {
        self.arrange(version, Kind::SlowEnd(None));
    }

    /// While an instance of `version` gets traffic, `requests` are under way there; they end `ends_after` the traffic left.
    pub fn keep_busy(&self, version: &str, requests: u64, ends_after: Duration) {
        self.arrange(version, Kind::Busy(requests, Some(ends_after)));
    }

    /// While an instance of `version` gets traffic, `requests` are under way there, and they never end.
    pub fn never_drain(&self, version: &str, requests: u64) {
        self.arrange(version, Kind::Busy(requests, None));
    }

    /// Kills `instance` where it runs, as somebody with a shell would.
    pub fn kill(&self, instance: &str) {
        let (mut state, at) = (self.fleet.state(), Instant::now());
        let found = state.running(&self.service, at).find(|life| life.instance.id.as_str() == instance);
        let address = found.map(|life| life.instance.address.clone());
        let lives = state.lives.iter_mut().filter(|life| Some(&life.instance.address) == address.as_ref());
        lives.for_each(|life| life.ended = Some(at));
    }

    fn arrange(&self, version: &str, kind: Kind) -> Trouble {
        let mut state = self.fleet.state();
        state.troubles.push(Arranged::new(Some(&self.service), version, kind));
        Trouble { fleet: self.fleet.clone(), index: state.troubles.len() - 1 }
    }
}

/// Something that was arranged to go wrong. It happens at once unless told otherwise.
#[derive(Debug)]
pub struct Trouble {
    fleet: FakeFleet,
    index: usize,
}

impl Trouble {
    /// Lets it happen this much later: counted from now, and for an instance that is launched later, from its launch.
    pub fn after(self, delay: Duration) -> Self {
        self.change(|arranged| arranged.after = delay)
    }

    /// Lets it end by itself when it has lasted this long. The dead stay dead.
    pub fn lasting(self, duration: Duration) -> Self {
        self.change(|arranged| arranged.lasting = Some(duration))
    }

    fn change(self, change: impl FnOnce(&mut Arranged)) -> Self {
        if let Some(arranged) = self.fleet.state().troubles.get_mut(self.index) {
            change(arranged);
        }
        self
    }
}

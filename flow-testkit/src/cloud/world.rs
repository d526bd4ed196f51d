use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flow_core::Clock;
use jiff::Timestamp;

use super::cdn::Cdn;
use super::chance::Chance;
use super::clock::{CloudClock, after};
use super::config::FakeCloudConfig;
use super::cos::Storage;
use super::dnspod::Zones;
use super::faults::Faults;
use super::log::Logged;
use super::scf::{Functions, Program};
use super::signature::Keys;

/// All that the server's connections share.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) clock: CloudClock,
    pub(super) keys: Keys,
    pub(super) region: String,
    config: FakeCloudConfig,
    world: Mutex<World>,
    programs: Mutex<BTreeMap<String, Program>>,
}

/// What the cloud holds.
#[derive(Debug)]
pub(super) struct World {
    /// The cloud's time, as it was when the request was looked at.
    pub(super) now: Timestamp,
    pub(super) chance: Chance,
    pub(super) faults: Faults,
    pub(super) log: Vec<Logged>,
    /// How long an update takes.
    pub(super) delay: Duration,
    /// Requests a second for each action; 0: no limit.
    pub(super) qps: u32,
    pub(super) rates: BTreeMap<String, (i64, u32)>,
    pub(super) appid: String,
    /// Where the cloud listens.
    pub(super) address: SocketAddr,
    pub(super) functions: Functions,
    pub(super) cdn: Cdn,
    pub(super) storage: Storage,
    pub(super) zones: Zones,
}

impl Cloud {
    pub(super) fn new(config: &FakeCloudConfig) -> Self {
        let clock = CloudClock::new();
        let world = Mutex::new(World::new(config, clock.now()));
        let keys = Keys { id: config.secret_id.clone(), secret: config.secret_key.clone() };
        Self {
            clock,
            keys,
            region: config.region.clone(),
            config: config.clone(),
            world,
            programs: Mutex::default(),
        }
    }

    /// Looks at the world as it is now.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.settle(self.clock.now());
        look(&mut world)
    }

    /// Forgets all but the registered programs.
    pub(super) fn reset(&self) {
        self.clock.start_over();
        let fresh = World::new(&self.config, self.clock.now());
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// The bucket of requests that name none: it is made at its first use.
    pub(super) fn default_bucket(&self) -> String {
        format!("default-{}", self.config.appid)
    }

    pub(super) fn register(&self, code: String, program: Program) {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).insert(code, program);
    }

    pub(super) fn program(&self, code: &str) -> Option<Program> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).get(code).cloned()
    }
}

impl World {
    pub(super) fn new(config: &FakeCloudConfig, now: Timestamp) -> Self {
        Self {
            now,
            chance: Chance::new(config.seed),
            faults: Faults::default(),
            log: Vec::new(),
            delay: config.delay,
            qps: 0,
            rates: BTreeMap::new(),
            appid: config.appid.clone(),
            address: config.listen,
            functions: Functions::default(),
            cdn: Cdn::new(config.quotas, config.strictness),
            storage: Storage::new(&config.buckets, now),
            zones: Zones::new(&config.zones, now),
        }
    }

    /// Ends what has ended by now.
    pub(super) fn settle(&mut self, now: Timestamp) {
        self.now = now;
        self.functions.settle(now);
        self.cdn.settle(now, &self.storage);
    }

    /// When what begins now will have ended.
    pub(super) fn due(&self) -> Timestamp {
        after(self.now, self.delay)
    }

    /// Whether this request is one too many in its second.
    pub(super) fn is_too_fast(&mut self, service: &str, action: &str) -> bool {
        if self.qps == 0 {
            return false;
        }
        let second = self.now.as_second();
        let rate = self.rates.entry(format!("{service} {action}")).or_insert((second, 0));
        if rate.0 != second {
            *rate = (second, 0);
        }
        rate.1 += 1;
        rate.1 > self.qps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_requests_a_second_are_carried_out() {
        let mut world = World::new(&FakeCloudConfig::default(), Timestamp::UNIX_EPOCH);
        assert!((0..50).all(|_| !world.is_too_fast("scf", "Invoke")));
        world.qps = 2;
        let refused: Vec<_> = (0..3).map(|_| world.is_too_fast("scf", "Invoke")).collect();
        assert_eq!(refused, [false, false, true]);
        assert!(!world.is_too_fast("scf", "GetFunction"));
        world.settle(after(world.now, Duration::from_secs(1)));
        assert!(!world.is_too_fast("scf", "Invoke"));
    }
}

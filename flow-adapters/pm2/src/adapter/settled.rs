use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::Name;
use flow_linux::ProcessId;

/// For how long processes have been ready, as far as this controller has seen it.
///
/// Who has settled once stays settled: a check that it fails later counts for itself, and what would be a moment's sickness of an old
/// version is no reason to have nothing to go back to.
#[derive(Debug, Default)]
pub(super) struct Settled(Mutex<HashMap<(Name, ProcessId), Seen>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    NotReady,
    /// At every look since then.
    ReadySince(Duration),
    Settled,
}

impl Settled {
    /// Notes that a process is not ready.
    pub(super) fn not_ready(&self, service: &Name, process: ProcessId) {
        let mut all = self.lock();
        let seen = all.entry((service.clone(), process)).or_insert(Seen::NotReady);
        if *seen != Seen::Settled {
            *seen = Seen::NotReady;
        }
    }

    /// Notes that a process of this age is ready now, and gives for how long it has been where that is less than `settle`. One that
    /// was never seen otherwise may have been so all its life: a controller that comes later does not wait for what is long proved.
    pub(super) fn ready(
        &self,
        service: &Name,
        process: ProcessId,
        (now, age): (Duration, Duration),
        settle: Duration,
    ) -> Result<(), Duration> {
        let mut all = self.lock();
        let key = (service.clone(), process);
        let ready_for = match all.get(&key) {
            Some(Seen::Settled) => return Ok(()),
            Some(Seen::ReadySince(since)) => now.saturating_sub(*since),
            Some(Seen::NotReady) => {
                all.insert(key.clone(), Seen::ReadySince(now));
                Duration::ZERO
            }
            None => age,
        };
        if ready_for < settle {
            return Err(ready_for);
        }
        all.insert(key, Seen::Settled);
        Ok(())
    }

    /// Forgets the processes of a service that are not among `running`.
    pub(super) fn keep(&self, service: &Name, running: &BTreeSet<ProcessId>) {
        self.lock().retain(|(of, process), _| of != service || running.contains(process));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Name, ProcessId), Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    const WEB: Name = name!("web");
    const ONE: ProcessId = ProcessId { pid: 1, start: 1 };
    const SETTLE: Duration = Duration::from_secs(3);

    /// What is said of a process that is ready at this second of this controller, which began when the process was 100 seconds old.
    fn ready(settled: &Settled, second: u64) -> Result<(), Duration> {
        let now = Duration::from_secs(second);
        settled.ready(&WEB, ONE, (now, now + Duration::from_secs(100)), SETTLE)
    }

    #[test]
    fn the_time_counts_from_when_it_was_seen_ready_and_begins_anew_when_it_was_not() {
        let settled = Settled::default();
        settled.not_ready(&WEB, ONE);
        assert_eq!(ready(&settled, 10), Err(Duration::ZERO));
        assert_eq!(ready(&settled, 12), Err(Duration::from_secs(2)));
        settled.not_ready(&WEB, ONE);
        assert_eq!(ready(&settled, 14), Err(Duration::ZERO));
        assert_eq!(ready(&settled, 17), Ok(()));
        settled.not_ready(&WEB, ONE);
        assert_eq!(ready(&settled, 18), Ok(()), "it has settled before");
    }

    #[test]
    fn who_was_never_seen_otherwise_has_been_ready_all_its_life() {
        assert_eq!(ready(&Settled::default(), 0), Ok(()));
        let settled = Settled::default();
        let aged =
            |age| settled.ready(&WEB, ONE, (Duration::from_secs(50), Duration::from_secs(age)), SETTLE);
        assert_eq!(aged(1), Err(Duration::from_secs(1)));
        assert_eq!(aged(3), Ok(()));
    }

    #[test]
    fn what_no_longer_runs_of_a_service_is_forgotten_and_no_other() {
        let settled = Settled::default();
        let other = name!("other");
        for service in [&WEB, &other] {
            settled.not_ready(service, ONE);
            settled.not_ready(service, ProcessId { pid: 2, start: 1 });
        }
        settled.keep(&WEB, &[ONE].into());
        assert_eq!(settled.lock().len(), 3);
        assert!(settled.lock().contains_key(&(WEB, ONE)));
    }
}

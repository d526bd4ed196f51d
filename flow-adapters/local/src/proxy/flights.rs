use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::port::InFlight;

/// The requests under way, by address. One lock for all addresses, so that a request that moves from one address to
/// another is seen at one of them at every moment.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<BTreeMap<Arc<str>, u64>>);

impl Flights {
    pub(super) fn enter(self: &Arc<Self>, address: &Arc<str>) -> Flight {
        *self.lock().entry(Arc::clone(address)).or_default() += 1;
        Flight { flights: Arc::clone(self), address: Arc::clone(address) }
    }

    pub(super) fn counted(&self) -> InFlight {
        self.lock().iter().map(|(address, count)| (address.to_string(), *count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request under way, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Arc<Flights>,
    address: Arc<str>,
}

impl Flight {
    pub(super) fn move_to(&mut self, address: &Arc<str>) {
        if *self.address == **address {
            return;
        }
        let mut counts = self.flights.lock();
        *counts.entry(Arc::clone(address)).or_default() += 1;
        leave(&mut counts, &self.address);
        drop(counts);
        self.address = Arc::clone(address);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        leave(&mut self.flights.lock(), &self.address);
    }
}

fn leave(counts: &mut BTreeMap<Arc<str>, u64>, address: &Arc<str>) {
    if let Some(count) = counts.get_mut(address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_moves_is_counted_once_and_gone_when_it_ends() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let flights = Arc::new(Flights::default());
        let mut first = flights.enter(&a);
        let second = flights.enter(&a);
        first.move_to(&b);
        assert_eq!(flights.counted(), InFlight::from([("a".into(), 1), ("b".into(), 1)]));
        drop((first, second));
        assert_eq!(flights.counted(), InFlight::new());
    }
}

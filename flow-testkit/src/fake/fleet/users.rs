//! The users of a service.

use std::sync::{Arc, Mutex, PoisonError};

use flow_core::Name;
use tokio::time::Instant;

use super::state::State;

/// Who answered a user's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The version.
    pub version: Name,
    /// The address of the instance.
    pub address: String,
}

/// A user's request that is under way until it is [finished](Self::finish) or dropped.
#[derive(Debug)]
pub struct UnderWay {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) number: u64,
    pub(super) answered: Answered,
}

impl UnderWay {
    /// Lets the instance answer; none where it was cut off before.
    #[must_use]
    pub fn finish(self) -> Option<Answered> {
        let at = Instant::now();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (service, address) = state.held.get(&self.number)?;
        let runs = state.running(service, at).any(|life| life.instance.address == *address);
        runs.then(|| self.answered.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).held.remove(&self.number);
    }
}

/// Sends one request of `service` where it is routed. Multiplying the turn by a number without a factor of a hundred spreads
/// the shares and keeps them exact.
pub(super) fn choose(state: &mut State, service: &str) -> Option<Answered> {
    let at = Instant::now();
    let routing = state.routing(service, at)?.clone();
    let turn = next_turn(state, service, None);
    let mut left = turn.wrapping_mul(61) % 100;
    let (version, route) = routing.0.into_iter().find(|(_, route)| {
        let weight = usize::from(route.weight);
        let own = left < weight;
        left = left.saturating_sub(weight);
        own
    })?;
    let turn = next_turn(state, service, Some(&version));
    let address = route.addresses.get(turn.checked_rem(route.addresses.len())?)?.clone();
    let well = state
        .running(service, at)
        .find(|life| life.instance.address == address)
        .is_some_and(|life| state.health(life, at).is_healthy());
    well.then_some(Answered { version, address })
}

fn next_turn(state: &mut State, service: &str, version: Option<&Name>) -> usize {
    let turn = state.turns.entry((service.to_owned(), version.cloned())).or_default();
    *turn += 1;
    *turn - 1
}

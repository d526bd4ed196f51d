//! When which place led where, and to which addresses traffic went before: what the links of now do not say.

use flow_core::{ErrorKind, Name, StepError};
use serde::{Deserialize, Serialize};

use crate::share::owners;

/// How many switches are remembered.
const KEPT: usize = 200;

/// All that is remembered.
///
/// The times tell the lines of the access log apart, in which nginx names places. The addresses are those where requests may still be under
/// way. A loss of power may take the last of it: then no request is under way either.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// Oldest first.
    switches: Vec<Era>,
    pub(crate) former: Vec<String>,
}

/// The time of one routing, in milliseconds since 1970 as nginx's `$msec` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Era {
    /// Before this nothing went where it leads.
    begun: i64,
    /// From this on nothing went where the one before led; none while that is not sure.
    settled: Option<i64>,
    places: u8,
    /// How many places each version has, in order.
    shares: Vec<(Name, u8)>,
}

impl History {
    pub(crate) fn read(text: &[u8]) -> Result<Self, StepError> {
        serde_json::from_slice(text).map_err(|error| {
            StepError::new(ErrorKind::Conflict, "the history of the switches is not understood")
                .because(error)
        })
    }

    pub(crate) fn written(&self) -> Result<Vec<u8>, StepError> {
        serde_json::to_vec(self).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the history of the switches cannot be written").because(error)
        })
    }

    /// Remembers that a switch begins.
    pub(crate) fn begin(&mut self, now: i64, places: u8, shares: Vec<(Name, u8)>) {
        self.switches.push(Era { begun: now, settled: None, places, shares });
        let forgotten = self.switches.len().saturating_sub(KEPT);
        self.switches.drain(..forgotten);
    }

    /// Remembers that the last switch is over; whether that was not known before.
    pub(crate) fn settle(&mut self, now: i64) -> bool {
        let open = self.switches.last_mut().map(|era| &mut era.settled).filter(|settled| settled.is_none());
        open.map(|settled| *settled = Some(now)).is_some()
    }

    /// Whether the last switch may still be going on.
    pub(crate) fn is_settled(&self) -> bool {
        self.switches.last().is_none_or(|era| era.settled.is_some())
    }

    /// The version that a place led to at some moment of `from..=to`; none where that is not sure.
    pub(crate) fn owner(&self, place: usize, from: i64, to: i64) -> Option<&Name> {
        let mut found = None;
        for (index, era) in self.switches.iter().enumerate() {
            // A switch whose end nobody saw was over at the latest when the next one was.
            let over = self.switches.iter().skip(index + 1).find_map(|next| next.settled);
            if to < era.begun || over.is_some_and(|over| from >= over) {
                continue;
            }
            let owner = owners(&era.shares, era.places).get(place).copied().flatten()?;
            if found.is_some_and(|found| found != owner) {
                return None;
            }
            found = Some(owner);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    fn history() -> History {
        let mut history = History::default();
        history.begin(100, 1, vec![(name!("1"), 1)]);
        assert!(history.settle(110));
        history.begin(200, 1, vec![(name!("2"), 1)]);
        history
    }

    #[test]
    fn a_request_belongs_to_the_version_that_its_place_led_to_all_the_while() {
        let mut history = history();
        assert_eq!(history.owner(0, 10, 20), None, "before anything was routed");
        assert_eq!(history.owner(0, 110, 199), Some(&name!("1")));
        assert_eq!(history.owner(0, 300, 310), None, "the switch is not over");
        assert!(history.settle(210));
        assert!(!history.settle(250), "it was over before");
        assert_eq!(history.owner(0, 210, 310), Some(&name!("2")));
        for (from, to) in [(199, 200), (205, 206), (209, 211)] {
            assert_eq!(history.owner(0, from, to), None, "{from}..={to}");
        }
        assert_eq!(history.owner(1, 110, 199), None, "no such place");
    }

    #[test]
    fn a_place_that_keeps_its_version_through_a_switch_is_sure_all_the_while() {
        let mut history = History::default();
        history.begin(100, 100, vec![(name!("1"), 100)]);
        history.settle(101);
        history.begin(200, 100, vec![(name!("2"), 1), (name!("1"), 99)]);
        assert_eq!(history.owner(0, 150, 250), None);
        assert_eq!(history.owner(1, 150, 250), Some(&name!("1")));
    }

    #[test]
    fn a_switch_that_died_is_over_when_the_next_one_is() {
        let mut history = history();
        history.begin(300, 1, vec![(name!("3"), 1)]);
        assert!(history.settle(310));
        assert_eq!(history.owner(0, 150, 160), Some(&name!("1")));
        assert_eq!(history.owner(0, 250, 260), None, "it is not known when the second was in force");
        assert_eq!(history.owner(0, 310, 320), Some(&name!("3")));
    }

    #[test]
    fn old_switches_are_forgotten_and_not_guessed() {
        let mut history = history();
        for at in 0..300 {
            history.begin(1_000 + at, 1, vec![(name!("3"), 1)]);
            history.settle(1_000 + at);
        }
        assert_eq!(history.switches.len(), KEPT);
        assert_eq!(history.owner(0, 150, 160), None);
    }
}

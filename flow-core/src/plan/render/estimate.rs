use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::plan::{Plan, PlannedItem, PlannedStage};

/// How long something may take, as far as its steps can say.
///
/// Steps of one group run at the same time, so a group takes as long as its slowest step; groups and stages follow each other, so
/// their times add up. A step that cannot say stays unknown: the time is then the least that it takes.
///
/// ```
/// use flow_core::plan::Estimate;
/// use std::time::Duration;
///
/// let estimate = Estimate { known: Duration::from_secs(75), unknown: 2, steps: 5 };
/// assert_eq!(estimate.to_string(), "at least 1 min 15 s; 2 of 5 steps cannot say");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The sum of what is known.
    pub known: Duration,
    /// How many steps cannot say.
    pub unknown: u32,
    /// How many steps there are.
    pub steps: u32,
}

impl Estimate {
    fn of(items: &[PlannedItem]) -> Self {
        let mut groups: BTreeMap<u32, Duration> = BTreeMap::new();
        let mut estimate = Self::default();
        for item in items {
            estimate.steps = estimate.steps.saturating_add(1);
            match item.preview.estimate {
                Some(time) => {
                    let slowest = groups.entry(item.group).or_default();
                    *slowest = time.max(*slowest);
                }
                None => estimate.unknown = estimate.unknown.saturating_add(1),
            }
        }
        estimate.known = groups.into_values().fold(Duration::ZERO, Duration::saturating_add);
        estimate
    }

    const fn after(self, earlier: Self) -> Self {
        Self {
            known: earlier.known.saturating_add(self.known),
            unknown: earlier.unknown.saturating_add(self.unknown),
            steps: earlier.steps.saturating_add(self.steps),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { known, unknown, steps } = *self;
        match (unknown, steps) {
            (_, 0) => f.write_str("no time"),
            (0, _) => f.write_str(&time(known)),
            (unknown, steps) if unknown == steps => f.write_str("unknown: no step can say"),
            _ => write!(f, "at least {}; {unknown} of {steps} steps cannot say", time(known)),
        }
    }
}

/// A duration for people.
pub(super) fn time(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    let part = |count: u64, unit: &str| (count > 0).then(|| format!("{count} {unit}"));
    let parts = [part(minutes / 60, "h"), part(minutes % 60, "min"), part(seconds, "s")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { format!("{} ms", duration.as_millis()) } else { parts.join(" ") }
}

impl Plan {
    /// How long the run may take until it is verified, as far as its steps can say.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        self.stages.iter().fold(Estimate::default(), |earlier, stage| stage.estimate().after(earlier))
    }
}

impl PlannedStage {
    /// How long the stage may take, as far as its steps can say.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        Estimate::of(&self.items)
    }
}

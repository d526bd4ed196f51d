//! How often a prediction and the server agree.

use std::collections::BTreeSet;
use std::fmt;

/// What was foretold against what was: each thing is an operation's number with a name.
#[derive(Debug, Default)]
pub(crate) struct Confusion {
    hit: usize,
    false_alarm: Vec<String>,
    missed: Vec<String>,
}

impl Confusion {
    /// Counts one operation.
    pub(crate) fn count(&mut self, operation: &str, foretold: &BTreeSet<String>, real: &BTreeSet<String>) {
        self.hit += foretold.intersection(real).count();
        let described = |name: &String| format!("{operation}: {name}");
        self.false_alarm.extend(foretold.difference(real).map(described));
        self.missed.extend(real.difference(foretold).map(described));
    }

    /// Every false alarm and everything missed.
    pub(crate) fn wrong(&self) -> Vec<&str> {
        self.false_alarm.iter().chain(&self.missed).map(String::as_str).collect()
    }

    /// The share of what was that was foretold, in percent.
    pub(crate) fn recall(&self) -> f64 {
        share(self.hit, self.missed.len())
    }

    /// The share of what was foretold that was, in percent.
    pub(crate) fn precision(&self) -> f64 {
        share(self.hit, self.false_alarm.len())
    }
}

fn share(hit: usize, other: usize) -> f64 {
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    if hit + other == 0 { 100.0 } else { 100.0 * count(hit) / count(hit + other) }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hit, wrong, missed) = (self.hit, self.false_alarm.len(), self.missed.len());
        let (recall, precision) = (self.recall(), self.precision());
        writeln!(
            f,
            "hit {hit}, false alarms {wrong}, missed {missed}: recall {recall:.1} %, precision {precision:.1} %"
        )?;
        self.false_alarm.iter().try_for_each(|one| writeln!(f, "  false alarm  {one}"))?;
        self.missed.iter().try_for_each(|one| writeln!(f, "  missed       {one}"))
    }
}

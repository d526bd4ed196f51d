//! Where a run can be killed: before and after every record, inside and after every effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::scenario::Scenario;
use crate::trail::{Line, Trail};

/// One point of one command of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) leg: usize,
    /// Its place in the undisturbed trail: a later point comes later.
    at: usize,
    /// As the program is told.
    pub(crate) death: String,
    /// What it stands for, a moment with a kind of record or effect each: one for every record of the same commit.
    pub(crate) kinds: BTreeSet<String>,
}

impl Point {
    /// A point of the process that goes on after this one, which no undisturbed run has.
    pub(crate) fn of_successor(&self, moment: &str, record: &str) -> Self {
        let (death, kind) = (format!("{moment}:{record}"), format!("{moment} {record}"));
        Self { leg: self.leg, at: self.at, death, kinds: [kind].into() }
    }
}

/// One run with its deaths.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) first: Point,
    /// Where the process that recovers dies too.
    pub(crate) again: Option<Point>,
}

impl Case {
    /// What its deaths stand for.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let deaths = std::iter::once(&self.first).chain(&self.again);
        deaths.flat_map(|point| point.kinds.iter().cloned()).collect()
    }
}

/// All points of a scenario, and the effects that have no inside: they are done when they are first polled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Points {
    pub(crate) points: Vec<Point>,
    pub(crate) without_inside: BTreeSet<String>,
}

impl Points {
    /// The points of an undisturbed run, from the trail of each of its commands.
    pub(crate) fn of(trails: &[Trail]) -> Self {
        let mut found = Self::default();
        for (leg, trail) in trails.iter().enumerate() {
            let mut starts = BTreeMap::new();
            let mut known = BTreeSet::new();
            for (at, line) in trail.0.iter().enumerate() {
                let mut add = |at: usize, death: String, kinds: BTreeSet<String>| {
                    // A process dies at the first occurrence: the second one of the same name is no other point.
                    if known.insert(death.clone()) {
                        found.points.push(Point { leg, at, death, kinds });
                    }
                };
                match line {
                    Line::Appending(records) | Line::Appended(records) => {
                        let moment = if matches!(line, Line::Appended(_)) { "after" } else { "before" };
                        let kinds: BTreeSet<String> =
                            records.iter().map(|record| format!("{moment} {}", kind(record))).collect();
                        for record in records {
                            add(at, format!("{moment}:{record}"), kinds.clone());
                        }
                    }
                    Line::Start(call) => drop(starts.insert(call.clone(), at)),
                    Line::End(call, polls) => {
                        let begun = starts.get(call).copied().unwrap_or(at);
                        if *polls == 0 {
                            found.without_inside.insert(call.clone());
                        } else {
                            // Half-way, as far as polls tell: another run may need a few less.
                            let half = (polls / 2).max(1);
                            let kind = format!("inside {}", effect(call));
                            add(begun, format!("inside:{call}@{half}"), [kind].into());
                        }
                        add(at, format!("effect:{call}"), [format!("effect {}", effect(call))].into());
                    }
                    Line::Process | Line::Died(_) => {}
                }
            }
        }
        found
    }

    /// All of them, where the records of one commit are one point.
    pub(crate) fn distinct(&self) -> Vec<&Point> {
        let mut known = BTreeSet::new();
        let moment = |point: &Point| point.death.split(':').next().unwrap_or_default().to_owned();
        self.points.iter().filter(|point| known.insert((point.leg, point.at, moment(point)))).collect()
    }

    /// The points that come later in the same command, and surely come again when another process goes on from `first`.
    pub(crate) fn after(&self, first: &Point) -> Vec<&Point> {
        let later = |point: &&Point| {
            // A lost attempt makes a bad end worse, so its name is another one then.
            let certain =
                ["=rejected", "=in_doubt", "attempted:"].iter().all(|name| !point.death.contains(name));
            point.leg == first.leg && point.at > first.at && certain && point.death != "before:started"
        };
        self.points.iter().filter(later).collect()
    }
}

/// `do` or `undo` or another phase, of a step or of a rollout's move.
fn effect(call: &str) -> String {
    let parts: Vec<&str> = call.split('/').collect();
    match parts.as_slice() {
        [_, "web", phase, _] => format!("{phase} of a move"),
        [_, _, phase, _] => format!("{phase} of a step"),
        other => panic!("no call: {other:?}"),
    }
}

/// The kind of a record without what it is about.
fn kind(record: &str) -> String {
    let Some((kind, about)) = record.split_once(':') else { return record.to_owned() };
    let (about, end) = about.split_once('=').unwrap_or((about, ""));
    let about = about.split('#').next().unwrap_or(about);
    match about.split('/').count() {
        4 => format!("{kind} {} {end}", effect(about)).trim_end().to_owned(),
        _ => kind.to_owned(),
    }
}

/// Chooses, the same on every machine: Knuth's MMIX generator.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) const fn new() -> Self {
        Self(0x5eed)
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (self.0 >> 33) % u64::try_from(all.len()).ok().filter(|len| *len > 0)?;
        all.get(usize::try_from(at).ok()?)
    }
}

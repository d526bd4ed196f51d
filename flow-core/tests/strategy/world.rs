//! A fleet, a router and a gate that do what they are told, except where a fault says otherwise.

use std::collections::{BTreeMap, VecDeque};

use flow_core::gate::{Judgement, Thresholds, Verdict};
use flow_core::strategy::{Move, Past, RetireWhen, RolloutView, Seen};
use flow_core::{Name, Weights, name};

/// What goes wrong while a move is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    Nothing,
    /// Of the instances that the move launches, this many are not healthy, or gone at once.
    LaunchFails {
        count: u32,
        gone: bool,
    },
    /// One of the new instances dies, and disappears or stands.
    NewDies {
        at: usize,
        gone: bool,
    },
    OldDies {
        at: usize,
        gone: bool,
    },
    AllNewDie,
    AllOldDie,
    OldHeals,
    /// The router drops an instance that it should keep.
    Unrouted {
        at: usize,
    },
    /// Of the instances that the move retires, one does not stop.
    StopFails,
    /// Somebody else sends all traffic to the old version.
    ForeignWeights,
}

/// Whether the faults end at some time or come again, in the same order, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Passes,
    Returns,
}

#[derive(Debug, Clone)]
struct Process {
    version: Name,
    healthy: bool,
    routed: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) size: u32,
    pub(crate) old: Option<Name>,
    pub(crate) granularity: u8,
    pub(crate) gate: Option<Thresholds>,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) trouble: Trouble,
    pub(crate) verdicts: VecDeque<Verdict>,
    pub(crate) weights: Weights,
    processes: BTreeMap<Name, Process>,
    history: Vec<Past>,
    launched: usize,
}

pub(crate) fn new_version() -> Name {
    name!("2.0.0")
}

pub(crate) fn old_version() -> Name {
    name!("1.0.0")
}

/// A version from before the old one, kept warm without traffic.
pub(crate) fn warm_version() -> Name {
    name!("0.9.0")
}

impl World {
    pub(crate) fn new(size: u32, granularity: u8, gate: Option<Thresholds>) -> Self {
        Self {
            size,
            old: None,
            granularity,
            gate,
            faults: VecDeque::new(),
            trouble: Trouble::Passes,
            verdicts: VecDeque::new(),
            weights: Weights::none(),
            processes: BTreeMap::new(),
            history: Vec::new(),
            launched: 0,
        }
    }

    pub(crate) fn add(&mut self, version: &Name, healthy: bool, routed: bool) -> Name {
        let id = Name::new(format!("{version}-{:03}", self.launched)).expect("a valid id");
        self.launched += 1;
        self.processes.insert(id.clone(), Process { version: version.clone(), healthy, routed });
        id
    }

    pub(crate) fn view(&self) -> RolloutView {
        let seen = |(id, process): (&Name, &Process)| Seen {
            id: id.clone(),
            version: process.version.clone(),
            healthy: process.healthy,
            routed: process.routed,
            in_flight: 0,
        };
        RolloutView {
            service: name!("web"),
            size: self.size,
            old: self.old.clone(),
            new: new_version(),
            instances: self.processes.iter().map(seen).collect(),
            weights: self.weights.clone(),
            granularity: self.granularity,
            gate: self.gate.clone(),
            history: self.history.clone(),
        }
    }

    /// Makes the move, and lets the next fault happen meanwhile.
    pub(crate) fn make(&mut self, made: &Move) {
        let fault = self.faults.pop_front().unwrap_or(Fault::Nothing);
        if self.trouble == Trouble::Returns {
            self.faults.push_back(fault);
        }
        let mut judgement = None;
        match made {
            Move::Launch { count } => self.launch(*count, fault),
            Move::Shift { weights, leaving } => {
                for (id, process) in &mut self.processes {
                    let share = weights.share(&process.version);
                    process.routed = process.healthy && share > 0 && !leaving.contains(id);
                }
                self.weights = weights.clone();
            }
            Move::Retire { instances, when: RetireWhen::Now } => {
                let stopped = instances.iter().skip(usize::from(matches!(fault, Fault::StopFails)));
                stopped.for_each(|id| drop(self.processes.remove(id)));
            }
            Move::Judge => judgement = Some(self.judge()),
            Move::Retire { .. } | Move::Bake { .. } | Move::AwaitApproval { .. } => {}
            Move::Done | Move::Abort { .. } => unreachable!("the rollout is over"),
        }
        self.history.push(Past { made: made.clone(), judgement });
        self.suffer(fault);
    }

    fn launch(&mut self, count: u32, fault: Fault) {
        let (failing, gone) = match fault {
            Fault::LaunchFails { count, gone } => (count, gone),
            _ => (0, false),
        };
        for index in 0..count {
            let healthy = index >= failing;
            if healthy || !gone {
                self.add(&new_version(), healthy, false);
            }
        }
    }

    fn judge(&mut self) -> Judgement {
        let verdict = self.verdicts.pop_front().unwrap_or(Verdict::Pass);
        Judgement { verdict, reason: format!("simulated {verdict:?}"), observed: BTreeMap::new() }
    }

    fn suffer(&mut self, fault: Fault) {
        let new = new_version();
        let is_new = |process: &Process| process.version == new;
        match fault {
            Fault::Nothing | Fault::LaunchFails { .. } | Fault::StopFails => {}
            Fault::NewDies { at, gone } => self.kill(at, gone, is_new),
            Fault::OldDies { at, gone } => self.kill(at, gone, |process| !is_new(process)),
            Fault::AllNewDie => self.set_health(false, is_new),
            Fault::AllOldDie => self.set_health(false, |process| !is_new(process)),
            Fault::OldHeals => self.set_health(true, |process| !is_new(process)),
            Fault::Unrouted { at } => {
                let mut routed: Vec<_> = self.processes.values_mut().filter(|seen| seen.routed).collect();
                let among = routed.len().max(1);
                if let Some(process) = routed.get_mut(at % among) {
                    process.routed = false;
                }
            }
            Fault::ForeignWeights => {
                if let Some(old) = self.old.clone() {
                    self.weights = Weights::all_to(old);
                }
            }
        }
    }

    fn kill(&mut self, at: usize, gone: bool, which: impl Fn(&Process) -> bool) {
        let alive = self.processes.iter().filter(|(_, process)| process.healthy && which(process));
        let alive: Vec<Name> = alive.map(|(id, _)| id.clone()).collect();
        let Some(id) = alive.get(at % alive.len().max(1)) else { return };
        if gone {
            self.processes.remove(id);
        } else if let Some(process) = self.processes.get_mut(id) {
            process.healthy = false;
        }
    }

    fn set_health(&mut self, healthy: bool, which: impl Fn(&Process) -> bool) {
        self.processes
            .values_mut()
            .filter(|process| which(process))
            .for_each(|process| process.healthy = healthy);
    }
}

//! Random worlds: how the rollout finds the fleet, and what happens to it on the way.

use flow_core::gate::{OnSilence, Thresholds, Verdict};
use flow_core::strategy::FleetShape;
use flow_core::{Name, Weights};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::world::{Fault, Trouble, World, new_version, old_version, warm_version};

/// How a rollout finds the fleet.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) size: u32,
    pub(crate) granularity: u8,
    pub(crate) gate: Option<Thresholds>,
    pub(crate) before: Before,
    pub(crate) faults: Vec<Fault>,
    pub(crate) trouble: Trouble,
    pub(crate) verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone)]
pub(crate) enum Before {
    /// Nothing: the first deployment.
    Nothing,
    /// The old version, each instance healthy or not, and so many idle ones of a version before it.
    Old { healthy: Vec<bool>, warm: u32 },
    /// The old version, and some of the new one that an earlier rollout left without traffic.
    Leftovers { old: u32, new: Vec<bool> },
    /// The new version already, each instance healthy or not.
    Same { healthy: Vec<bool> },
}

impl Scenario {
    pub(crate) fn world(&self) -> World {
        let mut world = World::new(self.size, self.granularity, self.gate.clone());
        world.faults = self.faults.clone().into();
        world.trouble = self.trouble;
        world.verdicts = self.verdicts.clone().into();
        let serve = |world: &mut World, version: Name, fleet: &[bool]| {
            fleet.iter().for_each(|healthy| drop(world.add(&version, *healthy, true)));
            world.weights = Weights::all_to(version.clone());
            world.old = Some(version);
        };
        match &self.before {
            Before::Nothing => {}
            Before::Old { healthy, warm } => {
                serve(&mut world, old_version(), healthy);
                (0..*warm).for_each(|_| drop(world.add(&warm_version(), true, false)));
            }
            Before::Leftovers { old, new } => {
                serve(&mut world, old_version(), &vec![true; *old as usize]);
                new.iter().for_each(|healthy| drop(world.add(&new_version(), *healthy, false)));
            }
            Before::Same { healthy } => serve(&mut world, new_version(), healthy),
        }
        world
    }

    pub(crate) fn shape(&self) -> FleetShape {
        FleetShape { size: self.size, granularity: self.granularity, gated: self.gate.is_some() }
    }

    /// The same fleet on a good day: nothing more breaks, and the gate passes whatever it is asked.
    pub(crate) fn on_a_good_day(self) -> Self {
        Self { faults: Vec::new(), verdicts: Vec::new(), ..self }
    }

    /// The same world where only the old fleet breaks, and the gate passes whatever it is asked.
    pub(crate) fn while_only_the_old_fleet_breaks(self) -> Self {
        let old_only =
            |fault: &Fault| matches!(fault, Fault::OldDies { .. } | Fault::AllOldDie | Fault::OldHeals);
        let faults =
            self.faults.into_iter().map(|fault| if old_only(&fault) { fault } else { Fault::Nothing });
        Self { faults: faults.collect(), verdicts: Vec::new(), ..self }
    }

    /// How often in a row the gate may have no answer before the rollout is given up.
    pub(crate) fn patience(&self) -> u32 {
        let times = |policy| match policy {
            OnSilence::Wait { times } => times,
            OnSilence::Abort => 0,
        };
        self.gate.as_ref().map_or(0, |gate| times(gate.on_insufficient).max(times(gate.on_provider_error)))
    }
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    (1..=20_u32, select(vec![1, 5, 10, 100]), proptest::option::weighted(0.8, gate())).prop_flat_map(
        |(size, granularity, gate)| {
            (before(size), vec(fault(size), 0..24), trouble(), vec(verdict(), 0..24)).prop_map(
                move |(before, faults, trouble, verdicts)| Scenario {
                    size,
                    granularity,
                    gate: gate.clone(),
                    before,
                    faults,
                    trouble,
                    verdicts,
                },
            )
        },
    )
}

fn before(size: u32) -> impl Strategy<Value = Before> {
    let most = size as usize;
    let ok = || proptest::bool::weighted(0.8);
    prop_oneof![
        2 => Just(Before::Nothing),
        6 => Just(Before::Old { healthy: vec![true; most], warm: 0 }),
        2 => Just(Before::Old { healthy: vec![false; most], warm: 0 }),
        4 => (vec(ok(), 1..=most + 3), 0..=size)
            .prop_map(|(healthy, warm)| Before::Old { healthy, warm }),
        2 => vec(ok(), 0..=most)
            .prop_map(move |new| Before::Leftovers { old: size, new }),
        2 => vec(ok(), 0..=most).prop_map(|healthy| Before::Same { healthy }),
        1 => Just(Before::Same { healthy: vec![true; most] }),
    ]
}

fn gate() -> impl Strategy<Value = Thresholds> {
    let policy =
        || prop_oneof![Just(OnSilence::Abort), (0..4_u32).prop_map(|times| OnSilence::Wait { times })];
    (policy(), policy()).prop_map(|(on_insufficient, on_provider_error)| Thresholds {
        max_failure_ratio: 0.01,
        max_p99_ms: None,
        min_requests: 10,
        on_insufficient,
        on_provider_error,
    })
}

fn fault(size: u32) -> impl Strategy<Value = Fault> {
    let (at, gone) = (0..20_usize, any::<bool>());
    prop_oneof![
        16 => Just(Fault::Nothing),
        2 => (1..=size, gone).prop_map(|(count, gone)| Fault::LaunchFails { count, gone }),
        2 => (at.clone(), gone).prop_map(|(at, gone)| Fault::NewDies { at, gone }),
        2 => (at.clone(), gone).prop_map(|(at, gone)| Fault::OldDies { at, gone }),
        1 => Just(Fault::AllNewDie),
        1 => Just(Fault::AllOldDie),
        1 => Just(Fault::OldHeals),
        1 => at.prop_map(|at| Fault::Unrouted { at }),
        2 => Just(Fault::StopFails),
        1 => Just(Fault::ForeignWeights),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![3 => Just(Trouble::Passes), 1 => Just(Trouble::Returns)]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        12 => Just(Verdict::Pass),
        3 => Just(Verdict::Insufficient),
        2 => Just(Verdict::ProviderError),
        1 => Just(Verdict::Fail),
    ]
}

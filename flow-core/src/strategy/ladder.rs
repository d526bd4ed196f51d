//! Raising the new version's share rung by rung while the old fleet stays whole: what blue-green and canary have in
//! common. Blue-green is a ladder of one rung.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::port::Weights;
use crate::strategy::{Move, RetireWhen, RolloutView, judging, limits};

/// One step of a canary: a share of the traffic, and how long it lasts at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryStep {
    /// The new version's share of the traffic, in percent.
    pub weight: u8,
    /// How long the new version must serve that share before the gate is asked, and again whenever it has no answer.
    pub dwell: Duration,
}

/// How many of `size` instances carry `weight` percent of the traffic: `ceil(size × weight / 100)`.
pub(super) fn instances_for(size: u32, weight: u8) -> u32 {
    let needed = (u64::from(size) * u64::from(weight)).div_ceil(100);
    u32::try_from(needed).unwrap_or(u32::MAX)
}

/// The rungs, and what is allowed on the way up.
#[derive(Debug)]
pub(super) struct Ladder<'a> {
    pub(super) rungs: &'a [CanaryStep],
    pub(super) approval: Option<&'a Name>,
    pub(super) relaunches: u32,
}

impl Ladder<'_> {
    /// Says what comes next on the way to the last rung.
    pub(super) fn climb(&self, view: &RolloutView) -> Move {
        if let Some(abort) = limits::given_up(view, self.relaunches) {
            return abort;
        }
        if limits::already_there(view) {
            return Move::Done;
        }
        let mended = withdraw(view).or_else(|| unroute_dead(view)).or_else(|| limits::bury(view));
        let next = mended.or_else(|| self.ahead(view).find_map(|rung| self.stand(view, rung)));
        next.unwrap_or_else(|| finish(view))
    }

    /// The rung that was reached last and those above it. Where no old instance is healthy the last rung is the only
    /// one: a share for the old version would be a share of errors.
    fn ahead(&self, view: &RolloutView) -> impl Iterator<Item = &CanaryStep> {
        let reached = view.history.iter().rev().find_map(|past| match &past.made {
            Move::Shift { weights, .. } => Some(weights.share(&view.new)).filter(|share| *share > 0),
            _ => None,
        });
        let at = self.rungs.iter().position(|rung| Some(rung.weight) == reached).unwrap_or(0);
        let last = self.rungs.len().saturating_sub(1);
        self.rungs.iter().skip(if stable(view).is_none() { last } else { at })
    }

    /// What is missing for `rung` to be in force and proved; nothing once it is.
    fn stand(&self, view: &RolloutView, rung: &CanaryStep) -> Option<Move> {
        let needed = instances_for(view.size, rung.weight);
        let ready = view.ready(&view.new);
        if ready < needed {
            return Some(launch(view, needed - ready));
        }
        let weights = match stable(view).filter(|_| rung.weight < 100) {
            None => Weights::all_to(view.new.clone()),
            Some(stable) => {
                let rest = 100_u8.saturating_sub(rung.weight);
                match Weights::new([(view.new.clone(), rung.weight), (stable.clone(), rest)]) {
                    Ok(weights) => weights,
                    Err(problem) => return Some(limits::abort(problem.to_string())),
                }
            }
        };
        if !in_force(view, &weights, needed) {
            let approval = self.approval.filter(|_| weights != view.weights);
            let asked = approval.and_then(|gate| unapproved(view, gate));
            return Some(asked.unwrap_or_else(|| limits::shift(view, weights, Vec::new())));
        }
        judging::unproved(view, rung.dwell)
    }
}

/// The old version, as long as it can take traffic.
fn stable(view: &RolloutView) -> Option<&Name> {
    view.old.as_ref().filter(|old| **old != view.new && view.ready(old) > 0)
}

/// Takes the traffic back from a new version that has no healthy instance left, where the old one can have it.
fn withdraw(view: &RolloutView) -> Option<Move> {
    let stranded = view.weights.share(&view.new) > 0 && view.ready(&view.new) == 0;
    let stable = stable(view).filter(|_| stranded)?;
    Some(limits::shift(view, Weights::all_to(stable.clone()), limits::dead_and_routed(view)))
}

/// Takes the traffic from dead new instances where healthy ones carry on.
fn unroute_dead(view: &RolloutView) -> Option<Move> {
    let dead = limits::dead_and_routed(view);
    if dead.is_empty() || view.ready(&view.new) == 0 {
        return None;
    }
    let all_alive = view.weights.iter().all(|(version, _)| view.ready(version) > 0);
    let weights = if all_alive { view.weights.clone() } else { Weights::all_to(view.new.clone()) };
    Some(limits::shift(view, weights, dead))
}

/// Launches what is missing. The new version never has more than `size` instances, dead ones included.
fn launch(view: &RolloutView, missing: u32) -> Move {
    if view.count(&view.new).saturating_add(missing) > view.size {
        let new = &view.new;
        return limits::abort(format!(
            "no room for {missing} more instances of {new}: retired ones still stand"
        ));
    }
    Move::Launch { count: missing }
}

fn in_force(view: &RolloutView, weights: &Weights, needed: u32) -> bool {
    let strays = view.instances.iter().any(|seen| seen.routed && weights.share(&seen.version) == 0);
    view.weights == *weights && view.serving(&view.new) >= needed && !strays
}

fn unapproved(view: &RolloutView, gate: &Name) -> Option<Move> {
    let ask = Move::AwaitApproval { gate: gate.clone() };
    (!view.history.iter().any(|past| past.made == ask)).then_some(ask)
}

fn finish(view: &RolloutView) -> Move {
    if view.weights.share(&view.new) < 100 {
        return limits::abort("the steps do not end with all traffic on the new version");
    }
    let replaced = view.replaced().filter(|seen| !view.is_retired(&seen.id));
    limits::retire(limits::ids(replaced), RetireWhen::KeepWarm).unwrap_or(Move::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_gets_enough_instances_to_carry_it() {
        assert_eq!(instances_for(10, 1), 1);
        assert_eq!(instances_for(10, 25), 3);
        assert_eq!(instances_for(4, 25), 1);
        assert_eq!(instances_for(20, 95), 19);
        assert_eq!(instances_for(7, 100), 7);
        assert_eq!(instances_for(u32::MAX, 100), u32::MAX);
    }
}

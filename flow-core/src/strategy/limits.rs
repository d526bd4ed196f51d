//! What every strategy keeps to: when it gives up, and what it never routes.

use crate::error::Problems;
use crate::port::{InstanceId, Weights};
use crate::strategy::judging;
use crate::strategy::{FleetShape, Move, RetireWhen, RolloutView, Seen};

/// Gives the rollout up where going on is out of the question: the gate refuses, more instances of the new version
/// failed than may be replaced, or somebody else moves the weights.
pub(super) fn given_up(view: &RolloutView, relaunches: u32) -> Option<Move> {
    if let Some(reason) = judging::refused(view) {
        return Some(Move::Abort { reason });
    }
    let lost = view.launched().saturating_sub(view.ready(&view.new));
    if lost > relaunches {
        let new = &view.new;
        return Some(abort(format!(
            "too many instances of {new} failed: {lost}, of which {relaunches} may be replaced"
        )));
    }
    let expected = view.shifted_to()?;
    let observed = &view.weights;
    let foreign =
        || format!("something else moves the weights: {expected} were put in force, {observed} are");
    (expected != observed).then(|| abort(foreign()))
}

/// Whether the new version is what served before, with all that it is to have: nothing to do.
pub(super) fn already_there(view: &RolloutView) -> bool {
    let new = &view.new;
    view.old.as_ref() == Some(new)
        && view.shifted_to().is_none()
        && view.weights.share(new) == 100
        && view.serving(new) >= view.size
        && view.count(new) == view.serving(new)
}

/// How often the same shift is made while nothing is launched in between.
const MOST_REPEATS: usize = 3;

/// Shifts, unless that would send traffic where it must not go or has come to nothing often enough already.
///
/// Between two launches there is no reason to make the same shift twice, except that the world moved meanwhile; where it
/// always does, the shift does not hold. Launches are bounded, and so are the sets of instances to leave: with
/// this bound no rollout goes on for ever.
pub(super) fn shift(view: &RolloutView, weights: Weights, mut leaving: Vec<InstanceId>) -> Move {
    leaving.sort_unstable();
    let stays = |seen: &&Seen| seen.healthy && !leaving.contains(&seen.id);
    for (version, share) in weights.iter() {
        if !view.instances.iter().filter(stays).any(|seen| seen.version == *version) {
            return abort(format!("no healthy instance of {version} to send {share} % of the traffic to"));
        }
        let granularity = view.granularity;
        if granularity == 0 || !share.is_multiple_of(granularity) {
            return abort(format!(
                "the router has steps of {granularity} %, so {version} cannot get {share} %"
            ));
        }
    }
    let shift = Move::Shift { weights, leaving };
    let since = view.history.iter().rev().take_while(|past| !matches!(past.made, Move::Launch { .. }));
    let made = since.filter(|past| past.made == shift).count();
    if made >= MOST_REPEATS {
        return abort(format!("the same shift was made {made} times and does not hold"));
    }
    shift
}

/// The instances of the new version that get traffic and are not healthy, ordered by id.
pub(super) fn dead_and_routed(view: &RolloutView) -> Vec<InstanceId> {
    ids(view.instances.iter().filter(|seen| seen.version == view.new && seen.routed && !seen.healthy))
}

/// Retires the instances of the new version that are not healthy and get no traffic.
///
/// Where nothing at all is healthy there is nowhere to move their traffic to, so they go as they are.
pub(super) fn bury(view: &RolloutView) -> Option<Move> {
    let down = is_down(view);
    let dead = |seen: &&Seen| {
        seen.version == view.new && !seen.healthy && (down || !seen.routed) && !view.is_retired(&seen.id)
    };
    retire(ids(view.instances.iter().filter(dead)), RetireWhen::Now)
}

/// Whether not one instance is healthy.
pub(super) fn is_down(view: &RolloutView) -> bool {
    !view.instances.iter().any(|seen| seen.healthy)
}

/// Retires `instances`, if there are any.
pub(super) fn retire(instances: Vec<InstanceId>, when: RetireWhen) -> Option<Move> {
    (!instances.is_empty()).then_some(Move::Retire { instances, when })
}

pub(super) fn ids<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<InstanceId> {
    seen.map(|seen| seen.id.clone()).collect()
}

pub(super) fn abort(reason: impl Into<String>) -> Move {
    Move::Abort { reason: reason.into() }
}

/// Checks what no strategy can work with.
pub(super) fn check_fleet(problems: &mut Problems, fleet: &FleetShape) {
    problems.check(fleet.size > 0, "size", "must be at least 1");
    let divides = fleet.granularity > 0 && 100_u8.is_multiple_of(fleet.granularity);
    problems.check(divides, "granularity", "must divide 100: no weights of such steps sum to 100 otherwise");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Verdict;
    use crate::name;
    use crate::strategy::Past;
    use crate::strategy::sketch::{Sketch, launched, said, shifted};

    #[test]
    fn a_failed_gate_ends_the_rollout_with_its_own_words() {
        let mut view = Sketch::of(1).view();
        view.history.push(said(Verdict::Fail));
        assert_eq!(given_up(&view, 9), Some(abort("the gate said Fail")));
    }

    #[test]
    fn more_failed_instances_than_may_be_replaced_end_the_rollout() {
        let mut view = Sketch::of(4).old(4).fresh(2).view();
        view.history.push(launched(3));
        assert_eq!(given_up(&view, 1), None);
        view.history.push(launched(1));
        assert!(matches!(given_up(&view, 1), Some(Move::Abort { .. })));
    }

    #[test]
    fn weights_that_somebody_else_moved_end_the_rollout() {
        let mut view = Sketch::of(1).old(1).fresh(1).share(10).view();
        view.history.push(shifted(&view.weights));
        assert_eq!(given_up(&view, 0), None);
        view.weights = Weights::all_to(name!("v1"));
        assert!(matches!(given_up(&view, 0), Some(Move::Abort { .. })));
    }

    #[test]
    fn no_shift_sends_traffic_to_a_version_without_a_healthy_instance() {
        let view = Sketch::of(1).old(1).fresh(1).view();
        let all = || Weights::all_to(view.new.clone());
        assert!(matches!(shift(&view, all(), Vec::new()), Move::Shift { .. }));
        assert!(matches!(shift(&view, all(), vec![name!("v2-0")]), Move::Abort { .. }));
        let dead = Sketch::of(1).old(1).dead(1).view();
        assert!(matches!(shift(&dead, all(), Vec::new()), Move::Abort { .. }));
    }

    #[test]
    fn no_shift_is_finer_than_the_router() {
        let mut view = Sketch::of(1).old(1).fresh(1).view();
        view.granularity = 10;
        let weights = Weights::new([(name!("v1"), 95), (name!("v2"), 5)]).expect("they sum to 100");
        assert!(matches!(shift(&view, weights, Vec::new()), Move::Abort { .. }));
    }

    #[test]
    fn a_shift_that_does_not_hold_is_not_made_for_ever() {
        let mut view = Sketch::of(1).fresh(1).view();
        let all = Weights::all_to(view.new.clone());
        view.history.extend([shifted(&all), shifted(&all)]);
        assert!(matches!(shift(&view, all.clone(), Vec::new()), Move::Shift { .. }));
        view.history.push(shifted(&all));
        assert!(matches!(shift(&view, all.clone(), Vec::new()), Move::Abort { .. }));
        view.history.push(launched(1));
        let again = shift(&view, all, Vec::new());
        assert!(matches!(again, Move::Shift { .. }), "a launch gives a reason to shift again: {again:?}");
    }

    #[test]
    fn a_dead_instance_with_traffic_is_retired_only_when_nothing_is_healthy() {
        let mut view = Sketch::of(2).old(1).dead(1).view();
        assert!(bury(&view).is_some());
        for seen in &mut view.instances {
            seen.routed = true;
        }
        assert_eq!(bury(&view), None);
        for seen in &mut view.instances {
            seen.healthy = false;
        }
        let buried = bury(&view).expect("nothing is healthy");
        view.history.push(Past { made: buried, judgement: None });
        assert_eq!(bury(&view), None, "nothing is retired twice");
    }
}

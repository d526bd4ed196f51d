//! Baking and judging: what must have happened since the last shift before a rollout goes on.

use std::time::Duration;

use crate::error::Problems;
use crate::gate::Verdict;
use crate::strategy::{FleetShape, Move, Past, RolloutView};

/// What still has to happen before the routing in force counts as proved; nothing once it does.
///
/// Time alone proves a routing only where no gate watches. Where one does, only its `Pass` since the last shift will do:
/// a silent gate is asked again after another `bake`, until it is [`refused`].
pub(super) fn unproved(view: &RolloutView, bake: Duration) -> Option<Move> {
    let since = view.since_shift();
    let asked = since.iter().rposition(|past| past.made == Move::Judge);
    let since = asked.and_then(|index| since.get(index..)).unwrap_or(since);
    if asked.is_some() && since.first().is_some_and(|judged| verdict(judged) == Verdict::Pass) {
        return None;
    }
    let baked = since.iter().map(|past| match past.made {
        Move::Bake { duration } => duration,
        _ => Duration::ZERO,
    });
    let left = bake.saturating_sub(baked.sum());
    if !left.is_zero() {
        return Some(Move::Bake { duration: left.min(between_looks(bake)) });
    }
    view.gate.as_ref().map(|_| Move::Judge)
}

/// How long a bake goes on before the fleet is looked at again: what dies in the middle must not serve errors until the
/// end. A fifth of the bake, but no more often than ten times a second and no less often than every fifteen
/// seconds, unless the bake takes hours: each look is recorded.
fn between_looks(bake: Duration) -> Duration {
    (bake / 5).clamp(Duration::from_millis(100), Duration::from_secs(15)).max(bake / 1000)
}

/// Why the gate ends the rollout, if it does: a `Fail`, at any time, is final, and so is a silence that its policy no
/// longer bears. Both kinds of silence count into one run, so a gate that alternates between them ends as well.
pub(super) fn refused(view: &RolloutView) -> Option<String> {
    let failed = view.history.iter().find(|past| past.made == Move::Judge && verdict(past) == Verdict::Fail);
    if let Some(judgement) = failed.and_then(|past| past.judgement.as_ref()) {
        return Some(judgement.reason.clone());
    }
    let gate = view.gate.as_ref()?;
    let asked = view.since_shift().iter().rev().filter(|past| past.made == Move::Judge);
    let silent = || asked.clone().take_while(|past| verdict(past) != Verdict::Pass);
    let last = silent().next()?;
    let insufficient = verdict(last) == Verdict::Insufficient;
    let policy = if insufficient { gate.on_insufficient } else { gate.on_provider_error };
    let times = u32::try_from(silent().count()).unwrap_or(u32::MAX);
    let said = || last.judgement.as_ref().map_or("no answer was recorded", |judgement| &judgement.reason);
    (!policy.waits(times)).then(|| format!("the gate had no answer, {times} in a row: {}", said()))
}

/// Checks the time that the gate is given.
pub(super) fn check_bake(problems: &mut Problems, fleet: &FleetShape, field: &str, bake: Duration) {
    let judged_at_once = fleet.gated && bake.is_zero();
    problems.check(!judged_at_once, field, "must be above 0 where a gate watches: it needs traffic to judge");
}

/// A question whose answer was not recorded could not be answered: never a pass.
fn verdict(past: &Past) -> Verdict {
    past.judgement.as_ref().map_or(Verdict::ProviderError, |judgement| judgement.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::OnSilence;
    use crate::strategy::sketch::{Sketch, gate, said};

    /// So short that nobody looks in between.
    const BAKE: Duration = Duration::from_millis(100);

    fn next(view: &RolloutView) -> Option<Move> {
        refused(view).map(|reason| Move::Abort { reason }).or_else(|| unproved(view, BAKE))
    }

    fn after(moves: impl IntoIterator<Item = Past>) -> Option<Move> {
        let mut view = Sketch::of(2).gated(gate(OnSilence::Wait { times: 2 }, OnSilence::Abort)).view();
        view.history = moves.into_iter().collect();
        next(&view)
    }

    fn baked() -> Past {
        Past { made: Move::Bake { duration: BAKE }, judgement: None }
    }

    #[test]
    fn without_a_gate_a_bake_is_enough() {
        let mut view = Sketch::of(2).view();
        assert_eq!(unproved(&view, BAKE), Some(Move::Bake { duration: BAKE }));
        view.history.push(baked());
        assert_eq!(unproved(&view, BAKE), None);
    }

    #[test]
    fn with_a_gate_time_alone_is_never_enough() {
        assert_eq!(after([baked(), baked(), baked()]), Some(Move::Judge));
        assert_eq!(after([baked(), said(Verdict::Pass)]), None);
    }

    #[test]
    fn only_what_is_left_of_a_bake_is_baked() {
        let half = Past { made: Move::Bake { duration: BAKE / 2 }, judgement: None };
        assert_eq!(after([half]), Some(Move::Bake { duration: BAKE / 2 }));
    }

    #[test]
    fn a_long_bake_stops_to_look_at_the_fleet() {
        let look = |bake| unproved(&Sketch::of(2).view(), bake);
        for (bake, between) in [(1, 0.2), (60, 12.0), (600, 15.0), (86_400, 86.4)] {
            let duration = Duration::from_secs_f64(between);
            assert_eq!(look(Duration::from_secs(bake)), Some(Move::Bake { duration }), "{bake} s");
        }
    }

    #[test]
    fn a_silent_gate_is_asked_again_after_another_bake_and_then_given_up() {
        let silent = || said(Verdict::Insufficient);
        assert_eq!(after([baked(), silent()]), Some(Move::Bake { duration: BAKE }));
        assert_eq!(after([baked(), silent(), baked()]), Some(Move::Judge));
        assert_eq!(after([baked(), silent(), baked(), silent()]), Some(Move::Bake { duration: BAKE }));
        let third = after([baked(), silent(), baked(), silent(), baked(), silent()]);
        assert!(matches!(third, Some(Move::Abort { .. })), "{third:?}");
    }

    #[test]
    fn each_kind_of_silence_follows_its_own_policy() {
        assert!(matches!(after([baked(), said(Verdict::ProviderError)]), Some(Move::Abort { .. })));
    }

    #[test]
    fn alternating_silence_counts_as_one_run() {
        let mut view =
            Sketch::of(2).gated(gate(OnSilence::Wait { times: 2 }, OnSilence::Wait { times: 2 })).view();
        for verdict in [Verdict::Insufficient, Verdict::ProviderError, Verdict::Insufficient] {
            view.history.extend([baked(), said(verdict)]);
        }
        assert!(matches!(next(&view), Some(Move::Abort { .. })));
    }

    #[test]
    fn a_question_without_a_recorded_answer_is_a_provider_error() {
        let unanswered = Past { made: Move::Judge, judgement: None };
        assert!(matches!(after([baked(), unanswered]), Some(Move::Abort { .. })));
    }

    #[test]
    fn a_pass_from_before_the_last_shift_proves_nothing() {
        let view = Sketch::of(2).view();
        let shift =
            Past { made: Move::Shift { weights: view.weights, leaving: Vec::new() }, judgement: None };
        let bake = Some(Move::Bake { duration: BAKE });
        assert_eq!(after([baked(), said(Verdict::Pass), shift]), bake);
    }
}

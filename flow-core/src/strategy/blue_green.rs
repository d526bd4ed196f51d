use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Problems;
use crate::name::Name;
use crate::strategy::ladder::{CanaryStep, Ladder};
use crate::strategy::{FleetShape, Move, RolloutView, Strategy, judging, limits};

/// Starts a whole second colour, switches all traffic at once, bakes, judges, and keeps the old colour warm.
///
/// It launches as many instances of the new version as the fleet is to have, next to the old ones, so twice the fleet
/// stands until the old colour is stopped. Nothing is switched before all of them are healthy and, where an
/// [`approval`](Self::approval) is asked for, somebody has given it. After the switch the new colour serves for
/// [`bake`](Self::bake) and the gate, if there is one, is asked. Then the old colour is retired
/// [`KeepWarm`](crate::strategy::RetireWhen::KeepWarm): it stands until the run is verified, and the way back is instant.
///
/// - A `Fail` aborts with the gate's own words. A gate without an answer is asked again after another bake, as often in a row as
///   its policy says; then the rollout is aborted. Time alone never stands in for a gate.
/// - An instance of the new colour that dies is taken out and replaced, after which the new colour is baked and judged
///   again. If all of them die, the traffic goes back to the old colour first.
/// - Whether the old colour is healthy does not matter: a broken one is replaced like any other.
/// - Where the version already serves with all its instances there is nothing to do.
///
/// ```
/// use std::time::Duration;
/// use flow_core::strategy::{BlueGreen, FleetShape, Move, RolloutView, Strategy};
/// use flow_core::{Weights, name};
///
/// let strategy = BlueGreen { bake: Duration::from_secs(300), ..BlueGreen::default() };
/// strategy.check(&FleetShape { size: 4, granularity: 100, gated: true })?;
///
/// // The first deployment of all: no old colour, nothing routed.
/// let view = RolloutView {
///     service: name!("web"),
///     size: 4,
///     old: None,
///     new: name!("1.0.0"),
///     instances: Vec::new(),
///     weights: Weights::none(),
///     granularity: 100,
///     gate: None,
///     history: Vec::new(),
/// };
/// assert_eq!(strategy.decide(&view), Move::Launch { count: 4 });
/// # Ok::<(), flow_core::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlueGreen {
    /// How long the new colour must serve before the gate is asked, and again whenever the gate has no answer.
    pub bake: Duration,
    /// The approval that the switch waits for, if any. It is asked for once, when the new colour is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Name>,
    /// How many instances of the new version, in the whole rollout, may fail and be replaced. One more aborts.
    pub relaunches: u32,
}

impl Default for BlueGreen {
    /// A minute of baking, no approval, one replacement.
    fn default() -> Self {
        Self { bake: Duration::from_secs(60), approval: None, relaunches: 1 }
    }
}

impl Strategy for BlueGreen {
    fn name(&self) -> Name {
        crate::name!("blue-green")
    }

    fn definition(&self) -> Value {
        json!(self)
    }

    fn check(&self, fleet: &FleetShape) -> Result<(), Problems> {
        let mut problems = Problems::default();
        limits::check_fleet(&mut problems, fleet);
        judging::check_bake(&mut problems, fleet, "bake", self.bake);
        problems.into_result()
    }

    fn decide(&self, view: &RolloutView) -> Move {
        let switch = [CanaryStep { weight: 100, dwell: self.bake }];
        let ladder = Ladder { rungs: &switch, approval: self.approval.as_ref(), relaunches: self.relaunches };
        ladder.climb(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{OnSilence, Verdict};
    use crate::name;
    use crate::port::Weights;
    use crate::strategy::sketch::{Sketch, ask, baked, gate, judging as asked, launched, said, shifted};
    use crate::strategy::{Past, RetireWhen};

    fn strategy() -> BlueGreen {
        BlueGreen { bake: baked(), ..BlueGreen::default() }
    }

    fn switch() -> Move {
        Move::Shift { weights: Weights::all_to(name!("v2")), leaving: Vec::new() }
    }

    #[test]
    fn the_whole_second_colour_is_launched_first() {
        assert_eq!(strategy().decide(&Sketch::of(4).old(4).view()), Move::Launch { count: 4 });
    }

    #[test]
    fn all_traffic_is_switched_at_once_and_only_when_every_instance_is_ready() {
        let mut view = Sketch::of(4).old(4).fresh(3).view();
        view.history.push(launched(4));
        assert_eq!(strategy().decide(&view), Move::Launch { count: 1 });
        let mut view = Sketch::of(4).old(4).fresh(4).view();
        view.history.push(launched(4));
        assert_eq!(strategy().decide(&view), switch());
    }

    #[test]
    fn an_approval_is_asked_for_once_and_health_is_looked_at_again_after_it() {
        let strategy = BlueGreen { approval: Some(name!("release")), ..strategy() };
        let mut view = Sketch::of(1).old(1).fresh(1).view();
        assert_eq!(strategy.decide(&view), ask("release"));
        view.history.push(Past { made: ask("release"), judgement: None });
        assert_eq!(strategy.decide(&view), switch());
        view.instances.retain(|seen| seen.version != view.new);
        assert_eq!(strategy.decide(&view), Move::Launch { count: 1 });
    }

    #[test]
    fn after_the_switch_it_bakes_judges_keeps_the_old_colour_warm_and_is_done() {
        let silence = OnSilence::Wait { times: 1 };
        let mut view = Sketch::of(2).old(2).fresh(2).share(100).gated(gate(silence, silence)).view();
        view.history.push(shifted(&view.weights));
        let mut moves = Vec::new();
        while moves.last() != Some(&Move::Done) && moves.len() < 10 {
            let made = strategy().decide(&view);
            let judgement = asked(&made, Verdict::Pass);
            view.history.push(Past { made: made.clone(), judgement });
            moves.push(made);
        }
        let warm = Move::Retire { instances: vec![name!("v1-0"), name!("v1-1")], when: RetireWhen::KeepWarm };
        assert_eq!(moves, [Move::Bake { duration: baked() }, Move::Judge, warm, Move::Done]);
    }

    #[test]
    fn a_failed_judgement_aborts_with_its_reason() {
        let mut view = Sketch::of(1).old(1).fresh(1).share(100).view();
        view.history.extend([shifted(&view.weights), said(Verdict::Fail)]);
        assert_eq!(strategy().decide(&view), Move::Abort { reason: "the gate said Fail".to_owned() });
    }

    #[test]
    fn the_version_that_already_serves_is_done_at_once() {
        let mut view = Sketch::of(3).fresh(3).share(100).view();
        view.old = Some(view.new.clone());
        assert_eq!(strategy().decide(&view), Move::Done);
        view.instances.truncate(2);
        assert_eq!(strategy().decide(&view), Move::Launch { count: 1 });
    }

    #[test]
    fn a_broken_old_colour_does_not_block_its_replacement() {
        let mut view = Sketch::of(2).old(2).fresh(2).view();
        for seen in view.instances.iter_mut().filter(|seen| seen.version == name!("v1")) {
            seen.healthy = false;
        }
        assert_eq!(strategy().decide(&view), switch());
    }

    #[test]
    fn a_dead_instance_is_taken_out_of_the_traffic_then_retired_then_replaced() {
        let mut view = Sketch::of(2).old(2).fresh(1).dead(1).share(100).view();
        view.history.extend([launched(2), shifted(&view.weights)]);
        let dead = name!("v2-1");
        for seen in view.instances.iter_mut().filter(|seen| seen.version == name!("v2")) {
            seen.routed = true;
        }
        let out = Move::Shift { weights: view.weights.clone(), leaving: vec![dead.clone()] };
        assert_eq!(strategy().decide(&view), out);
        for seen in view.instances.iter_mut().filter(|seen| seen.id == dead) {
            seen.routed = false;
        }
        let gone = Move::Retire { instances: vec![dead.clone()], when: RetireWhen::Now };
        assert_eq!(strategy().decide(&view), gone);
        view.instances.retain(|seen| seen.id != dead);
        assert_eq!(strategy().decide(&view), Move::Launch { count: 1 });
    }

    #[test]
    fn a_colour_that_dies_under_traffic_gives_it_back_to_the_old_one_first() {
        let mut view = Sketch::of(1).old(1).share(100).view();
        view.history.extend([launched(1), shifted(&view.weights)]);
        let back = Move::Shift { weights: Weights::all_to(name!("v1")), leaving: Vec::new() };
        assert_eq!(strategy().decide(&view), back);
        let strict = BlueGreen { relaunches: 0, ..strategy() };
        assert!(matches!(strict.decide(&view), Move::Abort { .. }));
    }

    #[test]
    fn every_problem_is_reported_with_its_field() {
        let problems = BlueGreen { bake: Duration::ZERO, ..strategy() }
            .check(&FleetShape { size: 0, granularity: 30, gated: true })
            .expect_err("nothing about it is right");
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["size", "granularity", "bake"]);
    }

    #[test]
    fn a_definition_reads_back_and_refuses_unknown_fields() {
        let strategy = BlueGreen { approval: Some(name!("release")), ..strategy() };
        assert_eq!(serde_json::from_value::<BlueGreen>(strategy.definition()).expect("reads"), strategy);
        assert_eq!(serde_json::from_str::<BlueGreen>("{}").expect("reads"), BlueGreen::default());
        assert!(serde_json::from_str::<BlueGreen>(r#"{"backe": 1}"#).is_err());
    }
}

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Problems;
use crate::name::Name;
use crate::strategy::ladder::{CanaryStep, Ladder};
use crate::strategy::{FleetShape, Move, RolloutView, Strategy, judging, limits};

/// Raises the new version's share of the traffic step by step, and asks the gate at each.
///
/// For a step of `weight` percent at least `ceil(size × weight / 100)` instances of the new version must be healthy; what is
/// missing is launched before the traffic moves, and the whole old fleet stands and serves until the last step. So a
/// step never asks more of an instance than the full fleet would, and up to twice the fleet stands. After each shift
/// the new version serves for the step's `dwell`, then the gate, if there is one, is asked: without its `Pass` there
/// is no next step. At 100 % the old fleet is retired [`KeepWarm`](crate::strategy::RetireWhen::KeepWarm).
///
/// - A `Fail` aborts with the gate's own words. A gate without an answer is asked again after another dwell, as often in a row
///   as its policy says; then the rollout is aborted.
/// - An instance of the new version that dies is taken out and replaced, and the step is judged again. If no new instance
///   is left, the old version gets the traffic back first.
/// - Where the old version has no healthy instance, or there is none, everything goes to the new one in one step, the
///   last: there is nothing to compare with, and a share for the old version would be a share of errors.
/// - Where the version already serves with all its instances there is nothing to do.
///
/// ```
/// use std::time::Duration;
/// use flow_core::strategy::{Canary, CanaryStep, FleetShape, Strategy};
///
/// let dwell = Duration::from_secs(600);
/// let steps = [10, 50, 100].map(|weight| CanaryStep { weight, dwell }).to_vec();
/// let canary = Canary { steps, ..Canary::default() };
/// canary.check(&FleetShape { size: 6, granularity: 10, gated: true })?;
///
/// // A router with steps of 25 % cannot do this, and says so when the plan is made.
/// let problems = canary.check(&FleetShape { size: 6, granularity: 25, gated: true }).unwrap_err();
/// assert_eq!(problems.as_slice()[0].field, "steps[0].weight");
/// # Ok::<(), flow_core::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Canary {
    /// The steps, each with a higher weight than the one before, in multiples of the router's granularity. The last is
    /// 100.
    pub steps: Vec<CanaryStep>,
    /// How many instances of the new version, in the whole rollout, may fail and be replaced. One more aborts.
    pub relaunches: u32,
}

impl Default for Canary {
    /// 1, 5, 25, 50, 95 and 100 percent, a minute each, and one replacement.
    fn default() -> Self {
        let dwell = Duration::from_secs(60);
        let steps = [1, 5, 25, 50, 95, 100].map(|weight| CanaryStep { weight, dwell }).to_vec();
        Self { steps, relaunches: 1 }
    }
}

impl Strategy for Canary {
    fn name(&self) -> Name {
        crate::name!("canary")
    }

    fn definition(&self) -> Value {
        json!(self)
    }

    fn check(&self, fleet: &FleetShape) -> Result<(), Problems> {
        let mut problems = Problems::default();
        limits::check_fleet(&mut problems, fleet);
        let mut before = 0;
        for (index, step) in self.steps.iter().enumerate() {
            let field = format!("steps[{index}].weight");
            problems.check(step.weight > before, &field, "must be above the weight before it");
            problems.check(step.weight <= 100, &field, "must be at most 100");
            let whole = fleet.granularity == 0 || step.weight.is_multiple_of(fleet.granularity);
            problems.check(whole, &field, "must be a multiple of the router's granularity");
            judging::check_bake(&mut problems, fleet, &format!("steps[{index}].dwell"), step.dwell);
            before = step.weight;
        }
        problems.check(before == 100, "steps", "must end with a weight of 100");
        problems.into_result()
    }

    fn decide(&self, view: &RolloutView) -> Move {
        let ladder = Ladder { rungs: &self.steps, approval: None, relaunches: self.relaunches };
        ladder.climb(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{OnSilence, Verdict};
    use crate::name;
    use crate::port::Weights;
    use crate::strategy::sketch::{Sketch, baked, gate, launched, said, shifted, waited};

    fn canary(weights: &[u8]) -> Canary {
        let steps = weights.iter().map(|weight| CanaryStep { weight: *weight, dwell: baked() }).collect();
        Canary { steps, relaunches: 1 }
    }

    fn gated(sketch: Sketch) -> RolloutView {
        let silence = OnSilence::Wait { times: 1 };
        sketch.gated(gate(silence, silence)).view()
    }

    fn split(new: u8) -> Move {
        let weights = Weights::new([(name!("v1"), 100 - new), (name!("v2"), new)]).expect("they sum to 100");
        Move::Shift { weights, leaving: Vec::new() }
    }

    #[test]
    fn a_step_launches_just_the_instances_that_carry_its_share() {
        let strategy = canary(&[5, 50, 100]);
        assert_eq!(strategy.decide(&gated(Sketch::of(10).old(10))), Move::Launch { count: 1 });
        assert_eq!(strategy.decide(&gated(Sketch::of(10).old(10).fresh(1))), split(5));
    }

    #[test]
    fn there_is_no_next_step_without_a_pass() {
        let strategy = canary(&[5, 50, 100]);
        let mut view = gated(Sketch::of(10).old(10).fresh(1).share(5));
        view.history.extend([launched(1), shifted(&view.weights)]);
        assert_eq!(strategy.decide(&view), Move::Bake { duration: baked() });
        view.history.push(waited());
        assert_eq!(strategy.decide(&view), Move::Judge);
        view.history.extend([said(Verdict::Insufficient), waited()]);
        assert_eq!(strategy.decide(&view), Move::Judge);
        view.history.push(said(Verdict::Pass));
        assert_eq!(strategy.decide(&view), Move::Launch { count: 4 });
    }

    #[test]
    fn at_the_last_step_the_old_fleet_is_kept_warm() {
        let strategy = canary(&[50, 100]);
        let mut view = gated(Sketch::of(1).old(1).fresh(1).share(100));
        view.history.extend([launched(1), shifted(&view.weights), waited(), said(Verdict::Pass)]);
        let Move::Retire { instances, when } = strategy.decide(&view) else { panic!("the old one stands") };
        assert_eq!((instances, when), (vec![name!("v1-0")], crate::strategy::RetireWhen::KeepWarm));
    }

    #[test]
    fn without_a_healthy_old_instance_everything_goes_to_the_new_version_at_once() {
        let strategy = canary(&[5, 50, 100]);
        let mut view = gated(Sketch::of(4).old(4));
        for seen in &mut view.instances {
            seen.healthy = false;
        }
        assert_eq!(strategy.decide(&view), Move::Launch { count: 4 });
        assert_eq!(strategy.decide(&gated(Sketch::of(4).fresh(4))), split(100));
    }

    #[test]
    fn after_a_withdrawal_the_same_step_is_taken_again() {
        let strategy = canary(&[5, 50, 100]);
        let five = gated(Sketch::of(10).old(10).fresh(1).share(5));
        let mut view = gated(Sketch::of(10).old(10));
        let passed = [launched(1), shifted(&five.weights), waited(), said(Verdict::Pass), launched(4)];
        let fifty = gated(Sketch::of(10).old(10).fresh(5).share(50));
        view.history.extend(passed);
        view.history.extend([shifted(&fifty.weights), shifted(&view.weights)]);
        let patient = Canary { relaunches: 5, ..strategy.clone() };
        assert_eq!(patient.decide(&view), Move::Launch { count: 5 });
        assert!(matches!(strategy.decide(&view), Move::Abort { .. }), "five failed, one may be replaced");
    }

    #[test]
    fn every_problem_is_reported_with_its_field() {
        let fleet = FleetShape { size: 4, granularity: 10, gated: false };
        let problems = canary(&[0, 5, 5, 110, 50]).check(&fleet).expect_err("much is wrong");
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "steps[0].weight",
            "steps[1].weight",
            "steps[2].weight",
            "steps[2].weight",
            "steps[3].weight",
            "steps[4].weight",
            "steps",
        ];
        assert_eq!(fields, expected);
        assert!(canary(&[]).check(&fleet).is_err());
        assert!(Canary::default().check(&FleetShape { size: 4, granularity: 1, gated: true }).is_ok());
    }

    #[test]
    fn a_definition_reads_back_and_refuses_unknown_fields() {
        let strategy = Canary::default();
        assert_eq!(serde_json::from_value::<Canary>(strategy.definition()).expect("reads"), strategy);
        assert!(serde_json::from_str::<Canary>(r#"{"step": []}"#).is_err());
        assert!(
            serde_json::from_str::<CanaryStep>(r#"{"weight": 1, "dwell": {"secs": 1, "nanos": 0}, "x": 1}"#)
                .is_err()
        );
    }
}

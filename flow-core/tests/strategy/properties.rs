use std::time::Duration;

use flow_core::name;
use flow_core::strategy::{BlueGreen, Canary, CanaryStep, Headroom, Move, Rolling, Strategy as _};
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::invariants::{Rules, Share, roll_out};
use crate::scenario::{Scenario, scenario};

const BAKE: Duration = Duration::from_secs(60);

/// 2,000 cases a property, and 100,000 with `FLOW_LONG=1`.
fn cases() -> ProptestConfig {
    let long = std::env::var("FLOW_LONG").is_ok_and(|long| long == "1");
    let cases = if long { 100_000 } else { 2_000 };
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_global_rejects: cases * 4,
        ..ProptestConfig::default()
    }
}

fn blue_green() -> impl Strategy<Value = BlueGreen> {
    (0..4_u32, proptest::option::of(Just(name!("release")))).prop_map(|(relaunches, approval)| BlueGreen {
        bake: BAKE,
        approval,
        relaunches,
    })
}

fn rolling() -> impl Strategy<Value = (Scenario, Rolling)> {
    (scenario(), 0..=5_u32, 0..=5_u32, 0..4_u32).prop_filter_map(
        "the strategy refuses the fleet",
        |(scenario, surge, unavailable, relaunches)| {
            // A router that can only switch takes a surge of the whole fleet.
            let surge = if scenario.granularity == 100 { surge.max(scenario.size) } else { surge };
            let unavailable = unavailable.min(scenario.size - 1);
            let rolling =
                Rolling { headroom: Headroom::new(surge, unavailable).ok()?, bake: BAKE, relaunches };
            rolling.check(&scenario.shape()).ok()?;
            Some((scenario, rolling))
        },
    )
}

fn canary() -> impl Strategy<Value = (Scenario, Canary)> {
    let weights = subsequence(vec![1_u8, 5, 10, 20, 25, 30, 50, 75, 90, 95, 99], 0..=6);
    (scenario(), weights, 0..4_u32).prop_map(|(scenario, weights, relaunches)| {
        let whole = weights.into_iter().filter(|weight| weight.is_multiple_of(scenario.granularity));
        let steps = whole.chain([100]).map(|weight| CanaryStep { weight, dwell: BAKE }).collect();
        (scenario, Canary { steps, relaunches })
    })
}

/// At most one shift a stage of the rollout, three for each instance that may be replaced and the one that may not, and
/// each as often as it is repeated before the strategy gives up; a bake and a judgement for each and again for each
/// silence; every launch of one instance, every retirement too.
fn most_moves(scenario: &Scenario, stages: usize, relaunches: u32) -> usize {
    let again = relaunches as usize + 2;
    let shifts = (stages + 3 * again) * again;
    let proofs = 2 * (scenario.patience() as usize + 2);
    let instances = 2 * scenario.world().view().instances.len() + 2 * (scenario.size as usize + again);
    shifts * (1 + proofs) + instances + 2
}

fn standing(scenario: &Scenario) -> u32 {
    let view = scenario.world().view();
    view.replaced().count() as u32
}

fn rules(scenario: &Scenario, relaunches: u32, stages: usize) -> Rules {
    Rules {
        minimum: scenario.size,
        maximum: scenario.size + standing(scenario),
        launches: scenario.size + relaunches,
        moves: most_moves(scenario, stages, relaunches),
        share: Share::OfSize,
        approval: None,
    }
}

fn rolling_rules(scenario: &Scenario, strategy: &Rolling) -> Rules {
    let batches = scenario.size.div_ceil(strategy.headroom.batch()) as usize + 1;
    Rules {
        minimum: scenario.size - strategy.headroom.max_unavailable(),
        maximum: scenario.size + strategy.headroom.max_surge(),
        share: Share::PerInstance,
        ..rules(scenario, strategy.relaunches, batches)
    }
}

fn blue_green_rules(scenario: &Scenario, strategy: &BlueGreen) -> Rules {
    Rules { approval: strategy.approval.clone(), ..rules(scenario, strategy.relaunches, 1) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn blue_green_keeps_every_invariant_whatever_breaks(scenario in scenario(), strategy in blue_green()) {
        let rules = blue_green_rules(&scenario, &strategy);
        roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn rolling_keeps_every_invariant_whatever_breaks((scenario, strategy) in rolling()) {
        let rules = rolling_rules(&scenario, &strategy);
        roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn canary_keeps_every_invariant_whatever_breaks((scenario, strategy) in canary()) {
        let rules = rules(&scenario, strategy.relaunches, strategy.steps.len());
        roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn blue_green_is_done_on_a_good_day(scenario in scenario(), strategy in blue_green()) {
        let scenario = scenario.on_a_good_day();
        // Launch, approval, shift, bake, judge, retire, done; and twice as much again for dead instances found at first.
        let rules = Rules { moves: 12, ..blue_green_rules(&scenario, &strategy) };
        let ended = roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
        prop_assert!(ended.is_done(), "{ended:#?}");
    }

    #[test]
    fn rolling_is_done_on_a_good_day((scenario, strategy) in rolling()) {
        let scenario = scenario.on_a_good_day();
        let batches = scenario.size.div_ceil(strategy.headroom.batch()) as usize;
        let rules = Rules { moves: 7 * (batches + 1), ..rolling_rules(&scenario, &strategy) };
        let ended = roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
        prop_assert!(ended.is_done(), "{ended:#?}");
    }

    #[test]
    fn canary_is_done_on_a_good_day((scenario, strategy) in canary()) {
        let scenario = scenario.on_a_good_day();
        let stages = strategy.steps.len();
        let rules = Rules { moves: 4 * stages + 6, ..rules(&scenario, strategy.relaunches, stages) };
        let ended = roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
        prop_assert!(ended.is_done(), "{ended:#?}");
    }
}

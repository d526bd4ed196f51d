use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::name;
use flow_core::strategy::{BlueGreen, Canary, CanaryStep, Headroom, Move, Rolling, Strategy as _};
use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::invariants::{Ended, Rules, Share, roll_out};
use crate::scenario::{Scenario, scenario};
use crate::world::new_version;

/// So short that nobody looks in between: how long bakes are cut is a rule of its own.
const BAKE: Duration = Duration::from_millis(100);

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

/// Few enough to run out, or enough to come back from anything.
fn relaunches() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0..4_u32, 1 => 20..60_u32]
}

fn blue_green() -> impl Strategy<Value = BlueGreen> {
    (relaunches(), proptest::option::of(Just(name!("release"))))
        .prop_map(|(relaunches, approval)| BlueGreen { bake: BAKE, approval, relaunches })
}

fn rolling() -> impl Strategy<Value = (Scenario, Rolling)> {
    (scenario(), 0..=5_u32, 0..=5_u32, relaunches()).prop_filter_map(
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
    (scenario(), weights, relaunches()).prop_map(|(scenario, weights, relaunches)| {
        let whole = weights.into_iter().filter(|weight| weight.is_multiple_of(scenario.granularity));
        let steps = whole.chain([100]).map(|weight| CanaryStep { weight, dwell: BAKE }).collect();
        (scenario, Canary { steps, relaunches })
    })
}

/// Every launch is of one instance at least, and starts afresh: a shift that makes room and one that routes. Every dead
/// instance takes two more, every stage one, and each is made three times at most. A bake and a judgement follow each,
/// and again for every silence. Nothing is retired twice.
fn most_moves(scenario: &Scenario, stages: usize, relaunches: u32) -> usize {
    let launches = (scenario.size + relaunches) as usize;
    let shifts = 3 * (2 * (launches + 1) + 2 * (relaunches as usize + 1) + stages);
    let proofs = 2 * (scenario.patience() as usize + 1);
    let retired = launches + scenario.world().view().instances.len();
    shifts * (1 + proofs) + launches + retired + 2
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
    fn nothing_that_happens_to_the_old_fleet_stops_blue_green(scenario in scenario(), strategy in blue_green()) {
        let scenario = scenario.while_only_the_old_fleet_breaks();
        let rules = blue_green_rules(&scenario, &strategy);
        let ended = roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
        prop_assert!(ended.is_done(), "{ended:#?}");
    }

    #[test]
    fn nothing_that_happens_to_the_old_fleet_stops_rolling((scenario, strategy) in rolling()) {
        let scenario = scenario.while_only_the_old_fleet_breaks();
        let rules = rolling_rules(&scenario, &strategy);
        let ended = roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
        prop_assert!(ended.is_done(), "{ended:#?}");
    }

    #[test]
    fn nothing_that_happens_to_the_old_fleet_stops_canary((scenario, strategy) in canary()) {
        let scenario = scenario.while_only_the_old_fleet_breaks();
        let rules = rules(&scenario, strategy.relaunches, strategy.steps.len());
        let ended = roll_out(&scenario, &strategy, &rules).map_err(TestCaseError::fail)?;
        prop_assert!(ended.is_done(), "{ended:#?}");
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

/// The invariants say something only if the random worlds reach the situations that they are about.
#[test]
fn random_worlds_reach_every_end_of_every_strategy() {
    let ends = |reasons: &BTreeMap<String, usize>| {
        for (reason, at_least) in [
            ("done", 100),
            ("simulated Fail", 10),
            ("the gate had no answer", 10),
            ("may be replaced", 10),
            ("something else moves the weights", 10),
            ("more than one launch", 50),
            ("traffic withdrawn", 10),
        ] {
            let found: usize =
                reasons.iter().filter(|(ended, _)| ended.contains(reason)).map(|(_, count)| count).sum();
            assert!(
                found >= at_least,
                "`{reason}` {found} times, at least {at_least} expected: {reasons:#?}"
            );
        }
    };
    ends(&sample((scenario(), blue_green()), |(scenario, strategy)| {
        roll_out(scenario, strategy, &blue_green_rules(scenario, strategy))
    }));
    ends(&sample(rolling(), |(scenario, strategy)| {
        roll_out(scenario, strategy, &rolling_rules(scenario, strategy))
    }));
    ends(&sample(canary(), |(scenario, strategy)| {
        roll_out(scenario, strategy, &rules(scenario, strategy.relaunches, strategy.steps.len()))
    }));
}

/// How a thousand rollouts ended, and what happened on the way.
fn sample<S: Strategy>(
    worlds: S,
    roll_out: impl Fn(&S::Value) -> Result<Ended, String>,
) -> BTreeMap<String, usize> {
    let mut runner = TestRunner::deterministic();
    let mut ends = BTreeMap::new();
    for _ in 0..1000 {
        let world = worlds.new_tree(&mut runner).expect("a world").current();
        let ended = roll_out(&world).expect("every invariant holds");
        let mut count = |what: String| *ends.entry(what).or_default() += 1;
        let launches = ended.moves.iter().filter(|made| matches!(made, Move::Launch { .. })).count();
        if launches > 1 {
            count("more than one launch".to_owned());
        }
        let shares: Vec<u8> = ended.moves.iter().filter_map(new_share).collect();
        if shares.windows(2).any(|pair| pair[0] > 0 && pair[1] == 0) {
            count("traffic withdrawn".to_owned());
        }
        count(match ended.moves.last() {
            Some(Move::Abort { reason }) => reason.clone(),
            _ => "done".to_owned(),
        });
    }
    ends
}

fn new_share(made: &Move) -> Option<u8> {
    match made {
        Move::Shift { weights, .. } => Some(weights.share(&new_version())),
        _ => None,
    }
}

//! Bad input: typed, all at once, and nothing changed.

use std::sync::Arc;
use std::time::Duration;

use flow_core::plan::PlanProblem;
use flow_core::policy::Policy;
use flow_core::port::WeightProblem;
use flow_core::stage::{Activity as _, Functions, MonitoringActivity, Services, Verify, VerifyActivity};
use flow_core::strategy::{BlueGreen, Canary, CanaryStep};
use flow_core::{Actor, Environment, Service, Weights, Work, name};
use serde_json::json;

use super::claims::Claims;
use super::line::Line;

fn ann() -> Actor {
    Actor::new("ann").unwrap()
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_wrong_with_the_input_is_said_at_once_and_nothing_is_changed() {
    let line = Line::new();
    let fleet = Arc::new(line.shop.fleet.clone());
    let rollout = |strategy: BlueGreen, service| {
        Work::<Services>::rollout(strategy, service).on(fleet.clone(), fleet.clone())
    };
    let empty = Service {
        size: 0,
        ready_within: Duration::ZERO,
        stop_within: Duration::ZERO,
        drain_within: Duration::MAX,
        ..Service::new(name!("empty"))
    };
    let endless = Service { size: u32::MAX, ready_within: Duration::MAX, ..Service::new(name!("endless")) };
    let circle = |name, needs| Service { needs: vec![needs], ..Service::new(name) };
    let steps = vec![
        CanaryStep { weight: 60, dwell: Duration::from_secs(1) },
        CanaryStep { weight: 20, dwell: Duration::from_secs(1) },
    ];
    let canary = Canary { steps, ..Canary::default() };
    let mut workflow = line.workflow();
    workflow.services = rollout(BlueGreen::default(), empty)
        .then_work(rollout(BlueGreen::default(), endless))
        .then_work(rollout(BlueGreen::default(), circle(name!("a"), name!("b"))))
        .then_work(rollout(BlueGreen::default(), circle(name!("b"), name!("a"))))
        .then_work(Work::rollout(canary, Service::new(name!("steep"))).on(fleet.clone(), fleet.clone()));
    workflow.functions = Work::<Functions>::not_applicable(" ").by(ann());
    workflow.monitoring = line.workflow().monitoring.without(MonitoringActivity::Alerts, "").by(ann());
    let never =
        Claims::<Verify> { deadline: Duration::ZERO, ..Claims::new(name!("never"), VerifyActivity::ALL) };
    workflow.verify = Work::step(never);
    let mut setting = line.setting(Environment::Staging);
    setting.keep_warm = Duration::MAX;
    setting.policy.evidence_lasts = Duration::ZERO;
    let before = line.seen();
    let refused = workflow.plan(&setting).await.map(drop).unwrap_err();
    assert_eq!(line.seen(), before);
    let told: Vec<String> = refused.problems.iter().map(ToString::to_string).collect();
    let expected = [
        "services need each other in a circle: a -> b -> a",
        "setting: `keep_warm`: must be at most 30 days",
        "setting: `policy.evidence_lasts`: must be above 0",
        "Functions is left out, and the reason does not say why",
        "Monitoring.Alerts is left out, and the reason does not say why",
        "Services/empty: `service.size`: must be at least 1",
        "Services/empty: `service.ready_within`: must be above 0",
        "Services/empty: `service.stop_within`: must be above 0",
        "Services/empty: `service.drain_within`: must be at most a day",
        "Services/empty: `strategy.size`: must be at least 1",
        "Services/endless: `service.size`: must be at most 10000",
        "Services/endless: `service.ready_within`: must be at most a day",
        "Services/steep: `strategy.steps[1].weight`: must be above the weight before it",
        "Verify/never: `deadline`: must be above 0",
    ];
    for expected in expected {
        assert!(told.iter().any(|told| told.starts_with(expected)), "{expected} is missing in {told:#?}");
    }
    assert!(refused.problems.iter().any(|problem| matches!(problem, PlanProblem::Setting(_))));
}

#[test]
fn weights_that_do_not_sum_to_100_say_what_they_sum_to() {
    let refused = Weights::new([(name!("v1"), 60), (name!("v2"), 30)]).unwrap_err();
    assert_eq!(refused, WeightProblem { sum: 90 });
}

#[test]
fn an_unknown_environment_names_the_four() {
    let refused = "moon".parse::<Environment>().unwrap_err();
    assert_eq!(refused.to_string(), "`moon` is not one of `development`, `testing`, `staging`, `production`");
    let read = serde_json::from_value::<Environment>(json!("moon")).unwrap_err().to_string();
    assert!(read.contains("unknown variant `moon`"), "{read}");
}

#[test]
fn a_negative_duration_is_no_policy() {
    let mut policy = serde_json::to_value(Policy::standard(Environment::Staging)).unwrap();
    policy["evidence_lasts"]["secs"] = json!(-1);
    let refused = serde_json::from_value::<Policy>(policy).unwrap_err().to_string();
    assert!(refused.contains("invalid value: integer `-1`"), "{refused}");
}

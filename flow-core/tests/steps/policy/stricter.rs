//! A policy may ask for more than the standard, and never for less.

use flow_core::gate::StandardGate;
use flow_core::policy::{Border, Broken, Policy, Proof, Scripts, Violation};
use flow_core::stage::{Prepare, PrepareActivity};
use flow_core::{Environment, Work};

use super::claims::Claims;
use super::line::Line;

const PRODUCTION: Environment = Environment::Production;

#[tokio::test(start_paused = true)]
async fn a_policy_that_asks_for_less_than_the_standard_refuses_the_plan_field_by_field() {
    let line = Line::promoted().await;
    let laxer = |change: fn(&mut Policy)| {
        let mut policy = Policy::standard(PRODUCTION);
        change(&mut policy);
        policy
    };
    let cases: [(&str, Policy); 10] = [
        ("proved_in", laxer(|policy| policy.proved_in = None)),
        ("proved_in", laxer(|policy| policy.proved_in = Some(Environment::Testing))),
        ("proved_in", laxer(|policy| policy.proved_in = Some(PRODUCTION))),
        ("tests", laxer(|policy| assert!(policy.tests.remove(&Proof::UserJourney)))),
        ("scripts", laxer(|policy| policy.scripts = Scripts::Any)),
        ("proofs", laxer(|policy| assert!(policy.proofs.remove(&Proof::Permissions)))),
        (
            "figures.demanded",
            laxer(|policy| assert!(policy.figures.demanded.remove(&StandardGate::Downtime))),
        ),
        ("figures.broken", laxer(|policy| policy.figures.broken = Broken::Reported)),
        ("figures.limits", Policy::standard(PRODUCTION).limiting(StandardGate::ErrorRate, 0.5)),
        ("figures.limits", Policy::standard(PRODUCTION).limiting(StandardGate::Availability, f64::NAN)),
    ];
    for (expected, policy) in cases {
        let mut setting = line.production();
        setting.policy = policy;
        let violations = line.refused(&line.workflow(), &setting).await;
        let lax = violations.iter().filter_map(|violation| match violation {
            Violation::LaxerThanStandard { field, .. } => Some(*field),
            _ => None,
        });
        assert_eq!(lax.collect::<Vec<_>>(), [expected], "{violations:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_environment_may_ask_for_what_the_standard_asks_of_production() {
    let line = Line::new();
    let mut setting = line.setting(Environment::Testing);
    setting.policy = Policy::standard(Environment::Testing)
        .demanding(Proof::SecurityConfiguration)
        .measuring(StandardGate::PageLoad);
    let mut workflow = line.workflow();
    let all = Claims::<Prepare>::new(
        flow_core::name!("prepare"),
        &[
            PrepareActivity::Scope,
            PrepareActivity::EnvironmentState,
            PrepareActivity::DependencyOrder,
            PrepareActivity::RollbackPlan,
        ],
    );
    workflow.prepare = Work::step(all);
    workflow.verify = line.shop.verified(&[StandardGate::Downtime]);
    let environment = Environment::Testing;
    let violations = line.refused(&workflow, &setting).await;
    assert_eq!(
        violations,
        [
            Violation::NothingProves {
                proof: Proof::SecurityConfiguration,
                border: Border::Prepared,
                environment
            },
            Violation::NotMeasured { gate: StandardGate::PageLoad, environment },
        ]
    );
    line.run(&line.workflow(), &setting, "testing").await.unwrap();
}

#[test]
fn a_policy_reads_back_from_its_json() {
    for environment in Environment::ALL {
        let ann = flow_core::Actor::new("ann").unwrap();
        let policy = Policy::standard(environment).limiting(StandardGate::PageLoad, 123.25).without(
            StandardGate::DatabaseQuery,
            "there is no database",
            ann,
        );
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }
}

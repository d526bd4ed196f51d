//! A plan that was approved elsewhere, one that was changed on its way, and a world that drifted: refused with everything as it was.

use flow_core::plan::{Approvals, Plan, RecallError, Tampered, TravelError, fingerprint, plan_hash};
use flow_core::policy::Policy;
use flow_core::{BeginError, Digest, Environment, Stopped, name};
use serde_json::{Value, json};

use super::line::Line;

#[tokio::test(start_paused = true)]
async fn a_plan_is_approved_in_another_system_and_comes_back_as_json() {
    let line = Line::promoted().await;
    let (workflow, setting) = (line.workflow(), line.production());
    let proposed = workflow.plan(&setting).await.unwrap();
    let ticket = proposed.to_json().to_string();
    let answer = serde_json::to_string(&line.approvals(&proposed)).unwrap();
    drop(proposed);
    let back = workflow.recall(Plan::from_json(&ticket).unwrap(), &setting).unwrap();
    let approvals: Approvals = serde_json::from_str(&answer).unwrap();
    let approved = back.approve(&approvals).unwrap();
    workflow.run(approved, &line.durable("production")).await.unwrap();
    assert_eq!(line.shop.page().await, "page 1.0.0");
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_another_plan_is_refused() {
    let line = Line::promoted().await;
    let (workflow, setting) = (line.workflow(), line.production());
    let first = workflow.plan(&setting).await.unwrap();
    let approvals = line.approvals(&first);
    line.shop.world.state().scripts.truncate(0);
    let second = workflow.plan(&setting).await.unwrap();
    assert_ne!(first.hash, second.hash);
    let before = line.seen();
    let errors = second.approve(&approvals).map(drop).unwrap_err();
    assert!(errors[0].to_string().contains("bob: approved another plan"), "{errors:?}");
    assert_eq!(line.seen(), before);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_was_changed_on_its_way_is_refused_before_anything_is_looked_at() {
    let line = Line::promoted().await;
    let (workflow, setting) = (line.workflow(), line.production());
    let whole = workflow.plan(&setting).await.unwrap().to_json();
    let before = line.seen();
    let edits: [(&str, Value); 6] = [
        ("/plan/approvals", json!(0)),
        ("/plan/initiator", json!("bob")),
        ("/plan/policy/approvals", json!(0)),
        ("/plan/stages/2/items/3/preview/changes/0/to", json!("skipped")),
        ("/plan/stages/4/items/0/definition/install/program", json!("curl")),
        ("/plan/hash", json!(Digest::of(b"forged"))),
    ];
    for (pointer, value) in edits {
        let mut edited = whole.clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        let refused = Plan::from_json(&edited.to_string()).unwrap_err();
        assert!(matches!(refused, TravelError::Tampered(_)), "{pointer}: {refused}");
        let plan: Plan = serde_json::from_value(edited["plan"].clone()).unwrap();
        let refused = workflow.recall(plan, &setting).map(drop).unwrap_err();
        let expected = |refused: &RecallError| {
            matches!(refused, RecallError::Tampered(Tampered::Hash { .. } | Tampered::Fingerprint { .. }))
        };
        assert!(expected(&refused), "{pointer}: {refused}");
    }
    assert_eq!(line.seen(), before);
}

/// A forger works the digests out again: the plan is whole, but it is not the one that this workflow makes.
#[tokio::test(start_paused = true)]
async fn a_forged_plan_with_right_digests_is_refused_as_drift_with_everything_as_it_was() {
    let line = Line::promoted().await;
    let (workflow, setting) = (line.workflow(), line.production());
    let mut plan = Plan::clone(&*workflow.plan(&setting).await.unwrap());
    plan.approvals = 0;
    plan.policy = Some(Box::new(Policy::standard(Environment::Development)));
    plan.fingerprint = fingerprint(&plan);
    plan.hash = plan_hash(&plan);
    let forged = workflow.recall(plan, &setting).unwrap().approve(&Approvals::none()).unwrap();
    let before = line.seen();
    let stopped = workflow.run(forged, &line.durable("production")).await.unwrap_err();
    assert!(matches!(stopped, Stopped::NotBegun(BeginError::Drift(_))), "{stopped:?}");
    assert_eq!(line.seen(), before);
    assert_eq!(line.records("production").await, 0, "not even the journal has begun");
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_another_release_or_environment_is_no_plan_of_this_workflow() {
    let line = Line::promoted().await;
    let (workflow, setting) = (line.workflow(), line.production());
    let plan = Plan::clone(&*workflow.plan(&setting).await.unwrap());
    let mut staging = line.setting(Environment::Staging);
    staging.artifacts = setting.artifacts.clone();
    let mut later = setting.clone();
    later.release = name!("1.0.1");
    for other in [staging, later] {
        let refused = workflow.recall(plan.clone(), &other).map(drop).unwrap_err();
        assert!(matches!(refused, RecallError::AnotherDefinition { .. }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_world_that_drifted_after_the_approval_is_refused_with_everything_as_it_was() {
    type Drift = (&'static str, fn(&Line));
    let drifts: [Drift; 3] = [
        ("Migrate/apply-migrations", |line| {
            let mut state = line.shop.world.state();
            let applied = state.scripts[0].clone();
            state.applied.push(applied);
        }),
        ("Migrate/check-scripts", |line| {
            line.shop.world.state().scripts[0].down = None;
        }),
        ("Monitoring/apply-alert-rules", |line| {
            let rules = flow_core::port::RuleSet { name: name!("shop"), rules: "groups: []".to_owned() };
            line.shop.world.state().rules.insert(name!("shop"), rules);
        }),
    ];
    for (changed, drift) in drifts {
        let line = Line::promoted().await;
        let (workflow, setting) = (line.workflow(), line.production());
        let proposed = workflow.plan(&setting).await.unwrap();
        let approvals = line.approvals(&proposed);
        let approved = proposed.approve(&approvals).unwrap();
        drift(&line);
        let before = line.seen();
        let stopped = workflow.run(approved, &line.durable("production")).await.unwrap_err();
        match stopped {
            Stopped::NotBegun(BeginError::Drift(drift)) => {
                assert!(drift.changed.contains(&changed.to_owned()), "{changed}: {drift}");
            }
            // A script without a way back is refused for itself.
            Stopped::NotBegun(BeginError::Plan(_)) if changed == "Migrate/check-scripts" => {}
            other => panic!("{changed}: {other:?}"),
        }
        assert_eq!(line.seen(), before);
        assert_eq!(line.records("production").await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_that_expires_between_approval_and_run_stops_the_run_with_everything_as_it_was() {
    let line = Line::promoted().await;
    let (workflow, mut setting) = (line.workflow(), line.production());
    setting.policy.evidence_lasts = std::time::Duration::from_secs(100);
    let proposed = workflow.plan(&setting).await.unwrap();
    let approvals = line.approvals(&proposed);
    let approved = proposed.approve(&approvals).unwrap();
    flow_core::Clock::sleep(&*line.clock, std::time::Duration::from_secs(101)).await;
    let before = line.seen();
    let stopped = workflow.run(approved, &line.durable("production")).await.unwrap_err();
    let Stopped::NotBegun(BeginError::Plan(refused)) = stopped else { panic!("{stopped:?}") };
    assert!(refused.to_string().contains("expired"), "{refused}");
    assert_eq!(line.seen(), before);
}

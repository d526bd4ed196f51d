//! The typed chain: begin, hold, resume, refuse.

use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::{Durable, Journaled};
use flow_core::journal::MemoryJournal;
use flow_core::plan::{ApprovalError, Approvals, OnFailure, PlanProblem, Refusal};
use flow_core::policy::{Proof, Violation};
use flow_core::port::ProcessManager;
use flow_core::stage::{Migrate, Monitoring, Services, ServicesActivity, StageName, Verify};
use flow_core::strategy::BlueGreen;
use flow_core::{
    Actor, BeginError, Environment, FailedState, Resumed, RunId, Service, Setting, Stopped, Work, Workflow,
    name,
};

use crate::probe::{Bench, Ends, Probe};

fn durable(journal: &MemoryJournal) -> Arc<dyn Durable> {
    Arc::new(Journaled::new(Arc::new(journal.clone()), RunId::new("one").unwrap()))
}

async fn approved(workflow: &Workflow, setting: &Setting) -> flow_core::plan::ApprovedPlan {
    workflow.plan(setting).await.unwrap().approve(&Approvals::none()).unwrap()
}

fn problems(refused: &flow_core::plan::PlanError) -> Vec<String> {
    refused.problems.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn the_chain_of_eight_stages_ends_in_a_report() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let (deployment, work) = workflow.begin(plan, durable(&MemoryJournal::new())).await.unwrap();
    let deployment = deployment.run(work.prepare).await.unwrap();
    let deployment = deployment.run(work.build).await.unwrap();
    let deployment = deployment.run(work.migrate).await.unwrap();
    let deployment = deployment.run(work.assets).await.unwrap();
    let deployment = deployment.run(work.services).await.unwrap();
    let deployment = deployment.run(work.functions).await.unwrap();
    let deployment = deployment.run(work.monitoring).await.unwrap();
    let report = deployment.run(work.verify).await.unwrap().finish();
    assert_eq!(report.outcome(), flow_core::report::ReportOutcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_whole_run_can_be_a_task_of_its_own() {
    let bench = Bench::new();
    let (workflow, setting) = (bench.workflow(), bench.setting(name!("1.0.0")));
    let durable = durable(&MemoryJournal::on(setting.clock.clone()));
    let task = tokio::spawn(async move {
        let plan = approved(&workflow, &setting).await;
        workflow.run(plan, &*durable).await.unwrap();
        workflow.carry_on(&setting, &*durable).await.unwrap()
    });
    assert_eq!(task.await.unwrap().outcome(), flow_core::report::ReportOutcome::Completed);
    let (workflow, setting) = (bench.workflow(), bench.setting(name!("1.1.0")));
    let journal = MemoryJournal::on(setting.clock.clone());
    let task = tokio::spawn(async move {
        let plan = approved(&workflow, &setting).await;
        drop(workflow.clone().begin(plan, self::durable(&journal)).await.unwrap());
        setting.clock.sleep(Duration::from_secs(31)).await;
        workflow.resume(&setting, self::durable(&journal)).await.unwrap()
    });
    assert!(matches!(task.await.unwrap(), Resumed::Prepare(..)));
}

#[tokio::test(start_paused = true)]
async fn work_that_is_not_the_plans_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let (deployment, _) = workflow.begin(plan, durable(&MemoryJournal::new())).await.unwrap();
    // The same name, another step.
    let failed = deployment.run(bench.workflow().prepare).await.unwrap_err();
    assert_eq!(failed.at(), StageName::Prepare);
    assert!(matches!(failed.state, FailedState::Held(_)));
    assert!(bench.log.lines().is_empty(), "{:?}", bench.log.lines());
}

#[tokio::test(start_paused = true)]
async fn a_held_run_goes_on_where_it_failed_and_can_be_given_up() {
    let bench = Bench::new();
    let mut setting = bench.setting(name!("1.0.0"));
    setting.on_failure = OnFailure::Hold;
    let mut workflow = bench.workflow();
    workflow.prepare = Work::step(Probe::new(name!("prepare"), &bench.log).ending(Ends::OnceRejected));
    workflow.build = bench.workflow().build;
    let plan = approved(&workflow, &setting).await;
    let (deployment, work) = workflow.begin(plan, durable(&MemoryJournal::new())).await.unwrap();
    let failed = deployment.run(work.prepare.clone()).await.unwrap_err();
    let FailedState::Held(deployment) = failed.state else { panic!("{failed}") };
    let deployment = deployment.run(work.prepare).await.unwrap();
    let undone = deployment.roll_back(&Actor::new("ann").unwrap(), "enough").await.unwrap();
    assert!(matches!(undone, flow_core::Undone::RolledBack(_)));
    assert!(bench.log.lines().contains(&"undo prepare finished".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_deployment_is_resumed_at_its_stage() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    let (deployment, work) = workflow.begin(plan, durable(&journal)).await.unwrap();
    drop(deployment.run(work.prepare).await.unwrap());
    setting.clock.sleep(Duration::from_secs(31)).await;
    let resumed = bench.workflow().resume(&setting, durable(&journal)).await.unwrap();
    let Resumed::Build(deployment, work) = resumed else { panic!("{resumed:?}") };
    drop(deployment.run(work.build).await.unwrap());
    assert_eq!(bench.log.lines().iter().filter(|line| *line == "run prepare").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_changed_definition_is_incompatible_and_an_unknown_run_is_not_begun() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let none = bench.workflow().resume(&setting, durable(&journal)).await.unwrap_err();
    assert_eq!(none, BeginError::NotBegun);
    let workflow = bench.workflow();
    let plan = approved(&workflow, &setting).await;
    drop(workflow.begin(plan, durable(&journal)).await.unwrap());
    setting.clock.sleep(Duration::from_secs(31)).await;
    let mut renamed = bench.workflow();
    renamed.migrate = Work::step(Probe::<Migrate>::new(name!("migrate-2"), &bench.log));
    let refused = renamed.resume(&setting, durable(&journal)).await.unwrap_err();
    assert!(
        matches!(refused, BeginError::Durable(flow_core::durable::PerformError::Incompatible(_))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drifted_world_is_refused_before_anything_changes() {
    let bench = Bench::new();
    let journal = MemoryJournal::new();
    let setting = bench.setting(name!("1.0.0"));
    let workflow = bench.workflow();
    workflow.run(approved(&workflow, &setting).await, &*durable(&journal)).await.unwrap();
    let setting = bench.setting(name!("1.1.0"));
    let plan = approved(&workflow, &setting).await;
    // Somebody takes the old version out of service between approval and run.
    let permit = flow_testkit::permit();
    let nothing = flow_core::port::Routing::default();
    flow_core::port::Router::route(&bench.fleet, &permit, &name!("web"), &nothing).await.unwrap();
    let before = (bench.log.lines(), bench.fleet.changes());
    let second = Journaled::new(Arc::new(journal), RunId::new("two").unwrap());
    let stopped = workflow.run(plan, &second).await.unwrap_err();
    let Stopped::NotBegun(BeginError::Drift(drift)) = stopped else { panic!("{stopped:?}") };
    assert_eq!(drift.changed, ["Services/web"]);
    assert_eq!((bench.log.lines(), bench.fleet.changes()), before);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_undoes_what_it_did() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let mut workflow = bench.workflow();
    workflow.verify = Work::step(Probe::<Verify>::new(name!("verify"), &bench.log).ending(Ends::Hangs));
    let (clock, cancel) = (setting.clock.clone(), setting.cancel.clone());
    tokio::spawn(async move {
        clock.sleep(Duration::from_secs(90)).await;
        cancel.cancel();
    });
    let plan = approved(&workflow, &setting).await;
    let stopped = workflow.run(plan, &*durable(&MemoryJournal::new())).await.unwrap_err();
    assert!(matches!(stopped, Stopped::RolledBack { .. }), "{stopped:?}");
    assert!(bench.log.lines().contains(&"undo verify in doubt".to_owned()));
    assert!(bench.fleet.instances(&name!("web")).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_irreversible_step_must_be_accepted_and_undo_stops_at_it() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let mut workflow = bench.workflow();
    workflow.migrate =
        Work::step(Probe::<Migrate>::new(name!("migrate"), &bench.log).irreversible("it drops a column"));
    workflow.monitoring =
        Work::step(Probe::<Monitoring>::new(name!("monitor"), &bench.log).ending(Ends::Rejected));
    let errors = workflow.plan(&setting).await.unwrap().approve(&Approvals::none()).unwrap_err();
    assert!(matches!(errors.as_slice(), [ApprovalError::NotAccepted { .. }]), "{errors:?}");
    let accepted = Approvals::none().accepting(name!("migrate"));
    let plan = workflow.plan(&setting).await.unwrap().approve(&accepted).unwrap();
    let stopped = workflow.run(plan, &*durable(&MemoryJournal::new())).await.unwrap_err();
    let Stopped::Parked { parked, .. } = stopped else { panic!("{stopped:?}") };
    let standing: Vec<&str> = parked.standing.iter().map(|standing| standing.step.as_str()).collect();
    assert_eq!(standing, ["migrate", "prepare"], "what began before the point of no return stands too");
    assert!(bench.log.lines().contains(&"undo assets finished".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_is_resolved_with_evidence_and_then_rolled_back() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let broken = || {
        let mut workflow = bench.workflow();
        workflow.migrate =
            Work::step(Probe::<Migrate>::new(name!("migrate"), &bench.log).ending(Ends::UndoFails));
        workflow.verify =
            Work::step(Probe::<Verify>::new(name!("verify"), &bench.log).ending(Ends::Rejected));
        workflow
    };
    let workflow = broken();
    let plan = approved(&workflow, &setting).await;
    workflow.run(plan, &*durable(&journal)).await.unwrap_err();
    let resumed = broken().resume(&setting, durable(&journal)).await.unwrap();
    let Resumed::Parked(mut parked) = resumed else { panic!("{resumed:?}") };
    let ann = || Actor::new("ann").unwrap();
    parked.resolve(StageName::Migrate, &name!("migrate"), ann(), "restored by hand").await.unwrap();
    let ended = parked.resume(ann()).await.unwrap_err();
    assert!(matches!(ended, Stopped::RolledBack { .. }), "{ended:?}");
}

#[tokio::test]
async fn services_start_in_the_order_of_what_they_need_and_a_circle_is_refused() {
    let bench = Bench::new();
    let fleet = Arc::new(bench.fleet.clone());
    let rollout = |service: Service| {
        Work::<Services>::rollout(BlueGreen::default(), service).on(fleet.clone(), fleet.clone())
    };
    let needing = |name: &flow_core::Name, needs: Option<&flow_core::Name>| Service {
        needs: needs.cloned().into_iter().collect(),
        ..Service::new(name.clone())
    };
    let (web, api, db) = (name!("web"), name!("api"), name!("db"));
    let mut workflow = bench.workflow();
    let ordered = rollout(needing(&web, Some(&api)))
        .then_work(rollout(needing(&api, Some(&db))))
        .then_work(rollout(needing(&db, None)));
    let without = |work: Work<Services>| {
        work.without(ServicesActivity::InstallDependencies, "none").by(Actor::new("ann").unwrap())
    };
    workflow.services = without(ordered);
    let plan = workflow.plan(&bench.setting(name!("1.0.0"))).await.unwrap();
    let order: Vec<&str> =
        plan.stage(StageName::Services).unwrap().items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(order, ["db", "api", "web"]);
    let circle = rollout(needing(&web, Some(&api))).then_work(rollout(needing(&api, Some(&web))));
    workflow.services = without(circle);
    let refused = workflow.plan(&bench.setting(name!("1.0.0"))).await.unwrap_err();
    assert!(matches!(refused.problems.as_slice(), [PlanProblem::Cycle(_)]), "{:?}", problems(&refused));
}

/// Why approvals do not count.
fn refusals(approved: Result<flow_core::plan::ApprovedPlan, Vec<ApprovalError>>) -> Vec<Refusal> {
    let errors = approved.map(drop).unwrap_err();
    let [ApprovalError::TooFew { given: 0, needed: 1, refused }] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    refused.iter().map(|refused| refused.reason.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_strict_policy_asks_for_proof_by_digest_and_an_approval_by_somebody_else() {
    let bench = Bench::new();
    let mut setting = bench.setting(name!("1.0.0"));
    setting.policy.proved_in = Some(Environment::Testing);
    setting.policy.tests = Proof::TESTS.into();
    setting.policy.approvals = 1;
    let workflow = bench.workflow();
    let refused = workflow.plan(&setting).await.unwrap_err();
    let violation = |problem: &PlanProblem| {
        matches!(problem, PlanProblem::Violation(Violation::ArtifactsNotNamed { .. }))
    };
    assert!(refused.problems.iter().any(violation), "{:?}", problems(&refused));
    let digest = flow_core::Digest::of(b"1.0.0");
    setting.artifacts = vec![digest];
    let refused = workflow.plan(&setting).await.unwrap_err();
    let unproved = PlanProblem::Violation(Violation::NotProved { digest, environment: Environment::Testing });
    assert_eq!(refused.problems, [unproved]);
    let mut testing = bench.setting(name!("1.0.0"));
    testing.environment = Environment::Testing;
    let plan = approved(&workflow, &testing).await;
    workflow.run(plan, &*durable(&MemoryJournal::on(testing.clock.clone()))).await.unwrap();
    let later = setting.clock.now() + jiff::Span::new().hours(1);
    let proposed = workflow.plan(&setting).await.unwrap();
    let hash = proposed.hash;
    let own = Approvals::none().by(Actor::new("ann").unwrap(), hash, later);
    assert_eq!(refusals(proposed.clone().approve(&own)), [Refusal::OwnRun]);
    let plan = flow_core::Digest::of(b"");
    let other = Approvals::none().by(Actor::new("bob").unwrap(), plan, later);
    assert_eq!(refusals(proposed.clone().approve(&other)), [Refusal::AnotherPlan { plan }]);
    let at = setting.clock.now();
    let late = Approvals::none().by(Actor::new("bob").unwrap(), hash, at);
    assert_eq!(refusals(proposed.clone().approve(&late)), [Refusal::Expired { at }]);
    proposed.approve(&Approvals::none().by(Actor::new("bob").unwrap(), hash, later)).unwrap();
}

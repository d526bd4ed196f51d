use std::sync::Arc;

use flow_core::durable::{Durable, Journaled};
use flow_core::journal::MemoryJournal;
use flow_core::plan::Approvals;
use flow_core::port::Router;
use flow_core::stage::{Migrate, Monitoring, MonitoringActivity, Verify};
use flow_core::{Name, RunId, Setting, Step, Stopped, Weights, Work, Workflow, name};

use crate::probe::{Bench, Ends, Probe};

fn durable(journal: &MemoryJournal, run: &str) -> Journaled<MemoryJournal> {
    Journaled::new(Arc::new(journal.clone()), RunId::new(run).unwrap())
}

async fn deploy(
    workflow: &Workflow,
    setting: &Setting,
    durable: &dyn Durable,
) -> Result<flow_core::report::Report, Stopped> {
    let approved = workflow.plan(setting).await.unwrap().approve(&Approvals::none()).unwrap();
    workflow.run(approved, durable).await
}

async fn weights(bench: &Bench) -> Weights {
    bench.fleet.routing(&name!("web")).await.unwrap().weights().unwrap()
}

fn all(version: &Name) -> Weights {
    Weights::all_to(version.clone())
}

#[tokio::test(start_paused = true)]
async fn a_good_release_goes_through_all_eight_stages_and_replaces_the_old_one() {
    let bench = Bench::new();
    let journal = MemoryJournal::new();
    let (old, new) = (name!("1.0.0"), name!("1.1.0"));
    deploy(&bench.workflow(), &bench.setting(old.clone()), &durable(&journal, "one")).await.unwrap();
    assert_eq!(weights(&bench).await, all(&old));
    deploy(&bench.workflow(), &bench.setting(new.clone()), &durable(&journal, "two")).await.unwrap();
    assert_eq!(weights(&bench).await, all(&new));
    assert_eq!(bench.fleet.running(&name!("web")), [new.clone(), new]);
    assert_eq!(bench.evidence.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_later_stage_undoes_everything_newest_first() {
    let bench = Bench::new();
    let journal = MemoryJournal::new();
    let old = name!("1.0.0");
    deploy(&bench.workflow(), &bench.setting(old.clone()), &durable(&journal, "one")).await.unwrap();
    let before = bench.log.lines().len();
    let mut workflow = bench.workflow();
    workflow.monitoring =
        Work::step(Probe::<Monitoring>::new(name!("monitor"), &bench.log).ending(Ends::InDoubt));
    let stopped =
        deploy(&workflow, &bench.setting(name!("1.1.0")), &durable(&journal, "two")).await.unwrap_err();
    assert!(matches!(stopped, Stopped::RolledBack { .. }), "{stopped:?}");
    assert_eq!(weights(&bench).await, all(&old));
    assert_eq!(bench.fleet.running(&name!("web")), [old.clone(), old]);
    let undone: Vec<String> =
        bench.log.lines().split_off(before).into_iter().filter(|l| l.starts_with("undo")).collect();
    assert_eq!(
        undone,
        ["undo monitor in doubt", "undo assets finished", "undo migrate finished", "undo prepare finished"]
    );
    assert_eq!(bench.evidence.all().len(), 1, "a run that was rolled back proves nothing");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_step_is_not_undone_itself() {
    let bench = Bench::new();
    let mut workflow = bench.workflow();
    workflow.migrate = Work::step(Probe::<Migrate>::new(name!("migrate"), &bench.log).ending(Ends::Rejected));
    let journal = MemoryJournal::new();
    deploy(&workflow, &bench.setting(name!("1.0.0")), &durable(&journal, "one")).await.unwrap_err();
    let undone: Vec<String> = bench.log.lines().into_iter().filter(|line| line.starts_with("undo")).collect();
    assert_eq!(undone, ["undo prepare finished"]);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_stops_no_other_and_parks_the_run() {
    let bench = Bench::new();
    let mut workflow = bench.workflow();
    workflow.migrate =
        Work::step(Probe::<Migrate>::new(name!("migrate"), &bench.log).ending(Ends::UndoFails));
    workflow.verify = Work::step(Probe::<Verify>::new(name!("verify"), &bench.log).ending(Ends::Rejected));
    let journal = MemoryJournal::new();
    let stopped =
        deploy(&workflow, &bench.setting(name!("1.0.0")), &durable(&journal, "one")).await.unwrap_err();
    let Stopped::Parked { parked, .. } = stopped else { panic!("{stopped:?}") };
    assert_eq!(parked.standing.len(), 1);
    assert_eq!(parked.standing[0].step, name!("migrate"));
    assert!(bench.log.lines().contains(&"undo prepare finished".to_owned()));
    assert!(bench.fleet.running(&name!("web")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sick_new_version_never_gets_traffic() {
    let bench = Bench::new();
    let journal = MemoryJournal::new();
    let old = name!("1.0.0");
    deploy(&bench.workflow(), &bench.setting(old.clone()), &durable(&journal, "one")).await.unwrap();
    bench.fleet.sicken(&name!("1.1.0"));
    let before = bench.fleet.changes().len();
    deploy(&bench.workflow(), &bench.setting(name!("1.1.0")), &durable(&journal, "two")).await.unwrap_err();
    let changes = bench.fleet.changes().split_off(before);
    assert!(!changes.iter().any(|change| change.contains("1.1.0 100")), "{changes:?}");
    assert_eq!(bench.fleet.running(&name!("web")), [old.clone(), old]);
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_tried_again_under_the_same_capture() {
    let bench = Bench::new();
    let mut workflow = bench.workflow();
    workflow.migrate =
        Work::step(Probe::<Migrate>::new(name!("migrate"), &bench.log).ending(Ends::OnceUnavailable));
    let journal = MemoryJournal::new();
    deploy(&workflow, &bench.setting(name!("1.0.0")), &durable(&journal, "one")).await.unwrap();
    let lines = bench.log.lines();
    assert_eq!(lines.iter().filter(|line| *line == "capture migrate").count(), 1);
    assert_eq!(lines.iter().filter(|line| *line == "run migrate").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_step_over_its_deadline_is_in_doubt_and_undone() {
    let bench = Bench::new();
    let mut workflow = bench.workflow();
    workflow.migrate = Work::step(Probe::<Migrate>::new(name!("migrate"), &bench.log).ending(Ends::Hangs));
    let journal = MemoryJournal::new();
    deploy(&workflow, &bench.setting(name!("1.0.0")), &durable(&journal, "one")).await.unwrap_err();
    let undone: Vec<String> = bench.log.lines().into_iter().filter(|line| line.starts_with("undo")).collect();
    assert_eq!(undone, ["undo migrate in doubt", "undo prepare finished"]);
}

#[tokio::test]
async fn a_plan_says_everything_that_is_wrong_at_once() {
    let bench = Bench::new();
    let mut workflow = bench.workflow();
    let twice =
        Probe::<Monitoring>::new(name!("migrate"), &bench.log).covering(&[MonitoringActivity::Alerts]);
    workflow.monitoring = Work::step(twice);
    workflow.functions = Work::together([]);
    let problems = workflow.plan(&bench.setting(name!("1.0.0"))).await.unwrap_err().problems;
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        texts.iter().any(|text| text.contains("`migrate` stands in Migrate and in Monitoring")),
        "{texts:?}"
    );
    assert!(texts.iter().any(|text| text.contains("Functions has no work")), "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_step_cancels_its_siblings_and_they_are_undone_together() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let probe = |name, activity, ends| -> Arc<dyn Step<Monitoring>> {
        Arc::new(Probe::<Monitoring>::new(name, &bench.log).covering(&[activity]).ending(ends))
    };
    let mut workflow = bench.workflow();
    workflow.monitoring = Work::together([
        probe(name!("alerts"), MonitoringActivity::Alerts, Ends::Hangs),
        probe(name!("logs"), MonitoringActivity::Logs, Ends::Rejected),
        probe(name!("apm"), MonitoringActivity::Apm, Ends::Well),
    ])
    .without(MonitoringActivity::NotificationTest, "none")
    .by(setting.initiator.clone())
    .without(MonitoringActivity::Dashboards, "none")
    .by(setting.initiator.clone());
    let begun = setting.clock.monotonic();
    let journal = MemoryJournal::on(setting.clock.clone());
    deploy(&workflow, &setting, &durable(&journal, "one")).await.unwrap_err();
    let took = setting.clock.monotonic() - begun;
    assert!(took < std::time::Duration::from_secs(300), "the sibling ran into its deadline: {took:?}");
    let mut undone: Vec<String> =
        bench.log.lines().into_iter().filter(|line| line.starts_with("undo")).collect();
    undone.truncate(2);
    undone.sort();
    assert_eq!(undone, ["undo alerts in doubt", "undo apm finished"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_moves_no_traffic_to_an_old_version_that_broke_meanwhile() {
    let bench = Bench::new();
    let (old, new) = (name!("1.0.0"), name!("1.1.0"));
    let setting = bench.setting(new.clone());
    let journal = MemoryJournal::on(setting.clock.clone());
    deploy(&bench.workflow(), &bench.setting(old.clone()), &durable(&journal, "one")).await.unwrap();
    let mut workflow = bench.workflow();
    workflow.verify = Work::step(Probe::<Verify>::new(name!("verify"), &bench.log).ending(Ends::Hangs));
    let (fleet, clock, cancel) = (bench.fleet.clone(), setting.clock.clone(), setting.cancel.clone());
    tokio::spawn(async move {
        clock.sleep(std::time::Duration::from_secs(90)).await;
        fleet.sicken(&old);
        cancel.cancel();
    });
    let stopped = deploy(&workflow, &setting, &durable(&journal, "two")).await.unwrap_err();
    let Stopped::Parked { parked, .. } = stopped else { panic!("{stopped:?}") };
    assert_eq!(parked.standing[0].step, name!("web"));
    assert_eq!(weights(&bench).await, all(&new), "the only healthy version keeps the traffic");
}

#[tokio::test(start_paused = true)]
async fn no_change_of_a_rollout_exposes_users_to_what_is_unhealthy_or_cuts_a_request_off() {
    let bench = Bench::new();
    let web = bench.fleet.instances_of("web");
    let seconds = std::time::Duration::from_secs;
    web.keep_busy("1.0.0", 4, seconds(20));
    web.start_slowly("1.1.0", seconds(40));
    let journal = MemoryJournal::new();
    for (release, run) in [(name!("1.0.0"), "one"), (name!("1.1.0"), "two")] {
        deploy(&bench.workflow(), &bench.setting(release), &durable(&journal, run)).await.unwrap();
    }
    let history = bench.fleet.router_of("web").history();
    let served: Vec<_> = history.iter().skip_while(|snapshot| snapshot.routing.0.is_empty()).collect();
    assert!(served.len() > 4, "{served:?}");
    for snapshot in served {
        assert!(
            snapshot.exposed.is_empty() && snapshot.serving.len() == 2 && snapshot.cut == 0,
            "{snapshot:?}"
        );
    }
    assert_eq!(bench.fleet.router_of("web").observed_weights(), flow_testkit::weights! { "1.1.0" => 100 });
    assert_eq!(bench.fleet.ledger().refusals(), Vec::<String>::new());
}

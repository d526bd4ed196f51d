//! Whole histories, one for each way that a run can go.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::gate::{Figure, Judgement, StandardGate, Verdict};
use flow_core::journal::{End, Entry, Recorded, RunOutcome, Signal, Standing};
use flow_core::machine::Phase;
use flow_core::plan::OnFailure;
use flow_core::receipt::{Artifact, Evidence, MigrateFacts, Receipt, VerifyFacts};
use flow_core::stage::{
    Activity, Assets, AssetsActivity, Build, BuildActivity, Migrate, MigrateActivity, Monitoring,
    MonitoringActivity, Prepare, PrepareActivity, Services, ServicesActivity, Stage, StageName, Verify,
    VerifyActivity,
};
use flow_core::{Cause, Digest, ErrorKind, Name, Reversibility, name};
use serde_json::{Value, json};

use crate::plan::{actor, sealed, shop, sparse};
use crate::story::{Story, key};

/// What every free text of a history goes through: the tests of hostile texts put their own in.
pub(crate) type Say<'a> = &'a dyn Fn(&str) -> String;

/// Texts as they are.
pub(crate) fn plainly(text: &str) -> String {
    text.to_owned()
}

pub(crate) fn cause(say: Say<'_>, kind: ErrorKind, message: &str) -> Cause {
    let mut cause = Cause::new(kind, say(message));
    cause.facts.insert("path".to_owned(), say("/srv/shop"));
    cause.chain = vec![say("connection reset by peer")];
    cause
}

fn receipt<S: Stage>(say: Say<'_>, activities: &[S::Activity], summary: &str) -> Receipt<S> {
    activities.iter().fold(Receipt::new(), |receipt, activity| {
        let evidence = Evidence::new(*activity, say(&format!("{summary} ({})", activity.name())));
        receipt.observed(evidence.value("seen", say("42 rows")))
    })
}

fn figure(say: Say<'_>, gate: StandardGate, value: f64) -> Figure {
    Figure { gate, value, measured: say("500 requests from the load generator") }
}

fn value<S: Stage>(receipt: &Receipt<S>) -> Value {
    serde_json::to_value(receipt).unwrap()
}

/// Stages 1 and 2.
fn built(story: Story, say: Say<'_>) -> Story {
    use PrepareActivity::{DependencyOrder, EnvironmentState, RollbackPlan, Scope};
    let scope = receipt::<Prepare>(say, &[Scope, EnvironmentState], "looked at");
    let order = receipt::<Prepare>(say, &[DependencyOrder, RollbackPlan], "written down");
    let built = [BuildActivity::CodeVersion, BuildActivity::BuildScripts, BuildActivity::Configuration];
    let compiled = receipt::<Build>(say, &built, "built from tag v1.1.0");
    story
        .step(StageName::Prepare, &name!("scope"), value(&scope))
        .step(StageName::Prepare, &name!("order"), value(&order))
        .finish_stage(StageName::Prepare)
        .step(StageName::Build, &name!("compile"), value(&compiled))
        .finish_stage(StageName::Build)
}

/// Stages 3 and 4, the upload at its second attempt.
fn migrated(story: Story, say: Say<'_>) -> Story {
    use MigrateActivity::{Apply, Backup, Impact, Scripts};
    let path = say("/srv/backup/shop.db").into();
    let backup = Some(Artifact { digest: Digest::of(b"backup"), path });
    let facts = MigrateFacts { backup, ..MigrateFacts::default() };
    let saved = receipt::<Migrate>(say, &[Scripts, Backup], "restored and compared").facts(facts);
    let applied = receipt::<Migrate>(say, &[Apply, Impact], "applied 0007_orders").figure(figure(
        say,
        StandardGate::DatabaseQuery,
        12.5,
    ));
    let uploaded = receipt::<Assets>(say, AssetsActivity::ALL, "fetched from outside");
    let upload = key(StageName::Assets, &name!("upload"), Phase::Do, 0);
    story
        .step(StageName::Migrate, &name!("backup"), value(&saved))
        .step(StageName::Migrate, &name!("schema"), value(&applied))
        .finish_stage(StageName::Migrate)
        .capture(StageName::Assets, &name!("upload"))
        .intend(&upload, 1)
        .after(Duration::from_secs(2))
        .then(Entry::Attempted {
            key: upload.clone(),
            attempt: 1,
            end: End::InDoubt,
            cause: cause(say, ErrorKind::TimedOut, "the store did not answer"),
        })
        .intend(&upload, 2)
        .done(&upload, 4, value(&uploaded))
        .finish_stage(StageName::Assets)
}

fn look(story: Story, unit: u32) -> Story {
    let recorded = Recorded(json!({ "seen": [], "instances": {}, "routing": {} }));
    story.then(Entry::Read { key: key(StageName::Services, &name!("web"), Phase::Observe, unit), recorded })
}

fn judged(story: Story, say: Say<'_>, unit: u32, verdict: Verdict, reason: &str) -> Story {
    let judgement = Judgement { verdict, reason: say(reason), observed: BTreeMap::new() };
    let recorded = Recorded(serde_json::to_value(judgement).unwrap());
    story.then(Entry::Read { key: key(StageName::Services, &name!("web"), Phase::Observe, unit), recorded })
}

/// A rollout up to its first judgement: two instances, a tenth of the traffic, a minute.
fn canary(story: Story) -> Story {
    let web = |unit| key(StageName::Services, &name!("web"), Phase::Do, unit);
    let story = look(story.capture(StageName::Services, &name!("web")), 1);
    let story = look(story.call(&web(1), 5, json!({ "launched": ["1.1.0-a-0", "1.1.0-a-1"] })), 2);
    let shifted = json!({ "weights": { "1.0.0": 90, "1.1.0": 10 }, "mark": null });
    let story = look(story.call(&web(2), 1, shifted), 3);
    look(story.sleep(&web(3), Duration::from_mins(1)), 4)
}

/// The rest of a rollout that goes well, with a silent gate on the way.
fn promoted(story: Story, say: Say<'_>) -> Story {
    let web = |unit| key(StageName::Services, &name!("web"), Phase::Do, unit);
    let story = judged(story, say, 5, Verdict::Insufficient, "12 of at least 50 requests counted");
    let story = look(story, 6);
    let story = look(story.sleep(&web(6), Duration::from_mins(1)), 7);
    let story = judged(story, say, 8, Verdict::Pass, "0 of 420 requests failed");
    let story = look(story, 9).signal(&web(9), Signal::Approved { by: actor(&say("bob")) });
    let story = look(story, 10).call(&web(10), 1, json!({ "weights": { "1.1.0": 100 }, "mark": null }));
    let warm = json!({
        "instances": [{
            "id": "1.0.0-b-0", "version": "1.0.0", "digest": Digest::of(b"web 1.0.0"),
            "address": "127.0.0.1:8001", "pid": 4711,
        }],
        "next_unit": 13,
    });
    let rolled =
        [ServicesActivity::Stop, ServicesActivity::Update, ServicesActivity::Start, ServicesActivity::Health];
    let receipt = receipt::<Services>(say, &rolled, "web by canary: 2 of 2 instances of 1.1.0 healthy")
        .figure(figure(say, StandardGate::Availability, 99.98))
        .figure(figure(say, StandardGate::ErrorRate, 0.02))
        .extra("kept_warm", &warm)
        .unwrap();
    let receipt = Recorded(value(&receipt));
    let story = look(look(story, 11), 12);
    story
        .then(Entry::Concluded { stage: StageName::Services, step: name!("web"), receipt })
        .finish_stage(StageName::Services)
        .finish_stage(StageName::Functions)
}

fn watched(story: Story, say: Say<'_>) -> Story {
    let alerts =
        [MonitoringActivity::Alerts, MonitoringActivity::NotificationTest, MonitoringActivity::Dashboards];
    let logs = [MonitoringActivity::Logs, MonitoringActivity::Apm];
    let alerts = receipt::<Monitoring>(say, &alerts, "a test alert arrived");
    let logs = receipt::<Monitoring>(say, &logs, "the release's own lines were found");
    story
        .step(StageName::Monitoring, &name!("alerts"), value(&alerts))
        .step(StageName::Monitoring, &name!("logs"), value(&logs))
        .finish_stage(StageName::Monitoring)
}

fn smoked(say: Say<'_>) -> Value {
    let smoke = [VerifyActivity::Functional, VerifyActivity::UserJourney, VerifyActivity::Performance];
    let receipt = receipt::<Verify>(say, &smoke, "an order was placed and paid")
        .figure(figure(say, StandardGate::ApiLatency, 180.0))
        .figure(figure(say, StandardGate::KeyFunction, 1200.0));
    value(&receipt)
}

fn verified(story: Story, say: Say<'_>) -> Story {
    let told = [VerifyActivity::Documentation, VerifyActivity::Handover];
    let facts = VerifyFacts { documents: vec![say("/srv/docs/1.1.0.md").into()] };
    let told = receipt::<Verify>(say, &told, "sent to the team").facts(facts);
    story
        .step(StageName::Verify, &name!("smoke"), smoked(say))
        .step(StageName::Verify, &name!("handover"), value(&told))
        .finish_stage(StageName::Verify)
}

fn up_to_services(say: Say<'_>) -> Story {
    migrated(built(Story::of(shop(say), say), say), say)
}

fn up_to_monitoring(say: Say<'_>) -> Story {
    promoted(canary(up_to_services(say)), say)
}

/// Everything goes well in the end.
pub(crate) fn completed(say: Say<'_>) -> Story {
    let web = |unit| key(StageName::Services, &name!("web"), Phase::Do, unit);
    let facts = BTreeMap::from([("ticket".to_owned(), json!(say("CHG-17")))]);
    verified(watched(up_to_monitoring(say).then(Entry::Noted { facts }), say), say)
        .sleep(&web(13), Duration::from_mins(10))
        .call(&web(14), 2, json!({ "retired": ["1.0.0-b-0"] }))
        .finish(RunOutcome::Completed)
}

/// The gate finds the new version worse in the canary.
pub(crate) fn rolled_back(say: Say<'_>) -> Story {
    let bad = "37 of 400 requests failed (at most 0.01 allowed)";
    let given_up = Cause::new(ErrorKind::Failed, say(bad));
    judged(canary(up_to_services(say)), say, 5, Verdict::Fail, bad)
        .freeze(&given_up)
        .undo(StageName::Services, &name!("web"), 3)
        .undo(StageName::Assets, &name!("upload"), 1)
        .undo(StageName::Migrate, &name!("schema"), 1)
        .finish(RunOutcome::RolledBack)
}

/// The last check fails and the migration cannot be undone.
pub(crate) fn parked(say: Say<'_>) -> Story {
    let smoke = key(StageName::Verify, &name!("smoke"), Phase::Do, 0);
    let schema = key(StageName::Migrate, &name!("schema"), Phase::Undo, 0);
    let broken = cause(say, ErrorKind::Failed, "no order could be placed");
    let locked = cause(say, ErrorKind::Unavailable, "the database is locked");
    watched(up_to_monitoring(say), say)
        .capture(StageName::Verify, &name!("smoke"))
        .intend(&smoke, 1)
        .fail(&smoke, End::Rejected, &broken)
        .freeze(&broken)
        .undo(StageName::Monitoring, &name!("logs"), 1)
        .undo(StageName::Monitoring, &name!("alerts"), 1)
        .undo(StageName::Services, &name!("web"), 3)
        .undo(StageName::Assets, &name!("upload"), 1)
        .intend(&schema, 1)
        .then(Entry::Attempted { key: schema.clone(), attempt: 1, end: End::Rejected, cause: locked.clone() })
        .intend(&schema, 2)
        .fail(&schema, End::Rejected, &locked)
        .then(Entry::UndoFailed { stage: StageName::Migrate, step: name!("schema"), cause: locked })
        .park(&Cause::new(ErrorKind::Failed, "not everything could be undone"))
}

/// The same, until somebody answers for the migration and closes the run.
pub(crate) fn closed(say: Say<'_>) -> Story {
    parked(say)
        .after(Duration::from_hours(1))
        .then(Entry::Resolved {
            stage: StageName::Migrate,
            step: name!("schema"),
            by: actor(&say("dora")),
            evidence: say("restored from the backup; row counts compared"),
        })
        .finish(RunOutcome::Closed { by: actor(&say("dora")), reason: say("put in order by hand") })
}

/// The same, until the undo is tried again and works.
pub(crate) fn resumed(say: Say<'_>) -> Story {
    let schema = key(StageName::Migrate, &name!("schema"), Phase::Undo, 0);
    parked(say)
        .take_over(say("pid-9-deploy2"), 3600)
        .then(Entry::Resumed { by: actor(&say("dora")) })
        .intend(&schema, 3)
        .done(&schema, 2, Value::Null)
        .then(Entry::Undone { stage: StageName::Migrate, step: name!("schema") })
        .finish(RunOutcome::RolledBack)
}

/// The owner dies inside the migration; another one goes on to the end of the stage.
pub(crate) fn taken_over(say: Say<'_>) -> Story {
    use MigrateActivity::{Apply, Backup, Impact, Scripts};
    let schema = key(StageName::Migrate, &name!("schema"), Phase::Do, 0);
    let saved = receipt::<Migrate>(say, &[Scripts, Backup], "restored and compared");
    let applied = receipt::<Migrate>(say, &[Apply, Impact], "applied 0007_orders");
    built(Story::of(shop(say), say), say)
        .step(StageName::Migrate, &name!("backup"), value(&saved))
        .capture(StageName::Migrate, &name!("schema"))
        .intend(&schema, 1)
        .take_over(say("pid-9-deploy2"), 31)
        .intend(&schema, 2)
        .done(&schema, 5, value(&applied))
        .finish_stage(StageName::Migrate)
}

/// The run is held, let go on, and fails again.
pub(crate) fn held(say: Say<'_>) -> Story {
    let mut plan = shop(say);
    plan.on_failure = OnFailure::Hold;
    let compile = key(StageName::Build, &name!("compile"), Phase::Do, 0);
    let dirty = cause(say, ErrorKind::Conflict, "the tree is dirty");
    let prepared = receipt::<Prepare>(say, PrepareActivity::ALL, "looked at");
    Story::of(sealed(plan), say)
        .step(StageName::Prepare, &name!("scope"), value(&prepared))
        .step(StageName::Prepare, &name!("order"), value(&prepared))
        .finish_stage(StageName::Prepare)
        .capture(StageName::Build, &name!("compile"))
        .intend(&compile, 1)
        .fail(&compile, End::Rejected, &dirty)
        .then(Entry::Held { cause: dirty.clone() })
        .take_over(say("pid-9-deploy2"), 600)
        .then(Entry::Released { by: actor(&say("dora")) })
        .intend(&compile, 2)
        .fail(&compile, End::Rejected, &dirty)
        .then(Entry::Held { cause: dirty })
}

/// Somebody cancels the run in the middle of the upload.
pub(crate) fn cancelled(say: Say<'_>) -> Story {
    let schema = key(StageName::Migrate, &name!("schema"), Phase::Do, 0);
    let stopped = cause(say, ErrorKind::Cancelled, "cancelled, and it did not say how far it came");
    let saved = receipt::<Migrate>(say, &[MigrateActivity::Scripts, MigrateActivity::Backup], "compared");
    built(Story::of(shop(say), say), say)
        .step(StageName::Migrate, &name!("backup"), value(&saved))
        .capture(StageName::Migrate, &name!("schema"))
        .intend(&schema, 1)
        .fail(&schema, End::Cancelled, &stopped)
        .freeze(&Cause::new(ErrorKind::Cancelled, say("the run was cancelled")))
        .undo(StageName::Migrate, &name!("schema"), 1)
        .finish(RunOutcome::RolledBack)
}

/// The upload fails after a migration that has no way back.
pub(crate) fn beyond_return(say: Say<'_>) -> Story {
    let mut plan = shop(say);
    for item in plan.stages.iter_mut().flat_map(|stage| &mut stage.items) {
        if item.name == name!("schema") {
            item.reversibility = Reversibility::Irreversible { reason: say("it drops a column") };
        }
    }
    let say_so = cause(say, ErrorKind::Denied, "the key may not write");
    let upload = key(StageName::Assets, &name!("upload"), Phase::Do, 0);
    let saved = receipt::<Migrate>(say, &[MigrateActivity::Scripts, MigrateActivity::Backup], "compared");
    let applied = receipt::<Migrate>(say, &[MigrateActivity::Apply, MigrateActivity::Impact], "applied");
    built(Story::of(sealed(plan), say), say)
        .step(StageName::Migrate, &name!("backup"), value(&saved))
        .step(StageName::Migrate, &name!("schema"), value(&applied))
        .finish_stage(StageName::Migrate)
        .capture(StageName::Assets, &name!("upload"))
        .intend(&upload, 1)
        .fail(&upload, End::InDoubt, &say_so)
        .freeze(&say_so)
        .undo(StageName::Assets, &name!("upload"), 1)
        .park(&Cause::new(ErrorKind::Failed, "not everything could be undone"))
}

/// The release is verified, but the replaced instance does not stop.
pub(crate) fn kept_warm(say: Say<'_>) -> Story {
    let web = |unit| key(StageName::Services, &name!("web"), Phase::Do, unit);
    let stuck = cause(say, ErrorKind::Unknown, "the instance does not stop");
    let standing = vec![Standing {
        stage: StageName::Services,
        step: name!("web"),
        reason: say("replaced instances are still kept"),
    }];
    verified(watched(up_to_monitoring(say), say), say)
        .sleep(&web(13), Duration::from_mins(10))
        .intend(&web(14), 1)
        .fail(&web(14), End::InDoubt, &stuck)
        .then(Entry::Parked { standing, cause: stuck })
}

/// The new version never becomes healthy, and the owner dies while it is undone.
pub(crate) fn sick(say: Say<'_>) -> Story {
    let web = |phase, unit| key(StageName::Services, &name!("web"), phase, unit);
    let sick = cause(say, ErrorKind::Unknown, "the instance did not become healthy");
    look(up_to_services(say).capture(StageName::Services, &name!("web")), 1)
        .intend(&web(Phase::Do, 1), 1)
        .fail(&web(Phase::Do, 1), End::InDoubt, &sick)
        .freeze(&sick)
        .intend(&web(Phase::Undo, 0), 1)
        .take_over(say("pid-9-deploy2"), 45)
        .intend(&web(Phase::Undo, 0), 2)
        .done(&web(Phase::Undo, 0), 2, Value::Null)
        .then(Entry::Undone { stage: StageName::Services, step: name!("web") })
        .undo(StageName::Assets, &name!("upload"), 1)
        .undo(StageName::Migrate, &name!("schema"), 1)
        .finish(RunOutcome::RolledBack)
}

/// Most stages are declared not applicable.
pub(crate) fn left_out(say: Say<'_>) -> Story {
    let story = built(Story::of(sparse(say), say), say);
    let between = [
        StageName::Migrate,
        StageName::Assets,
        StageName::Services,
        StageName::Functions,
        StageName::Monitoring,
    ];
    let story = between.into_iter().fold(story, Story::finish_stage);
    verified(story, say).finish(RunOutcome::Completed)
}

/// The plan is recorded and nothing else.
pub(crate) fn started(say: Say<'_>) -> Story {
    Story::of(shop(say), say)
}

/// A way that a run can go.
pub(crate) type Run = fn(Say<'_>) -> Story;

/// Every way that a run can go, by name.
pub(crate) const ALL: [(&str, Run); 14] = [
    ("empty", |_| Story::new()),
    ("started", started),
    ("completed", completed),
    ("rolled-back", rolled_back),
    ("parked", parked),
    ("closed", closed),
    ("resumed", resumed),
    ("taken-over", taken_over),
    ("held", held),
    ("cancelled", cancelled),
    ("beyond-return", beyond_return),
    ("left-out", left_out),
    ("kept-warm", kept_warm),
    ("sick", sick),
];

/// A step's name, for tests that look for it.
pub(crate) fn schema() -> Name {
    name!("schema")
}

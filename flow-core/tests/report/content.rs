//! What a report says of a run.

use flow_core::gate::{StandardGate, Verdict};
use flow_core::journal::{End, Entry};
use flow_core::report::{
    Anomaly, AnomalyKind, Check, DecisionKind, Direction, Document, EmergencyState, GateVerdict, Handling,
    Report, ReportOutcome, Status, StepReport, Suggestion, TargetEnd,
};
use flow_core::stage::{
    Activity, ActivityName, BuildActivity, MigrateActivity, ServicesActivity, StageName, VerifyActivity,
};
use flow_core::{ErrorKind, name};

use crate::plan::actor;
use crate::runs::{
    beyond_return, cancelled, closed, completed, held, kept_warm, left_out, parked, plainly, resumed,
    rolled_back, schema, sick, taken_over,
};

fn status(document: &Document, activity: &ActivityName) -> Status {
    let rows = document.stages.iter().flat_map(|stage| &stage.activities);
    rows.into_iter().find(|row| row.activity == *activity).unwrap().status
}

fn step<'a>(document: &'a Document, name: &str) -> &'a StepReport {
    let steps = document.stages.iter().flat_map(|stage| &stage.steps);
    steps.into_iter().find(|step| step.step.as_str() == name).unwrap()
}

fn anomaly(report: &Report, wanted: fn(&AnomalyKind) -> bool) -> &Anomaly {
    report.document().anomalies.iter().find(|anomaly| wanted(&anomaly.kind)).unwrap()
}

fn suggests(report: &Report, wanted: impl Fn(&Suggestion) -> bool) -> bool {
    report.document().suggestions.iter().any(wanted)
}

#[test]
fn a_completed_run_shows_who_deployed_what_where() {
    let report = completed(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::Completed);
    let run = report.run().unwrap();
    assert_eq!((&run.application, &run.release), (&name!("shop"), &name!("1.1.0")));
    assert_eq!((&run.initiator, &run.approvals), (&actor("ann"), &vec![actor("bob")]));
    assert_eq!(report.head(), report.records().last().map(|record| record.hash));
    assert_eq!(report.times().ended, report.times().last);
    assert!(report.times().duration_ms > 14 * 60 * 1000);
    assert_eq!((report.document().failure.as_ref(), report.document().lessons.as_ref()), (None, None));
}

#[test]
fn rows_are_done_with_evidence_or_not_applicable_with_a_reason_and_a_person() {
    let report = completed(&plainly).report();
    for row in report.document().stages.iter().flat_map(|stage| &stage.activities) {
        match row.status {
            Status::Done => assert_eq!(row.evidence.len(), row.steps.len(), "{}", row.activity),
            Status::NotApplicable => {
                assert_eq!(row.declaration.as_ref().unwrap().by, actor("ann"), "{}", row.activity);
            }
            other => panic!("{}: {other:?}", row.activity),
        }
    }
    let markdown = report.to_markdown();
    assert!(markdown.contains("one static program, no container (ann answers for it)"));
    assert!(markdown.contains("(Migrate.Backup) (seen: 42 rows)"));
}

#[test]
fn a_rollout_shows_its_moves_and_what_the_gate_said() {
    let report = completed(&plainly).report();
    let web = step(report.document(), "web");
    assert_eq!(web.moves.len(), 10, "{:?}", web.moves);
    let text = report.to_markdown();
    for shown in ["shifted traffic: 1.0.0 90 %, 1.1.0 10 %", "bob approved", "stopped `1.0.0-b-0`"] {
        assert!(text.contains(shown), "{shown}");
    }
    let silent = anomaly(&report, |kind| matches!(kind, AnomalyKind::NotPassed { .. }));
    assert_eq!(silent.handled, [Handling::PassedLater]);
    let asked =
        |s: &Suggestion| matches!(s, Suggestion::SilentGate { verdict: Verdict::Insufficient, times: 1, .. });
    assert!(suggests(&report, asked));
}

#[test]
fn an_attempt_that_was_repeated_is_told_with_how_it_ended() {
    let report = completed(&plainly).report();
    let failed = anomaly(&report, |kind| matches!(kind, AnomalyKind::AttemptFailed { .. }));
    assert_eq!(failed.handled, [Handling::TriedAgain { attempts: 2, end: Some(End::Done) }]);
    assert_eq!(step(report.document(), "upload").attempts, 2);
    assert!(suggests(&report, |s| matches!(s, Suggestion::Retries { attempts: 2, .. })));
}

#[test]
fn a_gate_without_a_figure_is_not_measured_and_one_with_a_bad_figure_is_broken() {
    let report = completed(&plainly).report();
    let verdict = |gate| report.document().gates.iter().find(|report| report.gate == gate).unwrap().verdict;
    assert_eq!(verdict(StandardGate::Availability), GateVerdict::Kept);
    assert_eq!(verdict(StandardGate::KeyFunction), GateVerdict::Broken);
    assert_eq!(verdict(StandardGate::PageLoad), GateVerdict::NotMeasured);
    assert!(suggests(&report, |s| matches!(
        s,
        Suggestion::GateBroken { gate: StandardGate::KeyFunction, .. }
    )));
    let missing = [StandardGate::Downtime, StandardGate::PageLoad, StandardGate::ResourceUse];
    assert!(suggests(&report, |s| *s == Suggestion::MeasureGates { gates: missing.to_vec() }));
}

#[test]
fn a_value_that_is_no_number_breaks_its_gate() {
    let mut records = completed(&plainly).records();
    let text = |record: &flow_core::journal::Record| serde_json::to_string(&record.entry).unwrap();
    let measured = records.iter_mut().find(|record| text(record).contains("\"api_latency\"")).unwrap();
    let broken = text(measured).replace("180.0", "null");
    measured.entry = serde_json::from_str(&broken).unwrap();
    let report = Report::of(records);
    let gate = report.document().gates.iter().find(|gate| gate.gate == StandardGate::ApiLatency).unwrap();
    assert_eq!((gate.verdict, gate.figures[0].value), (GateVerdict::Broken, None));
}

#[test]
fn maintenance_follows_from_facts() {
    let report = completed(&plainly).report();
    assert!(suggests(&report, |s| matches!(s, Suggestion::Backup { path, .. } if path.ends_with("shop.db"))));
    assert!(suggests(&report, |s| *s == Suggestion::WayBackClosed { steps: vec![name!("web")] }));
    assert!(suggests(&report, |s| matches!(s, Suggestion::Documents { .. })));
    let revisits = report.document().suggestions.iter().filter(|s| matches!(s, Suggestion::Revisit { .. }));
    assert_eq!(revisits.count(), 3);
}

#[test]
fn instances_that_are_still_warm_are_named_until_they_are_retired() {
    let mut records = completed(&plainly).records();
    records.truncate(records.len() - 3);
    let report = Report::of(records);
    let instances = vec![name!("1.0.0-b-0")];
    let warm = Suggestion::KeptWarm { stage: StageName::Services, step: name!("web"), instances };
    assert!(report.document().suggestions.contains(&warm));
    assert!(suggests(&report, |s| *s == Suggestion::CarryOn { direction: Direction::Forward }));
}

#[test]
fn a_gate_that_fails_ends_in_a_rollback_with_cause_order_and_time() {
    let report = rolled_back(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::RolledBack);
    let document = report.document();
    let failure = document.failure.as_ref().unwrap();
    assert_eq!((failure.stage, &failure.step), (Some(StageName::Services), &Some(name!("web"))));
    let rollback = document.rollback.as_ref().unwrap();
    let steps: Vec<&str> = rollback.targets.iter().map(|target| target.step.as_str()).collect();
    assert_eq!(steps, ["web", "upload", "schema"]);
    assert!(
        rollback
            .targets
            .iter()
            .all(|target| target.state == TargetEnd::Undone && target.duration_ms > Some(0))
    );
    assert!(rollback.duration_ms >= 10_000);
    assert!(step(document, "web").duration_ms > Some(60_000), "the wait before the verdict counts");
    assert_eq!(status(document, &ServicesActivity::Stop.name()), Status::Undone);
    assert_eq!(status(document, &MigrateActivity::Backup.name()), Status::Done, "a backup is not undone");
    assert_eq!(status(document, &VerifyActivity::Functional.name()), Status::NotReached);
    assert_eq!(status(document, &BuildActivity::Image.name()), Status::NotApplicable);
    let judged = anomaly(&report, |kind| matches!(kind, AnomalyKind::NotPassed { .. }));
    assert_eq!(judged.handled, [Handling::GivenUp, Handling::TurnedBack, Handling::Undone]);
}

#[test]
fn a_failure_leaves_lessons_and_the_standards_response() {
    let report = rolled_back(&plainly).report();
    let lessons = report.document().lessons.as_ref().unwrap();
    let states: Vec<EmergencyState> = lessons.response.iter().map(|step| step.state).collect();
    use EmergencyState::{Done, Open, Partly};
    assert_eq!(states, [Done, Done, Partly, Open, Open]);
    assert!(lessons.checks.contains(&Check::CauseGone { kind: ErrorKind::Failed }));
    let open = StageName::ALL.into_iter().filter(|stage| *stage >= StageName::Services).collect();
    assert!(lessons.checks.contains(&Check::NeverReached { stages: open }));
    let plan = report.run().unwrap().plan_hash;
    assert!(lessons.checks.contains(&Check::PlanAgain { plan }));
}

#[test]
fn what_could_not_be_undone_stands_and_waits_for_somebody() {
    let report = parked(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::Parked);
    let document = report.document();
    assert_eq!(document.failure.as_ref().unwrap().step, Some(name!("smoke")));
    assert_eq!(document.failure.as_ref().unwrap().end, Some(End::Rejected));
    assert_eq!(status(document, &MigrateActivity::Apply.name()), Status::Standing);
    assert_eq!(status(document, &VerifyActivity::Functional.name()), Status::Failed);
    let rollback = document.rollback.as_ref().unwrap();
    assert_eq!(rollback.standing.len(), 1);
    assert_eq!(rollback.targets.last().unwrap().attempts, 2);
    assert!(suggests(&report, |s| matches!(s, Suggestion::Settle { standing } if standing.step == schema())));
    let lessons = document.lessons.as_ref().unwrap();
    assert_eq!(lessons.response[1].state, EmergencyState::Partly);
    let undo = anomaly(&report, |kind| matches!(kind, AnomalyKind::UndoFailed { .. }));
    assert_eq!(undo.handled, []);
}

#[test]
fn whoever_answers_for_what_stands_is_named_with_the_evidence() {
    let report = closed(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::Closed);
    let document = report.document();
    let last = document.rollback.as_ref().unwrap().targets.last().unwrap();
    assert!(matches!(&last.state, TargetEnd::Resolved { by: Some(by), .. } if *by == actor("dora")));
    assert_eq!(status(document, &MigrateActivity::Apply.name()), Status::Resolved);
    let decided: Vec<&DecisionKind> = document.decisions.iter().map(|decision| &decision.kind).collect();
    assert!(matches!(
        decided[..],
        [DecisionKind::Approved { .. }, DecisionKind::Resolved { .. }, DecisionKind::Closed { .. }]
    ));
    assert!(!suggests(&report, |s| matches!(s, Suggestion::Settle { .. })));
}

#[test]
fn an_undo_that_works_at_the_second_try_ends_in_a_whole_rollback() {
    let report = resumed(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::RolledBack);
    let rollback = report.document().rollback.as_ref().unwrap();
    assert!(rollback.standing.is_empty());
    assert!(rollback.duration_ms > 3_600_000, "the time in which it was parked counts");
    let undo = anomaly(&report, |kind| matches!(kind, AnomalyKind::UndoFailed { .. }));
    assert_eq!(undo.handled, [Handling::Resumed { by: actor("dora") }, Handling::Undone]);
    let lost = |anomaly: &&Anomaly| matches!(anomaly.kind, AnomalyKind::TakenOver { .. });
    assert_eq!(report.document().anomalies.iter().find(lost), None, "a parked run has no owner to lose");
}

#[test]
fn a_crash_is_told_with_its_gap_and_what_was_under_way() {
    let report = taken_over(&plainly).report();
    let crash = anomaly(&report, |kind| matches!(kind, AnomalyKind::TakenOver { .. }));
    let AnomalyKind::TakenOver { from, to, gap_ms, lost, direction, .. } = &crash.kind else {
        unreachable!()
    };
    assert_eq!((from.as_str(), to.as_str()), ("pid-7-deploy1", "pid-9-deploy2"));
    assert_eq!((*gap_ms, *direction), (31_250, Direction::Forward));
    assert_eq!(lost.iter().map(|call| &call.step).collect::<Vec<_>>(), [&schema()]);
    assert_eq!(step(report.document(), "schema").attempts, 2);
    assert_eq!(step(report.document(), "schema").status, Status::Done);
    assert!(suggests(&report, |s| *s == Suggestion::OwnersLost { times: 1, longest_ms: 31_250 }));
}

#[test]
fn a_call_that_was_lost_and_not_repeated_is_in_doubt() {
    let mut records = taken_over(&plainly).records();
    let lost = records.iter().position(|r| matches!(r.entry, Entry::OwnerChanged { .. })).unwrap();
    records.truncate(lost + 1);
    let report = Report::of(records.clone());
    assert_eq!(step(report.document(), "schema").status, Status::InDoubt);
    records.truncate(lost);
    assert_eq!(step(Report::of(records).document(), "schema").status, Status::UnderWay);
}

#[test]
fn a_held_run_tells_what_was_decided_and_what_it_waits_for() {
    let report = held(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::Held);
    let document = report.document();
    assert_eq!(document.failure.as_ref().unwrap().step, Some(name!("compile")));
    assert_eq!(status(document, &BuildActivity::CodeVersion.name()), Status::Failed);
    let first = anomaly(&report, |kind| matches!(kind, AnomalyKind::Held { .. }));
    assert_eq!(first.handled, [Handling::Released { by: actor("dora") }]);
    assert_eq!(document.anomalies.last().unwrap().handled, [], "nobody has answered the second one");
    assert!(suggests(&report, |s| *s == Suggestion::Decide));
    assert_eq!(document.lessons.as_ref().unwrap().response[1].state, EmergencyState::Open);
}

#[test]
fn a_cancelled_run_blames_no_step() {
    let report = cancelled(&plainly).report();
    let document = report.document();
    let failure = document.failure.as_ref().unwrap();
    assert_eq!((failure.stage, &failure.step), (Some(StageName::Migrate), &None));
    assert_eq!(status(document, &MigrateActivity::Apply.name()), Status::Undone);
    let doubt = |check: &Check| matches!(check, Check::InDoubt { call } if call.step == schema());
    assert!(document.lessons.as_ref().unwrap().checks.iter().any(doubt));
    anomaly(&report, |kind| matches!(kind, AnomalyKind::Cancelled { .. }));
}

#[test]
fn what_lies_beyond_the_point_of_no_return_stands() {
    let report = beyond_return(&plainly).report();
    let document = report.document();
    assert_eq!(status(document, &MigrateActivity::Apply.name()), Status::Standing);
    assert_eq!(document.run.as_ref().unwrap().irreversible, [(schema(), "it drops a column".to_owned())]);
    assert!(suggests(&report, |s| matches!(s, Suggestion::Irreversible { .. })));
    assert!(suggests(&report, |s| matches!(s, Suggestion::Settle { standing } if standing.step == schema())));
}

#[test]
fn stages_that_were_left_out_are_not_applicable_and_to_be_looked_at_again() {
    let report = left_out(&plainly).report();
    let document = report.document();
    assert_eq!(report.outcome(), ReportOutcome::Completed);
    let left_out = document.stages.iter().filter(|stage| stage.status == Status::NotApplicable);
    assert_eq!(left_out.count(), 5);
    assert_eq!(document.declarations.len(), 6);
    assert!(document.anomalies.is_empty());
}

#[test]
fn a_receipt_that_cannot_be_read_is_told() {
    let mut records = completed(&plainly).records();
    let text = |record: &flow_core::journal::Record| serde_json::to_string(&record.entry).unwrap();
    let uploaded = records.iter_mut().find(|record| text(record).contains("\"cache_purge\"")).unwrap();
    let broken = text(uploaded).replace("\"cache_purge\"", "\"cash_purge\"");
    uploaded.entry = serde_json::from_str(&broken).unwrap();
    let report = Report::of(records);
    anomaly(
        &report,
        |kind| matches!(kind, AnomalyKind::ReceiptUnreadable { step, .. } if step.as_str() == "upload"),
    );
}

#[test]
fn a_verified_release_whose_old_instances_do_not_stop_needs_no_rollback() {
    let report = kept_warm(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::Parked);
    let document = report.document();
    assert_eq!(status(document, &ServicesActivity::Health.name()), Status::Done);
    assert!(document.rollback.is_none());
    assert_eq!(document.lessons.as_ref().unwrap().response[1].state, EmergencyState::NotNeeded);
    assert!(suggests(
        &report,
        |s| matches!(s, Suggestion::KeptWarm { instances, .. } if instances.len() == 1)
    ));
    assert!(report.to_markdown().contains("Parked: the release is verified and serves"));
}

#[test]
fn an_owner_that_dies_while_it_undoes_is_told_as_such() {
    let report = sick(&plainly).report();
    assert_eq!(report.outcome(), ReportOutcome::RolledBack);
    let crash = anomaly(&report, |kind| matches!(kind, AnomalyKind::TakenOver { .. }));
    assert!(matches!(crash.kind, AnomalyKind::TakenOver { direction: Direction::Back, .. }));
    let web = step(report.document(), "web");
    assert_eq!((web.status, web.end), (Status::Undone, Some(End::InDoubt)));
    assert_eq!(report.document().failure.as_ref().unwrap().step, Some(name!("web")));
}

#[test]
fn nothing_counts_as_handled_before_it_is() {
    let records = completed(&plainly).records();
    let failed = records.iter().position(|r| matches!(r.entry, Entry::Attempted { .. })).unwrap();
    let report = Report::of(records[..=failed].to_vec());
    let attempt = anomaly(&report, |kind| matches!(kind, AnomalyKind::AttemptFailed { .. }));
    assert_eq!(attempt.handled, []);
    assert_eq!(step(report.document(), "upload").status, Status::InDoubt);
    assert!(report.to_markdown().contains("not yet handled"));
}

#[test]
fn a_completed_run_that_broke_a_gate_says_so_at_once() {
    let markdown = completed(&plainly).report().to_markdown();
    assert!(
        markdown.lines().nth(2).unwrap().contains("not within the standard: Key functions"),
        "{markdown}"
    );
}

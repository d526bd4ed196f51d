//! All of them. A break that no longer fits after a change of the sources is adapted, or goes with what it broke.

use super::{Mutant, Test};

const fn engine(name: &'static str) -> Test {
    Test { package: "flow-core", program: "engine", name }
}

const fn machine(name: &'static str) -> Test {
    Test { package: "flow-core", program: "machine", name }
}

const fn memory(name: &'static str) -> Test {
    Test { package: "flow-testkit", program: "testkit", name }
}

const fn sqlite(name: &'static str) -> Test {
    Test { package: "flow-journal", program: "conformance", name }
}

const fn tencent(name: &'static str) -> Test {
    Test { package: "flow-tencent", program: "conformance", name }
}

const ENGINE_RUN: &str = "flow-core/src/engine/run.rs";
const ENGINE_UNDO: &str = "flow-core/src/engine/undo.rs";
const JOURNALED: &str = "flow-core/src/durable/journaled.rs";
const ENDING: &str = "flow-core/src/durable/ending.rs";
const STATE: &str = "flow-core/src/machine/state.rs";
const TRANSITION: &str = "flow-core/src/machine/transition.rs";
const UNDO: &str = "flow-core/src/machine/undo.rs";
const RECORD: &str = "flow-core/src/journal/record.rs";
const MEMORY: &str = "flow-core/src/journal/memory.rs";
const SQLITE: &str = "flow-adapters/journal/src/adapter.rs";
const SQL: &str = "flow-adapters/journal/src/client.rs";

/// Random walks over the machine, the same ones every time, judged by a model.
const WALKS: Test = machine("sequences::the_walks_reach_every_kind_of_end");

/// Every break, by where it is made.
pub(super) const MUTANTS: &[Mutant] = &[
    // The engine.
    Mutant {
        name: "a failing step leaves its siblings running",
        file: ENGINE_RUN,
        edits: &[("                    cancel.cancel();\n", "")],
        caught_by: engine("runs::a_failing_step_cancels_its_siblings_and_they_are_undone_together"),
    },
    Mutant {
        name: "a failed undo stops the others",
        file: ENGINE_UNDO,
        edits: &[(
            "Err(error) if error.hands_over() =>",
            "Err(error) if error != PerformError::Cancelled =>",
        )],
        caught_by: engine("runs::an_undo_that_fails_stops_no_other_and_parks_the_run"),
    },
    Mutant {
        name: "a cancel interrupts the undo",
        file: ENGINE_UNDO,
        edits: &[("CancelToken::new() }", "self.setting.cancel.child() }")],
        caught_by: engine("facade::a_cancelled_run_undoes_what_it_did"),
    },
    Mutant {
        name: "work of another plan is carried out",
        file: "flow-core/src/engine/ending.rs",
        edits: &[("all && count == given.len()", "all || count == given.len()")],
        caught_by: engine("facade::work_that_is_not_the_plans_is_refused_and_changes_nothing"),
    },
    Mutant {
        name: "a drifted world is accepted",
        file: "flow-core/src/workflow.rs",
        edits: &[(
            "Ok(found) if found.hash == plan.hash =>",
            "Ok(found) if found.fingerprint == plan.fingerprint =>",
        )],
        caught_by: engine("facade::a_drifted_world_is_refused_before_anything_changes"),
    },
    Mutant {
        name: "a step without evidence is done",
        file: "flow-core/src/engine/step.rs",
        edits: &[(".find(|activity| !receipt.covers(*activity))", ".find(|_| false)")],
        caught_by: engine("promises::a_step_without_evidence_is_in_doubt_and_undone"),
    },
    Mutant {
        name: "traffic goes to what is not healthy",
        file: "flow-core/src/engine/baseline.rs",
        edits: &[
            ("&& self.processes.health(&self.service.name, &instance.id).await?.is_healthy()", ""),
            ("self.ready(instance).await.map_err(StepError::after_effect)?;", "let _ = instance;"),
        ],
        caught_by: engine("runs::a_rollback_moves_no_traffic_to_an_old_version_that_broke_meanwhile"),
    },
    Mutant {
        name: "a superseded owner undoes",
        file: "flow-core/src/durable/session.rs",
        edits: &[
            (".or_else(|| self.keeper.fate())", ""),
            (
                "if let Err(error) = appended {",
                "if let Err(error) = appended && self.keeper.fate().is_none() {",
            ),
        ],
        caught_by: engine("crash::a_late_owner_is_superseded_and_undoes_nothing"),
    },
    // Durable calls.
    Mutant {
        name: "an effect begins before its intent is durable",
        file: JOURNALED,
        edits: &[(
            "                session.commit().await?;\n                number\n",
            "                number\n",
        )],
        caught_by: engine("promises::an_intent_and_its_capture_are_durable_before_the_effect_begins"),
    },
    Mutant {
        name: "an end is recorded before the effect",
        file: JOURNALED,
        edits: &[
            (
                "                session.commit().await?;\n                number\n",
                "                let at = session.clock.now();
                let recorded = Some(Recorded::default());
                let done = Ended { end: End::Done, began: at, ended: at, recorded, cause: None };
                session.record(Entry::Ended { key: call.key.clone(), ended: Box::new(done) })?;
                session.commit().await?;\n                number\n",
            ),
            (
                "                    guard.open()?.record(Entry::Ended { key: call.key, ended: Box::new(done.clone()) })?;",
                "                    guard.open()?;",
            ),
        ],
        caught_by: engine("crash::a_good_release_survives_the_death_of_its_owner_at_every_append"),
    },
    Mutant {
        name: "a capture is repeated after a crash",
        file: JOURNALED,
        edits: &[
            (
                "get(&call.key) {\n                return Ok(recorded.clone());",
                "get(&call.key) {\n                drop(recorded.clone());",
            ),
            (
                "                    guard.open()?.record(Entry::Read { key: call.key, recorded: recorded.clone() })?;",
                "                    drop(guard.open()?.record(Entry::Read { key: call.key, recorded: recorded.clone() }));",
            ),
        ],
        caught_by: engine("promises::a_recorded_capture_is_not_taken_again_after_a_crash"),
    },
    Mutant {
        name: "in doubt is treated as rejected",
        file: ENDING,
        edits: &[("        _ => End::InDoubt,\n", "        _ => End::Rejected,\n")],
        caught_by: engine("runs::a_failure_in_a_later_stage_undoes_everything_newest_first"),
    },
    Mutant {
        name: "a timeout is treated as a rejection",
        file: "flow-core/src/durable/attempt.rs",
        edits: &[("StepError::new(ErrorKind::TimedOut,", "StepError::new(ErrorKind::Failed,")],
        caught_by: engine("runs::a_step_over_its_deadline_is_in_doubt_and_undone"),
    },
    Mutant {
        name: "another definition resumes the run",
        file: JOURNALED,
        edits: &[(
            "if running.plan.fingerprint != *fingerprint =>",
            "if running.plan.fingerprint != *fingerprint && self.ttl.is_zero() =>",
        )],
        caught_by: engine("facade::a_changed_definition_is_incompatible_and_an_unknown_run_is_not_begun"),
    },
    Mutant {
        name: "a sleep begins anew after a crash",
        file: JOURNALED,
        edits: &[(
            "Some(CallState::Sleep(until, Progress::Pending)) => *until,",
            "Some(CallState::Sleep(_, Progress::Pending)) => later(session.clock.now(), duration),",
        )],
        caught_by: engine("promises::a_sleep_that_a_crash_interrupted_ends_when_it_was_to_end"),
    },
    Mutant {
        name: "a session writes again after a commit failed",
        file: "flow-core/src/durable/session.rs",
        edits: &[(
            "return Err(self.failed.insert(known).clone());",
            "self.failed = None;\n            return Err(known);",
        )],
        caught_by: engine("promises::once_a_commit_failed_nothing_is_recorded_any_more"),
    },
    // The machine.
    Mutant {
        name: "the undo goes oldest first",
        file: UNDO,
        edits: &[(
            "for (stage, step) in self.begun.iter().rev() {",
            "for (stage, step) in self.begun.iter() {",
        )],
        caught_by: engine("runs::a_failure_in_a_later_stage_undoes_everything_newest_first"),
    },
    Mutant {
        name: "the undo begins at its far end",
        file: UNDO,
        edits: &[(
            "targets.iter().find(|(_, state)| *state == TargetState::Pending)",
            "targets.iter().rfind(|(_, state)| *state == TargetState::Pending)",
        )],
        caught_by: WALKS,
    },
    Mutant {
        name: "the undo goes past the point of no return",
        file: UNDO,
        edits: &[("                (Reversibility::Irreversible { reason }, _) => reason.clone(),\n", "")],
        caught_by: engine("facade::an_irreversible_step_must_be_accepted_and_undo_stops_at_it"),
    },
    Mutant {
        name: "a rejected step is undone",
        file: STATE,
        edits: &[(
            "self.attempts > 0 && end != Some(End::Rejected)",
            "self.attempts > 0 && end != Some(End::Cancelled)",
        )],
        caught_by: engine("runs::a_rejected_step_is_not_undone_itself"),
    },
    Mutant {
        name: "an attempt lost in a crash is forgotten",
        file: STATE,
        edits: &[("            self.worst = Some(End::InDoubt);\n", "")],
        caught_by: machine("sequences::a_rejection_after_an_attempt_that_a_crash_lost_is_no_rejection"),
    },
    Mutant {
        name: "a later rejection takes doubt back",
        file: "flow-core/src/journal/entry.rs",
        edits: &[("            later => self.max(later),", "            later => later,")],
        caught_by: WALKS,
    },
    Mutant {
        name: "a stage finishes without one of its steps",
        file: TRANSITION,
        edits: &[(
            "items.iter().find(|item| !self.is_finished(stage, item))",
            "items.iter().find(|_| false)",
        )],
        caught_by: WALKS,
    },
    Mutant {
        name: "an effect begins without a capture",
        file: TRANSITION,
        edits: &[(
            "let captured = self.captured(key.stage, &key.step).is_some();",
            "let captured = self.captured(key.stage, &key.step).is_none_or(|_| true);",
        )],
        caught_by: WALKS,
    },
    Mutant {
        name: "a step is undone out of turn",
        file: TRANSITION,
        edits: &[(
            "require(due, || format!(\"the turn of",
            "require(due || !self.begun.is_empty(), || format!(\"the turn of",
        )],
        caught_by: WALKS,
    },
    // Records and the store in memory.
    Mutant {
        name: "an edited record is accepted",
        file: RECORD,
        edits: &[(
            "if chain(before, raw.seq, &raw.body) != raw.hash {",
            "if chain(before, raw.seq, &raw.body) != raw.hash && raw.seq == 0 {",
        )],
        caught_by: engine("golden::an_edit_a_move_a_cut_in_the_middle_and_a_newer_format_are_refused"),
    },
    Mutant {
        name: "a newer format is read as if it were known",
        file: RECORD,
        edits: &[(
            "Some(Format { format }) if format > u64::from(super::FORMAT) =>",
            "Some(Format { format }) if format > 1_000 =>",
        )],
        caught_by: engine("golden::an_edit_a_move_a_cut_in_the_middle_and_a_newer_format_are_refused"),
    },
    Mutant {
        name: "the memory store ignores the fence",
        file: MEMORY,
        edits: &[(
            ".is_none_or(|holder| holder.fence != lease.fence || holder.given_back)",
            ".is_none_or(|holder| holder.fence < lease.fence || holder.given_back)",
        )],
        caught_by: memory("journal::a_late_owners_append_and_close_are_superseded"),
    },
    Mutant {
        name: "the memory store gives a fence twice",
        file: MEMORY,
        edits: &[("        state.fence += 1;\n", "        state.fence = 1;\n")],
        caught_by: memory("journal::the_fence_grows_with_every_acquire_of_a_run"),
    },
    Mutant {
        name: "the memory store appends beside the end",
        file: MEMORY,
        edits: &[("        if found != expected {\n", "        if found > expected + 100 {\n")],
        caught_by: memory("journal::an_append_beside_the_end_of_the_journal_is_refused_and_leaves_nothing"),
    },
    // The store on SQLite.
    Mutant {
        name: "SQLite ignores the fence",
        file: SQL,
        edits: &[("FROM lease WHERE fence = \");", "FROM lease WHERE 1 OR fence = \");")],
        caught_by: sqlite("promises::a_late_owners_append_and_close_are_superseded"),
    },
    Mutant {
        name: "SQLite gives a held lease away",
        file: SQLITE,
        edits: &[("if holder.until_ms > now_ms {", "if holder.until_ms > now_ms && holder.owner == owner {")],
        caught_by: sqlite("promises::a_lease_excludes_everybody_else_while_it_lasts"),
    },
    Mutant {
        name: "SQLite accepts a torn tail",
        file: SQLITE,
        edits: &[(
            "if head.unwrap_or(0).unsigned_abs() != last {",
            "if head.unwrap_or(0).unsigned_abs() < last {",
        )],
        caught_by: sqlite("damage::a_record_that_is_missing_at_the_end_is_corruption"),
    },
    Mutant {
        name: "SQLite appends a batch with a hole",
        file: SQLITE,
        edits: &[(
            "expected.checked_add(ahead) == Some(record.seq)",
            "record.seq >= expected.saturating_add(ahead)",
        )],
        caught_by: sqlite("open::a_batch_with_a_hole_is_refused_whole"),
    },
    Mutant {
        name: "SQLite keeps half of a refused acquire",
        file: SQL,
        edits: &[("query(\"ROLLBACK\")", "query(\"COMMIT\")")],
        caught_by: sqlite("open::an_acquire_that_is_refused_at_its_last_key_takes_nothing_away"),
    },
    Mutant {
        name: "SQLite lists a closed run as open",
        file: SQL,
        edits: &[("DO UPDATE SET closed = 1", "DO UPDATE SET closed = 0")],
        caught_by: sqlite("promises::a_closed_run_is_no_longer_listed_and_still_loads"),
    },
    // Tencent Cloud.
    Mutant {
        name: "a request whose end is not known is sent again",
        file: "flow-adapters/tencent/src/patience.rs",
        edits: &[(
            "Failure::Throttled | Failure::Transient",
            "Failure::Throttled | Failure::InDoubt | Failure::Transient",
        )],
        caught_by: tencent("api::a_write_whose_answer_is_lost_is_in_doubt_and_never_sent_again"),
    },
    Mutant {
        name: "a lost answer is no doubt",
        file: "flow-adapters/tencent/src/ending.rs",
        edits: &[(
            "(Self::Transient, Nature::Writes) => Self::InDoubt",
            "(Self::Transient, Nature::Writes) => Self::Unexpected",
        )],
        caught_by: tencent("api::a_write_whose_answer_is_lost_is_in_doubt_and_never_sent_again"),
    },
    Mutant {
        name: "a refusal inside of status 200 is an answer",
        file: "flow-adapters/tencent/src/api/answer.rs",
        edits: &[("response.get(\"Error\")", "response.get(\"Errors\")")],
        caught_by: tencent("api::a_refusal_is_one_request"),
    },
    Mutant {
        name: "clocks that differ are not told",
        file: "flow-adapters/tencent/src/ending.rs",
        edits: &[("ahead.abs() > SKEW_MAX", "ahead.abs() > 1000 * SKEW_MAX")],
        caught_by: tencent("api::a_clock_that_differs_is_told_by_name"),
    },
    Mutant {
        name: "an address that is a right is shown by an error",
        file: "flow-adapters/tencent/src/transport.rs",
        edits: &[("error.without_url()", "error")],
        caught_by: tencent(
            "api::a_download_of_plain_http_stays_on_this_machine_and_an_address_that_is_lost_is_not_shown",
        ),
    },
    Mutant {
        name: "what the storage keeps is not compared",
        file: "flow-adapters/tencent/src/cos/digest.rs",
        edits: &[("Some(crc64 == self.crc64)", "Some(crc64 > 0)")],
        caught_by: tencent("objects::what_is_stored_otherwise_than_sent_is_damaged"),
    },
    Mutant {
        name: "a doubt ends with a look that is refused",
        file: "flow-adapters/tencent/src/cos/client.rs",
        edits: &[("return Err(doubt.because(error))", "return Err(error)")],
        caught_by: tencent("objects::a_doubt_stays_one_when_the_look_or_the_next_put_is_refused"),
    },
    Mutant {
        name: "a listing ends with its first page",
        file: "flow-adapters/tencent/src/cos/listing.rs",
        edits: &[("Some(next) => after = Some(next),", "Some(_) => return Ok(objects),")],
        caught_by: tencent("objects::a_listing_goes_on_behind_its_marker_until_its_end"),
    },
];

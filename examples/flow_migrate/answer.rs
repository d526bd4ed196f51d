//! What the tool prints.
//!
//! `{command, ok, engine, server_version, applied: [{version, name, direction, statements, transactional, ms}], failed: null |
//! {version, name, statement, line, code, message}, pending: [version], schema_hash}`; with `migrations: [{version, name, state,
//! down, phase, backfill: null | {rows, of, last_key}}]` for `status`, with `plan_hash` and `statements: [{version, n, locks: [{relation, mode}], rewrites, scans, ms, rule}]` for
//! `plan` and `lint`, with `file`, `sha256`, `locked_ms` and `tables: [{name, rows, hash}]` for `backup`, with `equal` and
//! `mismatches: [{table}]` for `restore-drill`, and with `reason` or `holder` where something is in the way.

use std::error::Error as _;
use std::process::ExitCode;

use flow_core::{ErrorKind, StepError};
use flow_migrate::{Finished, MigrationStatus, Phase, Standing, StatementPlan, Way};
use flow_sql::{Impact, LockMode, Prediction};
use serde_json::{Value, json};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Failed,
    BadInput,
    Refused,
    Locked,
    Unreachable,
    Unknown,
}

/// One JSON object and an exit code.
#[derive(Debug)]
pub(crate) struct Answer {
    command: String,
    end: End,
    pub(crate) server: Option<(&'static str, String)>,
    pub(crate) finished: Vec<Finished>,
    pub(crate) status: Vec<MigrationStatus>,
    pub(crate) schema: Option<String>,
    /// The hash of a plan, and what each of its statements does.
    pub(crate) plan: Option<(String, Vec<StatementPlan>)>,
    /// What `backup` and `restore-drill` add.
    pub(crate) backup: Option<Value>,
    error: Option<StepError>,
    reason: Option<String>,
}

impl Answer {
    pub(crate) fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            end: End::Done,
            server: None,
            finished: Vec::new(),
            status: Vec::new(),
            schema: None,
            plan: None,
            backup: None,
            error: None,
            reason: None,
        }
    }

    pub(crate) fn bad_input(command: &str, reason: &str) -> Self {
        Self { end: End::BadInput, reason: Some(reason.to_owned()), ..Self::new(command) }
    }

    pub(crate) fn refused(command: &str, reason: &str) -> Self {
        Self { end: End::Refused, reason: Some(reason.to_owned()), ..Self::new(command) }
    }

    /// Ends with `error`, if nothing else did before.
    pub(crate) fn stopped_by(&mut self, error: StepError) {
        if self.error.is_none() {
            self.end = end(&error);
            self.error = Some(error);
        }
    }

    /// Ends with a copy that is not as it was proved.
    pub(crate) fn differs(&mut self, error: StepError) {
        self.end = End::Failed;
        self.reason = Some(describe(&error));
        self.error = Some(error);
    }

    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.end, End::Done)
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self.end {
            End::Done => 0,
            End::Failed => 1,
            End::BadInput => 2,
            End::Refused => 3,
            End::Locked => 4,
            End::Unreachable => 5,
            End::Unknown => 6,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let pending = |one: &&MigrationStatus| {
            matches!(one.standing, Standing::Pending | Standing::Partial | Standing::OutOfOrder)
        };
        let mut json = json!({
            "command": self.command,
            "ok": self.is_done(),
            "engine": self.server.as_ref().map(|(engine, _)| engine),
            "server_version": self.server.as_ref().map(|(_, version)| version),
            "applied": self.finished.iter().map(finished).collect::<Vec<_>>(),
            "failed": self.failed(),
            "pending": self.status.iter().filter(pending).map(|one| &one.version).collect::<Vec<_>>(),
            "schema_hash": self.schema,
        });
        let Some(object) = json.as_object_mut() else { return json };
        if self.command == "status" {
            object.insert("migrations".to_owned(), self.status.iter().map(migration).collect());
        }
        if let Some((hash, plans)) = &self.plan {
            object.insert("plan_hash".to_owned(), hash.as_str().into());
            object.insert("statements".to_owned(), plans.iter().map(statement).collect());
        }
        if let Some(Value::Object(found)) = &self.backup {
            object.extend(found.clone());
        }
        if let Some(holder) = self.fact("holder") {
            object.insert("holder".to_owned(), holder.into());
        }
        if !self.is_done() && (self.end != End::Failed || self.reason.is_some()) {
            let reason = self.reason.clone().or_else(|| self.error.as_ref().map(describe));
            object.insert("reason".to_owned(), reason.into());
        }
        json
    }

    fn fact(&self, name: &str) -> Option<&str> {
        fact(self.error.as_ref()?, name)
    }

    fn failed(&self) -> Option<Value> {
        let error = self.error.as_ref()?;
        let version = fact(error, "version")?;
        let name = self.status.iter().find(|one| one.version == version).map(|one| &one.name);
        let number = |name| fact(error, name).and_then(|text| text.parse::<u32>().ok());
        Some(json!({
            "version": version,
            "name": name,
            "statement": number("statement"),
            "line": number("line"),
            "code": fact(error, "code"),
            "message": describe(error),
        }))
    }
}

/// A migration failed where the server, or a check of what it left, refused one of its statements.
fn end(error: &StepError) -> End {
    let refused = fact(error, "statement").is_some() && fact(error, "code").is_some();
    match error.kind() {
        _ if fact(error, "holder").is_some() => End::Locked,
        _ if refused || fact(error, "references").is_some() => End::Failed,
        ErrorKind::Invalid => End::BadInput,
        ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::Failed => End::Refused,
        ErrorKind::Unavailable | ErrorKind::Throttled => End::Unreachable,
        _ => End::Unknown,
    }
}

fn fact<'a>(error: &'a StepError, name: &str) -> Option<&'a str> {
    error.facts().find(|(fact, _)| *fact == name).map(|(_, value)| value)
}

/// The server's own words where there are some.
fn describe(error: &StepError) -> String {
    let said = ["postgres", "mysql", "sqlite"].iter().find_map(|server| fact(error, server));
    let problems = error.source().filter(|_| error.kind() == ErrorKind::Invalid);
    match (said, problems) {
        (Some(said), _) => said.to_owned(),
        (None, Some(problems)) => problems.to_string(),
        (None, None) => error.to_string(),
    }
}

fn finished(done: &Finished) -> Value {
    json!({
        "version": done.version,
        "name": done.name,
        "direction": done.direction.as_str(),
        "statements": done.statements,
        "transactional": done.transactional,
        "ms": done.ms,
    })
}

/// What was measured, else what is foretold; the rule and the advice are the lint's.
fn statement(plan: &StatementPlan) -> Value {
    let lock = |(relation, mode): (&String, &LockMode)| json!({ "relation": relation, "mode": mode });
    let (foretold, unvalidated) = match &plan.foretold {
        Impact::Predicted(one) => (one.clone(), None),
        Impact::Unvalidated { reason } => (Prediction::default(), Some(reason)),
    };
    let rules: Vec<_> = foretold.rules.iter().map(|rule| rule.name.as_str()).collect();
    let measured = plan.measured.as_ref();
    let locks = measured.map_or(&foretold.locks, |measured| &measured.locks);
    let scans: Vec<_> =
        measured.map_or_else(|| foretold.scans.iter().collect(), |measured| measured.scans.keys().collect());
    json!({
        "version": plan.version,
        "n": plan.statement,
        "locks": locks.iter().map(lock).collect::<Vec<_>>(),
        "rewrites": measured.map_or(&foretold.rewrites, |measured| &measured.rewrites),
        "scans": scans,
        "algorithm": measured.map_or(foretold.algorithm, |measured| measured.algorithm),
        "ms": measured.map(|measured| u64::try_from(measured.took.as_millis()).unwrap_or(u64::MAX)),
        "rule": (!rules.is_empty()).then(|| rules.join("; ")),
        "advice": foretold.advice,
        "unvalidated": unvalidated,
    })
}

fn migration(one: &MigrationStatus) -> Value {
    let state = match one.standing {
        Standing::Pending => "pending",
        Standing::Applied => "applied",
        Standing::Partial => "partial",
        Standing::Edited => "edited",
        Standing::Missing => "missing",
        Standing::OutOfOrder => "out_of_order",
    };
    let down = match one.way_back {
        Way::Present => "present",
        Way::Empty => "empty",
        Way::Absent => "absent",
    };
    let filled = one.backfill.as_ref();
    json!({
        "version": one.version,
        "name": one.name,
        "state": state,
        "down": down,
        "phase": one.phase.map(Phase::as_str),
        "backfill": filled.map(|done| json!({ "rows": done.rows, "of": done.of, "last_key": done.last_key })),
    })
}

//! SQLite: a file is copied and rehearsed on, and what a statement writes is counted.

use std::collections::BTreeMap;

use flow_core::port::StatementImpact;
use flow_core::{CancelToken, ErrorKind, StepError};
use flow_sql::{Script, Statement};

use crate::config::Waits;
use crate::effect::{Effect, Loss, Measured};
use crate::engine::sqlite::{Database, Durability, Sqlite, SqliteSession, catalogue, schema};
use crate::run::{Direction, Running, Watch, unrolled};
use crate::schema::Schema;

/// Rehearses `pending` in order. What does not lead back is collected, so that all of it is named at once.
pub(crate) async fn rehearse(
    copy: &Database,
    pending: &[&Script],
) -> Result<Vec<StatementImpact>, StepError> {
    let engine = Sqlite::new(copy.clone(), Waits::default());
    let mut impacts = Vec::new();
    let mut astray: Vec<(String, String)> = Vec::new();
    let mut references = Watch::default();
    for (number, script) in (1..).zip(pending) {
        references.next(number == pending.len());
        // A connection for each, as nothing of a session may reach the next migration.
        let mut session = copy.write(Durability::Throwaway, &CancelToken::new()).await?;
        let script =
            &*unrolled(&engine, &mut session, script).await.map_err(|error| with_facts(error, &astray))?;
        let before = State::read(&mut session).await?;
        let forth = forth(&engine, &mut session, script, before.rows.clone(), &mut references).await;
        let mut found = forth.map_err(|error| with_facts(error, &astray))?;
        match back(&engine, &mut session, script, &before).await {
            Ok(lost) => annotate(&mut found, &lost),
            Err(error) if error.kind() == ErrorKind::Failed => {
                astray.push((format!("way back of {}", script.version), describe(&error)));
            }
            Err(error) => return Err(error),
        }
        impacts.extend(found);
        session.close().await?;
    }
    if astray.is_empty() {
        return Ok(impacts);
    }
    let failed = StepError::new(ErrorKind::Failed, "down scripts do not lead back on a copy of the database");
    Err(with_facts(failed, &astray))
}

/// The schema and the number of rows of each table.
struct State {
    schema: Schema,
    rows: BTreeMap<String, u64>,
}

impl State {
    async fn read(session: &mut SqliteSession) -> Result<Self, StepError> {
        Ok(Self { schema: schema::read(session).await?, rows: catalogue::counts(session).await? })
    }
}

/// Applies the migration as it will be applied, measuring each statement.
async fn forth(
    engine: &Sqlite,
    session: &mut SqliteSession,
    script: &Script,
    mut rows: BTreeMap<String, u64>,
    references: &mut Watch,
) -> Result<Vec<StatementImpact>, StepError> {
    let running = running_up(script);
    let mut impacts = Vec::new();
    session.begin();
    references.look(engine, session, running.statements).await?;
    for (number, statement) in (1..).zip(running.statements) {
        impacts.push(measure(session, running, number, statement, &mut rows).await?);
    }
    references.judge(session).await.map_err(|error| running.named(error))?;
    session.commit().await?;
    Ok(impacts)
}

async fn measure(
    session: &mut SqliteSession,
    running: Running<'_>,
    number: u32,
    statement: &Statement,
    rows: &mut BTreeMap<String, u64>,
) -> Result<StatementImpact, StepError> {
    let effect = Effect::of(&statement.text);
    let met = effect.table().and_then(|table| rows.iter().find(|(name, _)| name.eq_ignore_ascii_case(table)));
    let mut measured = Measured { rows: met.map_or(0, |(_, rows)| *rows), ..Measured::default() };
    let changes = catalogue::changes(session).await?;
    let took = running.step(session, number, statement).await?;
    measured.changed = catalogue::changes(session).await?.saturating_sub(changes);
    if effect.touches_rows() {
        let after = catalogue::counts(session).await?;
        measured.lost = losses(rows, &after);
        *rows = after;
    }
    Ok(StatementImpact {
        version: running.version.to_string(),
        statement: number,
        effect: effect.describe(&measured),
        ms: Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Takes the applied migration back and applies it again, and leaves it applied. Gives the rows that the way back
/// does not bring back.
async fn back(
    engine: &Sqlite,
    session: &mut SqliteSession,
    script: &Script,
    before: &State,
) -> Result<Vec<Loss>, StepError> {
    if script.down.is_none() {
        return Ok(Vec::new());
    }
    session.begin();
    let lost = back_and_forth(engine, session, script, before).await;
    session.roll_back().await;
    lost
}

async fn back_and_forth(
    engine: &Sqlite,
    session: &mut SqliteSession,
    script: &Script,
    before: &State,
) -> Result<Vec<Loss>, StepError> {
    let Some(down) = &script.down else { return Ok(Vec::new()) };
    let applied = schema::read(session).await?;
    Running { version: &script.version, direction: Direction::Down, statements: &down.statements }
        .run(engine, session, &mut Watch::default())
        .await?;
    let reverted = State::read(session).await?;
    let message = if down.statements.is_empty() {
        "the down script is empty"
    } else {
        "the down script does not restore the schema"
    };
    same(message, &before.schema, &reverted.schema)?;
    running_up(script).run(engine, session, &mut Watch::default()).await?;
    let again = schema::read(session).await?;
    same("applied again after its down script it gives another schema", &applied, &again)?;
    Ok(losses(&before.rows, &reverted.rows))
}

fn running_up(script: &Script) -> Running<'_> {
    Running { version: &script.version, direction: Direction::Up, statements: &script.up.statements }
}

pub(super) fn same(message: &'static str, expected: &Schema, found: &Schema) -> Result<(), StepError> {
    if expected.digest() == found.digest() {
        return Ok(());
    }
    let objects = expected.difference(found).join(", ");
    Err(StepError::new(ErrorKind::Failed, message).fact("objects", objects))
}

fn losses(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<Loss> {
    let lost = |(table, rows): (&String, &u64)| {
        let now = after.get(table).copied();
        let fewer = now.is_none_or(|now| now < *rows);
        fewer.then(|| Loss { table: table.clone(), before: *rows, after: now })
    };
    before.iter().filter_map(lost).collect()
}

fn annotate(impacts: &mut [StatementImpact], lost: &[Loss]) {
    let Some(last) = impacts.last_mut() else { return };
    for loss in lost {
        let after = loss.after.unwrap_or_default();
        last.effect += &format!("; the way back leaves {after} of {} rows in `{}`", loss.before, loss.table);
    }
}

pub(super) fn describe(error: &StepError) -> String {
    let facts = error.facts().filter(|(name, _)| !["version", "direction", "code"].contains(name));
    let facts: Vec<_> = facts.map(|(name, value)| format!("{name} {value}")).collect();
    format!("{}: {}", error.message(), facts.join(", "))
}

pub(super) fn with_facts(error: StepError, facts: &[(String, String)]) -> StepError {
    facts.iter().fold(error, |error, (name, value)| error.fact(name.clone(), value))
}

//! Takes migrations back, newest first, by the down scripts that the database keeps.

use std::time::Instant;

use flow_core::{Digest, ErrorKind, Permit, Problems, StepError};
use flow_sql::{Body, Dialect, Version};

use super::conduct::is_stepwise;
use super::course::{Course, Direction, Finished, Retreat};
use super::migration::Running;
use super::site::Site;
use crate::config::Waits;
use crate::engine::Engine;
use crate::ledger::{Applied, Progress, Reached, list};

/// Takes back what was applied, as far as `retreat` says.
pub(crate) async fn down(engine: &dyn Engine, waits: &Waits, permit: &Permit, retreat: &Retreat) -> Course {
    let mut finished = Vec::new();
    let mut site = match Site::enter(engine, waits, permit).await {
        Ok(site) => site,
        Err(error) => return Course::stopped(error),
    };
    let ended = run(&mut site, retreat, &mut finished).await;
    let left = site.leave().await;
    Course { finished, stopped: ended.err().or(left.err()), ..Course::default() }
}

/// The versions that a caller names.
pub(crate) fn versions(texts: &[String]) -> Result<Vec<Version>, Problems> {
    let mut problems = Problems::default();
    let versions = (0..)
        .zip(texts)
        .filter_map(|(index, text): (usize, _)| {
            let version = Version::new(text);
            if version.is_none() {
                problems.add(format!("applied[{index}]"), format!("`{text}` is no version"));
            }
            version
        })
        .collect();
    problems.into_result().map(|()| versions)
}

async fn run(site: &mut Site<'_>, retreat: &Retreat, finished: &mut Vec<Finished>) -> Result<(), StepError> {
    let rows = beyond(&site.applied, retreat)?;
    // Refused as a whole: half a way back leads neither to the old schema nor to the new one.
    let irreversible: Vec<_> = rows.iter().filter(|row| row.down.is_none()).map(|row| &row.version).collect();
    if !irreversible.is_empty() {
        let message = "migrations without a down script cannot be taken back";
        return Err(StepError::new(ErrorKind::Conflict, message).fact("irreversible", list(irreversible)));
    }
    let ways: Vec<_> =
        rows.iter().map(|row| way_back(site.engine.dialect(), row)).collect::<Result<_, _>>()?;
    for (number, (row, body)) in (1..).zip(rows.iter().zip(&ways)) {
        let started = Instant::now();
        let transactional = row.progress == Progress::Whole
            && !is_stepwise(site.engine.dialect(), body.mode, &body.statements);
        let running = running(row, body);
        let records = row.progress == Progress::Whole && !transactional;
        site.next(number == rows.len(), records).await?;
        if transactional {
            whole(site, row, running).await?;
        } else {
            one_by_one(site, row, running).await?;
        }
        finished.push(Finished {
            version: row.version.to_string(),
            name: row.name.clone(),
            direction: Direction::Down,
            statements: count(body),
            transactional,
            ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
    Ok(())
}

/// What is applied beyond the goal, newest first.
fn beyond(applied: &[Applied], retreat: &Retreat) -> Result<Vec<Applied>, StepError> {
    let newest_first = applied.iter().rev().cloned();
    let keep = match retreat {
        Retreat::All => Vec::new(),
        Retreat::Steps(steps) => return Ok(newest_first.take(*steps).collect()),
        Retreat::Keep(keep) => versions(keep)?,
        Retreat::To(version) => {
            let named = versions(std::slice::from_ref(version))?;
            let at = applied.iter().position(|row| Some(&row.version) == named.first());
            let kept = applied.iter().take(at.map_or(0, |at| at + 1)).map(|row| row.version.clone());
            if at.is_none() { named } else { kept.collect() }
        }
    };
    let absent: Vec<_> =
        keep.iter().filter(|version| !applied.iter().any(|row| row.version == **version)).collect();
    if !absent.is_empty() {
        let message = "migrations that should stay are not applied";
        return Err(StepError::new(ErrorKind::Conflict, message).fact("versions", list(absent)));
    }
    Ok(newest_first.filter(|row| !keep.contains(&row.version)).collect())
}

/// The kept down script, if it is what was kept.
pub(super) fn way_back(dialect: Dialect, row: &Applied) -> Result<Body, StepError> {
    let about = |message| StepError::new(ErrorKind::Conflict, message).fact("version", &row.version);
    let kept = row.down.as_ref().ok_or_else(|| about("the migration has no way back"))?;
    if Digest::of(kept.text.as_bytes()) != kept.digest {
        return Err(about("the kept down script was changed"));
    }
    Body::read(dialect, "down", kept.text.as_bytes(), kept.mode)
        .map_err(|problems| about("the kept down script is refused").because(problems))
}

/// Takes a migration back in one transaction, with its row.
async fn whole(site: &mut Site<'_>, row: &Applied, running: Running<'_>) -> Result<(), StepError> {
    let dialect = site.engine.dialect();
    site.worn = running.statements.iter().any(|statement| statement.changes_session(dialect));
    let mut patience = site.patience();
    loop {
        site.work.begin().await?;
        let Site { engine, work, worn, references, .. } = &mut *site;
        let ran = async {
            running.run(*engine, work.as_mut(), references).await?;
            if *worn { work.regain().await } else { Ok(()) }
        };
        let Err(error) = ran.await else { break };
        site.work.roll_back().await;
        if !patience.again(&error).await? {
            return Err(site.taken_back(error));
        }
    }
    let deleted = site.history.delete(&row.version);
    site.commit(&deleted).await.map_err(|error| running.named(error))
}

/// Takes a migration back statement by statement, or the part of it that stands.
async fn one_by_one(site: &mut Site<'_>, row: &Applied, running: Running<'_>) -> Result<(), StepError> {
    let dialect = site.engine.dialect();
    site.worn = running.statements.iter().any(|statement| statement.changes_session(dialect));
    let mut reached = match &row.progress {
        Progress::Reverting(reached) | Progress::Unwinding(reached) => {
            let mut reached = reached.clone();
            site.settle(running, &mut reached).await?;
            site.prepare_session(running, &reached).await?;
            reached
        }
        Progress::Applying(Reached { begun: Some(begun), .. }) => {
            site.await_end(begun).await?;
            site.record(vec![site.history.turn(row)]).await?;
            Reached::default()
        }
        Progress::Applying(_) | Progress::Whole | Progress::Foreign => {
            site.record(vec![site.history.turn(row)]).await?;
            Reached::default()
        }
    };
    let partial = matches!(row.progress, Progress::Applying(_) | Progress::Unwinding(_));
    let mut tolerated = |error: &StepError| partial && says_missing(dialect, error);
    let ended = site.step_through(running, &mut reached, &mut tolerated).await;
    if ended.is_err() && row.progress == Progress::Whole && reached == Reached::default() {
        // Nothing of it is taken back, so it stands as it did.
        let stands = site.history.stand(&row.version);
        site.record(vec![stands]).await.map_err(StepError::after_effect)?;
        return ended;
    }
    ended.map_err(|error| {
        let of = u32::try_from(running.statements.len()).unwrap_or(u32::MAX);
        error.after_effect().fact("way back", reached.describe(of))
    })?;
    let deleted = site.history.delete(&row.version);
    site.end(deleted);
    Ok(())
}

/// Whether a statement failed because what it takes back is not there: of a migration that stands in part, some was never made.
fn says_missing(dialect: Dialect, error: &StepError) -> bool {
    let fact = |name: &str| error.facts().find(|(fact, _)| *fact == name).map_or("", |(_, value)| value);
    match dialect {
        Dialect::Postgres => ["42P01", "42703", "42704", "42883", "3F000"].contains(&fact("code")),
        Dialect::Mysql => {
            ["1051", "1054", "1091", "1141", "1146", "1305", "1360", "1539"].contains(&fact("code"))
        }
        Dialect::Sqlite => fact("sqlite").starts_with("no such "),
    }
}

fn running<'a>(row: &'a Applied, body: &'a Body) -> Running<'a> {
    Running { version: &row.version, direction: Direction::Down, statements: &body.statements }
}

fn count(body: &Body) -> u32 {
    u32::try_from(body.statements.len()).unwrap_or(u32::MAX)
}

//! Takes migrations back, newest first, by the down scripts that the database keeps.

use flow_core::{Digest, ErrorKind, Permit, Problems, StepError};

use crate::client::{Database, Durability, Session, history};
use crate::ledger::Applied;
use crate::scripts::Body;
use crate::transaction::{Direction, Running};
use crate::version::Version;

/// Takes back whatever is applied beyond `keep`.
pub(crate) async fn revert_to(
    database: &Database,
    keep: &[Version],
    permit: &Permit,
) -> Result<(), StepError> {
    let mut session = database.write(Durability::Durable, permit.cancel()).await?;
    // Refused as a whole: half a way back leads neither to the old schema nor to the new one.
    check(&history::read(&mut session).await?, keep)?;
    let mut reverted = Vec::new();
    loop {
        match next(&mut session, keep).await {
            Ok(Some(version)) => reverted.push(version),
            Ok(None) => return session.close().await,
            Err(error) if reverted.is_empty() => return Err(error),
            Err(error) => {
                let reverted: Vec<_> = reverted.iter().map(Version::as_str).collect();
                return Err(error.after_effect().fact("reverted", reverted.join(", ")));
            }
        }
    }
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

fn check(applied: &[Applied], keep: &[Version]) -> Result<(), StepError> {
    let beyond = || applied.iter().rev().filter(|row| !keep.contains(&row.version));
    let list = |rows: Vec<&Version>| rows.into_iter().map(Version::as_str).collect::<Vec<_>>().join(", ");

    let absent: Vec<_> =
        keep.iter().filter(|version| !applied.iter().any(|row| row.version == **version)).collect();
    if !absent.is_empty() {
        let message = "migrations that should stay are not applied";
        return Err(StepError::new(ErrorKind::Conflict, message).fact("versions", list(absent)));
    }
    let irreversible: Vec<_> = beyond().filter(|row| row.down.is_none()).map(|row| &row.version).collect();
    if !irreversible.is_empty() {
        let message = "migrations without a down script cannot be taken back";
        return Err(StepError::new(ErrorKind::Conflict, message).fact("irreversible", list(irreversible)));
    }
    beyond().try_for_each(|row| way_back(row).map(drop))
}

/// The kept down script, if it is what was kept.
fn way_back(row: &Applied) -> Result<Body, StepError> {
    let about = |message| StepError::new(ErrorKind::Conflict, message).fact("version", &row.version);
    let kept = row.down.as_ref().ok_or_else(|| about("the migration has no way back"))?;
    if Digest::of(kept.text.as_bytes()) != kept.digest {
        return Err(about("the kept down script was changed"));
    }
    Body::read(kept.text.as_bytes())
        .map_err(|problems| about("the kept down script is refused").fact("problems", problems.join("; ")))
}

/// Takes back the newest migration beyond `keep`, or gives none where none is left.
async fn next(session: &mut Session, keep: &[Version]) -> Result<Option<Version>, StepError> {
    session.begin().await?;
    match within(session, keep).await {
        Ok(Some(version)) => {
            session.commit().await.map_err(|error| error.fact("version", &version))?;
            Ok(Some(version))
        }
        Ok(None) => {
            session.roll_back().await;
            Ok(None)
        }
        Err(error) => {
            session.roll_back().await;
            Err(error)
        }
    }
}

async fn within(session: &mut Session, keep: &[Version]) -> Result<Option<Version>, StepError> {
    let mut applied = history::read(session).await?;
    let Some(at) = applied.iter().rposition(|row| !keep.contains(&row.version)) else { return Ok(None) };
    let row = applied.swap_remove(at);
    let body = way_back(&row)?;
    let running = Running { version: &row.version, direction: Direction::Down, statements: &body.statements };
    running.run(session).await?;
    history::delete(session, &row.version).await?;
    Ok(Some(row.version))
}

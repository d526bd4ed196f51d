//! Where each migration stands.

use flow_core::Digest;
use flow_sql::{Phase, Script, Version};

use crate::ledger::{Applied, BackfillProgress, Divergence, Progress};

/// A database as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The product's name in small letters, and its version in its own words, which is empty where a database file is not made yet.
    pub server: (&'static str, String),
    /// Every migration in the order of its version.
    pub migrations: Vec<MigrationStatus>,
    /// The digest of the schema. It changes with the schema and with no row.
    pub schema: Digest,
}

/// One migration, of the scripts or of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The version, as the file name has it.
    pub version: String,
    /// The rest of the file name.
    pub name: String,
    /// Where it stands.
    pub standing: Standing,
    /// Whether there is a way back.
    pub way_back: Way,
    /// The phase that its script declares; none where the script is gone.
    pub phase: Option<Phase>,
    /// How far its backfill came, if it is one that was begun.
    pub backfill: Option<BackfillProgress>,
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not applied yet.
    Pending,
    /// Applied, as its script is now.
    Applied,
    /// Applied or taken back in part.
    Partial,
    /// Applied, and its script has been edited since.
    Edited,
    /// Applied, and its script is gone.
    Missing,
    /// Not applied, though a later one is.
    OutOfOrder,
}

/// The way back of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A down script with statements.
    Present,
    /// A down script without any.
    Empty,
    /// No down script.
    Absent,
}

/// Every migration in the order of its version.
pub(crate) fn status(scripts: &[Script], applied: &[Applied]) -> Vec<MigrationStatus> {
    let divergence = Divergence::of(scripts, applied);
    let mut all: Vec<_> = scripts
        .iter()
        .map(|script| {
            let row = applied.iter().find(|row| row.version == script.version);
            let standing = match row {
                Some(row) if !matches!(row.progress, Progress::Whole | Progress::Foreign) => {
                    Standing::Partial
                }
                Some(_) if divergence.edited.contains(&script.version) => Standing::Edited,
                Some(_) => Standing::Applied,
                None if divergence.late.contains(&script.version) => Standing::OutOfOrder,
                None => Standing::Pending,
            };
            let empty = script.down.as_ref().map(|down| down.statements.is_empty());
            (&script.version, &script.name, standing, way(empty), Some(script.phase))
        })
        .collect();
    let missing = applied.iter().filter(|row| divergence.missing.contains(&row.version));
    all.extend(missing.map(|row| {
        let empty = row.down.as_ref().map(|down| down.text.trim().is_empty());
        (&row.version, &row.name, Standing::Missing, way(empty), None)
    }));
    all.sort_by_key(|(version, ..)| *version);
    let filled = |version: &Version| applied.iter().find(|row| row.version == *version)?.filled.clone();
    let status = |(version, name, standing, way_back, phase): (&Version, &String, _, _, _)| MigrationStatus {
        backfill: filled(version),
        version: version.to_string(),
        name: name.clone(),
        standing,
        way_back,
        phase,
    };
    all.into_iter().map(status).collect()
}

const fn way(empty: Option<bool>) -> Way {
    match empty {
        None => Way::Absent,
        Some(true) => Way::Empty,
        Some(false) => Way::Present,
    }
}

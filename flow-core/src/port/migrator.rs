use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::receipt::Artifact;

/// One migration as its files give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationScript {
    /// The version, as the file name has it.
    pub version: String,
    /// The rest of the file name.
    pub name: String,
    /// The digest of the up script.
    pub up: Digest,
    /// The digest of the down script; none where there is no way back.
    pub down: Option<Digest>,
}

/// Where the database stands against the scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationState {
    /// The versions that the database records as applied, in order.
    pub applied: Vec<String>,
    /// The scripts that are not applied yet, in order.
    pub pending: Vec<MigrationScript>,
    /// The digest of the schema now.
    pub schema: Digest,
}

/// A backup that was restored and compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupProof {
    /// The backup.
    pub backup: Artifact,
    /// Each table with its number of rows and the digest over all of them, equal in the source and in the restored copy.
    pub tables: Vec<(String, u64, Digest)>,
}

/// One migration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedMigration {
    /// The version.
    pub version: String,
    /// How many statements it had.
    pub statements: u32,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What one statement of a pending migration does to a running service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementImpact {
    /// The migration's version.
    pub version: String,
    /// The statement's number, from 1.
    pub statement: u32,
    /// What it does, in words: locks, rewritten tables, scanned rows.
    pub effect: String,
    /// How long it took on a restored copy, in milliseconds, if it was rehearsed.
    pub ms: Option<u64>,
}

/// One consistency query and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataCheck {
    /// The check's name.
    pub name: Name,
    /// Whether the data is consistent.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// Moves a database between the states that migration scripts describe.
///
/// Versions that are numbers are ordered by their value. A deployment backs up before it applies, in the same run. An
/// implementation proves itself with `flow_testkit::migrator_conformance!`.
#[async_trait]
pub trait Migrator: Send + Sync {
    /// The database, as a resource that no other run may touch meanwhile.
    fn resource(&self) -> Name;

    /// Reads the scripts and checks them: names, order, duplicates, way back.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with every problem of every file.
    async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError>;

    /// Compares the database with the scripts. The digest of the schema changes with the schema and with no row.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) for edited, missing or out-of-order migrations, with the list.
    async fn state(&self) -> Result<MigrationState, StepError>;

    /// Says what each statement of the pending migrations does to a running service, measured on a restored copy where one is
    /// at hand. The database itself stays as it is.
    ///
    /// # Errors
    /// [`Failed`](crate::ErrorKind::Failed) when one of them fails there.
    async fn impact(&self) -> Result<Vec<StatementImpact>, StepError>;

    /// Makes a consistent backup, restores it beside and compares every row. The database stays as it is, and so do earlier
    /// backups.
    ///
    /// # Errors
    /// [`Failed`](crate::ErrorKind::Failed) when the restored copy differs.
    async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError>;

    /// Applies the pending migrations in order, each exactly once, and keeps their down scripts in the database.
    ///
    /// The answer names all that was applied under this idempotency key, by earlier attempts too. A cancelled call stops
    /// between two migrations, or takes back the one under way.
    ///
    /// # Errors
    /// In doubt where the failure left some applied, by an earlier attempt under this key too. Where the first one fails, a
    /// rejection claims that nothing of it stands. [`Conflict`](crate::ErrorKind::Conflict) as [`state`](Self::state).
    async fn apply(&self, permit: &Permit) -> Result<Vec<AppliedMigration>, StepError>;

    /// Takes back what was applied beyond `applied`, newest first, by the kept down scripts, whether or not the
    /// migration before it was finished, and whatever has become of the files. What is not applied is done.
    ///
    /// # Errors
    /// Any kind where the database is not where it was. A rejection, with nothing taken back, where one of the migrations has
    /// no way back.
    async fn revert_to(&self, permit: &Permit, applied: &[String]) -> Result<(), StepError>;

    /// Runs the declared consistency queries.
    ///
    /// # Errors
    /// Any kind where one could not be asked; an inconsistency is an answer.
    async fn check(&self) -> Result<Vec<DataCheck>, StepError>;
}

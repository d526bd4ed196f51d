//! Backups and their drills.

use std::fs;
use std::path::{Path, PathBuf};

use flow_core::port::BackupProof;
use flow_core::{Environment, ErrorKind, Permit, StepError};
use flow_migrate::{BackupSettings, SqlMigrations, Target};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::options::{Command, Options};

/// How backups are made and restored.
pub(crate) fn settings(options: &Options, target: &Target) -> BackupSettings {
    let default = BackupSettings::default();
    let is_drill = matches!(options.command, Command::Drill { .. });
    let is_kept = matches!(options.command, Command::Backup { .. });
    BackupSettings {
        environment: if options.production && is_kept {
            Environment::Production
        } else {
            default.environment
        },
        recipients: options.recipient.iter().cloned().collect(),
        tools: options.tools.iter().cloned().chain(default.tools.clone()).collect(),
        // Whoever drills says on which server.
        scratch: is_drill
            .then(|| target.clone())
            .filter(|target| target.dialect() != flow_sql::Dialect::Sqlite),
        ..default
    }
}

/// Where backups are made: beside the file that is asked for, so that it can be moved there in one piece.
pub(crate) fn folder(options: &Options) -> PathBuf {
    match &options.command {
        Command::Backup { out } => beside(out),
        Command::Drill { backup } => beside(backup),
        _ => std::env::temp_dir().join("flow-migrate"),
    }
}

fn beside(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(".flow-migrate")
}

/// `{file, sha256, locked_ms, tables: [{name, rows, hash}]}`.
pub(crate) async fn back_up(
    migrations: &SqlMigrations,
    permit: &Permit,
    out: &Path,
) -> Result<Value, StepError> {
    let backup = migrations.back_up_timed(permit).await?;
    let made = &backup.proof.backup.path;
    // The proof last: a file beside an older proof is not taken for proved.
    for (from, to) in [(made.clone(), out.to_owned()), (proof_of(made), proof_of(out))] {
        fs::rename(&from, &to).map_err(|error| {
            let message = "the backup cannot be moved to its place";
            StepError::new(ErrorKind::Failed, message).fact("path", to.display()).because(error)
        })?;
    }
    let tables = backup.proof.tables.iter();
    let tables: Vec<_> =
        tables.map(|(name, rows, hash)| json!({ "name": name, "rows": rows, "hash": hash.hex() })).collect();
    Ok(json!({
        "file": out,
        "sha256": backup.proof.backup.digest.hex(),
        "locked_ms": backup.locked.as_secs_f64() * 1e3,
        "tables": tables,
    }))
}

/// `{equal, mismatches: [{table}]}`, and the failure where the copy is not equal.
pub(crate) async fn drill(
    migrations: &SqlMigrations,
    backup: &Path,
    identity: Option<&Path>,
) -> Result<(Value, Option<StepError>), StepError> {
    let proof: BackupProof = migrations.proof_of(backup).await?;
    let identities = identity.map(identities).transpose()?.unwrap_or_default();
    let error = match migrations.drill(&proof, &identities).await {
        Ok(()) => None,
        Err(error) if error.kind() == ErrorKind::Failed => Some(error),
        Err(error) => return Err(error),
    };
    let tables = error.iter().flat_map(StepError::facts).filter(|(name, _)| *name == "tables");
    let mismatches: Vec<_> =
        tables.flat_map(|(_, tables)| tables.split(", ")).map(|table| json!({ "table": table })).collect();
    Ok((json!({ "equal": error.is_none(), "mismatches": mismatches }), error))
}

fn proof_of(backup: &Path) -> PathBuf {
    PathBuf::from(format!("{}.proof.json", backup.display()))
}

/// The keys of a file as `age-keygen` writes it.
fn identities(file: &Path) -> Result<Vec<Zeroizing<String>>, StepError> {
    let text = fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
        let message = "the file of the identity cannot be read";
        StepError::new(ErrorKind::Invalid, message).fact("path", file.display()).because(error)
    })?;
    let keys = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(keys.map(|key| Zeroizing::new(key.to_owned())).collect())
}

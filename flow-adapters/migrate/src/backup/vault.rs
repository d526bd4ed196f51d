use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use age::x25519::Identity;
use flow_core::port::BackupProof;
use flow_core::{Artifact, CancelToken, ErrorKind, StepError};
use zeroize::Zeroizing;

use super::certificate::{self, Certificate, beside};
use super::copier::{Copier, Restored, Taken, copier};
use super::draft::{Draft, SEALED, Sealed};
use super::settings::BackupSettings;
use crate::config::SqlConfig;
use crate::files::{self, about, blocking};
use crate::proof::{self, Contents};

/// Where the backups of one database are kept.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    copier: Arc<dyn Copier>,
    directory: PathBuf,
    settings: BackupSettings,
}

/// A backup that was restored and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The backup, and what was proved of it.
    pub proof: BackupProof,
    /// How long writers had to wait for it: for the write lock of SQLite or the read lock of MariaDB; not at all on PostgreSQL.
    pub locked: Duration,
}

/// What was done to old backups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Those that are gone.
    pub removed: Vec<PathBuf>,
    /// Those that stay because nothing says what they are: their proof is missing or cannot be read.
    pub unproved: Vec<PathBuf>,
}

impl Vault {
    pub(crate) fn new(config: &SqlConfig) -> Self {
        let (directory, settings) = (config.backups.clone(), config.backup.clone());
        Self { copier: copier(config), directory, settings }
    }

    /// Dumps, reads the file back, restores, compares and keeps.
    pub(crate) async fn back_up(&self, cancel: &CancelToken) -> Result<Backup, StepError> {
        let draft = self.draft().await?;
        let taken = self.copier.take(&draft, cancel).await.map_err(nothing_left)?;
        let found = self.restored(draft.sealed(), cancel).await?;
        proof::compare(&taken.contents, &found)?;
        let vault = self.clone();
        blocking(move || vault.keep(&draft, taken)).await
    }

    /// A copy of the database as it is now, for trials; not kept, and not compared.
    pub(crate) async fn copy(&self, cancel: &CancelToken) -> Result<Restored, StepError> {
        let draft = self.draft().await?;
        self.copier.take(&draft, cancel).await.map_err(nothing_left)?;
        self.copier.restore(draft.sealed(), cancel).await.map_err(nothing_left)
    }

    /// Restores a kept backup once more and compares it with its proof. Bytes that were not proved reach no server but one that
    /// was named for scratch copies, there to find out what they hold otherwise.
    pub(crate) async fn drill(
        &self,
        proved: &BackupProof,
        identities: &[Zeroizing<String>],
        cancel: &CancelToken,
    ) -> Result<(), StepError> {
        let identity = |text: &Zeroizing<String>| {
            Identity::from_str(text.trim())
                .map_err(|_| StepError::new(ErrorKind::Invalid, "an identity is none of age"))
        };
        let identities = identities.iter().map(identity).collect::<Result<Vec<_>, _>>()?;
        let path = proved.backup.path.clone();
        let is_proved = blocking(move || files::digest(&path)).await? == proved.backup.digest;
        let sealed = Sealed::kept(&proved.backup.path, &identities);
        if is_proved {
            return proof::compare_tables(&proved.tables, &self.restored(sealed, cancel).await?);
        }
        let message = "the backup's bytes are not the ones that were proved";
        let changed = StepError::new(ErrorKind::Failed, message).fact("path", proved.backup.path.display());
        if self.copier.runs_dumps() && self.settings.scratch.is_none() {
            return Err(changed);
        }
        let found = self.restored(sealed, cancel).await;
        Err(match found.and_then(|found| proof::compare_tables(&proved.tables, &found)) {
            Ok(()) => changed,
            Err(error) => {
                let tables =
                    error.facts().find(|(name, _)| *name == "tables").map(|(_, tables)| tables.to_owned());
                tables
                    .into_iter()
                    .fold(changed, |changed, tables| changed.fact("tables", tables))
                    .because(error)
            }
        })
    }

    /// Removes old backups of this database. The newest stays, and so does what has no proof.
    pub(crate) async fn prune(&self) -> Result<Pruned, StepError> {
        let vault = self.clone();
        blocking(move || vault.remove_old()).await
    }

    async fn draft(&self) -> Result<Arc<Draft>, StepError> {
        let (directory, keys) = (self.directory.clone(), self.settings.keys());
        blocking(move || Draft::new(&directory, keys).map(Arc::new)).await
    }

    async fn restored(&self, sealed: Sealed, cancel: &CancelToken) -> Result<Contents, StepError> {
        let mut restored = self.copier.restore(sealed, cancel).await.map_err(nothing_left)?;
        let found = self.copier.contents(&mut restored, cancel).await.map_err(nothing_left);
        let removed = restored.remove().await.map_err(nothing_left);
        let found = found?;
        removed.map(|()| found)
    }

    fn keep(&self, draft: &Draft, taken: Taken) -> Result<Backup, StepError> {
        let digest = files::digest(draft.path())?;
        let mut name = format!("{}.{}", digest.hex(), self.copier.suffix());
        if !self.settings.recipients.is_empty() {
            name = format!("{name}.{SEALED}");
        }
        let path = files::keep(draft.path(), self.directory.join(name))?;
        let proof =
            BackupProof { backup: Artifact { digest, path }, tables: proof::port_tables(&taken.contents) };
        let certificate = Certificate {
            source: self.copier.source(),
            server: taken.server,
            made_ms: millis(certificate::now()),
            locked_ms: millis(taken.locked),
            proof: proof.clone(),
        };
        certificate.keep(&self.directory).map_err(StepError::after_effect)?;
        Ok(Backup { proof, locked: taken.locked })
    }

    fn remove_old(&self) -> Result<Pruned, StepError> {
        let mut pruned = Pruned::default();
        let mut proved = Vec::new();
        for backup in certificate::backups(&self.directory)? {
            match Certificate::of(&backup) {
                Ok(certificate) if certificate.source == self.copier.source() => {
                    proved.push((certificate, backup));
                }
                Ok(_) => {}
                Err(_) => pruned.unproved.push(backup),
            }
        }
        proved.sort_by_key(|(certificate, _)| std::cmp::Reverse(certificate.made_ms));
        let retention = &self.settings.retention;
        for (place, (certificate, backup)) in proved.into_iter().enumerate().skip(1) {
            let old = retention.age.is_some_and(|age| certificate.age() > age);
            if place < retention.count.get() && !old {
                continue;
            }
            // In this order: a proof without its backup is harmless, a backup without its proof stays for ever.
            for path in [&backup, &beside(&backup)] {
                fs::remove_file(path).map_err(|error| about(path, error).after_effect())?;
            }
            pruned.removed.push(backup);
        }
        Ok(pruned)
    }
}

/// Reads the proof that stands beside `backup`, wherever both were brought.
pub(crate) async fn proof_of(backup: &Path) -> Result<BackupProof, StepError> {
    let path = backup.to_owned();
    blocking(move || {
        let mut proof = Certificate::of(&path)?.proof;
        proof.backup.path = path;
        Ok(proof)
    })
    .await
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The database was only read, the file is gone, and so is the copy, or the next run removes it.
fn nothing_left(error: StepError) -> StepError {
    if error.kind() == ErrorKind::Unknown {
        return StepError::new(ErrorKind::Unavailable, error.message().to_owned()).because(error);
    }
    error
}

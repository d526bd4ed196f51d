use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use age::x25519::Recipient;
use flow_core::{Environment, Problems};

use crate::config::{Place, Target};

const PATIENCE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const LOCK_MAX: Duration = Duration::from_secs(300);

/// How backups are made, sealed and kept.
#[derive(Debug, Clone)]
pub struct BackupSettings {
    /// What the database is for: a backup of production that anybody can read is refused.
    pub environment: Environment,
    /// Who can read the backups: public keys of age, `age1..`. None leaves them in clear text.
    pub recipients: Vec<String>,
    /// Where the tools of the servers are looked for (`pg_dump`, `pg_restore`, `mariadb-dump`, `mariadb`), first come first
    /// served. Nothing else of the environment is looked at.
    pub tools: Vec<PathBuf>,
    /// How long the dump may take, and how long each restoration.
    pub patience: Duration,
    /// How long writers may be kept waiting while MariaDB's dump begins: the wait for its read lock, and the lock.
    pub lock: Duration,
    /// The server on which backups are restored and compared; the database's own where none is named. Its user must be allowed
    /// to create databases.
    pub scratch: Option<Target>,
    /// What `prune` leaves.
    pub retention: Retention,
}

/// Which backups are left. The newest one always is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// How many at most.
    pub count: NonZeroUsize,
    /// How old they become; any age where there is none.
    pub age: Option<Duration>,
}

impl Default for BackupSettings {
    /// Development, in clear text, with the tools of the system; an hour for each dump and restoration, ten seconds for the lock,
    /// and the ten newest backups.
    fn default() -> Self {
        Self {
            environment: Environment::Development,
            recipients: Vec::new(),
            tools: vec!["/usr/local/bin".into(), "/usr/bin".into()],
            patience: Duration::from_secs(3600),
            lock: Duration::from_secs(10),
            scratch: None,
            retention: Retention { count: NonZeroUsize::MIN.saturating_add(9), age: None },
        }
    }
}

impl BackupSettings {
    pub(crate) fn check(&self, target: &Target, problems: &mut Problems) {
        for (index, recipient) in self.recipients.iter().enumerate() {
            if let Err(problem) = Recipient::from_str(recipient) {
                problems.add(
                    format!("backup.recipients[{index}]"),
                    format!("is no public key of age: {problem}"),
                );
            }
        }
        let sealed = !self.recipients.is_empty() || self.environment != Environment::Production;
        problems.check(sealed, "backup.recipients", "names nobody: backups of production are encrypted");
        problems.check(self.patience <= PATIENCE_MAX, "backup.patience", "is longer than a week");
        problems.check(!self.patience.is_zero(), "backup.patience", "is none");
        problems.check(self.lock <= LOCK_MAX, "backup.lock", "is longer than five minutes");
        problems.check(self.lock >= Duration::from_secs(1), "backup.lock", "is shorter than a second");
        for (index, folder) in self.tools.iter().enumerate() {
            if !folder.is_absolute() {
                problems.add(format!("backup.tools[{index}]"), "is no absolute path");
            }
        }
        if let Some(scratch) = &self.scratch {
            let same = matches!(
                (scratch.place(), target.place()),
                (Place::Postgres(_), Place::Postgres(_)) | (Place::Mysql(_), Place::Mysql(_))
            );
            problems.check(same, "backup.scratch", "is no server of the database's own kind");
        }
    }

    /// The keys, which were checked.
    pub(super) fn keys(&self) -> Vec<Recipient> {
        self.recipients.iter().filter_map(|recipient| Recipient::from_str(recipient).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(settings: &BackupSettings) -> Vec<String> {
        let mut problems = Problems::default();
        settings.check(&Target::sqlite("app.db"), &mut problems);
        problems.as_slice().iter().map(|problem| problem.field.clone()).collect()
    }

    #[test]
    fn every_problem_is_found_at_once() {
        assert_eq!(fields(&BackupSettings::default()), [""; 0]);
        let settings = BackupSettings {
            recipients: vec!["age1nobody".to_owned()],
            tools: vec!["bin".into()],
            patience: Duration::ZERO,
            lock: Duration::MAX,
            scratch: Target::parse("postgres://u@localhost/d").ok(),
            ..BackupSettings::default()
        };
        let expected =
            ["backup.recipients[0]", "backup.patience", "backup.lock", "backup.tools[0]", "backup.scratch"];
        assert_eq!(fields(&settings), expected);
    }

    #[test]
    fn backups_of_production_have_a_recipient() {
        let mut settings =
            BackupSettings { environment: Environment::Production, ..BackupSettings::default() };
        assert_eq!(fields(&settings), ["backup.recipients"]);
        settings.recipients.push(age::x25519::Identity::generate().to_public().to_string());
        assert_eq!(fields(&settings), [""; 0]);
    }
}

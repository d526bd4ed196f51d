use async_trait::async_trait;
use flow_core::port::{
    AppliedMigration, BackupProof, DataCheck, MigrationScript, MigrationState, Migrator, StatementImpact,
};
use flow_core::{Name, Permit, Problems, StepError};

use crate::client::files::{self, blocking};
use crate::client::{Database, catalogue, history};
use crate::config::{ConsistencyQuery, SqliteConfig};
use crate::schema::Schema;
use crate::scripts::{self, Script};
use crate::{apply, backup, ledger, rehearsal, revert};

/// Migrates one SQLite database by the scripts of one directory.
#[derive(Debug, Clone)]
pub struct SqliteMigrations {
    config: SqliteConfig,
    database: Database,
}

impl SqliteMigrations {
    /// Checks `config` and takes it. Touches nothing yet.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub fn new(config: SqliteConfig) -> Result<Self, Problems> {
        config.check()?;
        let database = Database::new(config.database.clone(), config.busy_timeout, config.missing);
        Ok(Self { config, database })
    }

    /// Restores a kept backup beside once more and compares it with its proof: a restore drill.
    ///
    /// # Errors
    /// [`Failed`](flow_core::ErrorKind::Failed) with the tables that differ;
    /// [`NotFound`](flow_core::ErrorKind::NotFound) where the backup is gone.
    pub async fn drill(&self, proof: &BackupProof) -> Result<(), StepError> {
        backup::drill(&self.config.backups, proof).await
    }

    async fn read_scripts(&self) -> Result<Vec<Script>, StepError> {
        let directory = self.config.scripts.clone();
        let entries = blocking(move || files::entries(&directory)).await?;
        Ok(scripts::read(entries)?)
    }

    async fn ask(&self, query: &ConsistencyQuery) -> Result<DataCheck, StepError> {
        let mut session = self.database.read_snapshot().await?;
        let found = catalogue::answer(&mut session, &query.sql)
            .await
            .map_err(|error| error.fact("check", &query.name))?;
        session.close().await?;
        Ok(DataCheck { name: query.name.clone(), holds: found == query.expect, found })
    }
}

#[async_trait]
impl Migrator for SqliteMigrations {
    fn resource(&self) -> Name {
        self.config.resource.clone()
    }

    async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError> {
        Ok(self.read_scripts().await?.iter().map(ledger::port_script).collect())
    }

    async fn state(&self) -> Result<MigrationState, StepError> {
        let scripts = self.read_scripts().await?;
        let (applied, schema) = if self.database.is_there().await? {
            let mut session = self.database.read_snapshot().await?;
            let applied = history::read(&mut session).await?;
            let schema = catalogue::schema(&mut session).await?;
            session.close().await?;
            (applied, schema)
        } else {
            (Vec::new(), Schema::default())
        };
        let pending = ledger::pending(&scripts, &applied)?;
        Ok(MigrationState {
            pending: pending.into_iter().map(ledger::port_script).collect(),
            applied: applied.iter().map(|row| row.version.to_string()).collect(),
            schema: schema.digest(),
        })
    }

    async fn impact(&self) -> Result<Vec<StatementImpact>, StepError> {
        // Neither a conflict nor a database that is up to date is worth a copy.
        if self.state().await?.pending.is_empty() {
            return Ok(Vec::new());
        }
        let scripts = self.read_scripts().await?;
        let copy = backup::scratch(&self.config.backups).await?;
        let copied = backup::throwaway(&copy);
        // Without a database the copy stays empty, as the database will be.
        if self.database.is_there().await? {
            backup::copy(&self.database, &copy).await?;
        }
        let mut session = copied.read_snapshot().await?;
        let applied = history::read(&mut session).await?;
        session.close().await?;
        rehearsal::rehearse(&copied, &ledger::pending(&scripts, &applied)?).await
    }

    async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError> {
        self.database.is_there().await?;
        backup::back_up(&self.database, &self.config.backups, permit).await
    }

    async fn apply(&self, permit: &Permit) -> Result<Vec<AppliedMigration>, StepError> {
        let scripts = self.read_scripts().await?;
        self.database.is_there().await?;
        apply::apply(&self.database, &scripts, permit).await
    }

    async fn revert_to(&self, permit: &Permit, applied: &[String]) -> Result<(), StepError> {
        let keep = revert::versions(applied)?;
        // Nothing was ever applied to a database that is not there, so there is nothing to take back from it.
        if !self.database.is_there().await? && keep.is_empty() {
            return Ok(());
        }
        revert::revert_to(&self.database, &keep, permit).await
    }

    async fn check(&self) -> Result<Vec<DataCheck>, StepError> {
        let mut answers = Vec::new();
        if self.database.is_there().await? {
            for query in &self.config.checks {
                answers.push(self.ask(query).await?);
            }
            return Ok(answers);
        }
        Err(self.database.is_missing())
    }
}

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{
    AppliedMigration, BackupProof, DataCheck, MigrationScript, MigrationState, Migrator, StatementImpact,
};
use flow_core::{CancelToken, Digest, ErrorKind, Name, Permit, Problems, StepError};
use flow_sql::{Layout, Phase, Script, Version};
use zeroize::Zeroizing;

use crate::backup::{self, Backup, Pruned, Vault};
use crate::config::{ConsistencyQuery, Place, SqlConfig};
use crate::engine::sqlite::{Database, Sqlite};
use crate::engine::{Access, Engine, Session, engine};
use crate::files::{self, blocking};
use crate::ledger::{self, Applied, History, Progress, View};
use crate::rehearsal::{self, StatementPlan};
use crate::run::{self, Course, Goal, MigrationStatus, Overview, Resolution, Retreat};
use crate::schema::Schema;

/// Migrates one database by the scripts of one directory.
#[derive(Debug, Clone)]
pub struct SqlMigrations {
    config: SqlConfig,
    engine: Arc<dyn Engine>,
    vault: Vault,
    phase: Option<Phase>,
}

impl SqlMigrations {
    /// Checks `config` and takes it. Touches nothing yet.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub fn new(config: SqlConfig) -> Result<Self, Problems> {
        config.check()?;
        Ok(Self { engine: engine(&config), vault: Vault::new(&config), phase: None, config })
    }

    /// The same database with the migrations of one phase alone: those are pending, and applied. What is applied of the other phase
    /// is known all the same.
    ///
    /// Expand migrations may be applied past contract ones that wait. Contract ones are refused while an expand one that comes before
    /// them is not applied.
    #[must_use]
    pub fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    const fn view<'a>(&self, scripts: &'a [Script]) -> View<'a> {
        View { scripts, phase: self.phase }
    }

    /// Applies what is pending, as far as `goal`, and stops at the first failure. The kind of that failure speaks of the migration that
    /// failed and not of those before it. May be repeated: what stands is not applied again.
    pub async fn up(&self, permit: &Permit, goal: &Goal) -> Course {
        let scripts = match self.ready().await {
            Ok(scripts) => scripts,
            Err(error) => return Course::stopped(error),
        };
        run::up(self.engine.as_ref(), &self.config.waits, self.view(&scripts), permit, goal).await
    }

    /// Takes back what was applied, as far as `retreat`, newest first, by the kept down scripts, and stops at the first failure. Where
    /// one of the migrations has no way back, nothing is taken back. May be repeated.
    pub async fn down(&self, permit: &Permit, retreat: &Retreat) -> Course {
        match self.engine.is_there().await {
            Ok(true) => run::down(self.engine.as_ref(), &self.config.waits, permit, retreat).await,
            // Nothing was ever applied to a database that is not there, so there is nothing to take back from it.
            Ok(false) => Course::default(),
            Err(error) => Course::stopped(error),
        }
    }

    /// Says what became of the statement of `version` that was under way when a run was interrupted, where the database itself cannot
    /// tell: a call of a procedure, or a statement that stands in part. The next [`up`](Self::up) or [`down`](Self::down) goes on from
    /// there. Nothing is run. Repeated, it is a conflict.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) where nothing is in doubt, or the catalogue shows otherwise; [`Unavailable`](ErrorKind::Unavailable)
    /// where the statement may still be running.
    pub async fn resolve(
        &self,
        permit: &Permit,
        version: &str,
        resolution: Resolution,
    ) -> Result<(), StepError> {
        let version = Version::new(version).ok_or_else(|| {
            StepError::new(ErrorKind::Invalid, "the text is no version").fact("version", version)
        })?;
        let scripts = self.ready().await?;
        run::resolve(self.engine.as_ref(), &self.config.waits, &scripts, permit, &version, resolution).await
    }

    /// Reads where each migration stands, of the scripts and of the database. Conflicts are answers.
    ///
    /// # Errors
    /// [`Invalid`](flow_core::ErrorKind::Invalid) with every problem of the scripts; any kind where the database cannot be read.
    pub async fn status(&self) -> Result<Vec<MigrationStatus>, StepError> {
        let scripts = self.read_scripts().await?;
        Ok(run::status(&scripts, &self.read_applied().await?))
    }

    /// Reads what answers, where each migration stands, and the digest of the schema, all of one moment.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn overview(&self) -> Result<Overview, StepError> {
        let scripts = self.read_scripts().await?;
        if !self.engine.is_there().await? {
            let (server, migrations) = (("sqlite", String::new()), run::status(&scripts, &[]));
            return Ok(Overview { server, migrations, schema: Schema::default().digest() });
        }
        let mut session = self.engine.open(Access::Read, &CancelToken::new()).await?;
        let software = self.engine.software(session.as_mut()).await?;
        let (applied, schema) = self.read_in(session.as_mut()).await?;
        session.close().await?;
        let server = (software.product, software.version);
        Ok(Overview { server, migrations: run::status(&scripts, &applied), schema: schema.digest() })
    }

    /// Asks what answers: the product's name in small letters, and its version in its own words, which is empty where a database
    /// file is not made yet.
    ///
    /// # Errors
    /// [`Unavailable`](flow_core::ErrorKind::Unavailable) where nothing answers.
    pub async fn server(&self) -> Result<(&'static str, String), StepError> {
        if !self.engine.is_there().await? {
            return Ok(("sqlite", String::new()));
        }
        let mut session = self.engine.open(Access::Read, &CancelToken::new()).await?;
        let software = self.engine.software(session.as_mut()).await?;
        session.close().await?;
        Ok((software.product, software.version))
    }

    /// Reads the digest of the schema, whatever the scripts say. It changes with the schema and with no row.
    ///
    /// # Errors
    /// Any kind where the database cannot be read.
    pub async fn schema(&self) -> Result<Digest, StepError> {
        let (_, schema) = self.read_database().await?;
        Ok(schema.digest())
    }

    /// Makes a consistent backup with proof, and says for how long writers had to wait. Does the same as
    /// [`back_up`](Migrator::back_up). May be repeated.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) when the restored copy differs, with the tables; [`NotFound`](ErrorKind::NotFound) and
    /// [`Conflict`](ErrorKind::Conflict) where a tool is missing or older than the server. The database stays as it is.
    pub async fn back_up_timed(&self, permit: &Permit) -> Result<Backup, StepError> {
        self.engine.is_there().await?;
        self.vault.back_up(permit.cancel()).await
    }

    /// Restores a kept backup beside once more and compares it with its proof: a restore drill. An encrypted one is opened by one
    /// of `identities`, secret keys of age.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) with the tables that differ, or where the bytes of the backup are not the ones that were proved;
    /// those are restored, to find the tables, only on a server that the configuration names for scratch copies.
    /// [`NotFound`](ErrorKind::NotFound) where the backup is gone; [`Denied`](ErrorKind::Denied) where no identity opens it.
    pub async fn drill(
        &self,
        proof: &BackupProof,
        identities: &[Zeroizing<String>],
    ) -> Result<(), StepError> {
        self.vault.drill(proof, identities, &CancelToken::new()).await
    }

    /// Reads the proof that stands beside a kept backup, wherever both were brought.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none.
    pub async fn proof_of(&self, backup: &Path) -> Result<BackupProof, StepError> {
        backup::proof_of(backup).await
    }

    /// Removes the backups of this database that the configuration's retention does not keep. The newest stays, and so does what
    /// has no proof, which is named. May be repeated.
    ///
    /// # Errors
    /// In doubt where some could not be removed.
    pub async fn prune(&self) -> Result<Pruned, StepError> {
        self.vault.prune().await
    }

    async fn ready(&self) -> Result<Vec<Script>, StepError> {
        let scripts = self.read_scripts().await?;
        self.engine.is_there().await?;
        Ok(scripts)
    }

    async fn read_scripts(&self) -> Result<Vec<Script>, StepError> {
        let directory = self.config.scripts.clone();
        let entries = blocking(move || files::entries(&directory)).await?;
        let layout = match self.config.layout {
            Some(layout) => layout,
            None => Layout::detect(entries.iter().map(|entry| entry.path.as_path()))?,
        };
        Ok(flow_sql::read(layout, self.engine.dialect(), entries, |statement| {
            ledger::refusal(self.engine.dialect(), statement)
        })?)
    }

    async fn read_database(&self) -> Result<(Vec<Applied>, Schema), StepError> {
        if !self.engine.is_there().await? {
            return Ok((Vec::new(), Schema::default()));
        }
        let mut session = self.engine.open(Access::Read, &CancelToken::new()).await?;
        let read = self.read_in(session.as_mut()).await?;
        session.close().await?;
        Ok(read)
    }

    async fn read_in(&self, session: &mut dyn Session) -> Result<(Vec<Applied>, Schema), StepError> {
        let history = History::find(self.engine.as_ref(), session).await?;
        Ok((history.read(session).await?, self.engine.schema(session).await?))
    }

    async fn read_applied(&self) -> Result<Vec<Applied>, StepError> {
        if !self.engine.is_there().await? {
            return Ok(Vec::new());
        }
        let mut session = self.engine.open(Access::Read, &CancelToken::new()).await?;
        let history = History::find(self.engine.as_ref(), session.as_mut()).await?;
        let applied = history.read(session.as_mut()).await?;
        session.close().await?;
        Ok(applied)
    }

    async fn ask(&self, query: &ConsistencyQuery) -> Result<DataCheck, StepError> {
        let mut session = self.engine.open(Access::Read, &CancelToken::new()).await?;
        let rows = session.query(&query.sql, &[]).await.map_err(|error| error.fact("check", &query.name))?;
        session.close().await?;
        let found = answer(rows);
        Ok(DataCheck { name: query.name.clone(), holds: found == query.expect, found })
    }

    /// Says what each statement of the pending migrations will do to a running service, from its text and the live catalogue alone.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) as [`state`](Migrator::state); any kind where the database cannot be read.
    pub async fn lint(&self) -> Result<Vec<StatementPlan>, StepError> {
        let scripts = self.read_scripts().await?;
        let view = self.view(&scripts);
        let applied = self.read_applied().await?;
        if view.pending(&applied)?.is_empty() {
            return Ok(Vec::new());
        }
        let mut catalogue = if self.engine.is_there().await? {
            let mut session = self.engine.open(Access::Read, &CancelToken::new()).await?;
            let catalogue = rehearsal::catalogue(self.engine.as_ref(), session.as_mut()).await?;
            session.close().await?;
            catalogue
        } else {
            rehearsal::nothing_yet()
        };
        let course = view.course(&applied)?;
        let foretold = course
            .into_iter()
            .map(|script| (script, rehearsal::foretell(self.engine.dialect(), &mut catalogue, script)));
        let shown = foretold.filter(|(script, _)| view.shows(script));
        Ok(shown.flat_map(|(_, plans)| plans).collect())
    }

    /// The hash of a plan: of the server, of the pending scripts with their ways back, and of what [`lint`](Self::lint) or
    /// [`rehearse`](Self::rehearse) foretells of their statements. Approvals can bind to it.
    ///
    /// # Errors
    /// As [`state`](Migrator::state).
    pub async fn plan_hash(&self, plans: &[StatementPlan]) -> Result<Digest, StepError> {
        let (product, version) = self.server().await?;
        Ok(rehearsal::hash((product, &version), &self.state().await?.pending, plans))
    }

    /// Runs the pending migrations up, down and up again on a restored copy of a server's database, and measures each statement
    /// there. The database itself is only read.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) where a migration fails there, or a way back does not lead back, with all of them;
    /// [`Invalid`](ErrorKind::Invalid) for a file of SQLite, which [`impact`](Migrator::impact) rehearses.
    pub async fn rehearse(&self, cancel: &CancelToken) -> Result<Vec<StatementPlan>, StepError> {
        if let Place::Sqlite(_) = self.config.target.place() {
            return Err(StepError::new(ErrorKind::Invalid, "a database file is rehearsed by its impact"));
        }
        let scripts = self.read_scripts().await?;
        let view = self.view(&scripts);
        let applied = self.read_applied().await?;
        if view.pending(&applied)?.is_empty() {
            return Ok(Vec::new());
        }
        let course = view.course(&applied)?;
        let copy = self.vault.copy(cancel).await?;
        let rehearsed = rehearse(copy.engine.as_ref(), &course, cancel).await;
        let removed = copy.remove().await;
        let mut plans = rehearsed?;
        plans.retain(|plan| view.shows_version(&plan.version));
        removed.map(|()| plans)
    }

    async fn impact_of_file(&self, path: &Path) -> Result<Vec<StatementImpact>, StepError> {
        let database = Database::new(path.to_owned(), self.config.waits.tables, self.config.missing);
        let scripts = self.read_scripts().await?;
        let copy = backup::scratch(&self.config.backups).await?;
        let copied = backup::throwaway(&copy);
        // Without a database the copy stays empty, as the database will be.
        if database.is_there().await? {
            backup::copy(&database, &copy).await?;
        }
        let engine = Sqlite::new(copied.clone(), self.config.waits.clone());
        let mut session = copied.read_snapshot().await?;
        let applied = History::find(&engine, &mut session).await?.read(&mut session).await?;
        session.close().await?;
        let view = self.view(&scripts);
        let mut impacts = rehearsal::rehearse_file(&copied, &view.course(&applied)?).await?;
        impacts.retain(|impact| view.shows_version(&impact.version));
        Ok(impacts)
    }
}

async fn rehearse(
    engine: &dyn Engine,
    pending: &[&Script],
    cancel: &CancelToken,
) -> Result<Vec<StatementPlan>, StepError> {
    let mut session = engine.open(Access::Read, cancel).await?;
    let catalogue = rehearsal::catalogue(engine, session.as_mut()).await?;
    session.close().await?;
    rehearsal::rehearse_on_server(engine, pending, catalogue, cancel).await
}

/// Columns joined by `|`, rows by line feeds.
fn answer(rows: Vec<crate::engine::Row>) -> String {
    const ROWS_MAX: usize = 100;
    let column = |column: Option<String>| column.unwrap_or_else(|| "NULL".to_owned());
    let more = (rows.len() > ROWS_MAX).then(|| "..".to_owned());
    let line = |row: crate::engine::Row| row.into_iter().map(column).collect::<Vec<_>>().join("|");
    rows.into_iter().take(ROWS_MAX).map(line).chain(more).collect::<Vec<_>>().join("\n")
}

#[async_trait]
impl Migrator for SqlMigrations {
    fn resource(&self) -> Name {
        self.config.resource.clone()
    }

    async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError> {
        Ok(self.read_scripts().await?.iter().map(ledger::port_script).collect())
    }

    async fn state(&self) -> Result<MigrationState, StepError> {
        let scripts = self.read_scripts().await?;
        let (applied, schema) = self.read_database().await?;
        let pending = self.view(&scripts).pending(&applied)?;
        let stands = |row: &&Applied| !matches!(row.progress, Progress::Applying(_));
        Ok(MigrationState {
            pending: pending.into_iter().map(ledger::port_script).collect(),
            applied: applied.iter().filter(stands).map(|row| row.version.to_string()).collect(),
            schema: schema.digest(),
        })
    }

    async fn impact(&self) -> Result<Vec<StatementImpact>, StepError> {
        // Neither a conflict nor a database that is up to date is worth a copy.
        if self.state().await?.pending.is_empty() {
            return Ok(Vec::new());
        }
        match self.config.target.place() {
            Place::Sqlite(path) => self.impact_of_file(path).await,
            Place::Postgres(_) | Place::Mysql(_) => {
                let plans = self.rehearse(&CancelToken::new()).await?;
                Ok(plans.iter().map(StatementPlan::in_words).collect())
            }
        }
    }

    async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError> {
        Ok(self.back_up_timed(permit).await?.proof)
    }

    async fn apply(&self, permit: &Permit) -> Result<Vec<AppliedMigration>, StepError> {
        let Course { under_key, stopped, .. } = self.up(permit, &Goal::Latest).await;
        match stopped {
            None => Ok(under_key),
            Some(error) if under_key.is_empty() => Err(error),
            Some(error) => {
                let applied: Vec<_> = under_key.iter().map(|applied| applied.version.as_str()).collect();
                Err(error.after_effect().fact("applied", applied.join(", ")))
            }
        }
    }

    async fn revert_to(&self, permit: &Permit, applied: &[String]) -> Result<(), StepError> {
        // Refused before anything is looked at.
        run::versions(applied)?;
        if !applied.is_empty() && !self.engine.is_there().await? {
            let message = "migrations that should stay are not applied";
            return Err(StepError::new(ErrorKind::Conflict, message).fact("versions", applied.join(", ")));
        }
        let Course { finished, stopped, .. } = self.down(permit, &Retreat::Keep(applied.to_vec())).await;
        match stopped {
            None => Ok(()),
            Some(error) if finished.is_empty() => Err(error),
            Some(error) => {
                let reverted: Vec<_> = finished.iter().map(|done| done.version.as_str()).collect();
                Err(error.after_effect().fact("reverted", reverted.join(", ")))
            }
        }
    }

    async fn check(&self) -> Result<Vec<DataCheck>, StepError> {
        if !self.engine.is_there().await? {
            return Err(StepError::new(ErrorKind::NotFound, "there is no such database file"));
        }
        let mut answers = Vec::new();
        for query in &self.config.checks {
            answers.push(self.ask(query).await?);
        }
        Ok(answers)
    }
}

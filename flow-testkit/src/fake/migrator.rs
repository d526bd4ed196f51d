use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{
    AppliedMigration, BackupProof, DataCheck, MigrationScript, MigrationState, Migrator, StatementImpact,
};
use flow_core::{Artifact, Digest, ErrorKind, Name, Permit, Problems, StepError, name};

use super::database::{Migration, Statement, Tables};
use crate::ledger::{Change, Ledger, run_of};

/// How long a statement takes, in milliseconds.
const STATEMENT_MS: u64 = 3;

/// A migrator and its database in memory: tables with rows, scripts, the record of what was applied, and backups.
///
/// Each migration is a transaction of its own; [half of](crate::fault::Fault::HalfDone) an `apply` is half of the migrations.
/// Stricter than production: nothing is applied without a proved backup that this run made of the state as it is. The run is
/// the first part of the idempotency key.
///
/// ```
/// use flow_core::port::Migrator;
/// use flow_testkit::fake::{FakeMigrator, Migration};
/// use flow_testkit::permit;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let database = FakeMigrator::new();
/// database.write(Migration::table("1", "orders"));
/// assert!(database.apply(&permit()).await.is_err(), "there is no backup");
///
/// database.back_up(&permit()).await?;
/// database.apply(&permit()).await?;
/// assert_eq!(database.applied(), ["1"]);
/// assert!(database.rows("orders").is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FakeMigrator {
    ledger: Ledger,
    name: Name,
    /// The versions in view; none for all.
    shown: Option<BTreeSet<String>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    scripts: Vec<Migration>,
    tables: Tables,
    applied: Vec<Applied>,
    backups: Vec<Backup>,
    /// What each consistency query counts: rows of a table with a note.
    checks: BTreeMap<Name, (String, String)>,
    backups_waived: bool,
}

#[derive(Debug, Clone)]
struct Applied {
    migration: Migration,
    under: String,
}

#[derive(Debug)]
struct Backup {
    run: String,
    key: String,
    tables: Tables,
    applied: Vec<String>,
    proof: BackupProof,
}

impl Default for FakeMigrator {
    fn default() -> Self {
        Self::in_ledger(&Ledger::new())
    }
}

impl FakeMigrator {
    /// An empty database without scripts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty database that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), name: name!("database"), shown: None, state: Arc::default() }
    }

    /// Calls the database `name`, for a world with several.
    #[must_use]
    pub fn named(mut self, name: Name) -> Self {
        self.name = name;
        self
    }

    /// The same database with the scripts of `versions` alone, such as those of one phase: no others are pending here, and none is out of
    /// order because of another.
    ///
    /// ```
    /// use flow_core::port::Migrator;
    /// use flow_testkit::fake::{FakeMigrator, Migration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), flow_core::StepError> {
    /// let database = FakeMigrator::new();
    /// for (version, table) in [("1", "one"), ("2", "two"), ("3", "three")] {
    ///     database.write(Migration::table(version, table));
    /// }
    /// let (expand, contract) = (database.only(["1", "3"]), database.only(["2"]));
    /// assert_eq!(expand.state().await?.pending.len(), 2);
    /// assert_eq!(contract.state().await?.pending[0].version, "2");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn only(&self, versions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { shown: Some(versions.into_iter().map(Into::into).collect()), ..self.clone() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Writes the scripts of `migration`, in place of ones of the same version.
    pub fn write(&self, migration: Migration) {
        let mut state = self.state();
        state.scripts.retain(|script| script.version() != migration.version());
        state.scripts.push(migration);
        state.scripts.sort_by_key(Migration::order);
    }

    /// Removes the scripts of `version`.
    pub fn remove(&self, version: &str) {
        self.state().scripts.retain(|script| script.version() != version);
    }

    /// Applies the pending scripts up to `version`, as earlier runs did. Ones that fail, and those after them, stay pending.
    pub fn applied_earlier(&self, version: &str) {
        let mut state = self.state();
        let until = super::database::order(version);
        let earlier: Vec<Migration> =
            self.pending(&state).into_iter().filter(|script| script.order() <= until).collect();
        for migration in earlier {
            if state.tables.transact(migration.up_statements()).is_err() {
                return;
            }
            state.applied.push(Applied { migration, under: "an earlier run".to_owned() });
        }
    }

    /// Runs a statement beside all migrations, as an application does.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) where the statement fails.
    pub fn execute(&self, statement: Statement) -> Result<(), StepError> {
        self.state().tables.transact(&[statement])
    }

    /// Declares a consistency query: it counts the rows of `table` whose note is `note`, and holds where there is none.
    pub fn declare_check(&self, check: Name, table: impl Into<String>, note: impl Into<String>) {
        self.state().checks.insert(check, (table.into(), note.into()));
    }

    /// Lets migrations be applied without a backup, for a plan that declares it not applicable.
    pub fn waive_backups(&self) {
        self.state().backups_waived = true;
    }

    /// The versions that are applied, in the order in which they were.
    #[must_use]
    pub fn applied(&self) -> Vec<String> {
        versions(&self.state().applied)
    }

    /// The rows of `table` by their keys; none where there is no such table.
    #[must_use]
    pub fn rows(&self, table: &str) -> Option<BTreeMap<u32, String>> {
        self.state().tables.0.get(table).cloned()
    }

    /// All tables with their rows.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<String, BTreeMap<u32, String>> {
        self.state().tables.0.clone()
    }

    /// All tables with their rows as a backup has them; none where there is no such backup.
    #[must_use]
    pub fn backed_up(&self, backup: &Digest) -> Option<BTreeMap<String, BTreeMap<u32, String>>> {
        let state = self.state();
        let found = state.backups.iter().find(|kept| kept.proof.backup.digest == *backup);
        found.map(|kept| kept.tables.0.clone())
    }

    /// The backups, oldest first.
    #[must_use]
    pub fn backups(&self) -> Vec<BackupProof> {
        self.state().backups.iter().map(|backup| backup.proof.clone()).collect()
    }

    /// All that an undo must bring back, as text to compare: tables with their rows, and what is applied.
    #[must_use]
    pub fn seen(&self) -> String {
        let state = self.state();
        let applied: Vec<MigrationScript> = state.applied.iter().map(|row| row.migration.script()).collect();
        format!("{:#?}\n{applied:#?}", state.tables.0)
    }

    fn change<'a>(&self, point: &'static str, permit: &'a Permit) -> Change<'a> {
        Change::new(point, &self.name, permit)
    }

    /// Refuses an apply that no backup of the present state covers.
    fn guarded(&self, state: &State, permit: &Permit) -> Result<(), StepError> {
        let key = permit.idempotency_key();
        let begun = state.applied.iter().any(|row| row.under == key);
        let standing: Vec<&Applied> = state.applied.iter().filter(|row| row.under != key).collect();
        let covers = |backup: &Backup| {
            backup.run == run_of(permit)
                && backup.applied.iter().eq(standing.iter().map(|row| row.migration.version()))
                && (begun || backup.tables == state.tables)
        };
        if state.backups_waived || state.backups.iter().any(covers) {
            return Ok(());
        }
        Err(self.ledger.refuse(format!(
            "migrations of `{}` would be applied without a backup that this run made of its present state",
            self.name
        )))
    }

    fn shows(&self, script: &Migration) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.contains(script.version()))
    }

    fn pending(&self, state: &State) -> Vec<Migration> {
        let is_applied =
            |script: &&Migration| state.applied.iter().any(|row| row.migration.version() == script.version());
        let scripts = state.scripts.iter().filter(|script| self.shows(script));
        scripts.filter(|script| !is_applied(script)).cloned().collect()
    }

    /// What is pending, if the record and the scripts agree.
    fn compared(&self, state: &State) -> Result<Vec<Migration>, StepError> {
        let pending = self.pending(state);
        let script = |version: &str| state.scripts.iter().find(|script| script.version() == version);
        let latest = state.applied.iter().map(|row| &row.migration).filter(|one| self.shows(one));
        let latest = latest.map(Migration::order).max();
        let (mut edited, mut missing) = (Vec::new(), Vec::new());
        for row in &state.applied {
            match script(row.migration.version()) {
                None => missing.push(row.migration.version()),
                Some(script) if script.up() != row.migration.up() => edited.push(script.version()),
                Some(_) => {}
            }
        }
        let late: Vec<&str> =
            pending.iter().filter(|script| Some(script.order()) < latest).map(Migration::version).collect();
        let lists = [("edited", edited), ("missing", missing), ("out of order", late)];
        if lists.iter().all(|(_, versions)| versions.is_empty()) {
            return Ok(pending);
        }
        let conflict = StepError::new(ErrorKind::Conflict, "the database and the scripts do not agree");
        let named = lists.into_iter().filter(|(_, versions)| !versions.is_empty());
        Err(named.fold(conflict, |error, (what, versions)| error.fact(what, versions.join(", "))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn versions(applied: &[Applied]) -> Vec<String> {
    applied.iter().map(|row| row.migration.version().to_owned()).collect()
}

fn go_on(permit: &Permit) -> Result<(), StepError> {
    if permit.cancel().is_cancelled() {
        return Err(StepError::new(ErrorKind::Cancelled, "cancelled between two migrations"));
    }
    Ok(())
}

fn applied_as(migration: &Migration) -> AppliedMigration {
    let statements = migration.up_statements().len();
    let ms = STATEMENT_MS.saturating_mul(u64::try_from(statements).unwrap_or(u64::MAX));
    let statements = u32::try_from(statements).unwrap_or(u32::MAX);
    AppliedMigration { version: migration.version().to_owned(), statements, ms }
}

#[async_trait]
impl Migrator for FakeMigrator {
    fn resource(&self) -> Name {
        self.name.clone()
    }

    async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError> {
        self.ledger
            .read("migrator.scripts", &self.name, || {
                let state = self.state();
                let mut problems = Problems::default();
                for script in &state.scripts {
                    let empty = |statements: &[Statement]| statements.is_empty();
                    problems.check(
                        !empty(script.up_statements()),
                        script.version(),
                        "the up script is empty",
                    );
                }
                problems.into_result()?;
                Ok(state.scripts.iter().map(Migration::script).collect())
            })
            .await
    }

    async fn state(&self) -> Result<MigrationState, StepError> {
        self.ledger
            .read("migrator.state", &self.name, || {
                let state = self.state();
                let pending = self.compared(&state)?.iter().map(Migration::script).collect();
                Ok(MigrationState {
                    applied: versions(&state.applied),
                    pending,
                    schema: state.tables.schema(),
                })
            })
            .await
    }

    async fn impact(&self) -> Result<Vec<StatementImpact>, StepError> {
        self.ledger
            .read("migrator.impact", &self.name, || {
                let state = self.state();
                let mut copy = state.tables.clone();
                let mut impacts = Vec::new();
                for migration in self.compared(&state)? {
                    copy.transact(migration.up_statements())
                        .map_err(|error| error.fact("version", migration.version()))?;
                    impacts.extend((1..).zip(migration.up_statements()).map(|(statement, text)| {
                        StatementImpact {
                            version: migration.version().to_owned(),
                            statement,
                            effect: text.to_string(),
                            ms: Some(STATEMENT_MS),
                        }
                    }));
                }
                Ok(impacts)
            })
            .await
    }

    async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError> {
        let (run, key) = (run_of(permit), permit.idempotency_key().to_owned());
        let seen = self.seen();
        self.ledger
            .change(self.change("migrator.back_up", permit).once(Digest::of(seen.as_bytes())), || {
                let mut state = self.state();
                let digest =
                    Digest::of(format!("{:?} {:?}", state.tables, versions(&state.applied)).as_bytes());
                let backup = Artifact { digest, path: format!("/backups/{}", digest.hex()).into() };
                let proof = BackupProof { backup, tables: state.tables.digests() };
                let (tables, applied) = (state.tables.clone(), versions(&state.applied));
                state.backups.retain(|backup| backup.key != key);
                let (run, key) = (run.clone(), key.clone());
                state.backups.push(Backup { run, key, tables, applied, proof: proof.clone() });
                Ok(proof)
            })
            .await
    }

    async fn apply(&self, permit: &Permit) -> Result<Vec<AppliedMigration>, StepError> {
        let key = permit.idempotency_key();
        let parts = self.pending(&self.state()).len().max(1);
        self.ledger
            .change_in_parts(self.change("migrator.apply", permit), parts, |_| {
                let mut state = self.state();
                let Some(migration) = self.compared(&state)?.into_iter().next() else { return Ok(()) };
                self.guarded(&state, permit)?;
                let named = |error: StepError| error.fact("version", migration.version());
                // What this call has applied by an earlier attempt is no rejection of the whole.
                let begun = state.applied.iter().any(|row| row.under == key);
                let done = go_on(permit).and_then(|()| state.tables.transact(migration.up_statements()));
                done.map_err(|error| named(if begun { error.after_effect() } else { error }))?;
                state.applied.push(Applied { migration, under: key.to_owned() });
                Ok(())
            })
            .await?;
        let state = self.state();
        let mine = state.applied.iter().filter(|row| row.under == key);
        Ok(mine.map(|row| applied_as(&row.migration)).collect())
    }

    async fn revert_to(&self, permit: &Permit, applied: &[String]) -> Result<(), StepError> {
        let beyond = |row: &Applied| !applied.iter().any(|version| version == row.migration.version());
        let parts = self.state().applied.iter().filter(|row| beyond(row)).count().max(1);
        self.ledger
            .change_in_parts(self.change("migrator.revert_to", permit), parts, |_| {
                let mut state = self.state();
                let standing = versions(&state.applied);
                let absent: Vec<&str> =
                    applied.iter().filter(|v| !standing.contains(v)).map(String::as_str).collect();
                if !absent.is_empty() {
                    return Err(StepError::new(
                        ErrorKind::Conflict,
                        "migrations that should stay are not applied",
                    )
                    .fact("versions", absent.join(", ")));
                }
                let without_way_back =
                    |row: &&Applied| beyond(row) && row.migration.down_statements().is_none();
                if let Some(row) = state.applied.iter().find(without_way_back) {
                    let version = row.migration.version();
                    return Err(self.ledger.refuse(format!("migration {version} has no down script")));
                }
                let Some(at) = state.applied.iter().rposition(beyond) else { return Ok(()) };
                let Some(row) = state.applied.get(at).cloned() else { return Ok(()) };
                go_on(permit)?;
                let down = row.migration.down_statements().unwrap_or_default();
                state
                    .tables
                    .transact(down)
                    .map_err(|error| error.fact("version", row.migration.version()))?;
                state.applied.remove(at);
                Ok(())
            })
            .await
    }

    async fn check(&self) -> Result<Vec<DataCheck>, StepError> {
        self.ledger
            .read("migrator.check", &self.name, || {
                let state = self.state();
                let ask = |(name, (table, note)): (&Name, &(String, String))| {
                    let missing =
                        || StepError::new(ErrorKind::Failed, "there is no such table").fact("check", name);
                    let rows = state.tables.0.get(table).ok_or_else(missing)?;
                    let found = rows.values().filter(|of_row| *of_row == note).count();
                    Ok(DataCheck { name: name.clone(), holds: found == 0, found: found.to_string() })
                };
                state.checks.iter().map(ask).collect()
            })
            .await
    }
}

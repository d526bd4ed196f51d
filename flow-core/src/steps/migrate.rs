//! Stage 3: the scripts, their impact, the backup, the migration.
//!
//! The migrator is used as it is given. Where its scripts belong to a release, the embedding program points it at them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::heading::{Heading, headed, leaves_nothing};
use crate::context::StepContext;
use crate::error::{ErrorKind, Problems, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::plan::Coverage;
use crate::policy::Proof;
use crate::port::{DataCheck, MigrationScript, MigrationState, Migrator};
use crate::receipt::{Evidence, MigrateFacts, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Activity, Migrate, MigrateActivity, StageName};
use crate::step::{Preview, Step};
use crate::work::Work;

/// The whole stage for one database: checks the scripts, assesses their impact, backs up, applies.
pub fn migrations(migrator: Arc<dyn Migrator>) -> Work<Migrate> {
    Work::step(CheckScripts::new(migrator.clone()))
        .then(AssessImpact::new(migrator.clone()))
        .then(BackUp::new(migrator.clone()))
        .then(ApplyMigrations::new(migrator))
}

fn versions(scripts: &[MigrationScript]) -> Vec<&str> {
    scripts.iter().map(|script| script.version.as_str()).collect()
}

fn digests(scripts: &[MigrationScript]) -> impl Iterator<Item = Digest> {
    scripts.iter().flat_map(|script| std::iter::once(script.up).chain(script.down))
}

/// What a plan promises of pending migrations: their scripts, and the state that they start from.
fn promise(state: &MigrationState) -> Preview {
    let preview =
        Preview::new().stable("applied", state.applied.clone()).stable("pending", versions(&state.pending));
    digests(&state.pending).fold(preview, Preview::script)
}

/// Refuses scripts that the plan did not name: production asked for evidence of those, and of no others.
fn as_planned(cx: &StepContext<Migrate>, pending: &[MigrationScript]) -> Result<(), StepError> {
    let Some(stage) = cx.plan().and_then(|plan| plan.stage(StageName::Migrate)) else { return Ok(()) };
    let planned: BTreeSet<Digest> = stage
        .items
        .iter()
        .flat_map(|item| item.preview.scripts.iter().chain(&item.preview.deploys))
        .copied()
        .collect();
    let stranger = |script: &&MigrationScript| {
        !planned.contains(&script.up) || script.down.is_some_and(|down| !planned.contains(&down))
    };
    let strangers: Vec<&str> =
        pending.iter().filter(stranger).map(|script| script.version.as_str()).collect();
    if strangers.is_empty() {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "the scripts are not those of the plan")
        .fact("versions", strangers.join(", ")))
}

/// Checks the migration scripts and says which of them are pending.
///
/// The digests of all pending scripts, up and down, are the plan's scripts: production asks that each has run before.
pub struct CheckScripts {
    heading: Heading,
    migrator: Arc<dyn Migrator>,
}

headed!(CheckScripts);
leaves_nothing!(CheckScripts: Migrate);

impl CheckScripts {
    /// Checks the scripts of `migrator`.
    pub fn new(migrator: Arc<dyn Migrator>) -> Self {
        Self { heading: Heading::new(name!("check-scripts")), migrator }
    }
}

#[async_trait]
impl Step<Migrate> for CheckScripts {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<MigrateActivity> {
        vec![MigrateActivity::Scripts]
    }

    fn definition(&self) -> Value {
        json!({ "database": self.migrator.resource() })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.migrator.resource()]
    }

    async fn preview(&self, _cx: &StepContext<Migrate>) -> Result<Preview, StepError> {
        self.migrator.scripts().await?;
        Ok(promise(&self.migrator.state().await?))
    }

    async fn run(
        &self,
        cx: &StepContext<Migrate>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Migrate>, StepError> {
        let scripts = self.migrator.scripts().await?;
        let state = self.migrator.state().await?;
        as_planned(cx, &state.pending)?;
        let without_down = state.pending.iter().filter(|script| script.down.is_none()).count();
        let summary = format!(
            "{} scripts, {} of them pending, {without_down} of those without a way back",
            scripts.len(),
            state.pending.len(),
        );
        let evidence = Evidence::new(MigrateActivity::Scripts, summary)
            .value("scripts", versions(&scripts))
            .value("applied", state.applied)
            .value("pending", json!(state.pending));
        Ok(Receipt::new().observed(evidence))
    }
}

/// Says what the pending migrations do to the running service, on a copy where the migrator has one.
pub struct AssessImpact {
    heading: Heading,
    migrator: Arc<dyn Migrator>,
}

headed!(AssessImpact);
leaves_nothing!(AssessImpact: Migrate);

impl AssessImpact {
    /// Assesses the pending migrations of `migrator`. One attempt may take an hour.
    pub fn new(migrator: Arc<dyn Migrator>) -> Self {
        Self { heading: Heading::within(name!("assess-impact"), Duration::from_hours(1)), migrator }
    }
}

#[async_trait]
impl Step<Migrate> for AssessImpact {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<MigrateActivity> {
        vec![MigrateActivity::Impact]
    }

    fn definition(&self) -> Value {
        json!({ "database": self.migrator.resource() })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.migrator.resource()]
    }

    /// Does not rehearse: a copy of a large database is no part of a plan.
    async fn preview(&self, _cx: &StepContext<Migrate>) -> Result<Preview, StepError> {
        if self.migrator.state().await?.pending.is_empty() {
            return Ok(Preview::new());
        }
        Ok(Preview::new().unknown("how long each statement takes: measured before the migration is applied"))
    }

    async fn run(
        &self,
        cx: &StepContext<Migrate>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Migrate>, StepError> {
        cx.progress().say("rehearsing the pending migrations");
        let impact = self.migrator.impact().await?;
        let rehearsed: Vec<u64> = impact.iter().filter_map(|statement| statement.ms).collect();
        let summary = match impact.len() {
            0 => "nothing is pending, so nothing is affected".to_owned(),
            statements => format!(
                "{statements} statements, {} of them rehearsed in {} ms together",
                rehearsed.len(),
                rehearsed.iter().sum::<u64>(),
            ),
        };
        let evidence = Evidence::new(MigrateActivity::Impact, summary).value("statements", json!(impact));
        Ok(Receipt::new().observed(evidence))
    }
}

/// Backs the database up, and proves the backup by restoring it. The backup stays, whatever becomes of the run.
pub struct BackUp {
    heading: Heading,
    migrator: Arc<dyn Migrator>,
}

headed!(BackUp);
leaves_nothing!(BackUp: Migrate);

impl BackUp {
    /// Backs the database of `migrator` up. One attempt may take two hours.
    pub fn new(migrator: Arc<dyn Migrator>) -> Self {
        Self { heading: Heading::within(name!("back-up"), Duration::from_hours(2)), migrator }
    }
}

#[async_trait]
impl Step<Migrate> for BackUp {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<MigrateActivity> {
        vec![MigrateActivity::Backup]
    }

    fn proves(&self) -> Vec<Proof> {
        vec![Proof::BackupRestored]
    }

    fn definition(&self) -> Value {
        json!({ "database": self.migrator.resource() })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.migrator.resource()]
    }

    async fn preview(&self, _cx: &StepContext<Migrate>) -> Result<Preview, StepError> {
        let what = format!("backup of `{}`", self.migrator.resource());
        Ok(Preview::new().change(what, "none of this run", "made, restored beside and compared row by row"))
    }

    async fn run(
        &self,
        cx: &StepContext<Migrate>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Migrate>, StepError> {
        cx.progress().say("backing up");
        let proof = self.migrator.back_up(permit).await?;
        let rows: u64 = proof.tables.iter().map(|(_, rows, _)| rows).sum();
        let summary = format!(
            "a restored copy of the backup equals the database: {} tables, {rows} rows",
            proof.tables.len()
        );
        let evidence = Evidence::new(MigrateActivity::Backup, summary)
            .value("backup", json!(proof.backup))
            .value("tables", json!(proof.tables));
        let facts = MigrateFacts { backup: Some(proof.backup), ..MigrateFacts::default() };
        Ok(Receipt::new().observed(evidence).facts(facts).proved(Proof::BackupRestored))
    }
}

/// Applies the pending migrations and proves the data consistent.
///
/// It never begins without the proved backup that the plan promises, and never with a script that the plan did not
/// name. Undo takes the migrations back by their down scripts and compares the schema with the one before.
pub struct ApplyMigrations {
    heading: Heading,
    migrator: Arc<dyn Migrator>,
    irreversible: Option<String>,
}

/// Where the database stood.
#[derive(Debug, Serialize, Deserialize)]
struct BeforeMigration {
    applied: Vec<String>,
    schema: Digest,
}

headed!(ApplyMigrations);

impl ApplyMigrations {
    /// Applies the pending migrations of `migrator`. One attempt may take two hours.
    pub fn new(migrator: Arc<dyn Migrator>) -> Self {
        let heading = Heading::within(name!("apply-migrations"), Duration::from_hours(2));
        Self { heading, migrator, irreversible: None }
    }

    /// Declares that there is no way back. Without this, a pending script without a down script refuses the plan.
    #[must_use]
    pub fn irreversible(mut self, reason: impl Into<String>) -> Self {
        self.irreversible = Some(reason.into());
        self
    }

    fn ways_back(&self, pending: &[MigrationScript]) -> Result<(), StepError> {
        if self.irreversible.is_some() {
            return Ok(());
        }
        let mut problems = Problems::default();
        for script in pending.iter().filter(|script| script.down.is_none()) {
            problems.add(&script.version, "has no down script, and the step is not declared irreversible");
        }
        Ok(problems.into_result()?)
    }

    /// Reads back that nothing is pending and that all data checks hold.
    async fn applied(&self) -> Result<(MigrationState, Vec<DataCheck>), StepError> {
        let state = self.migrator.state().await?;
        if !state.pending.is_empty() {
            return Err(StepError::in_doubt("migrations are still pending")
                .fact("versions", versions(&state.pending).join(", ")));
        }
        let checks = self.migrator.check().await?;
        let mut broken = checks.iter().filter(|check| !check.holds).peekable();
        if broken.peek().is_some() {
            let failed = StepError::new(ErrorKind::Failed, "the data is not consistent after the migration");
            return Err(broken.fold(failed, |error, check| error.fact(check.name.to_string(), &check.found)));
        }
        Ok((state, checks))
    }
}

/// The border before the change: the backup that the plan promises must have been made and proved by now.
fn backed_up(cx: &StepContext<Migrate>) -> Result<(), StepError> {
    let Some(stage) = cx.plan().and_then(|plan| plan.stage(StageName::Migrate)) else { return Ok(()) };
    let promised = stage.rows().into_iter().any(|row| {
        row.activity == MigrateActivity::Backup.name() && matches!(row.coverage, Coverage::Covered(_))
    });
    if !promised || cx.earlier()?.values().any(|receipt| receipt.facts.backup.is_some()) {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "no proved backup was made before the migration"))
}

#[async_trait]
impl Rollback<Migrate> for ApplyMigrations {
    fn reversibility(&self) -> Reversibility {
        match &self.irreversible {
            None => Reversibility::Reversible,
            Some(reason) => Reversibility::Irreversible { reason: reason.clone() },
        }
    }

    async fn capture(&self, _cx: &StepContext<Migrate>) -> Result<Captured, StepError> {
        let MigrationState { applied, schema, .. } = self.migrator.state().await?;
        Captured::of(&BeforeMigration { applied, schema })
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Migrate>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Migrate>,
    ) -> Result<(), StepError> {
        let before: BeforeMigration = before.get()?;
        self.migrator.revert_to(permit, &before.applied).await?;
        let now = self.migrator.state().await.map_err(StepError::after_effect)?;
        if now.applied != before.applied {
            return Err(StepError::in_doubt("the applied migrations are not those of before")
                .fact("before", before.applied.join(", "))
                .fact("now", now.applied.join(", ")));
        }
        if now.schema != before.schema {
            return Err(StepError::in_doubt("the schema is not the one of before")
                .fact("before", before.schema)
                .fact("now", now.schema));
        }
        Ok(())
    }
}

#[async_trait]
impl Step<Migrate> for ApplyMigrations {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<MigrateActivity> {
        vec![MigrateActivity::Apply]
    }

    fn proves(&self) -> Vec<Proof> {
        vec![Proof::MigrationVerified]
    }

    fn definition(&self) -> Value {
        json!({ "database": self.migrator.resource() })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.migrator.resource()]
    }

    async fn preview(&self, _cx: &StepContext<Migrate>) -> Result<Preview, StepError> {
        let state = self.migrator.state().await?;
        self.ways_back(&state.pending)?;
        let preview = promise(&state).stable("schema", json!(state.schema));
        let change = |preview: Preview, script: &MigrationScript| {
            preview.change(format!("migration {} {}", script.version, script.name), "pending", "applied")
        };
        Ok(state.pending.iter().fold(preview, change))
    }

    async fn run(
        &self,
        cx: &StepContext<Migrate>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Migrate>, StepError> {
        let before: BeforeMigration = before.get()?;
        let pending = self.migrator.state().await?.pending;
        if !pending.is_empty() {
            as_planned(cx, &pending)?;
            self.ways_back(&pending)?;
            backed_up(cx)?;
        }
        cx.progress().say("applying migrations");
        let begun = cx.clock().monotonic();
        self.migrator.apply(permit).await?;
        let (state, checks) = self.applied().await.map_err(StepError::after_effect)?;
        let elapsed = cx.clock().monotonic().saturating_sub(begun);
        // From the state, not from the answer: an earlier attempt may have applied some.
        let applied: Vec<String> =
            state.applied.iter().filter(|version| !before.applied.contains(version)).cloned().collect();
        let summary =
            format!("{} migrations applied, none pending, {} data checks hold", applied.len(), checks.len());
        let evidence = Evidence::new(MigrateActivity::Apply, summary)
            .value("applied", applied.clone())
            .value("schema_before", json!(before.schema))
            .value("schema", json!(state.schema))
            .value("checks", json!(checks))
            .value("ms", u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let facts = MigrateFacts { backup: None, applied, schema: Some(state.schema) };
        Ok(Receipt::new().observed(evidence).facts(facts).proved(Proof::MigrationVerified))
    }
}

//! Stage 3: the scripts, their impact, the backup, the migration.
//!
//! The migrator is used as it is given. Where its scripts belong to a release, the embedding program points it at them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::applying::{Applying, applies, as_planned, promise, versions};
use super::heading::{Heading, headed, leaves_nothing};
use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::plan::Coverage;
use crate::policy::Proof;
use crate::port::Migrator;
use crate::receipt::{Evidence, MigrateFacts, Receipt};
use crate::rollback::Captured;
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
    applying: Applying,
}

headed!(ApplyMigrations);

impl ApplyMigrations {
    /// Applies the pending migrations of `migrator`. One attempt may take two hours.
    pub fn new(migrator: Arc<dyn Migrator>) -> Self {
        let heading = Heading::within(name!("apply-migrations"), Duration::from_hours(2));
        Self { heading, applying: Applying::new(migrator) }
    }

    /// Declares that there is no way back. Without this, a pending script without a down script refuses the plan.
    #[must_use]
    pub fn irreversible(mut self, reason: impl Into<String>) -> Self {
        self.applying.irreversible = Some(reason.into());
        self
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

applies!(ApplyMigrations: Migrate);

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
        json!({ "database": self.applying.migrator.resource() })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.applying.migrator.resource()]
    }

    async fn preview(&self, _cx: &StepContext<Migrate>) -> Result<Preview, StepError> {
        let state = self.applying.migrator.state().await?;
        let preview = self.applying.changes(promise(&state), &state.pending)?;
        Ok(preview.stable("schema", json!(state.schema)))
    }

    async fn run(
        &self,
        cx: &StepContext<Migrate>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Migrate>, StepError> {
        let pending = self.applying.migrator.state().await?.pending;
        if !pending.is_empty() {
            self.applying.check(cx, &pending)?;
            backed_up(cx)?;
        }
        let done = self.applying.apply(cx, permit, before).await?;
        let evidence = done.evidence(MigrateActivity::Apply);
        let facts = MigrateFacts { backup: None, applied: done.applied, schema: Some(done.schema) };
        Ok(Receipt::new().observed(evidence).facts(facts).proved(Proof::MigrationVerified))
    }
}

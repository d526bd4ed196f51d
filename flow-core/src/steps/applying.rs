//! Applying migrations and taking them back, in whatever stage that is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::StepContext;
use crate::error::{ErrorKind, Problems, StepError};
use crate::name::Digest;
use crate::permit::Permit;
use crate::port::{DataCheck, MigrationScript, MigrationState, Migrator};
use crate::receipt::Evidence;
use crate::rollback::{Captured, Reversibility};
use crate::stage::{Activity, Stage};
use crate::step::Preview;

/// What two steps have in common that apply migrations.
pub(super) struct Applying {
    pub(super) migrator: Arc<dyn Migrator>,
    /// Why there is no way back.
    pub(super) irreversible: Option<String>,
}

/// Where the database stood.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BeforeMigration {
    pub(super) applied: Vec<String>,
    schema: Digest,
}

impl Applying {
    pub(super) const fn new(migrator: Arc<dyn Migrator>) -> Self {
        Self { migrator, irreversible: None }
    }

    /// Refuses scripts that the plan did not name, or that have no way back though one is promised.
    pub(super) fn check<S: Stage>(
        &self,
        cx: &StepContext<S>,
        pending: &[MigrationScript],
    ) -> Result<(), StepError> {
        as_planned(cx, pending)?;
        self.ways_back(pending)
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

    /// Adds each pending migration as a change.
    pub(super) fn changes(
        &self,
        preview: Preview,
        pending: &[MigrationScript],
    ) -> Result<Preview, StepError> {
        self.ways_back(pending)?;
        let change = |preview: Preview, script: &MigrationScript| {
            preview.change(format!("migration {} {}", script.version, script.name), "pending", "applied")
        };
        Ok(pending.iter().fold(preview, change))
    }

    /// Applies what is pending and proves the data consistent.
    pub(super) async fn apply<S: Stage>(
        &self,
        cx: &StepContext<S>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Done, StepError> {
        let before: BeforeMigration = before.get()?;
        cx.progress().say("applying migrations");
        let begun = cx.clock().monotonic();
        self.migrator.apply(permit).await?;
        let (state, checks) = self.applied().await.map_err(StepError::after_effect)?;
        let elapsed = cx.clock().monotonic().saturating_sub(begun);
        // From the state, not from the answer: an earlier attempt may have applied some.
        let applied: Vec<String> =
            state.applied.iter().filter(|version| !before.applied.contains(version)).cloned().collect();
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        Ok(Done { applied, schema_before: before.schema, schema: state.schema, checks, ms })
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

    pub(super) fn reversibility(&self) -> Reversibility {
        match &self.irreversible {
            None => Reversibility::Reversible,
            Some(reason) => Reversibility::Irreversible { reason: reason.clone() },
        }
    }

    pub(super) async fn capture(&self) -> Result<Captured, StepError> {
        let MigrationState { applied, schema, .. } = self.migrator.state().await?;
        Captured::of(&BeforeMigration { applied, schema })
    }

    pub(super) async fn roll_back(&self, permit: &Permit, before: &Captured) -> Result<(), StepError> {
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

/// What was applied, read back.
pub(super) struct Done {
    pub(super) applied: Vec<String>,
    schema_before: Digest,
    pub(super) schema: Digest,
    checks: Vec<DataCheck>,
    ms: u64,
}

impl Done {
    pub(super) fn evidence<A: Activity>(&self, activity: A) -> Evidence<A> {
        let (applied, checks) = (self.applied.len(), self.checks.len());
        let summary = format!("{applied} migrations applied, none pending, {checks} data checks hold");
        Evidence::new(activity, summary)
            .value("applied", json!(self.applied))
            .value("schema_before", json!(self.schema_before))
            .value("schema", json!(self.schema))
            .value("checks", json!(self.checks))
            .value("ms", self.ms)
    }
}

pub(super) fn versions(scripts: &[MigrationScript]) -> Vec<&str> {
    scripts.iter().map(|script| script.version.as_str()).collect()
}

fn digests(scripts: &[MigrationScript]) -> impl Iterator<Item = Digest> {
    scripts.iter().flat_map(|script| std::iter::once(script.up).chain(script.down))
}

/// What a plan promises of pending migrations: their scripts.
pub(super) fn named(pending: &[MigrationScript]) -> Preview {
    digests(pending).fold(Preview::new().stable("pending", versions(pending)), Preview::script)
}

/// What a plan promises of pending migrations: their scripts, and the state that they start from.
pub(super) fn promise(state: &MigrationState) -> Preview {
    named(&state.pending).stable("applied", state.applied.clone())
}

/// Refuses scripts that the plan did not name: production asked for evidence of those, and of no others.
pub(super) fn as_planned<S: Stage>(
    cx: &StepContext<S>,
    pending: &[MigrationScript],
) -> Result<(), StepError> {
    let Some(stage) = cx.plan().and_then(|plan| plan.stage(S::NAME)) else { return Ok(()) };
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

/// The way back of a step with a field `applying`.
macro_rules! applies {
    ($step:ident: $stage:ident) => {
        #[async_trait::async_trait]
        impl $crate::Rollback<$crate::stage::$stage> for $step {
            fn reversibility(&self) -> $crate::Reversibility {
                self.applying.reversibility()
            }

            async fn capture(
                &self,
                _cx: &$crate::StepContext<$crate::stage::$stage>,
            ) -> Result<$crate::Captured, $crate::StepError> {
                self.applying.capture().await
            }

            async fn roll_back(
                &self,
                _cx: &$crate::StepContext<$crate::stage::$stage>,
                permit: &$crate::Permit,
                before: &$crate::Captured,
                _outcome: &$crate::Outcome<$crate::stage::$stage>,
            ) -> Result<(), $crate::StepError> {
                self.applying.roll_back(permit, before).await
            }
        }
    };
}

pub(super) use applies;

//! Stage 5, behind the rollouts: what only the old version used is taken away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::applying::{Applying, BeforeMigration, applies, named};
use super::heading::{Heading, headed};
use crate::context::StepContext;
use crate::error::StepError;
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::Migrator;
use crate::receipt::Receipt;
use crate::rollback::Captured;
use crate::stage::{Services, ServicesActivity};
use crate::step::{Preview, Step};

/// Applies the migrations that contract the schema, behind the rollouts of the services: no instance of the old version is left.
///
/// It is the last part of the stage's `Update`: from then on the schema is that of the new code alone. The database is backed up with
/// proof first, in the same step. Undo takes the migrations back by their down scripts before the services go back; what a dropped column
/// held is in the backup alone.
///
/// ```
/// use std::sync::Arc;
///
/// use flow_core::stage::Services;
/// use flow_core::steps::ContractMigrations;
/// use flow_core::Work;
/// use flow_testkit::fake::FakeMigrator;
///
/// fn contracted(rollouts: Work<Services>, contract: FakeMigrator) -> Work<Services> {
///     rollouts.then(ContractMigrations::new(Arc::new(contract)))
/// }
/// ```
pub struct ContractMigrations {
    heading: Heading,
    applying: Applying,
}

headed!(ContractMigrations);
applies!(ContractMigrations: Services);

impl ContractMigrations {
    /// Applies the pending migrations of `migrator`, which shows those alone that contract. One attempt may take four hours.
    pub fn new(migrator: Arc<dyn Migrator>) -> Self {
        let heading = Heading::within(name!("contract-migrations"), Duration::from_hours(4));
        Self { heading, applying: Applying::new(migrator) }
    }

    /// Declares that there is no way back. Without this, a pending script without a down script refuses the plan.
    #[must_use]
    pub fn irreversible(mut self, reason: impl Into<String>) -> Self {
        self.applying.irreversible = Some(reason.into());
        self
    }
}

#[async_trait]
impl Step<Services> for ContractMigrations {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<ServicesActivity> {
        vec![ServicesActivity::Update]
    }

    fn definition(&self) -> Value {
        json!({ "database": self.applying.migrator.resource() })
    }

    fn resources(&self) -> Vec<Name> {
        vec![self.applying.migrator.resource()]
    }

    /// Promises the scripts, and not the state that they start from: by then, this run will have expanded it.
    async fn preview(&self, _cx: &StepContext<Services>) -> Result<Preview, StepError> {
        let pending = self.applying.migrator.state().await?.pending;
        self.applying.changes(named(&pending), &pending)
    }

    async fn run(
        &self,
        cx: &StepContext<Services>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Services>, StepError> {
        let state = self.applying.migrator.state().await?;
        self.applying.check(cx, &state.pending)?;
        let mut backup = None;
        // An earlier attempt that applied some had backed up before: what stands now is no state to go back to.
        if !state.pending.is_empty() && state.applied == before.get::<BeforeMigration>()?.applied {
            cx.progress().say("backing up");
            backup = Some(self.applying.migrator.back_up(permit).await?.backup);
        }
        let done = self.applying.apply(cx, permit, before).await?;
        Ok(Receipt::new().observed(done.evidence(ServicesActivity::Update).value("backup", json!(backup))))
    }
}

use flow_core::port::{
    AppliedMigration, BackupProof, DataCheck, MigrationScript, MigrationState, Migrator, StatementImpact,
};
use flow_core::prelude::*;
use flow_core::{Artifact, Digest};

use super::World;

/// A script with a way back.
pub(crate) fn script(version: &str) -> MigrationScript {
    MigrationScript {
        version: version.to_owned(),
        name: "change".to_owned(),
        up: Digest::of(format!("up {version}").as_bytes()),
        down: Some(Digest::of(format!("down {version}").as_bytes())),
    }
}

#[async_trait]
impl Migrator for World {
    fn resource(&self) -> Name {
        name!("database")
    }

    async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError> {
        Ok(self.state().scripts.clone())
    }

    async fn state(&self) -> Result<MigrationState, StepError> {
        let state = World::state(self);
        let applied: Vec<String> = state.applied.iter().map(|script| script.version.clone()).collect();
        let pending: Vec<MigrationScript> =
            state.scripts.iter().filter(|script| !applied.contains(&script.version)).cloned().collect();
        let schema = Digest::of(format!("{applied:?} {}", state.leftover).as_bytes());
        Ok(MigrationState { applied, pending, schema })
    }

    async fn impact(&self) -> Result<Vec<StatementImpact>, StepError> {
        let pending = Migrator::state(self).await?.pending;
        let impact = |script: MigrationScript| StatementImpact {
            version: script.version,
            statement: 1,
            effect: "adds a column".to_owned(),
            ms: Some(3),
        };
        Ok(pending.into_iter().map(impact).collect())
    }

    async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError> {
        let digest = Digest::of(format!("{:?}", World::state(self).applied).as_bytes());
        let key = permit.idempotency_key().to_owned();
        self.change("back up", |state| state.backups.insert(key, digest))?;
        let backup = Artifact { digest, path: "/backups/1".into() };
        Ok(BackupProof { backup, tables: vec![("orders".to_owned(), 7, digest)] })
    }

    async fn apply(&self, _: &Permit) -> Result<Vec<AppliedMigration>, StepError> {
        let mut applied = Vec::new();
        for script in Migrator::state(self).await?.pending {
            let version = script.version.clone();
            self.change(format!("apply {version}"), |state| state.applied.push(script))?;
            applied.push(AppliedMigration { version, statements: 1, ms: 3 });
        }
        Ok(applied)
    }

    async fn revert_to(&self, _: &Permit, applied: &[String]) -> Result<(), StepError> {
        loop {
            let beyond =
                World::state(self).applied.last().filter(|last| !applied.contains(&last.version)).cloned();
            let Some(script) = beyond else { return Ok(()) };
            if script.down.is_none() {
                return Err(StepError::new(ErrorKind::NotFound, "there is no down script"));
            }
            self.change(format!("revert {}", script.version), |state| {
                state.applied.pop();
                state.leftover = state.leaves;
            })?;
        }
    }

    async fn check(&self) -> Result<Vec<DataCheck>, StepError> {
        let holds = !World::state(self).inconsistent;
        let found = if holds { "0" } else { "3" }.to_owned();
        Ok(vec![DataCheck { name: name!("orphans"), holds, found }])
    }
}

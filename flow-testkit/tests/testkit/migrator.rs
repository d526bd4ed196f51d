use async_trait::async_trait;
use flow_core::port::{
    AppliedMigration, BackupProof, DataCheck, MigrationScript, MigrationState, Migrator, StatementImpact,
};
use flow_core::{Digest, ErrorKind, Fence, Name, Permit, StepError, name};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::migrator::{LOST, MigratorFixture, Tables};
use flow_testkit::fake::{FakeMigrator, Migration, Statement};
use flow_testkit::{permit, permit_under};

/// How a migrator breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    RehearsesInPlace,
    RehearsesNothing,
    SortsByText,
    NamesOnlyWhatIsNew,
    LeavesHalf,
    SaysRejected,
    OverlooksConflicts,
    DeafToCancel,
    RevertLeaves,
    RevertsAll,
    RevertsByFiles,
    RevertsFinishedOnly,
    RevertsWhatItCan,
    CountsOneTableLess,
    MarksItsBackups,
    ErrsOnInconsistency,
    OneSchemaForAll,
}

/// A fake and its world, with one mistake.
struct World {
    fake: FakeMigrator,
    how: How,
}

async fn broken(how: How) -> World {
    let fake = FakeMigrator::new();
    fake.declare_check(LOST, "ledger", "lost");
    World { fake, how }
}

async fn fresh() -> World {
    broken(How::Not).await
}

#[async_trait]
impl MigratorFixture for World {
    fn migrator(&self) -> &dyn Migrator {
        self
    }

    async fn write(&self, migration: &Migration) -> Outside<()> {
        self.fake.write(migration.clone());
        Ok(())
    }

    async fn remove(&self, version: &str) -> Outside<()> {
        self.fake.remove(version);
        Ok(())
    }

    async fn execute(&self, statement: &Statement) -> Outside<()> {
        Ok(self.fake.execute(statement.clone())?)
    }

    async fn tables(&self) -> Outside<Tables> {
        Ok(self.fake.tables())
    }

    async fn restored(&self, backup: &BackupProof) -> Outside<Tables> {
        self.fake.backed_up(&backup.backup.digest).ok_or_else(|| "there is no such backup".into())
    }
}

#[async_trait]
impl Migrator for World {
    fn resource(&self) -> Name {
        self.fake.resource()
    }

    async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError> {
        self.fake.scripts().await
    }

    async fn state(&self) -> Result<MigrationState, StepError> {
        let nothing = |schema| MigrationState { applied: Vec::new(), pending: Vec::new(), schema };
        match self.fake.state().await {
            Err(error) if self.how == How::OverlooksConflicts && error.kind() == ErrorKind::Conflict => {
                Ok(nothing(Digest::of(b"")))
            }
            Ok(state) if self.how == How::OneSchemaForAll => {
                Ok(MigrationState { schema: Digest::of(b"schema"), ..state })
            }
            state => state,
        }
    }

    async fn impact(&self) -> Result<Vec<StatementImpact>, StepError> {
        match self.how {
            How::RehearsesNothing => return Ok(Vec::new()),
            How::RehearsesInPlace => drop(self.fake.execute(Statement::create("rehearsed"))),
            _ => {}
        }
        self.fake.impact().await
    }

    async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError> {
        if self.how == How::MarksItsBackups {
            let _ = self.fake.execute(Statement::create("backed_up"));
        }
        let mut proof = self.fake.back_up(permit).await?;
        if self.how == How::CountsOneTableLess {
            proof.tables.pop();
        }
        Ok(proof)
    }

    async fn apply(&self, permit: &Permit) -> Result<Vec<AppliedMigration>, StepError> {
        let pending: Vec<String> = match self.fake.state().await {
            Ok(state) => state.pending.into_iter().map(|script| script.version).collect(),
            Err(_) if self.how == How::OverlooksConflicts => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        match self.how {
            How::SortsByText => {
                pending
                    .iter()
                    .filter(|version| version.len() == 1)
                    .for_each(|version| self.fake.remove(version));
            }
            How::DeafToCancel => {
                return self.fake.apply(&permit_under(permit.idempotency_key(), permit.fence(), 1)).await;
            }
            _ => {}
        }
        match self.fake.apply(permit).await {
            Ok(mut applied) if self.how == How::NamesOnlyWhatIsNew => {
                applied.retain(|migration| pending.contains(&migration.version));
                Ok(applied)
            }
            Err(error) if self.how == How::LeavesHalf => {
                let _ = self.fake.execute(Statement::create("half"));
                Err(error)
            }
            Err(_) if self.how == How::SaysRejected => {
                Err(StepError::new(ErrorKind::Failed, "a statement failed"))
            }
            ended => ended,
        }
    }

    async fn revert_to(&self, permit: &Permit, applied: &[String]) -> Result<(), StepError> {
        let refused = |message: &'static str| Err(StepError::new(ErrorKind::NotFound, message));
        let state = self.fake.state().await;
        match self.how {
            How::RevertsAll => return self.fake.revert_to(permit, &[]).await,
            How::RevertsByFiles if state.is_err() => return refused("the down script is missing"),
            How::RevertsFinishedOnly if state.is_ok_and(|state| !state.pending.is_empty()) => {
                return refused("the migration is not finished");
            }
            _ => {}
        }
        let ended = self.fake.revert_to(permit, applied).await;
        match self.how {
            How::RevertLeaves => drop(self.fake.execute(Statement::remove("ledger", 1))),
            How::RevertsWhatItCan if ended.is_err() => drop(self.fake.execute(Statement::drop("t2"))),
            _ => {}
        }
        ended
    }

    async fn check(&self) -> Result<Vec<DataCheck>, StepError> {
        let checks = self.fake.check().await?;
        if self.how == How::ErrsOnInconsistency && checks.iter().any(|check| !check.holds) {
            return Err(StepError::new(ErrorKind::Failed, "the data is not consistent"));
        }
        Ok(checks)
    }
}

mod fake {
    use super::fresh;

    flow_testkit::migrator_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { migrator_conformance, migrator:
        reading_and_rehearsing_change_nothing => || broken(How::RehearsesInPlace),
        the_rehearsal_fails_where_the_migration_would => || broken(How::RehearsesNothing),
        pending_migrations_are_applied_in_the_order_of_their_numbers => || broken(How::SortsByText),
        applying_twice_under_one_permit_is_once_and_says_the_same => || broken(How::NamesOnlyWhatIsNew),
        a_rejected_migration_left_nothing_behind => || broken(How::LeavesHalf),
        a_failure_after_a_finished_migration_is_in_doubt => || broken(How::SaysRejected),
        an_interrupted_apply_is_finished_by_the_next_attempt => || broken(How::NamesOnlyWhatIsNew),
        an_edited_migration_is_a_conflict_that_changes_nothing => || broken(How::OverlooksConflicts),
        a_missing_migration_is_a_conflict_that_changes_nothing => || broken(How::OverlooksConflicts),
        a_late_migration_is_a_conflict_that_changes_nothing => || broken(How::OverlooksConflicts),
        a_cancelled_apply_applies_nothing => || broken(How::DeafToCancel),
        the_way_back_gives_every_table_and_row_back => || broken(How::RevertLeaves),
        the_way_back_goes_newest_first_and_as_far_as_asked => || broken(How::RevertsAll),
        the_way_back_is_the_one_that_was_applied => || broken(How::RevertsByFiles),
        what_was_applied_in_part_is_taken_back => || broken(How::RevertsFinishedOnly),
        without_a_down_script_nothing_is_taken_back => || broken(How::RevertsWhatItCan),
        a_backup_holds_every_row_and_its_proof_counts_them => || broken(How::CountsOneTableLess),
        backing_up_changes_nothing_and_may_be_repeated => || broken(How::MarksItsBackups),
        an_inconsistency_is_an_answer => || broken(How::ErrsOnInconsistency),
        the_schema_digest_tells_schemas_apart_and_not_rows => || broken(How::OneSchemaForAll),
    }
}

fn in_run(run: &str, call: &str) -> Permit {
    permit_under(&format!("{run}/{call}"), Fence(1), 1)
}

#[tokio::test]
async fn nothing_is_applied_without_this_runs_backup_of_the_state_as_it_is() {
    let database = FakeMigrator::new();
    database.write(Migration::table("1", "orders"));
    let refused = |database: FakeMigrator, run: &'static str| async move {
        let error = database.apply(&in_run(run, "apply")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(database.applied(), [""; 0]);
    };
    refused(database.clone(), "b").await;
    database.back_up(&in_run("a", "back-up")).await.unwrap();
    refused(database.clone(), "b").await;
    database.back_up(&in_run("b", "back-up")).await.unwrap();
    database.execute(Statement::create("written_since")).unwrap();
    refused(database.clone(), "b").await;
    assert_eq!(database.ledger().refusals().len(), 3);
    database.back_up(&in_run("b", "back-up-again")).await.unwrap();
    database.apply(&in_run("b", "apply")).await.unwrap();
    assert_eq!(database.applied(), ["1"]);

    let waived = FakeMigrator::new().named(name!("cache"));
    waived.waive_backups();
    waived.write(Migration::table("1", "entries"));
    waived.apply(&permit()).await.unwrap();
}

#[tokio::test]
async fn a_second_backup_of_one_state_in_one_run_is_a_second_effect() {
    let database = FakeMigrator::new();
    database.back_up(&in_run("a", "back-up")).await.unwrap();
    database.back_up(&in_run("a", "back-up")).await.unwrap();
    let error = database.back_up(&in_run("a", "another")).await.unwrap_err();
    assert_eq!((error.kind(), database.ledger().refusals().len()), (ErrorKind::Conflict, 1));
    database.back_up(&in_run("b", "back-up")).await.unwrap();
}

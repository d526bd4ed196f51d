//! What every [`Migrator`] promises, as checks.
//!
//! The suite deals in [`Migration`]s: as [`Statement`]s for a fake, as SQL that every database reads for a real one. It judges by
//! tables and rows, which the fixture reads by a connection of its own. It backs up before it applies, as every deployment does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::port::{BackupProof, Migrator};
use flow_core::{CancelToken, ErrorKind, Fence, Name, Permit, StepError, name};

use super::{Checked, Outside};
use crate::fake::{Migration, Statement};
use crate::permit_under;

/// Tables, each with its rows: the text of each by its key.
pub type Tables = BTreeMap<String, BTreeMap<u32, String>>;

/// The consistency query that the migrator under test is configured with: how many rows of table `ledger` have the note
/// `lost`. It holds where there is none. In SQL: `SELECT count(*) FROM ledger WHERE note = 'lost'`, expecting 0.
pub const LOST: Name = name!("no-lost-rows");

/// A migrator over an empty database and no scripts, and ways to look at its world from outside.
///
/// Scripts are written as the migrator finds them: [`Migration::up`] and [`Migration::down`] are their texts,
/// [`Migration::version`] and [`Migration::name`] what they are called.
#[async_trait]
pub trait MigratorFixture: Send + Sync {
    /// The migrator under test, with the consistency query [`LOST`].
    fn migrator(&self) -> &dyn Migrator;

    /// Writes the scripts of `migration`, in place of ones of the same version; removes its down script where it has none.
    async fn write(&self, migration: &Migration) -> Outside<()>;

    /// Removes the scripts of `version`.
    async fn remove(&self, version: &str) -> Outside<()>;

    /// Runs a statement by a connection of its own, as an application does.
    async fn execute(&self, statement: &Statement) -> Outside<()>;

    /// Reads all tables by a connection of its own, without the migrator's own bookkeeping.
    async fn tables(&self) -> Outside<Tables>;

    /// Reads all tables of a kept backup, restored elsewhere by other means than the migrator's.
    async fn restored(&self, backup: &BackupProof) -> Outside<Tables>;
}

/// Makes one `#[tokio::test]` for every promise of [`Migrator`](flow_core::port::Migrator).
///
/// It takes an async function without arguments that gives a fresh
/// [`MigratorFixture`](crate::conformance::migrator::MigratorFixture). The fixture keeps alive whatever the test needs, a
/// temporary directory for instance.
///
/// ```
/// use flow_core::port::{BackupProof, Migrator};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::migrator::{LOST, MigratorFixture, Tables};
/// use flow_testkit::fake::{FakeMigrator, Migration, Statement};
///
/// struct Mine(FakeMigrator);
///
/// #[async_trait::async_trait]
/// impl MigratorFixture for Mine {
///     fn migrator(&self) -> &dyn Migrator {
///         &self.0
///     }
///     async fn write(&self, migration: &Migration) -> Outside<()> {
///         self.0.write(migration.clone()); // a real fixture writes the files of `migration.up()` and `migration.down()`
///         Ok(())
///     }
///     async fn remove(&self, version: &str) -> Outside<()> {
///         self.0.remove(version);
///         Ok(())
///     }
///     async fn execute(&self, statement: &Statement) -> Outside<()> {
///         Ok(self.0.execute(statement.clone())?) // a real one runs `statement.to_string()`
///     }
///     async fn tables(&self) -> Outside<Tables> {
///         Ok(self.0.tables())
///     }
///     async fn restored(&self, backup: &BackupProof) -> Outside<Tables> {
///         self.0.backed_up(&backup.backup.digest).ok_or("there is no such backup".into())
///     }
/// }
///
/// async fn fresh() -> Mine {
///     let database = FakeMigrator::new();
///     database.declare_check(LOST, "ledger", "lost");
///     Mine(database)
/// }
///
/// flow_testkit::migrator_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! migrator_conformance {
    ($fresh:expr) => {
        $crate::migrator_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { migrator $with
            reading_and_rehearsing_change_nothing
            the_rehearsal_fails_where_the_migration_would
            pending_migrations_are_applied_in_the_order_of_their_numbers
            applying_twice_under_one_permit_is_once_and_says_the_same
            a_rejected_migration_left_nothing_behind
            a_failure_after_a_finished_migration_is_in_doubt
            an_interrupted_apply_is_finished_by_the_next_attempt
            an_edited_migration_is_a_conflict_that_changes_nothing
            a_missing_migration_is_a_conflict_that_changes_nothing
            a_late_migration_is_a_conflict_that_changes_nothing
            a_cancelled_apply_applies_nothing
            the_way_back_gives_every_table_and_row_back
            the_way_back_goes_newest_first_and_as_far_as_asked
            the_way_back_is_the_one_that_was_applied
            what_was_applied_in_part_is_taken_back
            without_a_down_script_nothing_is_taken_back
            a_backup_holds_every_row_and_its_proof_counts_them
            backing_up_changes_nothing_and_may_be_repeated
            an_inconsistency_is_an_answer
            the_schema_digest_tells_schemas_apart_and_not_rows
        }
    };
}

fn permit(run: &str, call: &str) -> Permit {
    permit_under(&format!("{run}/{call}"), Fence(1), 1)
}

/// Backs up and applies, as one run does.
async fn apply(fixture: &impl MigratorFixture, run: &str) -> Result<Vec<String>, StepError> {
    fixture.migrator().back_up(&permit(run, "back-up")).await?;
    let applied = fixture.migrator().apply(&permit(run, "apply")).await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

async fn revert_to(fixture: &impl MigratorFixture, applied: &[&str]) -> Result<(), StepError> {
    let applied: Vec<String> = applied.iter().map(|version| (*version).to_owned()).collect();
    fixture.migrator().revert_to(&permit("run", "revert"), &applied).await
}

async fn applied(fixture: &impl MigratorFixture) -> Result<Vec<String>, StepError> {
    Ok(fixture.migrator().state().await?.applied)
}

async fn write_all(
    fixture: &impl MigratorFixture,
    migrations: impl IntoIterator<Item = Migration>,
) -> Checked {
    for migration in migrations {
        fixture.write(&migration).await?;
    }
    Ok(())
}

/// A table with rows that no migration made: what nothing may disturb.
async fn inhabited(fixture: &impl MigratorFixture) -> Outside<Tables> {
    fixture.execute(&Statement::create("ledger")).await?;
    fixture.execute(&Statement::add("ledger", 1, "opened")).await?;
    fixture.execute(&Statement::add("ledger", 2, "it's 5 o'clock")).await?;
    fixture.tables().await
}

/// A migration that fails when its second statement runs.
fn failing(version: &str) -> Migration {
    let (table, down) = (format!("t{version}"), Statement::drop(format!("t{version}")));
    Migration::new(version, [Statement::create(table), Statement::add("nowhere", 1, "x")]).undone_by([down])
}

/// A failed call left what its error claims: nothing, where that is a rejection.
async fn left(fixture: &impl MigratorFixture, error: &StepError, before: &Tables) -> Checked {
    if error.kind().is_rejection() {
        assert_eq!(&fixture.tables().await?, before, "a rejection left something behind: {error}");
    }
    Ok(())
}

/// Scripts, state, impact and checks are read without changing the database; what is pending is named with its scripts.
pub async fn reading_and_rehearsing_change_nothing(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    let (one, two) = (Migration::table("1", "t1"), Migration::new("2", [Statement::create("t2")]));
    write_all(fixture, [one.clone(), two.clone()]).await?;
    for _ in 0..2 {
        let scripts = fixture.migrator().scripts().await?;
        let named: Vec<(&str, &str, bool)> = scripts
            .iter()
            .map(|script| (script.version.as_str(), script.name.as_str(), script.down.is_some()))
            .collect();
        assert_eq!(named, [("1", one.name(), true), ("2", two.name(), false)]);
        let state = fixture.migrator().state().await?;
        assert_eq!((state.applied, state.pending), (Vec::new(), scripts));
        let impact = fixture.migrator().impact().await?;
        let statements: Vec<(&str, u32)> =
            impact.iter().map(|impact| (impact.version.as_str(), impact.statement)).collect();
        assert_eq!(statements, [("1", 1), ("2", 1)], "each statement is named");
        fixture.migrator().check().await?;
    }
    assert_eq!(fixture.tables().await?, before);
    Ok(())
}

/// The rehearsal of a migration that fails on the data as it is fails as well, and leaves the database alone.
pub async fn the_rehearsal_fails_where_the_migration_would(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    let doubles = Migration::new("1", [Statement::add("ledger", 1, "a second time")]);
    fixture.write(&doubles).await?;
    let error = fixture.migrator().impact().await.err().ok_or("the rehearsal passed")?;
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(fixture.tables().await?, before);
    Ok(())
}

/// Migrations run in the order of their numbers, not of their text or of when they were written; and done means that nothing
/// is pending.
pub async fn pending_migrations_are_applied_in_the_order_of_their_numbers(
    fixture: &impl MigratorFixture,
) -> Checked {
    let ten = Migration::new("10", [Statement::add("t9", 10, "ten")]);
    write_all(fixture, [ten, Migration::table("9", "t9")]).await?;
    assert_eq!(apply(fixture, "run").await?, ["9", "10"]);
    let rows = BTreeMap::from([(10, "ten".to_owned())]);
    assert_eq!(fixture.tables().await?, Tables::from([("t9".to_owned(), rows)]));
    let state = fixture.migrator().state().await?;
    assert_eq!((state.applied, state.pending), (vec!["9".to_owned(), "10".to_owned()], Vec::new()));
    Ok(())
}

/// What a lost answer would have said is said again under the same key, and nothing is applied twice.
pub async fn applying_twice_under_one_permit_is_once_and_says_the_same(
    fixture: &impl MigratorFixture,
) -> Checked {
    inhabited(fixture).await?;
    fixture.write(&Migration::new("1", [Statement::add("ledger", 3, "once")])).await?;
    let first = apply(fixture, "run").await?;
    let after = fixture.tables().await?;
    let again = fixture.migrator().apply(&permit_under("run/apply", Fence(2), 2)).await?;
    let again: Vec<String> = again.into_iter().map(|migration| migration.version).collect();
    assert_eq!((first, again), (vec!["1".to_owned()], vec!["1".to_owned()]));
    assert_eq!(fixture.tables().await?, after);
    Ok(())
}

/// The failure of the first migration is an error; if it is a rejection, not one statement of it stands.
pub async fn a_rejected_migration_left_nothing_behind(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    fixture.write(&failing("1")).await?;
    let error = apply(fixture, "run").await.err().ok_or("a failing statement went unnoticed")?;
    assert_eq!(applied(fixture).await?, [""; 0], "a migration that failed is not applied");
    left(fixture, &error, &before).await
}

/// Where an earlier migration stands, the failure of a later one is no rejection, and the earlier one is recorded.
pub async fn a_failure_after_a_finished_migration_is_in_doubt(fixture: &impl MigratorFixture) -> Checked {
    write_all(fixture, [Migration::table("1", "t1"), failing("2")]).await?;
    let error = apply(fixture, "run").await.err().ok_or("a failing statement went unnoticed")?;
    assert!(!error.kind().is_rejection(), "migration 1 was left behind: {error}");
    assert_eq!(applied(fixture).await?, ["1"]);
    assert!(fixture.tables().await?.contains_key("t1"));
    Ok(())
}

/// The next attempt under the same key goes on where the last one failed, and names all that was applied under it.
pub async fn an_interrupted_apply_is_finished_by_the_next_attempt(fixture: &impl MigratorFixture) -> Checked {
    let adds = Migration::new("1", [Statement::create("t1"), Statement::add("t1", 1, "one")]);
    let second = Migration::new("2", [Statement::add("t1", 2, "two"), Statement::add("t9", 1, "x")]);
    write_all(fixture, [adds, second]).await?;
    apply(fixture, "run").await.err().ok_or("a failing statement went unnoticed")?;
    fixture.execute(&Statement::create("t9")).await?;
    // Where a failed migration leaves its first statements, they are taken back as the failure's own repair.
    fixture.execute(&Statement::remove("t1", 2)).await?;
    let again = fixture.migrator().apply(&permit_under("run/apply", Fence(2), 2)).await?;
    let again: Vec<String> = again.into_iter().map(|migration| migration.version).collect();
    assert_eq!(again, ["1", "2"]);
    let rows = BTreeMap::from([(1, "one".to_owned()), (2, "two".to_owned())]);
    assert_eq!(fixture.tables().await?.remove("t1"), Some(rows));
    Ok(())
}

/// Whether state and apply refuse, and change nothing.
async fn disagrees(fixture: &impl MigratorFixture) -> Checked {
    let before = fixture.tables().await?;
    let state = fixture.migrator().state().await.map(drop);
    let kinds =
        [state, apply(fixture, "later").await.map(drop)].map(|ended| ended.err().map(|error| error.kind()));
    assert_eq!(kinds, [Some(ErrorKind::Conflict); 2]);
    assert_eq!(fixture.tables().await?, before);
    Ok(())
}

/// A script that was edited after it was applied is a conflict, and so is a run beside it.
pub async fn an_edited_migration_is_a_conflict_that_changes_nothing(
    fixture: &impl MigratorFixture,
) -> Checked {
    fixture.write(&Migration::table("1", "t1")).await?;
    apply(fixture, "run").await?;
    write_all(fixture, [Migration::table("1", "t1_edited"), Migration::table("2", "t2")]).await?;
    disagrees(fixture).await
}

/// A script that is gone after it was applied is a conflict.
pub async fn a_missing_migration_is_a_conflict_that_changes_nothing(
    fixture: &impl MigratorFixture,
) -> Checked {
    fixture.write(&Migration::table("1", "t1")).await?;
    apply(fixture, "run").await?;
    fixture.remove("1").await?;
    fixture.write(&Migration::table("2", "t2")).await?;
    disagrees(fixture).await
}

/// A script that comes to light below an applied one is a conflict: the two never ran in this order anywhere.
pub async fn a_late_migration_is_a_conflict_that_changes_nothing(fixture: &impl MigratorFixture) -> Checked {
    fixture.write(&Migration::table("2", "t2")).await?;
    apply(fixture, "run").await?;
    write_all(fixture, [Migration::table("1", "t1"), Migration::table("3", "t3")]).await?;
    disagrees(fixture).await
}

/// A call that was cancelled before it began applies nothing and says that it did not.
pub async fn a_cancelled_apply_applies_nothing(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    fixture.write(&Migration::table("1", "t1")).await?;
    fixture.migrator().back_up(&permit("run", "back-up")).await?;
    let token = CancelToken::new();
    token.cancel();
    let cancelled = Permit::for_tests("run/apply", Fence(1), 1, token);
    fixture.migrator().apply(&cancelled).await.err().ok_or("a cancelled call ended well")?;
    assert_eq!(fixture.tables().await?, before);
    Ok(())
}

/// Taken back, the database is what it was: tables, rows, schema and record. Twice is once.
pub async fn the_way_back_gives_every_table_and_row_back(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    let adds = Migration::new("1", [Statement::add("ledger", 3, "new"), Statement::create("t1")])
        .undone_by([Statement::remove("ledger", 3), Statement::drop("t1")]);
    fixture.write(&adds).await?;
    let stood = fixture.migrator().state().await?;
    apply(fixture, "run").await?;
    assert_ne!(fixture.tables().await?, before);
    for _ in 0..2 {
        revert_to(fixture, &[]).await?;
        assert_eq!(fixture.tables().await?, before);
        assert_eq!(fixture.migrator().state().await?, stood);
    }
    assert_eq!(apply(fixture, "next").await?, ["1"], "and can be applied again");
    Ok(())
}

/// The newest migration is taken back first, and what is to stay stays.
pub async fn the_way_back_goes_newest_first_and_as_far_as_asked(fixture: &impl MigratorFixture) -> Checked {
    // The third's way back needs the table that the second's removes.
    let third =
        Migration::new("3", [Statement::add("t2", 3, "three")]).undone_by([Statement::remove("t2", 3)]);
    write_all(fixture, [Migration::table("1", "t1"), Migration::table("2", "t2"), third]).await?;
    apply(fixture, "run").await?;
    revert_to(fixture, &["1"]).await?;
    assert_eq!(fixture.tables().await?.into_keys().collect::<Vec<_>>(), ["t1"]);
    assert_eq!(applied(fixture).await?, ["1"]);
    Ok(())
}

/// The way back is the down script of when the migration was applied, whatever has become of the file.
pub async fn the_way_back_is_the_one_that_was_applied(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    write_all(fixture, [Migration::table("1", "t1"), Migration::table("2", "t2")]).await?;
    apply(fixture, "run").await?;
    fixture.remove("1").await?;
    let edited = Migration::new("2", [Statement::create("t2")]).undone_by([Statement::remove("ledger", 1)]);
    fixture.write(&edited).await?;
    revert_to(fixture, &[]).await?;
    assert_eq!(fixture.tables().await?, before);
    Ok(())
}

/// What an interrupted apply left is taken back as far as it came.
pub async fn what_was_applied_in_part_is_taken_back(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    write_all(fixture, [Migration::table("1", "t1"), failing("2")]).await?;
    apply(fixture, "run").await.err().ok_or("a failing statement went unnoticed")?;
    revert_to(fixture, &[]).await?;
    assert_eq!(fixture.tables().await?, before);
    assert_eq!(applied(fixture).await?, [""; 0]);
    Ok(())
}

/// Where one of the migrations has no way back, all of them stay: half a way back is neither state.
pub async fn without_a_down_script_nothing_is_taken_back(fixture: &impl MigratorFixture) -> Checked {
    let one_way = Migration::new("1", [Statement::create("t1")]);
    write_all(fixture, [one_way, Migration::table("2", "t2")]).await?;
    apply(fixture, "run").await?;
    let before = fixture.tables().await?;
    let error = revert_to(fixture, &[]).await.err().ok_or("it was taken back without a way back")?;
    assert!(error.kind().is_rejection(), "{error}");
    assert_eq!(fixture.tables().await?, before);
    assert_eq!(applied(fixture).await?, ["1", "2"]);
    Ok(())
}

/// Whether a proof's `table` is `name`: where a database has schemas, its tables are named with them.
fn is(table: &str, name: &str) -> bool {
    table.rsplit('.').next() == Some(name)
}

/// Restored elsewhere, a backup gives every table and row; its proof counts them, and tells different rows apart.
pub async fn a_backup_holds_every_row_and_its_proof_counts_them(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    fixture.execute(&Statement::create("empty")).await?;
    let proof = fixture.migrator().back_up(&permit("run", "back-up")).await?;
    let mut expected = before;
    expected.insert("empty".to_owned(), BTreeMap::new());
    assert_eq!(fixture.restored(&proof).await?, expected);
    let counted =
        |name: &str| proof.tables.iter().find(|(table, ..)| is(table, name)).map(|(_, rows, _)| *rows);
    assert_eq!((counted("ledger"), counted("empty")), (Some(2), Some(0)));

    fixture.execute(&Statement::remove("ledger", 2)).await?;
    fixture.execute(&Statement::add("ledger", 2, "another")).await?;
    let next = fixture.migrator().back_up(&permit("next", "back-up")).await?;
    let digest = |proof: &BackupProof| {
        proof.tables.iter().find(|(table, ..)| is(table, "ledger")).map(|(.., digest)| *digest)
    };
    assert_ne!(digest(&next), digest(&proof), "as many rows, and other ones");
    assert_eq!(fixture.restored(&proof).await?, expected, "an earlier backup stays what it was");
    Ok(())
}

/// A backup leaves the database as it is, and under one key it may be made again.
pub async fn backing_up_changes_nothing_and_may_be_repeated(fixture: &impl MigratorFixture) -> Checked {
    let before = inhabited(fixture).await?;
    let stood = fixture.migrator().state().await?;
    let first = fixture.migrator().back_up(&permit("run", "back-up")).await?;
    let again = fixture.migrator().back_up(&permit("run", "back-up")).await?;
    assert_eq!(first.tables, again.tables);
    assert_eq!(fixture.restored(&again).await?, before);
    assert_eq!(fixture.tables().await?, before);
    assert_eq!(fixture.migrator().state().await?, stood);
    Ok(())
}

/// Data that is not consistent is an answer, and no error.
pub async fn an_inconsistency_is_an_answer(fixture: &impl MigratorFixture) -> Checked {
    inhabited(fixture).await?;
    let holds = |checks: &[flow_core::port::DataCheck]| {
        checks.iter().find(|check| check.name == LOST).map(|check| check.holds)
    };
    assert_eq!(holds(&fixture.migrator().check().await?), Some(true));
    fixture.execute(&Statement::add("ledger", 9, "lost")).await?;
    assert_eq!(holds(&fixture.migrator().check().await?), Some(false));
    Ok(())
}

/// The digest of the schema changes with the schema and with nothing else.
pub async fn the_schema_digest_tells_schemas_apart_and_not_rows(fixture: &impl MigratorFixture) -> Checked {
    inhabited(fixture).await?;
    let schema = fixture.migrator().state().await?.schema;
    fixture.execute(&Statement::add("ledger", 3, "a row")).await?;
    assert_eq!(fixture.migrator().state().await?.schema, schema);
    fixture.execute(&Statement::create("more")).await?;
    assert_ne!(fixture.migrator().state().await?.schema, schema);
    Ok(())
}

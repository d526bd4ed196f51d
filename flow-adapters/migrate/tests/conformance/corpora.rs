//! Whole folders of migrations: up, down as far as the files allow, and up again, with the result of the plain client.

#[path = "corpora/folder.rs"]
mod folder;
#[path = "corpora/generate.rs"]
mod generate;
#[path = "corpora/plain.rs"]
mod plain;

use std::path::{Path, PathBuf};
use std::time::Instant;

use flow_core::StepError;
use flow_migrate::{Course, Goal, Layout, Retreat, SqlConfig, SqlMigrations};
use flow_proving::is_long;

use self::folder::{File, files};
use self::generate::{COUNT, Generated};
use self::plain::{Ended, Failed, Plain, Side};
use crate::stage::{ENGINES, Engine, Stage, key};
use crate::world::fact;

/// How many migrations a folder of the short tier has, where another one has them all.
const FEW: usize = 30;

/// Each engine's folder in a set of public ones.
const FOLDERS: [(Engine, &str); 3] =
    [(Engine::Postgres, "postgres"), (Engine::Mariadb, "mariadb"), (Engine::Sqlite, "sqlite")];

/// The layout that can hold every trap of an engine.
const fn widest(engine: Engine) -> Layout {
    match engine {
        Engine::Postgres => Layout::Diesel,
        Engine::Mariadb => Layout::Popx,
        Engine::Sqlite => Layout::Sqlx,
    }
}

async fn a_generated_folder_ends_as_by_the_plain_client(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    Generated::new(engine, COUNT).lay(folder.path(), widest(engine));
    let compared = compare(engine, folder.path(), Some(widest(engine))).await;
    assert_eq!(compared.applied, COUNT, "{engine:?}: {:?}", compared.failed);
    // All but the one that fails on its way back, and the two below it.
    assert_eq!((compared.taken_back, compared.applied_again), (COUNT - 3, COUNT - 3), "{engine:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_migrations_with_every_trap_end_as_by_psql() {
    a_generated_folder_ends_as_by_the_plain_client(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_migrations_with_every_trap_end_as_by_mariadb() {
    a_generated_folder_ends_as_by_the_plain_client(Engine::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_migrations_with_every_trap_end_as_by_sqlite3() {
    a_generated_folder_ends_as_by_the_plain_client(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_layout_can_hold_them() {
    let layouts = [Layout::Sqlx, Layout::Diesel, Layout::GolangMigrate, Layout::Popx, Layout::Flyway];
    for (turn, engine) in ENGINES.into_iter().enumerate() {
        for (at, layout) in layouts.into_iter().enumerate() {
            // In the short tier the engines share the layouts.
            if layout == widest(engine) || !is_long() && at % ENGINES.len() != turn {
                continue;
            }
            let count = if is_long() { COUNT } else { FEW };
            let folder = tempfile::tempdir().unwrap();
            Generated::new(engine, count).lay(folder.path(), layout);
            let compared = compare(engine, folder.path(), Some(layout)).await;
            assert_eq!(compared.applied, count, "{engine:?} {layout:?}: {:?}", compared.failed);
            assert_eq!(compared.applied_again, count - 3, "{engine:?} {layout:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_passes_on_an_empty_database_and_fails_on_rows_is_named_as_the_plain_client_names_it()
 {
    for engine in ENGINES {
        let folder = tempfile::tempdir().unwrap();
        let stem = Generated::new(engine, 12).lay(folder.path(), Layout::Sqlx);
        let version = stem.split('_').next().unwrap().to_owned();
        let fails = match engine {
            Engine::Postgres | Engine::Mariadb => "ALTER TABLE first ADD CONSTRAINT few UNIQUE (same);",
            Engine::Sqlite => "CREATE UNIQUE INDEX few ON first (same);",
        };
        let up = format!(
            "/* two\n lines */ SELECT ';';\n\nALTER TABLE first ADD COLUMN same INT DEFAULT 1;\n\n{fails}\n\nSELECT 1;\n"
        );
        std::fs::write(folder.path().join(format!("{stem}.up.sql")), up).unwrap();
        let compared = compare(engine, folder.path(), Some(Layout::Sqlx)).await;
        let code = match engine {
            Engine::Postgres => "23505",
            Engine::Mariadb => "1062",
            Engine::Sqlite => "2067",
        };
        let error = compared.failed.unwrap();
        let named = ["version", "statement", "line", "code"].map(|name| fact(&error, name));
        assert_eq!(named, [version.as_str(), "3", "6", code], "{engine:?}");
    }
}

/// The folders `postgres`, `mariadb` and `sqlite` below `FLOW_CORPORA`, each with `migrations` and, where its layout cannot be told
/// by its files, `format`. The short tier makes some.
#[tokio::test(flavor = "multi_thread")]
async fn public_folders_end_as_by_the_plain_client() {
    let made = tempfile::tempdir().unwrap();
    let (corpora, many) = if is_long() {
        let corpora = std::env::var_os("FLOW_CORPORA").map(PathBuf::from);
        (corpora.expect("the long tier needs `FLOW_CORPORA`, a folder of public migrations"), 200)
    } else {
        for (engine, name) in FOLDERS {
            let folder = made.path().join(name);
            std::fs::create_dir_all(folder.join("migrations")).unwrap();
            std::fs::write(folder.join("format"), "popx\n").unwrap();
            Generated::new(engine, FEW).lay(&folder.join("migrations"), Layout::Popx);
        }
        (made.path().to_owned(), FEW)
    };
    for (engine, name) in FOLDERS {
        let folder = corpora.join(name);
        let layout = std::fs::read_to_string(folder.join("format")).ok().map(|text| layout(text.trim()));
        let started = Instant::now();
        let compared = compare(engine, &folder.join("migrations"), layout).await;
        eprintln!(
            "{name}: {} up, {} down, {} up again in {:?}; {:?}",
            compared.applied,
            compared.taken_back,
            compared.applied_again,
            started.elapsed(),
            compared.failed
        );
        let least = if engine == Engine::Postgres || !is_long() { many } else { 1 };
        assert!(compared.applied >= least, "{name}: {} of {least}", compared.applied);
    }
}

fn layout(text: &str) -> Layout {
    serde_json::from_value(text.into()).unwrap()
}

/// What came of a folder, the same by the library and by the plain client.
#[derive(Debug, Default)]
struct Compared {
    applied: usize,
    taken_back: usize,
    applied_again: usize,
    /// The library's last error.
    failed: Option<StepError>,
}

/// Takes a folder up, down and up again, each time by the library and by the plain client in databases of their own, and compares what was
/// done, what failed where, the schemas and the rows.
async fn compare(engine: Engine, folder: &Path, layout: Option<Layout>) -> Compared {
    let files = files(engine, folder);
    let compared = compare_to(engine, folder, layout, &files, Goal::Latest).await;
    if engine != Engine::Mariadb || compared.failed.is_none() {
        return compared;
    }
    // A part of what failed stands. The library would take that back first, by a way back that the plain client has no reason to run: so
    // once more without it.
    let whole = &files[..compared.applied];
    let Some(last) = whole.last() else { return compared };
    let again = compare_to(engine, folder, layout, whole, Goal::To(last.version.clone())).await;
    Compared { failed: compared.failed, ..again }
}

async fn compare_to(
    engine: Engine,
    folder: &Path,
    layout: Option<Layout>,
    files: &[File],
    goal: Goal,
) -> Compared {
    let (ours, theirs) = (Stage::new(engine).await, Stage::new(engine).await);
    let config = SqlConfig { scripts: folder.to_owned(), layout, ..ours.config() };
    let migrations = SqlMigrations::new(config).unwrap();
    let plain = Plain::new(&theirs);
    let mut compared = Compared::default();

    let ups = |files: &[File]| files.iter().map(File::up).collect::<Vec<_>>();
    let course = migrations.up(&key("up"), &goal).await;
    let expected = plain.run(&ups(files));
    compared.applied = compared.step(course, &expected);
    same(&ours, &theirs, "up");
    if engine == Engine::Mariadb && compared.failed.is_some() {
        return compared;
    }

    let applied = files.get(..compared.applied).unwrap();
    let downs: Vec<_> = applied.iter().rev().map_while(File::down).collect();
    let retreat = match applied.len().checked_sub(downs.len() + 1) {
        Some(at) => Retreat::To(applied[at].version.clone()),
        None => Retreat::All,
    };
    let course = migrations.down(&key("down"), &retreat).await;
    let expected = plain.run(&downs);
    compared.taken_back = compared.step(course, &expected);
    same(&ours, &theirs, "down");
    if compared.failed.as_ref().is_some_and(|error| error.facts().any(|(name, _)| name == "way back")) {
        return compared;
    }

    let stay = compared.applied - compared.taken_back;
    let course = migrations.up(&key("again"), &goal).await;
    let expected = plain.run(&ups(files.get(stay..).unwrap()));
    compared.applied_again = compared.step(course, &expected);
    same(&ours, &theirs, "up again");
    compared
}

impl Compared {
    /// Compares a run of the library with what the plain client made of the same files, and counts what it finished.
    fn step(&mut self, course: Course, expected: &Ended) -> usize {
        let done: Vec<_> = course.finished.iter().map(|done| done.version.clone()).collect();
        let failed = course.stopped.as_ref().map(|error| Failed {
            version: fact(error, "version").to_owned(),
            line: fact(error, "line").parse().unwrap(),
            code: fact(error, "code").to_owned(),
        });
        assert_eq!(done, expected.done, "{failed:?} {:?}", expected.said);
        assert!(Failed::agree(failed.as_ref(), expected.failed.as_ref()), "{failed:?} {expected:?}");
        self.failed = course.stopped.or(self.failed.take());
        done.len()
    }
}

/// Compares schemas and rows as the server's own tool dumps them.
fn same(ours: &Stage, theirs: &Stage, when: &str) {
    let [ours, theirs] =
        [(ours, Side::Ours), (theirs, Side::Theirs)].map(|(stage, side)| Plain::new(stage).dump(side));
    if let Some((at, (our, their))) =
        ours.iter().zip(&theirs).enumerate().find(|(_, (our, their))| our != their)
    {
        panic!("{when}: line {at} of the dump is `{our}` by the library, `{their}` by the plain client");
    }
    assert_eq!(ours.len(), theirs.len(), "{when}");
}

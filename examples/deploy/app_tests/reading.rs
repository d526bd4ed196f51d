//! Reading the database file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteValueRef};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _};
use tempfile::TempDir;

use super::database::Database;
use super::sqlite_file::{Table, Value, read_table};

/// A database file that SQLite itself writes.
struct Written {
    directory: TempDir,
    connection: SqliteConnection,
}

impl Written {
    async fn by(statements: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(directory.path().join("it.db"));
        let connection = options.create_if_missing(true).connect().await.unwrap();
        let mut written = Self { directory, connection };
        written.run(statements).await;
        written
    }

    async fn run(&mut self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await.unwrap();
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("it.db")
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("it.db-journal")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    /// The table as SQLite reads it.
    async fn table(&mut self, name: &str) -> Table {
        let names = sqlx::raw_sql(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{name}')")));
        let names = names.fetch_all(&mut self.connection).await.unwrap();
        let select = sqlx::raw_sql(AssertSqlSafe(format!("SELECT * FROM {name} ORDER BY rowid")));
        let rows = select.fetch_all(&mut self.connection).await.unwrap();
        Table {
            columns: names.iter().map(|row| row.get(0)).collect(),
            rows: rows
                .iter()
                .map(|row| (0..row.len()).map(|index| value(row.try_get_raw(index).unwrap())).collect())
                .collect(),
        }
    }

    async fn assert_read_like_sqlite(&mut self, name: &str) -> Table {
        let ours = read_table(&self.bytes(), name).unwrap();
        assert_eq!(ours, self.table(name).await);
        ours
    }
}

fn value(raw: SqliteValueRef<'_>) -> Value {
    if raw.is_null() {
        return Value::Null;
    }
    match raw.type_info().name() {
        "INTEGER" => Value::Integer(<i64 as Decode<Sqlite>>::decode(raw).unwrap()),
        "REAL" => Value::Real(<f64 as Decode<Sqlite>>::decode(raw).unwrap()),
        "TEXT" => Value::Text(<String as Decode<Sqlite>>::decode(raw).unwrap()),
        _ => Value::Blob(<Vec<u8> as Decode<Sqlite>>::decode(raw).unwrap()),
    }
}

fn refusal(bytes: &[u8], table: &str) -> String {
    read_table(bytes, table).unwrap_err().to_string()
}

/// A table `t(id, v)` of `rows` rows.
fn many(rows: u32) -> String {
    format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO t SELECT i, 'row ' || i FROM n;"
    )
}

#[tokio::test]
async fn tables_of_several_levels_are_read_like_sqlite_reads_them_at_every_page_size() {
    for size in [512, 1024, 4096, 65_536] {
        let mut file = Written::by(&format!("PRAGMA page_size = {size}; {}", many(20_000))).await;
        let table = file.assert_read_like_sqlite("t").await;
        assert_eq!(table.rows.len(), 20_000, "page size {size}");
    }
}

#[tokio::test]
async fn rows_of_every_length_around_a_page_are_joined_from_their_overflow_pages() {
    for size in [512, 4096] {
        let mut file = Written::by(&format!(
            "PRAGMA page_size = {size};
             CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT, data BLOB);
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)
             INSERT INTO t SELECT i, replace(hex(zeroblob(i * {size} / 800)), '0', 'é'), NULL FROM n;
             INSERT INTO t VALUES (-5, '', randomblob(300000));"
        ))
        .await;
        file.assert_read_like_sqlite("t").await;
    }
}

#[tokio::test]
async fn every_kind_of_value_is_read_with_its_exact_type() {
    let mut file = Written::by(
        "CREATE TABLE t (a, b REAL, c NUMERIC, d TEXT, \"e \"\"f\" INTEGER, [g h] VARCHAR(10) CHECK (d <> '),('));
         INSERT INTO t VALUES (NULL, 1, '1', 1, '1', 'ж''x');
         INSERT INTO t VALUES (0, 1.5, 1.25, '', 1, NULL), (1, -0.0, '', 'a', -1, '');
         INSERT INTO t VALUES (x'', 1e300, 127, NULL, 128, 'z'), (x'00ff', 9007199254740993, -128, 'b', -129, 'z');
         INSERT INTO t VALUES (32767, 0, 32768, 'c', 8388607, 'z'), (8388608, 3, -8388609, 'c', 2147483648, 'z');
         INSERT INTO t VALUES (140737488355327, 0, 140737488355328, 'c', -140737488355329, 'z');
         INSERT INTO t VALUES (9223372036854775807, 0, -9223372036854775808, 'c', 0, 'z');",
    )
    .await;
    file.assert_read_like_sqlite("t").await;
}

#[tokio::test]
async fn deleted_and_rewritten_rows_are_not_seen() {
    let mut file = Written::by(&many(5000)).await;
    file.run(
        "DELETE FROM t WHERE id % 3 = 0 OR id BETWEEN 1000 AND 3000;
         UPDATE t SET v = 'longer than before: ' || v WHERE id % 7 = 0;
         INSERT INTO t VALUES (1500, 'again');",
    )
    .await;
    let table = file.assert_read_like_sqlite("t").await;
    assert_eq!(table.rows.len(), 666 + 1334 + 1);
    file.run("DELETE FROM t").await;
    assert_eq!(file.assert_read_like_sqlite("t").await.rows.len(), 0);
}

#[tokio::test]
async fn rows_older_than_a_column_have_its_default() {
    let mut file = Written::by(&many(10)).await;
    file.run(
        "ALTER TABLE t ADD COLUMN currency TEXT NOT NULL DEFAULT 'EU''R';
         INSERT INTO t VALUES (11, 'new', 'USD');
         ALTER TABLE t ADD COLUMN points INTEGER NOT NULL DEFAULT -7;
         ALTER TABLE t ADD COLUMN rate REAL DEFAULT 2;
         ALTER TABLE t ADD COLUMN remark;
         ALTER TABLE t ADD COLUMN flag BOOLEAN DEFAULT TRUE;",
    )
    .await;
    let table = file.assert_read_like_sqlite("t").await;
    assert_eq!(table.columns, ["id", "v", "currency", "points", "rate", "remark", "flag"]);
    file.run("ALTER TABLE t DROP COLUMN currency; ALTER TABLE t RENAME COLUMN v TO \"w x\";").await;
    file.assert_read_like_sqlite("t").await;
    file.run("ALTER TABLE t ADD COLUMN odd TEXT DEFAULT 5").await;
    assert_eq!(refusal(&file.bytes(), "t"), "the default of `odd` is no plain constant");
}

#[tokio::test]
async fn the_row_id_stands_in_for_its_other_names_only() {
    let mut file = Written::by(
        "CREATE TABLE plain (k INTEGER /* the key */ PRIMARY KEY AUTOINCREMENT NOT NULL, v);
         CREATE TABLE apart (v, k INTEGER, CONSTRAINT \"a key\" PRIMARY KEY (k ASC));
         CREATE TABLE falling (k INTEGER PRIMARY KEY DESC, v);
         CREATE TABLE other (k INT PRIMARY KEY, v, UNIQUE (v), FOREIGN KEY (v) REFERENCES plain (k) DEFERRABLE);
         CREATE TABLE two (k INTEGER, l INTEGER, PRIMARY KEY (k, l));
         INSERT INTO plain VALUES (7, 1); INSERT INTO apart VALUES (1, 8);
         INSERT INTO falling VALUES (NULL, 1); INSERT INTO other VALUES (NULL, 7); INSERT INTO two VALUES (NULL, 1);",
    )
    .await;
    for table in ["plain", "apart", "falling", "other", "two"] {
        file.assert_read_like_sqlite(table).await;
    }
}

#[tokio::test]
async fn what_is_not_read_here_is_refused_by_name() {
    let mut file = Written::by(
        "PRAGMA auto_vacuum = FULL;
         CREATE TABLE keyed (k PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE computed (a, b GENERATED ALWAYS AS (a + 1) STORED);
         CREATE TABLE t (a); CREATE VIEW v AS SELECT a FROM t;",
    )
    .await;
    let bytes = file.bytes();
    assert!(refusal(&bytes, "keyed").contains("WITHOUT ROWID"));
    assert!(refusal(&bytes, "computed").contains("computes the column `b`"));
    assert_eq!(refusal(&bytes, "v"), "there is no table `v`");
    assert_eq!(refusal(b"", "t"), "it is no SQLite database");
    assert_eq!(refusal(&bytes[..bytes.len() - 1], "t"), "it is cut off");
    assert_eq!(read_table(&bytes, "T").unwrap().rows.len(), 0);
    file.run("PRAGMA journal_mode = WAL").await;
    assert!(refusal(&file.bytes(), "t").contains("write-ahead log"));
    let wide = Written::by("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (a);").await;
    assert!(refusal(&wide.bytes(), "t").contains("UTF-8"));
}

#[tokio::test]
async fn damaged_files_are_errors_or_other_values_and_never_a_panic() {
    let file = Written::by(&format!(
        "PRAGMA page_size = 512; {}
         INSERT INTO t VALUES (-1, hex(zeroblob(2000)));",
        many(60)
    ))
    .await;
    let sound = file.bytes();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        refused += u32::from(read_table(&bytes, "t").is_err());
    }
    assert!(refused > 500, "{refused}");
    for length in 0..sound.len() {
        assert!(read_table(&sound[..length], "t").is_err(), "{length}");
    }
}

#[tokio::test]
async fn a_tree_that_leads_back_to_itself_is_refused() {
    let file = Written::by(&format!("PRAGMA page_size = 512; {}", many(500))).await;
    let mut bytes = file.bytes();
    // Page 2 is the root of `t`: an interior page, whose last child becomes the root itself.
    assert_eq!(bytes[512], 0x05);
    bytes[520..524].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(refusal(&bytes, "t"), "its pages form a circle");
}

#[tokio::test]
async fn a_reader_beside_a_writer_sees_whole_commits_in_their_order() {
    let mut file = Written::by(
        "PRAGMA page_size = 512; PRAGMA synchronous = OFF; PRAGMA cache_size = 5;
         CREATE TABLE t (id INTEGER PRIMARY KEY, round INTEGER NOT NULL, filling TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO t SELECT i, 0, hex(zeroblob(50)) FROM n;",
    )
    .await;
    let database = Database::new(file.path(), "t", Duration::from_secs(60));
    let committed = Arc::new(AtomicI64::new(0));
    let seen = Arc::clone(&committed);
    let reader = std::thread::spawn(move || {
        let (mut latest, mut changes) = (0, 0);
        while changes < 30 {
            let before = seen.load(Ordering::SeqCst);
            let table = database.read().unwrap();
            assert_eq!(table.rows.len(), 400);
            let rounds: BTreeSet<_> = table.rows.iter().map(round).collect();
            assert_eq!(rounds.len(), 1, "a torn reading: {rounds:?}");
            let round = rounds.into_iter().next().unwrap();
            assert!(round >= latest.max(before), "{round} after {latest}, {before} were committed");
            changes += u32::from(round > latest);
            latest = round;
        }
    });
    for round in 1.. {
        if reader.is_finished() {
            break;
        }
        // The small cache makes both write to the file before they end.
        file.run("BEGIN; UPDATE t SET round = -1; ROLLBACK;").await;
        file.run(&format!("BEGIN; UPDATE t SET round = {round}; COMMIT;")).await;
        committed.store(round, Ordering::SeqCst);
    }
    reader.join().unwrap();
}

fn round(row: &Vec<Value>) -> i64 {
    match row[1] {
        Value::Integer(round) => round,
        _ => panic!("{row:?}"),
    }
}

#[tokio::test]
async fn while_a_writer_is_at_work_the_last_commit_is_served_and_nothing_is_read_anew() {
    let mut file = Written::by(&many(3)).await;
    let database = Database::new(file.path(), "t", Duration::from_millis(50));
    let before = database.read().unwrap();
    std::fs::write(file.journal(), b"\xd9\xd5").unwrap();
    assert_eq!(database.read().unwrap(), before);
    let newcomer = Database::new(file.path(), "t", Duration::from_millis(50));
    assert_eq!(newcomer.read().unwrap_err().to_string(), "the database is being written for too long");
    std::fs::write(file.journal(), b"").unwrap();
    assert_eq!(newcomer.read().unwrap(), before);
    std::fs::remove_file(file.journal()).unwrap();
    file.run("DELETE FROM t WHERE id = 2").await;
    assert_eq!(database.read().unwrap().rows.len(), 2);
}

#[tokio::test]
async fn a_file_that_replaces_the_database_is_read() {
    let file = Written::by(&many(3)).await;
    let other = Written::by(&many(4)).await;
    let database = Database::new(file.path(), "t", Duration::from_secs(5));
    assert_eq!(database.read().unwrap().rows.len(), 3);
    replace(&other.path(), &file.path());
    assert_eq!(database.read().unwrap().rows.len(), 4);
    std::fs::remove_file(file.path()).unwrap();
    assert!(database.read().is_err());
}

fn replace(source: &Path, target: &Path) {
    std::fs::copy(source, target.with_extension("new")).unwrap();
    std::fs::rename(target.with_extension("new"), target).unwrap();
}

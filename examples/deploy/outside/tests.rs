use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Stdio};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use super::*;

/// A world of one database and one directory.
struct Place {
    directory: TempDir,
    connection: SqliteConnection,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("site")).unwrap();
        let options = SqliteConnectOptions::new().filename(directory.path().join("it.db"));
        let mut place =
            Self { connection: options.create_if_missing(true).connect().await.unwrap(), directory };
        place.run("CREATE TABLE t (a, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y')").await;
        place
    }

    async fn run(&mut self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await.unwrap();
    }

    fn site(&self, name: &str) -> PathBuf {
        self.directory.path().join("site").join(name)
    }

    fn outside(&self) -> Outside {
        let root = self.directory.path();
        Outside {
            databases: vec![root.join("it.db"), root.join("other.db")],
            trees: vec![Tree { root: root.join("site"), except: vec![PathBuf::from("tmp/left")] }],
            processes_below: vec![root.to_path_buf()],
            ..Outside::default()
        }
    }

    async fn snapshot(&self) -> Snapshot {
        self.outside().snapshot().await.unwrap()
    }

    /// The differences to `before`, without the world's own path.
    async fn since(&self, before: &Snapshot) -> Vec<String> {
        let root = format!("{}/", self.directory.path().display());
        let differences = before.differences(&self.snapshot().await);
        differences.into_iter().map(|difference| difference.replace(&root, "")).collect()
    }
}

#[tokio::test]
async fn schema_and_rows_are_compared_by_value_type_and_number_but_not_by_order() {
    let mut place = Place::new().await;
    let before = place.snapshot().await;
    place.run("DELETE FROM t; INSERT INTO t VALUES (2, 'y'), (1, 'x'), (2, 'y')").await;
    assert_eq!(place.since(&before).await, [""; 0]);
    for change in [
        "UPDATE t SET a = '1' WHERE a = 1",
        "UPDATE t SET a = 1.0 WHERE a = 1",
        "UPDATE t SET a = NULL WHERE a = 1",
        "UPDATE t SET b = 'X' WHERE a = 1",
        "UPDATE t SET a = 1, b = 'x' WHERE rowid = (SELECT max(rowid) FROM t)",
        "INSERT INTO t VALUES (1, 'x')",
    ] {
        let mut place = Place::new().await;
        let before = place.snapshot().await;
        place.run(change).await;
        let found = place.since(&before).await;
        assert_eq!(found.len(), 1, "{change}: {found:?}");
        assert!(found[0].starts_with("database `it.db`: table `t`: 3 rows ("), "{found:?}");
    }
    place.run("CREATE INDEX i ON t (a)").await;
    let schema = "database `it.db`: schema of `index i` is new: CREATE INDEX i ON t (a)";
    assert_eq!(place.since(&before).await, [schema]);
    place.run("DROP INDEX i").await;
    assert_eq!(place.since(&before).await, [""; 0]);
    std::fs::write(place.directory.path().join("other.db"), "").unwrap();
    assert_eq!(place.since(&before).await, ["database `other.db` is new: there"]);
}

#[tokio::test]
async fn looking_changes_nothing_and_a_damaged_database_is_an_error() {
    let place = Place::new().await;
    let path = place.directory.path().join("it.db");
    let bytes = std::fs::read(&path).unwrap();
    place.snapshot().await;
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    let names = std::fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<BTreeSet<_>>(), ["it.db".into(), "site".into()].into());
    std::fs::write(&path, "no database at all, and long enough to be looked at").unwrap();
    let error = place.outside().snapshot().await.unwrap_err();
    assert!(matches!(error, OutsideError::Database { .. }), "{error}");
}

#[tokio::test]
async fn files_are_compared_by_content_mode_and_kind_and_what_is_left_out_is_not() {
    let place = Place::new().await;
    std::fs::write(place.site("index.html"), "one").unwrap();
    std::fs::create_dir_all(place.site("tmp/left")).unwrap();
    symlink("index.html", place.site("link")).unwrap();
    let before = place.snapshot().await;

    std::fs::write(place.site("tmp/left/over"), "left out").unwrap();
    std::fs::write(place.site("index.html"), "one").unwrap();
    assert_eq!(place.since(&before).await, [""; 0]);

    std::fs::write(place.site("index.html"), "two").unwrap();
    std::fs::write(place.site("new.js"), "").unwrap();
    std::fs::set_permissions(place.site("new.js"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::remove_file(place.site("link")).unwrap();
    let found = place.since(&before).await;
    // `printf one | sha256sum` and so on.
    assert_eq!(
        found,
        [
            "file `site/index.html`: content 7692c3ad3540, mode 0644 before, content 3fc4ccfe7458, mode 0644 after",
            "file `site/link` is gone: link to `index.html`, mode 0777 before",
            "file `site/new.js` is new: content e3b0c44298fc, mode 0640",
        ]
    );
    std::fs::write(place.site("index.html"), "one").unwrap();
    std::fs::remove_file(place.site("new.js")).unwrap();
    std::fs::write(place.site("link"), "one").unwrap();
    assert_eq!(place.since(&before).await.len(), 1, "a file in the place of a link");
}

/// A process that waits for its input to end.
struct Waiting(Child);

impl Waiting {
    fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn processes_are_found_by_their_program_and_by_their_arguments_until_they_end() {
    let place = Place::new().await;
    let root = place.directory.path().to_path_buf();
    let mut by_argument = Command::new("cat");
    by_argument.arg("-").arg(root.join("none"));
    std::fs::write(place.site("patterns"), "x").unwrap();
    let mut by_option = Command::new("grep");
    by_option.arg(format!("--file={}", place.site("patterns").display())).arg("-");
    std::fs::copy("/bin/cat", root.join("cat")).unwrap();
    let mut by_program = Command::new("./cat");
    by_program.current_dir(&root);
    let mut other = Command::new("cat");
    other.arg(format!("{}-beside", root.display())).arg("-");
    let before = place.snapshot().await;
    let running = [by_argument, by_option, by_program].map(Waiting::start);
    let stranger = Waiting::start(other);

    let found = place.since(&before).await;
    assert_eq!(found.len(), 3, "{found:?}");
    for process in &running {
        let start = format!("process `{}` is new: ", process.0.id());
        assert!(found.iter().any(|difference| difference.starts_with(&start)), "{start} not in {found:?}");
    }
    drop(running);
    assert_eq!(place.since(&before).await, [""; 0]);
    drop(stranger);
}

#[tokio::test]
async fn the_versions_that_answer_are_counted_and_so_is_silence() {
    let listener = (20_000..24_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let proxy = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        // One connection; the last request is not answered.
        let (mut stream, _) = listener.accept().unwrap();
        for reply in ["200 OK\r\nx-flow-version: 1", "200 OK\r\nx-flow-version: 2", "503 No", ""] {
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            if !reply.is_empty() {
                write!(stream, "HTTP/1.1 {reply}\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        }
    });
    let outside = Outside { proxies: vec![proxy], samples: 4, ..Outside::default() };
    let seen = outside.snapshot().await.unwrap();
    server.join().unwrap();
    assert_eq!(seen.traffic[&proxy].to_string(), "1 1x, 2 1x, 503 from none 1x, unanswered 1x");
    let silent = outside.snapshot().await.unwrap();
    assert_eq!(
        seen.differences(&silent),
        [format!(
            "traffic at `{proxy}`: 1 1x, 2 1x, 503 from none 1x, unanswered 1x before, unanswered 4x after"
        )]
    );
}

//! Backups of real servers, judged by their plain clients, by the files that are left, and by tools that misbehave.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use age::x25519::Identity;
use flow_core::port::Migrator as _;
use flow_core::{Digest, ErrorKind, StepError, name};
use flow_migrate::{BackupSettings, SqlConfig, SqlMigrations, Target, Waits};
use flow_proving::server::{Mariadb, Postgres, PostgresVersion};
use flow_proving::{Directory, until};
use flow_testkit::permit;
use zeroize::Zeroizing;

use crate::stage::{Engine, Stage};
use crate::world::fact;

const SERVERS: [Engine; 2] = [Engine::Postgres, Engine::Mariadb];

fn settings(tools: &[&Path]) -> BackupSettings {
    let own = PostgresVersion::Fifteen.tools().unwrap();
    let tools = tools.iter().map(|folder| (*folder).to_owned()).chain([own, "/usr/bin".into()]);
    BackupSettings { tools: tools.collect(), ..BackupSettings::default() }
}

fn migrations(url: &str, root: &Path, backup: BackupSettings) -> SqlMigrations {
    let target = Target::parse(url).unwrap();
    let config = SqlConfig::new(target, root.join("scripts"), root.join("backups"), name!("db"));
    let waits = Waits { tables: Duration::from_secs(30), ..Waits::default() };
    SqlMigrations::new(SqlConfig { waits, backup, ..config }).unwrap()
}

fn root(stage: &Stage) -> PathBuf {
    stage.scripts().parent().unwrap().to_owned()
}

/// Migrations of a stage whose tools are looked for in `<root>/tools` first.
fn misled(stage: &Stage) -> SqlMigrations {
    migrations(stage.url(), &root(stage), settings(&[&root(stage).join("tools")]))
}

/// Puts a script in the place of a tool; in it `$REAL` is the tool itself.
fn replace(stage: &Stage, tool: &str, script: &str) {
    let folder = root(stage).join("tools");
    fs::create_dir_all(&folder).unwrap();
    let real = match stage.engine {
        Engine::Postgres => PostgresVersion::Fifteen.tools().unwrap().join(tool),
        _ => Path::new("/usr/bin").join(tool),
    };
    let version = "case \"$1\" in --version) exec \"$REAL\" --version;; esac";
    let text = format!("#!/bin/sh\nREAL='{}'\n{version}\n{script}\n", real.display());
    // Under another name first: a script that is open for writing cannot be run.
    let draft = folder.join("draft");
    fs::write(&draft, text).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, folder.join(tool)).unwrap();
}

fn tools_of(engine: Engine) -> (&'static str, &'static str) {
    if engine == Engine::Postgres { ("pg_dump", "pg_restore") } else { ("mariadb-dump", "mariadb") }
}

/// Carries out what the owner of the database does.
async fn run(stage: &Stage, sql: &str) {
    let role = if stage.engine == Engine::Postgres { "SET ROLE app; " } else { "" };
    stage.ask(&format!("{role}{sql}")).await;
}

/// What stands in the directory of backups beside its lock.
fn files(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join("backups")) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".flow-scratch.lock").collect()
}

/// The databases of copies that stand, of this stage's database or of all.
async fn copies(stage: &Stage) -> Vec<String> {
    let list = match stage.engine {
        Engine::Postgres => "SELECT datname FROM pg_database WHERE datname LIKE 'flow_scratch_%'",
        _ => "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'flow_scratch_%'",
    };
    let ours = Digest::of(stage.name().as_bytes()).hex();
    let mut found = stage.ask(list).await;
    found.retain(|name| name.contains(&ours[..16]));
    found
}

async fn left_nothing(stage: &Stage) {
    assert_eq!(files(&root(stage)), [""; 0]);
    assert_eq!(copies(stage).await, [""; 0]);
}

const ACCOUNTS: &str = "CREATE TABLE accounts(id int PRIMARY KEY, balance int, note varchar(40));
    INSERT INTO accounts VALUES (1, 100, 'a'), (2, 200, 'b'), (3, NULL, NULL);
    CREATE TABLE entries(account int, amount int)";

#[tokio::test(flavor = "multi_thread")]
async fn under_live_writes_the_backup_of_a_server_is_one_moment_and_equal_to_its_copy() {
    for engine in SERVERS {
        let stage = Arc::new(Stage::new(engine).await);
        run(&stage, ACCOUNTS).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (stage, stop) = (Arc::clone(&stage), Arc::clone(&stop));
            let mut client = match engine {
                Engine::Postgres => stage.postgres().client(stage.name()).unwrap(),
                _ => stage.mariadb().client(stage.name()).unwrap(),
            };
            std::thread::spawn(move || {
                let mut client = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
                let mut statements = client.stdin.take().unwrap();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    writeln!(
                        statements,
                        "BEGIN; INSERT INTO accounts VALUES ({0}, 7, 'x'); INSERT INTO entries VALUES ({0}, 7);
                         UPDATE accounts SET balance = balance + 1 WHERE id = 1; COMMIT;",
                        number + 10
                    )
                    .unwrap();
                }
                drop(statements);
                assert!(client.wait().unwrap().success());
            })
        };
        let count = || async { stage.ask("SELECT count(*) FROM entries").await[0].parse::<u64>().unwrap() };
        let written = || async { Ok((count().await > 20).then_some(())) };
        until("the writer writes", written).await.unwrap();
        let mut before = 0;
        for _ in 0..3 {
            let backup =
                migrations(stage.url(), &root(&stage), settings(&[])).back_up_timed(&permit()).await.unwrap();
            let rows = |table: &str| {
                let (_, rows, _) =
                    backup.proof.tables.iter().find(|(name, ..)| name.ends_with(table)).unwrap();
                *rows
            };
            assert_eq!(rows("accounts"), rows("entries") + 3, "a transaction was cut in two");
            assert!(
                rows("entries") > before && count().await > rows("entries"),
                "the writer waited all along"
            );
            assert_eq!(backup.locked.is_zero(), engine == Engine::Postgres, "{:?}", backup.locked);
            println!("{engine:?}: writers waited for {:?}", backup.locked);
            before = rows("entries");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        assert_eq!(copies(&stage).await, [""; 0]);
    }
}

#[tokio::test]
async fn one_flipped_value_in_the_restored_copy_is_found_with_its_table() {
    for engine in SERVERS {
        let stage = Stage::new(engine).await;
        run(&stage, ACCOUNTS).await;
        let (_, restore) = tools_of(engine);
        for (flip, table) in [
            ("SELECT 1", None),
            ("UPDATE accounts SET balance = 101 WHERE id = 1", Some("accounts")),
            ("UPDATE accounts SET note = '' WHERE id = 3", Some("accounts")),
            ("UPDATE accounts SET id = CASE id WHEN 1 THEN 4 ELSE 1 END WHERE id IN (1)", Some("accounts")),
            ("INSERT INTO entries VALUES (NULL, NULL)", Some("entries")),
        ] {
            let after = match engine {
                Engine::Postgres => format!(
                    "for a in \"$@\"; do case \"$a\" in --dbname=*) db=\"${{a#--dbname=}}\";; esac; done\n\
                     exec \"$(dirname \"$REAL\")/psql\" -X -v ON_ERROR_STOP=1 -d \"$db\" -c \"{flip}\""
                ),
                _ => format!("exec \"$REAL\" \"$@\" -e \"{flip}\""),
            };
            replace(&stage, restore, &format!("\"$REAL\" \"$@\" || exit 9\n{after}"));
            let made = misled(&stage).back_up(&permit()).await;
            let Some(table) = table else {
                let path = made.unwrap().backup.path;
                fs::remove_file(
                    path.with_file_name(format!("{}.proof.json", path.file_name().unwrap().display())),
                )
                .unwrap();
                fs::remove_file(path).unwrap();
                continue;
            };
            let error = made.unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (ErrorKind::Failed, "the restored copy differs from its source")
            );
            assert_eq!(fact(&error, "tables").trim_start_matches("public."), table, "{flip}");
            left_nothing(&stage).await;
        }
    }
}

#[tokio::test]
async fn a_read_lock_that_is_given_back_before_the_dump_began_is_found() {
    let stage = Stage::new(Engine::Mariadb).await;
    run(&stage, ACCOUNTS).await;
    // The update gets through once the lock is gone, and before the dump looks.
    let update = format!(
        "echo '-- Table structure for table'\n\
         /usr/bin/mariadb --no-defaults -u root -S '{}' {} -e 'UPDATE accounts SET balance = 1' || exit 9\n\
         exec \"$REAL\" \"$@\"",
        stage.mariadb().socket().display(),
        stage.name()
    );
    replace(&stage, "mariadb-dump", &update);
    let error = misled(&stage).back_up(&permit()).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "tables")), (ErrorKind::Failed, "accounts"));
    left_nothing(&stage).await;
}

#[tokio::test]
async fn a_dump_that_does_not_begin_keeps_writers_waiting_for_no_longer_than_it_may() {
    let stage = Stage::new(Engine::Mariadb).await;
    run(&stage, ACCOUNTS).await;
    replace(&stage, "mariadb-dump", "exec sleep 600");
    let settings =
        BackupSettings { lock: Duration::from_secs(1), ..settings(&[&root(&stage).join("tools")]) };
    let error = migrations(stage.url(), &root(&stage), settings).back_up(&permit()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    run(&stage, "UPDATE accounts SET balance = 1").await;
    left_nothing(&stage).await;
}

#[tokio::test]
async fn tools_that_are_missing_or_older_than_the_server_are_found_beforehand() {
    let directory = Directory::new().unwrap();
    let version = PostgresVersion::Eighteen;
    let server = Postgres::start(&directory, version, &[]).await.unwrap();
    let url = server.create_database("app").unwrap();
    server
        .sql("app", "CREATE TABLE t(v text); INSERT INTO t VALUES ('x'); ALTER TABLE t OWNER TO app")
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let with = |tools: PathBuf| {
        migrations(&url, home.path(), BackupSettings { tools: vec![tools], ..BackupSettings::default() })
    };
    let older = with(PostgresVersion::Fifteen.tools().unwrap()).back_up(&permit()).await.unwrap_err();
    assert_eq!((older.kind(), fact(&older, "server_version")), (ErrorKind::Conflict, "18.0"));
    let missing = with(home.path().join("none")).back_up(&permit()).await.unwrap_err();
    assert_eq!((missing.kind(), fact(&missing, "tool")), (ErrorKind::NotFound, "pg_dump"));
    assert_eq!(files(home.path()), [""; 0]);
    let made = with(version.tools().unwrap());
    let proof = made.back_up(&permit()).await.unwrap();
    assert_eq!(proof.tables[0].0, "public.t");
    made.drill(&proof, &[]).await.unwrap();
}

#[tokio::test]
async fn a_password_is_neither_in_the_arguments_nor_in_the_environment_of_a_tool() {
    for engine in SERVERS {
        let stage = Stage::new(engine).await;
        run(&stage, ACCOUNTS).await;
        let (dump, restore) = tools_of(engine);
        let seen = root(&stage).join("seen");
        for tool in [dump, restore] {
            let note = format!(
                "{{ env; for a in \"$@\"; do echo \"$a\"; for f in $(echo \"$a\" | tr \"'=\" '  '); do \
                 if [ -f \"$f\" ]; then echo \"mode $(stat -c %a \"$f\")\"; fi; done; done; }} >> '{}'",
                seen.display()
            );
            replace(&stage, tool, &format!("{note}\nexec \"$REAL\" \"$@\""));
        }
        misled(&stage).back_up(&permit()).await.unwrap();
        let seen = fs::read_to_string(seen).unwrap();
        assert_eq!(seen.lines().filter(|line| *line == "mode 600").count(), 2, "{seen}");
        assert!(!seen.contains("proving-secret"), "{seen}");
        assert!(stage.url().contains("proving-secret"));
        assert!(
            !fs::read_to_string(root(&stage).join("backups").join(proof_file(&stage)))
                .unwrap()
                .contains("secret")
        );
    }
}

fn proof_file(stage: &Stage) -> String {
    let mut files = files(&root(stage));
    files.retain(|name| name.ends_with(".proof.json"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[tokio::test]
async fn a_backup_for_recipients_is_opened_by_their_identity_alone() {
    for engine in [Engine::Postgres, Engine::Mariadb, Engine::Sqlite] {
        let stage = Stage::new(engine).await;
        if engine == Engine::Sqlite {
            crate::stage::well(stage.script("1_a", "CREATE TABLE accounts(note TEXT)", None).up().await);
        } else {
            run(&stage, ACCOUNTS).await;
        }
        let (owner, stranger) = (Identity::generate(), Identity::generate());
        let settings = BackupSettings { recipients: vec![owner.to_public().to_string()], ..settings(&[]) };
        let made = migrations(stage.url(), &root(&stage), settings);
        let proof = made.back_up(&permit()).await.unwrap();
        let path = &proof.backup.path;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(path).unwrap();
        assert!(bytes.starts_with(b"age-encryption.org/v1\n") && path.extension().unwrap() == "age");
        assert!(!bytes.windows(8).any(|window| window == b"accounts"));

        use age::secrecy::ExposeSecret as _;
        let key = |identity: &Identity| Zeroizing::new(identity.to_string().expose_secret().to_owned());
        let elsewhere = root(&stage).join("brought.age");
        fs::copy(path, &elsewhere).unwrap();
        fs::copy(
            root(&stage).join("backups").join(proof_file(&stage)),
            root(&stage).join("brought.age.proof.json"),
        )
        .unwrap();
        let brought = made.proof_of(&elsewhere).await.unwrap();
        assert_eq!((brought.backup.path.as_path(), &brought.tables), (elsewhere.as_path(), &proof.tables));
        made.drill(&brought, &[key(&stranger), key(&owner)]).await.unwrap();
        for others in [vec![], vec![key(&stranger)]] {
            assert_eq!(made.drill(&proof, &others).await.unwrap_err().kind(), ErrorKind::Denied);
        }
        assert_eq!(
            made.drill(&proof, &[Zeroizing::new("x".to_owned())]).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(files(&root(&stage)).len(), 2);
    }
}

#[tokio::test]
async fn a_disk_that_is_full_is_named_and_nothing_is_left() {
    for engine in SERVERS {
        let stage = Stage::new(engine).await;
        let many = match engine {
            Engine::Postgres => {
                "SELECT i, md5(i::text) || md5((-i)::text) FROM generate_series(1, 40000) AS i"
            }
            _ => "SELECT seq, CONCAT(MD5(seq), MD5(-seq)) FROM seq_1_to_40000",
        };
        run(&stage, &format!("CREATE TABLE big(i int, v varchar(80)); INSERT INTO big {many}")).await;
        let backups = root(&stage).join("backups");
        fs::create_dir(&backups).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k,mode=700", "flow-test"])
            .arg(&backups)
            .status()
            .unwrap();
        assert!(mounted.success(), "only root can make the small disk that this test needs");
        let error = misled(&stage).back_up(&permit()).await;
        let left = files(&root(&stage));
        assert!(std::process::Command::new("umount").arg(&backups).status().unwrap().success());
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "the disk is full"), "{engine:?}");
        assert_eq!((left, copies(&stage).await), (vec![], vec![]));
    }
}

/// Backs up while the dump waits for a word, kills the server meanwhile, and gives the word.
async fn killed_meanwhile(
    url: &str,
    kill: impl FnOnce(),
    dump: &str,
    real: &Path,
) -> (StepError, Vec<String>) {
    let home = tempfile::tempdir().unwrap();
    let [started, killed, tools] = ["started", "killed", "tools"].map(|name| home.path().join(name));
    fs::create_dir(&tools).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in --version) exec {real} --version;; esac\n: > {}\n\
         while [ ! -e {} ]; do sleep 0.02; done\nexec {real} \"$@\"\n",
        started.display(),
        killed.display(),
        real = real.display()
    );
    fs::write(tools.join(dump), script).unwrap();
    fs::set_permissions(tools.join(dump), fs::Permissions::from_mode(0o755)).unwrap();
    let made = migrations(url, home.path(), settings(&[&tools]));
    let backing = tokio::spawn(async move { made.back_up(&permit()).await });
    until("the dump has started", || async { Ok(started.exists().then_some(())) }).await.unwrap();
    kill();
    fs::write(&killed, "").unwrap();
    let error = backing.await.unwrap().unwrap_err();
    (error, files(home.path()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_the_dump_is_an_error_and_nothing_is_left() {
    let mut server =
        Postgres::start(&Directory::new().unwrap(), PostgresVersion::Fifteen, &[]).await.unwrap();
    let url = server.create_database("app").unwrap();
    server.sql("app", "CREATE TABLE t(v int); ALTER TABLE t OWNER TO app").unwrap();
    let real = PostgresVersion::Fifteen.tools().unwrap().join("pg_dump");
    let (error, left) = killed_meanwhile(&url, || server.kill(), "pg_dump", &real).await;
    assert_eq!((error.kind(), left), (ErrorKind::Unavailable, vec![]), "{error}");
    server.start_again().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    migrations(&url, home.path(), settings(&[])).back_up(&permit()).await.unwrap();

    let mut server = Mariadb::start(&Directory::new().unwrap(), &[]).await.unwrap();
    let url = server.create_database("app").unwrap();
    server.sql("app", "CREATE TABLE t(v int)").unwrap();
    let real = Path::new("/usr/bin/mariadb-dump");
    let (error, left) = killed_meanwhile(&url, || server.kill(), "mariadb-dump", real).await;
    assert_eq!((error.kind(), left), (ErrorKind::Unavailable, vec![]), "{error}");
    server.start_again().await.unwrap();
    migrations(&url, home.path(), settings(&[])).back_up(&permit()).await.unwrap();
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_nothing_is_left() {
    let stage = Stage::new(Engine::Postgres).await;
    run(&stage, ACCOUNTS).await;
    let name = stage.name();
    for (role, grants) in [
        // May read, and make no database.
        ("reader", format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}_reader")),
        ("maker", format!("ALTER ROLE {name}_maker CREATEDB; GRANT SELECT ON accounts TO {name}_maker")),
    ] {
        stage.ask(&format!("CREATE ROLE {name}_{role} LOGIN PASSWORD 'proving-secret'; {grants}")).await;
        let url = stage.postgres().url(&format!("{name}_{role}"), name);
        let error = migrations(&url, &root(&stage), settings(&[])).back_up(&permit()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        left_nothing(&stage).await;
    }
    let stage = Stage::new(Engine::Mariadb).await;
    run(&stage, ACCOUNTS).await;
    let name = stage.name();
    for grant in ["SELECT", "SELECT, RELOAD"] {
        run(&stage, &format!("CREATE OR REPLACE USER {name}_u IDENTIFIED BY 'proving-secret'; GRANT {grant} ON *.* TO {name}_u")).await;
        let url = stage.mariadb().url(&format!("{name}_u"), name);
        let error = migrations(&url, &root(&stage), settings(&[])).back_up(&permit()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{grant}: {error}");
        left_nothing(&stage).await;
    }
}

#[tokio::test]
async fn copies_that_a_dead_run_left_on_the_server_are_removed_and_nothing_else_is() {
    for engine in SERVERS {
        let stage = Stage::new(engine).await;
        run(&stage, ACCOUNTS).await;
        let (_, restore) = tools_of(engine);
        let started = root(&stage).join("started");
        replace(&stage, restore, &format!(": > {}; exec sleep 600", started.display()));
        let made = misled(&stage);
        let running = tokio::spawn(async move { made.back_up(&permit()).await });
        until("the copy stands", || async { Ok(started.exists().then_some(())) }).await.unwrap();
        let used = copies(&stage).await;
        assert_eq!(used.len(), 1);
        // Another run leaves it alone while its owner lives.
        let other = migrations(stage.url(), &root(&stage), settings(&[]));
        other.back_up(&permit()).await.unwrap();
        assert_eq!(copies(&stage).await, used);
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        let foreign = format!("{}_not", stage.name());
        stage.ask(&format!("CREATE DATABASE {foreign}")).await;
        let swept = || async {
            other.back_up(&permit()).await.unwrap();
            Ok(copies(&stage).await.is_empty().then_some(()))
        };
        until("the server saw its owner die", swept).await.unwrap();
        stage.ask(&format!("DROP DATABASE {foreign}")).await;
    }
}

#[tokio::test]
async fn a_cancelled_backup_stops_its_tool_and_leaves_nothing() {
    for engine in SERVERS {
        let stage = Stage::new(engine).await;
        run(&stage, ACCOUNTS).await;
        let (_, restore) = tools_of(engine);
        let started = root(&stage).join("started");
        replace(
            &stage,
            restore,
            &format!("echo $$ > {}.draft; mv {0}.draft {0}; exec sleep 600", started.display()),
        );
        let permit = permit();
        let (made, cancel) = (misled(&stage), permit.cancel().clone());
        let running = tokio::spawn(async move { made.back_up(&permit).await });
        until("the copy stands", || async { Ok(started.exists().then_some(())) }).await.unwrap();
        cancel.cancel();
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let pid: u32 = fs::read_to_string(&started).unwrap().trim().parse().unwrap();
        assert!(flow_proving::table::Process::of(pid).is_none(), "the tool runs on");
        left_nothing(&stage).await;
    }
}

const POSTGRES_VALUES: &str = "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a int, b text);
    CREATE TABLE \"odd \"\"name\" (r int GENERATED ALWAYS AS IDENTITY, f4 real, f8 double precision, n numeric, b bytea, j jsonb,
        t timestamptz, i interval, a text[], m mood, p pair, g int GENERATED ALWAYS AS (2) STORED, x bit varying, c money);
    INSERT INTO \"odd \"\"name\" (f4, f8, n, b, j, t, i, a, m, p, x, c) VALUES
        (1.0 / 3, 0.1 + 0.2, 1e-40, '\\x00ff', '{\"a\": [1, null]}', '2024-02-29 12:00:00.123456+05:45', '1 mon -3 days', '{NULL,\"NULL\",\"\"}',
         'happy', '(1,\"a,b\")', B'101', 12.5), ('NaN', '-Infinity', 'NaN', '', 'null', 'infinity', NULL, '{}', NULL, NULL, B'', NULL);
    CREATE TABLE columnless(); INSERT INTO columnless DEFAULT VALUES; INSERT INTO columnless DEFAULT VALUES;
    CREATE TABLE parts(k int) PARTITION BY LIST (k); CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
    INSERT INTO parts VALUES (1), (1); CREATE TABLE heir() INHERITS (columnless); INSERT INTO heir DEFAULT VALUES;
    CREATE VIEW seen AS SELECT k FROM parts; SELECT lo_create(0)";

const MARIADB_VALUES: &str = "SET NAMES utf8mb4; CREATE TABLE `odd ``name` (id int AUTO_INCREMENT PRIMARY KEY, f4 float, f8 double, n decimal(40, 20),
        b varbinary(9), l text CHARACTER SET latin1, u text, t timestamp(6) NULL, d datetime(3), y year, e enum('a', 'b'), s set('x', 'y'),
        k bit(9), j json, p point, g int GENERATED ALWAYS AS (2) STORED, z char(5));
    INSERT INTO `odd ``name` (f4, f8, n, b, l, u, t, d, y, e, s, k, j, p, z) VALUES
        (0.5, 0.1e0 + 0.2e0, 1.5, x'00ff0a27', 'é', '\u{1f600} \\'\\n-- Dumping events for database', '2024-02-29 12:00:00.123456',
         '2024-02-29 12:00:00.123', 2024, 'b', 'x,y', b'101', '{\"a\": 1}', Point(1, 2.5), 'a '), (NULL, NULL, NULL, '', '', NULL, NULL, NULL,
         NULL, NULL, '', NULL, NULL, NULL, NULL);
    CREATE TABLE parts(k int) PARTITION BY HASH (k) PARTITIONS 3; INSERT INTO parts VALUES (1), (2), (2);
    CREATE VIEW seen AS SELECT k FROM parts; CREATE FUNCTION two() RETURNS int RETURN 2;
    CREATE TRIGGER doubled BEFORE INSERT ON parts FOR EACH ROW SET NEW.k = two() * NEW.k;
    CREATE EVENT waking ON SCHEDULE EVERY 1 SECOND DO INSERT INTO parts VALUES (9)";

#[tokio::test]
async fn values_of_every_type_are_in_the_copy_as_they_were() {
    for (engine, values, rows) in [
        (
            Engine::Postgres,
            POSTGRES_VALUES,
            vec![
                ("\"odd \"\"name\"", 2),
                ("columnless", 2),
                ("heir", 1),
                ("part_1", 2),
                ("large objects", 1),
            ],
        ),
        (Engine::Mariadb, MARIADB_VALUES, vec![("odd `name", 2), ("parts", 3)]),
    ] {
        let stage = Stage::new(engine).await;
        run(&stage, values).await;
        let proof = migrations(stage.url(), &root(&stage), settings(&[])).back_up(&permit()).await.unwrap();
        let found: Vec<_> =
            proof.tables.iter().map(|(name, rows, _)| (name.trim_start_matches("public."), *rows)).collect();
        assert!(rows.iter().all(|row| found.contains(row)), "{found:?}");
    }
}

#[tokio::test]
async fn tables_that_cannot_be_held_still_are_refused_by_name() {
    let stage = Stage::new(Engine::Mariadb).await;
    run(&stage, &format!("{ACCOUNTS}; CREATE TABLE loose(v int) ENGINE = Aria")).await;
    let error = migrations(stage.url(), &root(&stage), settings(&[])).back_up(&permit()).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "tables")), (ErrorKind::Conflict, "loose in Aria"));
    left_nothing(&stage).await;
}

#[tokio::test]
async fn changed_bytes_are_run_by_a_server_only_where_it_was_named_for_copies() {
    let stage = Stage::new(Engine::Mariadb).await;
    run(&stage, ACCOUNTS).await;
    let own = migrations(stage.url(), &root(&stage), settings(&[]));
    let proof = own.back_up(&permit()).await.unwrap();
    let text = fs::read_to_string(&proof.backup.path).unwrap();
    assert!(text.contains("(1,100,'a')"));
    let traced = text.replace("(1,100,'a')", "(1,101,'a')") + "CREATE DATABASE traced_by_a_dump;\n";
    fs::write(&proof.backup.path, traced).unwrap();
    let traces = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'traced_by_a_dump'";
    let error = own.drill(&proof, &[]).await.unwrap_err();
    assert_eq!(error.message(), "the backup's bytes are not the ones that were proved");
    assert!(error.facts().all(|(name, _)| name != "tables"));
    assert_eq!(stage.ask(traces).await, [""; 0]);
    let named = BackupSettings { scratch: Target::parse(stage.url()).ok(), ..settings(&[]) };
    let error = migrations(stage.url(), &root(&stage), named).drill(&proof, &[]).await.unwrap_err();
    assert_eq!(error.message(), "the backup's bytes are not the ones that were proved");
    assert_eq!(fact(&error, "tables"), "accounts");
    assert_eq!(stage.ask(traces).await, ["traced_by_a_dump"]);
    stage.ask("DROP DATABASE traced_by_a_dump").await;
    assert_eq!(copies(&stage).await, [""; 0]);
}

#[tokio::test]
async fn events_are_in_the_backup_and_asleep_in_the_copy() {
    let stage = Stage::new(Engine::Mariadb).await;
    run(
        &stage,
        "CREATE TABLE t(v int); CREATE EVENT waking ON SCHEDULE EVERY 1 SECOND DO INSERT INTO t VALUES (9)",
    )
    .await;
    let seen = root(&stage).join("seen");
    let list = "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()";
    let note = format!("exec \"$REAL\" \"$@\" --skip-column-names -e '{list}' > '{}'", seen.display());
    replace(&stage, "mariadb", &format!("\"$REAL\" \"$@\" || exit 9\n{note}"));
    let proof = misled(&stage).back_up(&permit()).await.unwrap();
    assert_eq!(fs::read_to_string(seen).unwrap().trim(), "0");
    assert!(fs::read_to_string(proof.backup.path).unwrap().contains("EVENT `waking`"));
}

/// `mariadb-dump` writes six digits of a `FLOAT`: where it has more, what would come back is not what was there.
#[tokio::test]
async fn a_float_that_a_dump_rounds_is_found() {
    let stage = Stage::new(Engine::Mariadb).await;
    run(
        &stage,
        "CREATE TABLE exact(v float); INSERT INTO exact VALUES (0.5); CREATE TABLE rounded LIKE exact",
    )
    .await;
    run(&stage, "INSERT INTO rounded VALUES (1e0 / 3)").await;
    let error = migrations(stage.url(), &root(&stage), settings(&[])).back_up(&permit()).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "tables")), (ErrorKind::Failed, "rounded"));
    left_nothing(&stage).await;
}

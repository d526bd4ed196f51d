//! A database of any engine, a directory of scripts, and the plain client beside the library.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_core::{Fence, Permit, StepError, name};
use flow_migrate::{
    BackupSettings, Course, Direction, Goal, MissingDatabase, Retreat, SqlConfig, SqlMigrations, Target,
    Waits,
};
use flow_proving::server::{Mariadb, Postgres, PostgresVersion};
use flow_proving::{Directory, Shared};
use flow_testkit::permit_under;
use tokio::process::{Child, Command};

use crate::world::ask;

pub(crate) const ROOT: &str = "FLOW_MIGRATE_STAGE";
pub(crate) const URL: &str = "FLOW_MIGRATE_URL";
/// `up`, or `down` for all the way back.
const DIRECTION: &str = "FLOW_MIGRATE_DIRECTION";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Mariadb,
    Sqlite,
}

pub(crate) const ENGINES: [Engine; 3] = [Engine::Postgres, Engine::Mariadb, Engine::Sqlite];

enum Server {
    Postgres(Arc<Postgres>),
    Mariadb(Arc<Mariadb>),
    File,
}

pub(crate) struct Stage {
    pub(crate) engine: Engine,
    server: Server,
    name: String,
    url: String,
    directory: tempfile::TempDir,
}

impl Stage {
    /// A fresh database of the server that all tests share, removed with the stage. The server is never killed, so it need not wait for
    /// the disk.
    pub(crate) async fn new(engine: Engine) -> Self {
        static POSTGRES: Shared<Postgres> = Shared::new();
        static MARIADB: Shared<Mariadb> = Shared::new();
        let server = match engine {
            Engine::Postgres => Server::Postgres(
                POSTGRES
                    .get(|| async {
                        let hasty = [("fsync", "off")];
                        Postgres::start(&Directory::new()?, PostgresVersion::Fifteen, &hasty).await
                    })
                    .await
                    .unwrap(),
            ),
            Engine::Mariadb => Server::Mariadb(
                MARIADB
                    .get(|| async {
                        let hasty = ["--innodb-flush-method=nosync", "--debug-no-sync"];
                        Mariadb::start(&Directory::new()?, &hasty).await
                    })
                    .await
                    .unwrap(),
            ),
            Engine::Sqlite => Server::File,
        };
        Self::of(engine, server)
    }

    /// A database of a server of its own, for tests that kill it or that look at all of it.
    pub(crate) async fn alone(engine: Engine) -> Self {
        let directory = Directory::new().unwrap();
        let server = match engine {
            Engine::Postgres => {
                let started = Postgres::start(&directory, PostgresVersion::Fifteen, &[]).await;
                Server::Postgres(Arc::new(started.unwrap()))
            }
            Engine::Mariadb => Server::Mariadb(Arc::new(Mariadb::start(&directory, &[]).await.unwrap())),
            Engine::Sqlite => Server::File,
        };
        Self::of(engine, server)
    }

    /// A database of this server.
    pub(crate) fn of_postgres(server: Postgres) -> Self {
        Self::of(Engine::Postgres, Server::Postgres(Arc::new(server)))
    }

    /// Kills the server, which has no other stage, and starts it again on the same data.
    pub(crate) async fn lose_power(&mut self) {
        match &mut self.server {
            Server::Postgres(server) => Arc::get_mut(server).unwrap().start_again().await.unwrap(),
            Server::Mariadb(server) => Arc::get_mut(server).unwrap().start_again().await.unwrap(),
            Server::File => {}
        }
    }

    fn of(engine: Engine, server: Server) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("stage_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("scripts")).unwrap();
        let file = directory.path().join("app.db");
        let url = match &server {
            Server::Postgres(server) => server.create_database(&name).unwrap(),
            Server::Mariadb(server) => server.create_database(&name).unwrap(),
            Server::File => {
                std::fs::write(&file, "").unwrap();
                format!("sqlite:{}", file.display())
            }
        };
        Self { engine, server, name, url, directory }
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        match &self.server {
            Server::Postgres(server) => server,
            _ => panic!("not PostgreSQL"),
        }
    }

    pub(crate) fn mariadb(&self) -> &Mariadb {
        match &self.server {
            Server::Mariadb(server) => server,
            _ => panic!("not MariaDB"),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn scripts(&self) -> PathBuf {
        self.directory.path().join("scripts")
    }

    /// Writes the scripts of one migration.
    pub(crate) fn script(&self, stem: &str, up: &str, down: Option<&str>) -> &Self {
        std::fs::write(self.scripts().join(format!("{stem}.up.sql")), up).unwrap();
        if let Some(down) = down {
            std::fs::write(self.scripts().join(format!("{stem}.down.sql")), down).unwrap();
        }
        self
    }

    pub(crate) fn migrations(&self) -> SqlMigrations {
        migrations(&self.url, self.directory.path(), Waits::default())
    }

    pub(crate) fn config(&self) -> SqlConfig {
        config(&self.url, self.directory.path(), Waits::default())
    }

    /// Runs statements as the application does, whose tables are its own.
    pub(crate) async fn ask_as_owner(&self, sql: &str) -> Vec<String> {
        match self.engine {
            Engine::Postgres => self.ask(&format!("SET ROLE app; {sql}")).await,
            _ => self.ask(sql).await,
        }
    }

    /// Restores a dump by the engine's own tool.
    pub(crate) async fn restore(&self, dump: &Path) {
        let mut command = match &self.server {
            Server::Postgres(server) => {
                let mut command = Command::new(PostgresVersion::Fifteen.tools().unwrap().join("pg_restore"));
                command.args(["-U", "postgres", "-d", &self.name, "-p", &server.port().to_string(), "-h"]);
                command.arg(server.socket_folder()).arg(dump);
                command
            }
            Server::Mariadb(server) => {
                let mut command = Command::from(server.client(&self.name).unwrap());
                command.stdin(std::fs::File::open(dump).unwrap());
                command
            }
            // A file is its own dump.
            Server::File => {
                std::fs::copy(dump, self.directory.path().join("app.db")).unwrap();
                return;
            }
        };
        assert!(command.status().await.unwrap().success());
    }

    /// As a caller who waits for nobody.
    pub(crate) fn impatient(&self) -> SqlMigrations {
        let waits = Waits {
            migrators: Duration::ZERO,
            tables: Duration::from_secs(1),
            attempts: 1,
            ..Waits::default()
        };
        migrations(&self.url, self.directory.path(), waits)
    }

    pub(crate) async fn up(&self) -> Course {
        self.migrations().up(&key("up"), &Goal::Latest).await
    }

    pub(crate) async fn down(&self, retreat: Retreat) -> Course {
        self.migrations().down(&key("down"), &retreat).await
    }

    /// The rows of a query by the plain client, columns joined by `|`.
    pub(crate) async fn ask(&self, sql: &str) -> Vec<String> {
        let text = match &self.server {
            Server::Postgres(server) => server.sql(&self.name, sql).unwrap(),
            Server::Mariadb(server) => server.sql(&self.name, sql).unwrap().replace('\t', "|"),
            Server::File => {
                // As the plain client does, it makes the file.
                let path = self.directory.path().join("app.db");
                std::fs::File::options().create(true).append(true).open(&path).unwrap();
                ask(&path, sql).await.join("\n")
            }
        };
        text.lines().map(str::to_owned).collect()
    }

    /// A session of the plain client that goes on reading statements.
    pub(crate) fn client(&self) -> Child {
        let command = match &self.server {
            Server::Postgres(server) => server.client(&self.name).unwrap(),
            Server::Mariadb(server) => server.client(&self.name).unwrap(),
            Server::File => panic!("SQLite's client is not needed"),
        };
        let mut command = Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// Whether a migrator holds the lock, as the server or the kernel shows it.
    pub(crate) async fn held(&self) -> bool {
        match self.engine {
            Engine::Postgres => {
                let held = "SELECT 1 FROM pg_locks JOIN pg_database AS d ON d.oid = database
                    WHERE locktype = 'advisory' AND granted AND d.datname = current_database()";
                !self.ask(held).await.is_empty()
            }
            Engine::Mariadb => {
                let key = 0x3d32_ad9e * i64::from(crc32(self.name.as_bytes()));
                self.ask(&format!("SELECT COALESCE(IS_USED_LOCK('{key:x}'), 0)")).await != ["0"]
            }
            Engine::Sqlite => {
                let path = self.directory.path().join("app.db-flow.lock");
                let named = std::fs::read(&path).is_ok_and(|name| !name.is_empty());
                named && std::fs::File::open(path).is_ok_and(|file| file.try_lock_shared().is_err())
            }
        }
    }

    pub(crate) async fn tables(&self) -> Vec<String> {
        let select = match self.engine {
            Engine::Postgres => "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
            Engine::Mariadb => {
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
            }
            Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        };
        let mut tables = self.ask(select).await;
        tables.retain(|table| !table.starts_with("_flow_migrations") && table != "_sqlx_migrations");
        tables.sort();
        tables
    }

    pub(crate) async fn applied(&self) -> Vec<String> {
        self.ask("SELECT version FROM _flow_migrations WHERE state = 'applied' ORDER BY seq").await
    }

    /// The catalogue as the plain client sees it.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let select = match self.engine {
            Engine::Postgres => {
                "SELECT format('%s %s %s %s', table_name, column_name, data_type, column_default)
                 FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%'
                 UNION ALL SELECT indexdef || (SELECT indisvalid FROM pg_index WHERE indexrelid = (quote_ident(indexname))::regclass)
                 FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '\\_%' ORDER BY 1"
            }
            Engine::Mariadb => {
                "SELECT CONCAT_WS(' ', table_name, column_name, column_type, column_key, column_default)
                 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name NOT LIKE '\\_%' ORDER BY 1"
            }
            Engine::Sqlite => {
                "SELECT name || ' ' || coalesce(sql, '') FROM sqlite_master WHERE tbl_name NOT LIKE '!_%' ESCAPE '!' ORDER BY 1"
            }
        };
        self.ask(select).await
    }

    /// The port of the server.
    pub(crate) fn port(&self) -> u16 {
        match &self.server {
            Server::Postgres(server) => server.port(),
            Server::Mariadb(server) => server.port(),
            Server::File => panic!("a file has no port"),
        }
    }

    /// Applies in another process.
    pub(crate) fn process(&self) -> Child {
        self.process_in(Direction::Up)
    }

    /// Goes all the way in another process.
    pub(crate) fn process_in(&self, direction: Direction) -> Child {
        self.spawn(&self.url, direction)
    }

    /// Goes all the way in another process, which finds the server at another port.
    pub(crate) fn process_by(&self, port: u16, direction: Direction) -> Child {
        self.spawn(&self.url.replace(&format!(":{}/", self.port()), &format!(":{port}/")), direction)
    }

    fn spawn(&self, url: &str, direction: Direction) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::apply_in_another_process", "--ignored", "--quiet"])
            .env(ROOT, self.directory.path())
            .env(URL, url)
            .env(DIRECTION, direction.as_str())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Who has a server of their own may have killed it.
        let _ = match &self.server {
            Server::Postgres(server) if Arc::strong_count(server) > 1 => server.drop_database(&self.name),
            Server::Mariadb(server) if Arc::strong_count(server) > 1 => server.drop_database(&self.name),
            _ => Ok(()),
        };
    }
}

pub(crate) fn key(text: &str) -> Permit {
    permit_under(text, Fence(1), 1)
}

fn migrations(url: &str, root: &Path, waits: Waits) -> SqlMigrations {
    SqlMigrations::new(config(url, root, waits)).unwrap()
}

fn config(url: &str, root: &Path, waits: Waits) -> SqlConfig {
    let target = Target::parse(url).unwrap();
    let config = SqlConfig::new(target, root.join("scripts"), root.join("backups"), name!("db"));
    let tools = vec![PostgresVersion::Fifteen.tools().unwrap(), "/usr/bin".into()];
    let backup = BackupSettings { tools, ..BackupSettings::default() };
    SqlConfig { waits, missing: MissingDatabase::Create, backup, ..config }
}

/// What another process runs.
pub(crate) async fn apply_in_another_process(url: &str) {
    let root = std::env::var_os(ROOT).expect("run by another test");
    let permit = key(&format!("process {}", std::process::id()));
    let migrations = migrations(url, Path::new(&root), Waits::default());
    let course = match std::env::var(DIRECTION).as_deref() {
        Ok("down") => migrations.down(&permit, &Retreat::All).await,
        _ => migrations.up(&permit, &Goal::Latest).await,
    };
    assert!(course.stopped.is_none(), "{course:?}");
}

/// Ends well.
pub(crate) fn well(course: Course) -> Vec<String> {
    assert!(course.stopped.is_none(), "{:?}", course.stopped);
    course.finished.into_iter().map(|done| done.version).collect()
}

/// Ends with an error.
pub(crate) fn badly(course: Course) -> StepError {
    course.stopped.expect("it ended well")
}

/// CRC-32 as ISO-HDLC has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

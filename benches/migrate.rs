//! A folder of migrations by the library, by one session of the server's plain client, and by sqlx's own migrator: by turns in one run,
//! a whole process each, every time in a fresh database. Each figure is a line of JSON, for `cargo xtask bench`.
//!
//! The library applies with its journal. Its processes and those of sqlx are this program.
#![expect(clippy::print_stdout, reason = "a bench speaks to the terminal")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use flow_benches::{Error, Figure, Samples, runtime};
use flow_core::name;
use flow_migrate::{Goal, Layout, MissingDatabase, SqlConfig, SqlMigrations, Target};
use flow_proving::Directory;
use flow_proving::server::{Mariadb, Postgres, PostgresVersion};
use flow_testkit::permit;
use sqlx::migrate::Migrator;
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

const MIGRATIONS: usize = 240;
const ROUNDS: usize = 5;
/// The first argument of a process that applies.
const APPLY: &str = "apply";

/// Who applies.
const WAYS: [&str; 3] = ["ours", "plain", "sqlx"];

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, word, way, url, folder] if word == APPLY => runtime()?.block_on(async {
            if way == "ours" {
                ours(url, folder.as_ref()).await
            } else {
                sqlx_own(url, folder.as_ref()).await
            }
        }),
        _ => runtime()?.block_on(compare()),
    }
}

async fn ours(url: &str, folder: &Path) -> Result<(), Error> {
    let config = SqlConfig::new(Target::parse(url)?, folder, folder.with_file_name("backups"), name!("db"));
    let migrations = SqlMigrations::new(SqlConfig {
        layout: Some(Layout::Sqlx),
        missing: MissingDatabase::Create,
        ..config
    })?;
    let course = migrations.up(&permit(), &Goal::Latest).await;
    course.stopped.map_or(Ok(()), |error| Err(error.into()))
}

async fn sqlx_own(url: &str, folder: &Path) -> Result<(), Error> {
    let migrator = Migrator::new(folder).await?;
    match url.split(':').next() {
        Some("postgres") => migrator.run(&mut PgConnection::connect(url).await?).await?,
        Some("mysql") => migrator.run(&mut MySqlConnection::connect(url).await?).await?,
        _ => {
            let options: SqliteConnectOptions = url.parse()?;
            migrator.run(&mut options.create_if_missing(true).connect().await?).await?;
        }
    }
    Ok(())
}

async fn compare() -> Result<(), Error> {
    let directory = Directory::new()?;
    let folder = directory.path().join("migrations");
    fs::create_dir(&folder)?;
    let all = directory.path().join("all.sql");
    fs::write(&all, lay(&folder)?)?;
    let postgres = Postgres::start(&directory, PostgresVersion::Fifteen, &[]).await?;
    let mariadb = Mariadb::start(&directory, &[]).await?;
    let file = |name: &str| directory.path().join(name).with_extension("db");
    measure("PostgreSQL", "psql", &folder, &all, |name| {
        let url = postgres.create_database(name)?;
        let mut client = Command::new(PostgresVersion::Fifteen.tools()?.join("psql"));
        client.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &url]);
        Ok((url, client))
    })?;
    measure("MariaDB", "mariadb", &folder, &all, |name| {
        let url = mariadb.create_database(name)?;
        let mut client = mariadb.client(name)?;
        // As the others come: over TCP, with a password. The last option counts.
        client.args(["--protocol=tcp", "-h", "127.0.0.1", "-P", &mariadb.port().to_string(), "-u", "app"]);
        client.env("MYSQL_PWD", password(&url));
        Ok((url, client))
    })?;
    measure("SQLite", "sqlite3", &folder, &all, |name| {
        let mut client = Command::new("sqlite3");
        client.args(["-batch", "-bail"]).arg(file(name));
        Ok((format!("sqlite:{}", file(name).display()), client))
    })
}

/// The password that a URL has.
fn password(url: &str) -> &str {
    let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    user.and_then(|(user, _)| user.split_once(':')).map_or("", |(_, password)| password)
}

/// Takes turns, and tells the ratios.
fn measure(
    engine: &str,
    client: &str,
    folder: &Path,
    all: &Path,
    database: impl Fn(&str) -> Result<(String, Command), Error>,
) -> Result<(), Error> {
    let mut taken: [Samples; 3] = Default::default();
    for round in 0..ROUNDS {
        for (way, taken) in WAYS.iter().zip(&mut taken) {
            let (url, mut plain) = database(&format!("{way}_{round}"))?;
            let mut command = Command::new(std::env::current_exe()?);
            let command = match *way {
                "plain" => plain.stdin(File::open(all)?).stdout(Stdio::null()),
                way => command.args([APPLY, way, &url]).arg(folder),
            };
            let begun = Instant::now();
            let status = command.status()?;
            taken.extend([begun.elapsed()]);
            if !status.success() {
                return Err(format!("{engine} by {way}: {status}").into());
            }
        }
    }
    let [ours, plain, sqlx] = &taken;
    let ms = |samples: &Samples| samples.median().as_millis();
    let against = ours.against(plain);
    let what = format!("{MIGRATIONS} migrations of {engine} by the library against {client}");
    let shown = format!("{against:.2} × ({} ms against {} ms)", ms(ours), ms(plain));
    println!("{}", Figure::of(what, shown).goal("≤ 1.25", against <= 1.25));
    let against = ours.against(sqlx);
    let what = format!("{MIGRATIONS} migrations of {engine} by the library against sqlx's own migrator");
    let figure = Figure::of(what, format!("{against:.2} × ({} ms against {} ms)", ms(ours), ms(sqlx)));
    // sqlx keeps no journal of statements that commit by themselves.
    println!("{}", if engine == "MariaDB" { figure } else { figure.goal("< 1", against < 1.0) });
    Ok(())
}

/// Writes the folder, and gives all of it in one text.
fn lay(folder: &Path) -> Result<String, Error> {
    let mut all = String::new();
    for number in 0..MIGRATIONS {
        let table = number / 4;
        let text = match number % 4 {
            0 => format!(
                "CREATE TABLE t{table} (id INT NOT NULL PRIMARY KEY, note VARCHAR(40));\nINSERT INTO t{table} VALUES (1, 'a'), (2, 'b');\n"
            ),
            1 => format!("ALTER TABLE t{table} ADD COLUMN more INT DEFAULT 3;\n"),
            2 => format!("CREATE INDEX i{table} ON t{table} (note);\n"),
            _ => format!(
                "UPDATE t{table} SET note = 'c' WHERE id = 1;\nINSERT INTO t{table} (id) VALUES (3);\n"
            ),
        };
        fs::write(folder.join(format!("{:04}_m.sql", number + 1)), &text)?;
        all.push_str(&text);
    }
    Ok(all)
}

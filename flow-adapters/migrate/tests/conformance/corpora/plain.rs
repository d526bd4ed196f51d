//! The plain client and the dump tool of each server.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use flow_proving::server::PostgresVersion;
use flow_sql::{Dialect, split};

use super::folder::Script;
use crate::stage::{Engine, Stage};

/// What a run of files came to.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) done: Vec<String>,
    pub(super) failed: Option<Failed>,
    /// What the client printed.
    pub(super) said: String,
}

/// Where the first error stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) version: String,
    pub(super) line: u32,
    /// sqlite3 names the class alone, or nothing: it is then empty.
    pub(super) code: String,
}

impl Failed {
    /// Whether the library and the plain client name the same.
    pub(super) fn agree(ours: Option<&Self>, theirs: Option<&Self>) -> bool {
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return ours.is_none() && theirs.is_none() };
        let class =
            |code: &str| code.parse::<u32>().map(|code| (code & 0xff).to_string()).unwrap_or_default();
        let code = ours.code == theirs.code
            || theirs.code.is_empty() && ours.code == "1"
            || class(&ours.code) == theirs.code;
        ours.version == theirs.version && ours.line == theirs.line && code
    }
}

/// Whose database is dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// With the library's own tables, which are left out.
    Ours,
    Theirs,
}

/// The tools of the server of a stage.
pub(super) struct Plain<'a> {
    stage: &'a Stage,
}

impl<'a> Plain<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self { stage }
    }

    /// Runs scripts in sessions of their own, until one fails.
    pub(super) fn run(&self, scripts: &[Script]) -> Ended {
        match self.stage.engine {
            Engine::Postgres => self.psql(scripts),
            Engine::Mariadb | Engine::Sqlite => self.one_by_one(scripts),
        }
    }

    /// One client that connects anew for each file: a process for each would take ten times as long.
    fn psql(&self, scripts: &[Script]) -> Ended {
        let mut all = String::new();
        for script in scripts {
            let (begin, commit) =
                if in_transaction(Engine::Postgres, script) { ("BEGIN;", "COMMIT;") } else { ("", "") };
            let path = script.path.display();
            writeln!(all, "\\c -\n{begin}\n\\i '{path}'\n{commit}\n\\echo flow: done").unwrap();
        }
        let driver = self.stage.scripts().join("driver.psql");
        fs::write(&driver, all).unwrap();
        let mut command = Command::new(PostgresVersion::Fifteen.tools().unwrap().join("psql"));
        command.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=verbose",
            "-d",
            self.stage.url(),
            "-f",
        ]);
        let output = command.arg(driver).env("PGCLIENTENCODING", "UTF8").output().unwrap();
        let finished =
            String::from_utf8_lossy(&output.stdout).lines().filter(|line| *line == "flow: done").count();
        Ended::of(scripts, finished, &output, |said| {
            let (place, error) = said.lines().find_map(|line| line.split_once(": ERROR:  "))?;
            let line = place.rsplit(':').next()?.parse().ok()?;
            // psql counts to the end of the statement.
            let text = fs::read_to_string(&scripts[finished].path).ok()?;
            let statements = split(Dialect::Postgres, &text).ok()?;
            let begin =
                statements.iter().map(|statement| statement.line).filter(|begin| *begin <= line).max();
            Some((begin.unwrap_or(line), error.split(':').next()?.to_owned()))
        })
    }

    fn one_by_one(&self, scripts: &[Script]) -> Ended {
        let mut ended = Ended::default();
        for (at, script) in scripts.iter().enumerate() {
            let output = self.one(script);
            if !output.status.success() {
                return Ended::of(
                    scripts,
                    at,
                    &output,
                    match self.stage.engine {
                        Engine::Sqlite => said_by_sqlite3,
                        _ => said_by_mariadb,
                    },
                );
            }
            ended.done.push(script.version.clone());
        }
        ended
    }

    fn one(&self, script: &Script) -> Output {
        let mut command = match self.stage.engine {
            Engine::Sqlite => {
                let mut command = Command::new("sqlite3");
                command.args(["-batch", "-bail", "-cmd", "PRAGMA synchronous = OFF"]).arg(self.database());
                command
            }
            _ => self.mariadb("mariadb"),
        };
        let mut file = fs::File::open(&script.path).unwrap();
        if self.stage.engine == Engine::Sqlite && in_transaction(Engine::Sqlite, script) {
            command.args(["-cmd", "BEGIN"]);
            let copy = self.stage.scripts().join("driver.sql");
            fs::write(&copy, [&fs::read(&script.path).unwrap()[..], b"\n/**/;COMMIT;\n"].concat()).unwrap();
            file = fs::File::open(copy).unwrap();
        }
        command.stdin(Stdio::from(file)).output().unwrap()
    }

    fn mariadb(&self, program: &str) -> Command {
        let url = url::Url::parse(self.stage.url()).unwrap();
        let mut command = Command::new(program);
        command.args([
            "--no-defaults",
            "-h",
            "127.0.0.1",
            "--default-character-set=utf8mb4",
            "-u",
            url.username(),
        ]);
        command.arg(format!("-P{}", url.port().unwrap()));
        command.env("MYSQL_PWD", url.password().unwrap());
        if program == "mariadb" {
            command.args(["--batch", "--database"]);
        }
        command.arg(self.stage.name());
        command
    }

    fn database(&self) -> PathBuf {
        self.stage.url().trim_start_matches("sqlite:").into()
    }

    /// Schema and rows, without the library's tables and what differs from call to call.
    pub(super) fn dump(&self, side: Side) -> Vec<String> {
        let output = match self.stage.engine {
            Engine::Postgres => {
                let mut command = Command::new(PostgresVersion::Fifteen.tools().unwrap().join("pg_dump"));
                command.args(["-T", "_flow_migrations*", "-T", "_sqlx_migrations*", "-d", self.stage.url()]);
                command.output()
            }
            Engine::Mariadb => {
                let mut command = self.mariadb("mariadb-dump");
                command.args([
                    "--skip-comments",
                    "--routines",
                    "--triggers",
                    "--events",
                    "--skip-extended-insert",
                ]);
                for table in ["_flow_migrations", "_sqlx_migrations"] {
                    command.arg(format!("--ignore-table={}.{table}", self.stage.name()));
                }
                command.output()
            }
            Engine::Sqlite => self.dump_of_a_copy(side),
        }
        .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        settled(&text)
    }

    /// sqlite3 cannot leave tables out.
    fn dump_of_a_copy(&self, side: Side) -> std::io::Result<Output> {
        let copy = self.stage.scripts().join("copy.db");
        fs::copy(self.database(), &copy)?;
        let drop = match side {
            Side::Ours => "DROP TABLE _flow_migrations; DROP TABLE _sqlx_migrations;",
            Side::Theirs => "SELECT 1 WHERE 0;",
        };
        Command::new("sqlite3").args(["-batch", "-bail"]).arg(copy).args([drop, ".dump"]).output()
    }
}

impl Ended {
    fn of(
        scripts: &[Script],
        finished: usize,
        output: &Output,
        said_by: impl Fn(&str) -> Option<(u32, String)>,
    ) -> Self {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let failed = (!output.status.success()).then(|| {
            let (line, code) = said_by(&said).unwrap_or_else(|| panic!("{said}"));
            Failed { version: scripts[finished].version.clone(), line, code }
        });
        let done = scripts.iter().take(finished).map(|script| script.version.clone()).collect();
        Self { done, failed, said }
    }
}

/// `ERROR 1146 (42S02) at line 3: ..`.
fn said_by_mariadb(said: &str) -> Option<(u32, String)> {
    let error = said.lines().find_map(|line| line.strip_prefix("ERROR "))?;
    let line = error.split_once(" at line ")?.1.split(':').next()?.parse().ok()?;
    Some((line, error.split(' ').next()?.to_owned()))
}

/// `Runtime error near line 3: UNIQUE constraint failed: t.x (19)`; a parse error has no code.
fn said_by_sqlite3(said: &str) -> Option<(u32, String)> {
    let (_, error) = said.lines().find_map(|line| line.split_once(" error near line "))?;
    let (line, message) = error.split_once(':')?;
    let code = message.rsplit_once(" (").and_then(|(_, code)| code.strip_suffix(')'));
    let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
    Some((line.parse().ok()?, code.unwrap_or_default().to_owned()))
}

/// Whether a tool with this layout runs the file in one transaction.
fn in_transaction(engine: Engine, script: &Script) -> bool {
    let text = fs::read_to_string(&script.path).unwrap().to_uppercase();
    let own = ["BEGIN;", "BEGIN TRANSACTION;", "START TRANSACTION;", "VACUUM"];
    let own = text.lines().any(|line| own.iter().any(|word| line.trim_start().starts_with(word)));
    let outside = engine == Engine::Postgres && text.contains(" CONCURRENTLY ");
    !script.alone && !own && !outside
}

/// A dump without tokens and comments, rows in order, and times and random numbers of the moment made equal.
fn settled(dump: &str) -> Vec<String> {
    let noise = ["\\restrict", "\\unrestrict", "--", "/*M!999999"];
    // What the session had that made a trigger or a view.
    let session = ["SET collation_connection", "SET character_set_client", "SET character_set_results"];
    let mut lines: Vec<String> = Vec::new();
    let mut rows_from = None;
    for line in dump.lines() {
        if noise.iter().any(|word| line.starts_with(word)) || session.iter().any(|word| line.contains(word)) {
            continue;
        }
        match (rows_from, line) {
            (None, line) if line.starts_with("COPY ") => rows_from = Some(lines.len() + 1),
            (Some(from), "\\.") => {
                lines.get_mut(from..).unwrap().sort();
                rows_from = None;
            }
            _ => {}
        }
        let row = rows_from.is_some() || line.starts_with("INSERT INTO ");
        lines.push(if row { masked(line) } else { line.to_owned() });
    }
    lines
}

/// Times and UUIDs are those of the run that made them.
fn masked(line: &str) -> String {
    // The last are milliseconds since 1970.
    const SHAPES: [&str; 3] =
        ["hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", "dddd-dd-dd dd:dd:dd", "ddddddddddddd"];
    let fits = |bytes: &[u8], shape: &str| {
        bytes.len() >= shape.len()
            && bytes.iter().zip(shape.bytes()).all(|(byte, kind)| match kind {
                b'h' => byte.is_ascii_hexdigit(),
                b'd' => byte.is_ascii_digit(),
                other => *byte == other,
            })
    };
    let (mut text, mut rest) = (Vec::new(), line.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        match SHAPES.iter().find(|shape| fits(rest, shape)) {
            Some(shape) => {
                text.extend_from_slice(b"<now>");
                rest = rest.get(shape.len()..).unwrap();
                // The fraction of a second.
                while let Some((b'0'..=b'9' | b'.', others)) = rest.split_first() {
                    rest = others;
                }
            }
            None => {
                text.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8(text).unwrap()
}

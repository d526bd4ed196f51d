//! A Node application that behaves, or misbehaves, as it is told.
//!
//! It is one file, `app.js`, and what it is told stands beside it in `app.json`; a variable `APP_<NAME>` of its environment
//! wins over the file. It listens on `SOCKET_PATH`, else on `PORT`, says `ready` where it has a channel to its parent, and
//! answers every path with its version and process id, in the headers `x-version` and `x-pid`. Three paths are for tests:
//! `/hold` is not answered before somebody asks for `/release`, and `/under-way` says how many requests are not answered yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::table::Process;
use crate::{Address, Directory, Outside, Request, Running, exchange, program};

/// The application's source.
pub const SOURCE: &str = include_str!("app.js");

/// How the application behaves. The names are those in `app.json`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Behaviour {
    /// Its version.
    pub version: String,
    /// How long each request takes, in milliseconds.
    pub request_ms: u64,
    /// How long it takes to listen, in milliseconds.
    pub boot_ms: u64,
    /// It ends with status 1 before it listens.
    pub crash_at_boot: bool,
    /// It runs, and neither listens nor says that it is ready.
    pub never_ready: bool,
    /// It ends with status 1 so many milliseconds after it was ready; 0 is never.
    pub dies_after_ms: u64,
    /// It listens elsewhere than it was told, and says that it is ready.
    pub wrong_address: bool,
    /// It ends by SIGKILL alone.
    pub ignores_signals: bool,
    /// So many of a hundred requests are answered 500, evenly spread.
    pub fails_percent: u8,
}

impl Behaviour {
    /// Good behaviour of a version.
    #[must_use]
    pub fn of(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::default() }
    }

    /// Writes the application with this behaviour into a directory, which is made, and gives the path of `app.js`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_to(&self, directory: &Path) -> Outside<PathBuf> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("app.json"), serde_json::to_vec(self)?)?;
        let script = directory.join("app.js");
        fs::write(&script, SOURCE)?;
        Ok(script)
    }
}

/// The application in a process of its own.
#[derive(Debug)]
pub struct App {
    address: Address,
    running: Running,
    _directory: Directory,
}

impl App {
    /// Starts it, and waits until it answers at `address`.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory, address: &Address, behaviour: &Behaviour) -> Outside<Self> {
        let app = Self::spawn(directory, address, behaviour)?;
        let answers = async || Ok(exchange(address, &Request::get("/health")).await.ok());
        app.running.until("the application answers", answers).await?;
        Ok(app)
    }

    /// Starts it, and does not wait.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn spawn(directory: &Directory, address: &Address, behaviour: &Behaviour) -> Outside<Self> {
        let own = tempfile::Builder::new().prefix("app-").tempdir_in(directory.path())?.keep();
        let mut command = Command::new(program::find("node")?);
        command.arg(behaviour.write_to(&own)?).current_dir(&own);
        match address {
            Address::Unix(path) => command.env("SOCKET_PATH", path),
            Address::Tcp(address) => command.env("PORT", address.port().to_string()),
        };
        let running = Running::start(&mut command, &own.join("app.log"))?;
        Ok(Self { address: address.clone(), running, _directory: directory.clone() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// Kills it with SIGKILL; returns when it is dead.
    pub fn kill(&self) {
        self.running.kill();
    }

    /// How many requests have arrived that it has not answered yet.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn under_way(&self) -> Outside<usize> {
        Ok(exchange(&self.address, &Request::get("/under-way")).await?.text().parse()?)
    }

    /// Lets it answer the requests that it holds.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn release(&self) -> Outside<()> {
        exchange(&self.address, &Request::get("/release")).await.map(|_| ())
    }

    /// Asks it to end, as dropping it does.
    ///
    /// # Errors
    /// Where it stands even after SIGKILL.
    pub fn end(self) -> Outside<()> {
        self.running.end()
    }
}

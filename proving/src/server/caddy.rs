use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::ready;
use crate::table::Process;
use crate::{Address, Directory, Outside, Reply, Request, Running, exchange, program};

/// A Caddy: `caddy.json`, `caddy.log`, its storage and the socket of its admin API stand in its directory. Only the long tier
/// has it.
#[derive(Debug)]
pub struct Caddy {
    running: Running,
    directory: Directory,
}

impl Caddy {
    /// Starts it in `directory` with the given `apps` of its JSON configuration, and waits until its admin API answers and it
    /// accepts connections at `address`.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory, apps: &Value, address: &Address) -> Outside<Self> {
        let [conf, log, admin] =
            ["caddy.json", "caddy.log", "caddy.sock"].map(|file| directory.path().join(file));
        let admin = json!({ "listen": format!("unix/{}", admin.display()), "config": { "persist": false } });
        fs::write(&conf, serde_json::to_vec(&json!({ "admin": admin, "apps": apps }))?)?;
        let mut command = Command::new(program::find("caddy")?);
        command.args(["run", "--config"]).arg(&conf);
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, directory.path());
        }
        let server = Self { running: Running::start(&mut command, &log)?, directory: directory.clone() };
        let look = Request::get("/config/");
        let answers = async || Ok(server.admin(&look).await.ok().filter(|reply| reply.status == 200));
        server.running.until("its admin API answers", answers).await?;
        ready::accepts(&server.running, address).await?;
        Ok(server)
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// The socket of its admin API.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.directory.path().join("caddy.sock")
    }

    /// Puts a request to its admin API.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn admin(&self, request: &Request) -> Outside<Reply> {
        exchange(&Address::Unix(self.admin_socket()), request).await
    }

    /// Ends it, as dropping it does.
    ///
    /// # Errors
    /// Where it stands even after SIGKILL.
    pub fn end(self) -> Outside<()> {
        self.running.end()
    }
}

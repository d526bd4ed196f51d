use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::ready;
use crate::table::Process;
use crate::{Address, Directory, Outside, PATIENCE, Running, program};

/// An HAProxy: `haproxy.cfg`, `haproxy.log` and its runtime socket `admin.sock` stand in its directory.
#[derive(Debug)]
pub struct Haproxy {
    running: Running,
    directory: Directory,
}

impl Haproxy {
    /// Starts it in `directory` with `sections` behind its `global` section, and waits until its runtime socket answers and it
    /// accepts connections at `address`.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory, sections: &str, address: &Address) -> Outside<Self> {
        let [cfg, log, socket] =
            ["haproxy.cfg", "haproxy.log", "admin.sock"].map(|file| directory.path().join(file));
        let socket = socket.display();
        let global =
            format!("global\n    stats socket {socket} mode 600 level admin\n    stats timeout 60s\n");
        fs::write(&cfg, format!("{global}\n{sections}\n"))?;
        let mut command = Command::new(program::find("haproxy")?);
        command.args(["-db", "-f"]).arg(&cfg);
        let server = Self { running: Running::start(&mut command, &log)?, directory: directory.clone() };
        let pid = format!("Pid: {}", server.process().pid);
        let answers = async || {
            Ok(server.ask("show info").await.ok().filter(|info| info.lines().any(|line| line == pid)))
        };
        server.running.until("its runtime socket answers", answers).await?;
        ready::accepts(&server.running, address).await?;
        Ok(server)
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// Its runtime socket, of level `admin`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    /// Puts a command to the runtime socket and gives the whole answer.
    ///
    /// # Errors
    /// Where none comes.
    pub async fn ask(&self, command: &str) -> Outside<String> {
        let answered = async {
            let mut stream = UnixStream::connect(self.socket()).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        tokio::time::timeout(PATIENCE.min(Duration::from_secs(5)), answered).await?
    }

    /// Kills it with SIGKILL; returns when it is dead.
    pub fn kill(&self) {
        self.running.kill();
    }

    /// Ends it, as dropping it does.
    ///
    /// # Errors
    /// Where it stands even after SIGKILL.
    pub fn end(self) -> Outside<()> {
        self.running.end()
    }
}

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::ready;
use crate::table::{self, Process};
use crate::{Address, Directory, Outside, Running, program};

/// How many workers an nginx has whose configuration is written here.
const WORKERS: usize = 2;

/// An nginx: `nginx.conf`, `nginx.pid`, `error.log` and `access.log` stand in its directory. Started by root its workers are
/// `nobody`, so what they must reach has to let others in.
#[derive(Debug)]
pub struct Nginx {
    running: Running,
    program: PathBuf,
    directory: Directory,
}

impl Nginx {
    /// Starts it in `directory` with `http` inside its `http` block, and waits until it accepts connections at `address`.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory, http: &str, address: &Address) -> Outside<Self> {
        let conf = directory.path().join("nginx.conf");
        fs::write(&conf, Self::conf_text(directory.path(), http))?;
        let nginx = Self::start_from(directory, &conf, address).await?;
        let all = async || Ok((nginx.workers().len() == WORKERS).then_some(()));
        nginx.running.until("all its workers run", all).await?;
        Ok(nginx)
    }

    /// Starts it from a file that the caller wrote, with `daemon off` and its files in `directory`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_from(directory: &Directory, conf: &Path, address: &Address) -> Outside<Self> {
        let program = program::find("nginx")?;
        let error_log = directory.path().join("error.log");
        let mut command = Command::new(&program);
        command.arg("-c").arg(conf).arg("-e").arg(&error_log);
        let running = Running::start(&mut command, &error_log)?;
        let pid_file = directory.path().join("nginx.pid");
        let pid = running.process().pid;
        let own = async || Ok((ready::pid_in(&pid_file) == Some(pid)).then_some(()));
        running.until("it wrote its pid file", own).await?;
        ready::accepts(&running, address).await?;
        let nginx = Self { running, program, directory: directory.clone() };
        // The kernel accepts connections before there is a worker.
        let serves = async || Ok((!nginx.workers().is_empty()).then_some(()));
        nginx.running.until("a worker runs", serves).await?;
        Ok(nginx)
    }

    /// The whole configuration around what stands in the `http` block.
    #[must_use]
    pub fn conf_text(directory: &Path, http: &str) -> String {
        let own = directory.display();
        let user = if rustix::process::geteuid().is_root() { "user nobody nogroup;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("    {name}_temp_path {own}/tmp-{name};\n")).concat();
        format!(
            "{user}\ndaemon off;\nworker_processes {WORKERS};\npid {own}/nginx.pid;\nerror_log {own}/error.log notice;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n    access_log {own}/access.log;\n{temporary}{http}\n}}\n"
        )
    }

    /// The master.
    #[must_use]
    pub const fn master(&self) -> Process {
        self.running.process()
    }

    /// The workers, those that drain as well. They are found without their master, too.
    #[must_use]
    pub fn workers(&self) -> BTreeSet<Process> {
        let mut group = table::group(self.master().pid);
        group.remove(&self.master());
        group
    }

    /// Its configuration file, as [`start`](Self::start) wrote it.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.directory.path().join("nginx.conf")
    }

    /// Its program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Sends the master SIGHUP: a reload, with no look at the configuration before and no wait after.
    pub fn hang_up(&self) {
        self.master().signal(Signal::HUP);
    }

    /// Kills the master with SIGKILL; its workers serve on.
    pub fn kill_master(&self) {
        self.running.kill();
    }

    /// What stands in its error log.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn error_log(&self) -> Outside<String> {
        self.running.printed()
    }

    /// Ends it, as dropping it does.
    ///
    /// # Errors
    /// Where something of it stands even after SIGKILL.
    pub fn end(self) -> Outside<()> {
        self.running.end()
    }
}

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use super::ready;
use crate::running::end;
use crate::table::{self, Process};
use crate::{Directory, Outside, is_long, program, until};

/// A PM2 that the suite has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pm2Version {
    /// Version 5, in the long tier alone.
    Five,
    /// Version 6, in the long tier alone.
    Six,
    /// Version 7.
    Seven,
}

impl Pm2Version {
    /// Those that tests of this tier run against.
    #[must_use]
    pub fn of_this_tier() -> &'static [Self] {
        if is_long() { &[Self::Seven, Self::Six, Self::Five] } else { &[Self::Seven] }
    }

    /// The script of its command line.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn script(self) -> Outside<PathBuf> {
        let prefix = match self {
            Self::Five => "pm2-5.",
            Self::Six => "pm2-6.",
            Self::Seven => "pm2-7.",
        };
        Ok(program::newest_kept(prefix)?.join("node_modules/pm2/bin/pm2"))
    }
}

/// A PM2 daemon with a `PM2_HOME` of its own. Dropping it ends the daemon and every process that was started under it, orphans
/// as well: they are known by the home in their environment.
#[derive(Debug)]
pub struct Pm2 {
    home: PathBuf,
    script: PathBuf,
    _directory: Directory,
}

impl Pm2 {
    /// Starts a daemon in `directory`, by the command line, and proves that it is ours.
    ///
    /// # Errors
    /// Where none comes up: with what the command line printed.
    pub async fn start(directory: &Directory, version: Pm2Version) -> Outside<Self> {
        let server = Self::absent(directory, version)?;
        server.revive().await?;
        Ok(server)
    }

    /// A home without a daemon.
    ///
    /// # Errors
    /// Where PM2 is not installed or the home cannot be made.
    pub fn absent(directory: &Directory, version: Pm2Version) -> Outside<Self> {
        let home = directory.path().join("pm2");
        fs::create_dir_all(&home)?;
        Ok(Self { home, script: version.script()?, _directory: directory.clone() })
    }

    /// Starts the daemon where there is none.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn revive(&self) -> Outside<Process> {
        let output = self.run(["ping"])?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let daemon = until("PM2's daemon is ours", async || Ok(self.daemon())).await;
        daemon.map_err(|error| format!("{error}: {printed}").into())
    }

    /// Its home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The script of its command line, to be run by node.
    #[must_use]
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// The daemon that its pid file names, if it runs and its home is ours.
    #[must_use]
    pub fn daemon(&self) -> Option<Process> {
        let daemon = Process::of(ready::pid_in(&self.home.join("pm2.pid"))?)?;
        let own = format!("PM2_HOME={}", self.home.display());
        daemon.environment().contains(&own).then_some(daemon)
    }

    /// Every process that was started under it, the daemon aside: its applications, and orphans that it no longer knows.
    #[must_use]
    pub fn started(&self) -> BTreeSet<Process> {
        let daemon = self.daemon();
        let mut found = self.all();
        found.retain(|process| Some(*process) != daemon);
        found
    }

    /// Its command line, with the variables that make it ours.
    ///
    /// # Errors
    /// Where there is no `node`.
    pub fn command(&self) -> Outside<Command> {
        let mut command = Command::new(program::find("node")?);
        command.arg(&self.script).env("PM2_HOME", &self.home).env("HOME", &self.home).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs its command line to its end.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Outside<Output> {
        Ok(self.command()?.args(arguments).output()?)
    }

    /// Kills the daemon with SIGKILL; its applications in fork mode live on.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn kill_daemon(&self) -> Outside<()> {
        let daemon = self.daemon().ok_or("there is no daemon")?;
        daemon.signal(Signal::KILL);
        until("the daemon is dead", async || Ok((!daemon.runs()).then_some(()))).await
    }

    /// Ends all of it, as dropping it does.
    ///
    /// # Errors
    /// Where something of it stands even after SIGKILL.
    pub fn end(self) -> Outside<()> {
        self.finish()
    }

    fn all(&self) -> BTreeSet<Process> {
        let mut found = table::environment_names(&self.home);
        found.extend(self.daemon().iter().flat_map(|daemon| table::descendants(daemon.pid)));
        found
    }

    fn finish(&self) -> Outside<()> {
        match self.daemon().or_else(|| self.all().first().copied()) {
            Some(first) => end(first, || self.all()),
            None => Ok(()),
        }
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::Host;
use flow_core::{Clock, ErrorKind, Permit, StepError};

use crate::client::{local, remote};
use crate::process::{Process, ProcessId, Signal};
use crate::socket::{TcpSockets, UnixSockets};

/// How long after a count of zero the second one is taken: the kernel shows its table in pieces, between which a connection may move.
const SECOND_LOOK: Duration = Duration::from_millis(5);

/// A Linux machine whose processes and sockets are read.
///
/// A clone is the same machine.
#[derive(Clone)]
pub struct Machine(Way);

#[derive(Clone)]
enum Way {
    Local,
    Remote(Arc<dyn Host>),
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// It was delivered to the process that was meant.
    Sent,
    /// That process has ended; nothing was signalled.
    Gone,
}

impl Machine {
    /// The machine that this program runs on. No process is ever started.
    #[must_use]
    pub const fn local() -> Self {
        Self(Way::Local)
    }

    /// The machine that `host` is, read with `cat`, `ls` and `grep` and signalled with `kill`. Paths of `/proc` are passed as arguments, so the host's
    /// root does not matter.
    #[must_use]
    pub fn remote(host: Arc<dyn Host>) -> Self {
        Self(Way::Remote(host))
    }

    /// What tells one boot of the machine from another: ids and start times of processes mean nothing beyond it.
    ///
    /// # Errors
    /// Any kind where it cannot be read.
    pub async fn boot_id(&self) -> Result<String, StepError> {
        let path = "/proc/sys/kernel/random/boot_id";
        let id = match &self.0 {
            Way::Local => local::off_thread(move || local::file(path.as_ref())).await?,
            Way::Remote(host) => remote::file(&**host, path).await?,
        };
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// The process that has this id now, whether it runs or waits to be reaped; none where there is none.
    ///
    /// # Errors
    /// Any kind where it cannot be observed.
    pub async fn process(&self, pid: u32) -> Result<Option<Process>, StepError> {
        match &self.0 {
            Way::Local => local::off_thread(move || local::process(pid)).await,
            Way::Remote(host) => Ok(remote::processes(&**host, &[pid]).await?.pop()),
        }
    }

    /// All processes that this user may see, ordered by id.
    ///
    /// # Errors
    /// Any kind where the table cannot be read.
    pub async fn processes(&self) -> Result<Vec<Process>, StepError> {
        match &self.0 {
            Way::Local => local::off_thread(local::processes).await,
            Way::Remote(host) => {
                let ids = remote::ids(&**host).await?;
                remote::processes(&**host, &ids).await
            }
        }
    }

    /// The processes that were started with a variable of this name, as far as this user may read that, each with the variable's value,
    /// ordered by id: one look through the whole table, where asking each process would take as many as there are. No other variable
    /// leaves this call. On another machine it takes GNU grep.
    ///
    /// # Errors
    /// Any kind where the table cannot be read.
    pub async fn started_with(&self, variable: &'static str) -> Result<Vec<(Process, String)>, StepError> {
        match &self.0 {
            Way::Local => local::off_thread(move || local::started_with(variable)).await,
            Way::Remote(host) => remote::started_with(&**host, variable).await,
        }
    }

    /// The processes whose parent is `pid`, ordered by id.
    ///
    /// # Errors
    /// Any kind where the table cannot be read.
    pub async fn children(&self, pid: u32) -> Result<Vec<Process>, StepError> {
        let all = self.processes().await?;
        Ok(all.into_iter().filter(|process| process.parent == pid).collect())
    }

    /// The arguments of a process; empty for one that waits to be reaped, none where it is gone. One that writes its own title, as nginx
    /// and PM2 do, shows that as its only argument. Bytes that are no UTF-8 are replaced; empty arguments at the end are not seen.
    ///
    /// # Errors
    /// Any kind where they cannot be read.
    pub async fn command_line(&self, process: ProcessId) -> Result<Option<Vec<String>>, StepError> {
        let text = self.of_process(process, "cmdline").await?;
        Ok(text.map(|text| crate::process::arguments(&text)))
    }

    /// The value that one variable had when a process was started; none where the process is gone or had none. No other variable leaves
    /// this call.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) for another user's process, any kind where it cannot be read.
    pub async fn variable(&self, process: ProcessId, name: &str) -> Result<Option<String>, StepError> {
        let text = self.of_process(process, "environ").await?;
        Ok(text.and_then(|text| crate::process::variable(&text, name)))
    }

    /// The Unix sockets that have a path, at this moment.
    ///
    /// # Errors
    /// Any kind where they cannot be read whole.
    pub async fn unix_sockets(&self) -> Result<UnixSockets, StepError> {
        let path = "/proc/net/unix";
        crate::socket::unix_table(&self.table(path).await?).ok_or_else(|| not_whole(path))
    }

    /// The TCP sockets, IPv4 and IPv6, at this moment.
    ///
    /// # Errors
    /// Any kind where they cannot be read whole.
    pub async fn tcp_sockets(&self) -> Result<TcpSockets, StepError> {
        let mut tables = [Vec::new(), Vec::new()];
        for (table, path) in tables.iter_mut().zip(["/proc/net/tcp", "/proc/net/tcp6"]) {
            let text = match self.table(path).await {
                // A kernel without IPv6.
                Err(error) if error.kind() == ErrorKind::NotFound && path.ends_with('6') => continue,
                text => text?,
            };
            *table = crate::socket::tcp_table(&text).ok_or_else(|| not_whole(path))?;
        }
        Ok(TcpSockets::of(&tables))
    }

    /// How many connections each of `paths` has, accepted or waiting. Zero is what two readings said, [5 ms](Clock::sleep) apart, and
    /// otherwise the higher one counts.
    ///
    /// # Errors
    /// Any kind where the table cannot be read whole: what is not counted is not drained.
    pub async fn connections(
        &self,
        paths: &[PathBuf],
        clock: &dyn Clock,
    ) -> Result<BTreeMap<PathBuf, u64>, StepError> {
        let mut counted: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for look in 0..2 {
            let table = self.unix_sockets().await?;
            for path in paths {
                let now = table.connections(path).count() as u64;
                let count = counted.entry(path.clone()).or_default();
                *count = now.max(*count);
            }
            if look > 0 || counted.values().all(|count| *count > 0) {
                break;
            }
            clock.sleep(SECOND_LOOK).await;
        }
        Ok(counted)
    }

    /// Sends a signal to one process, after making sure that the one which has the id now is the one that was meant.
    ///
    /// On this machine nothing can come between the two. On another one the id would have to be given anew between two commands, which the
    /// kernel does only after it has gone through all others.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for the ids 0 and 1 and what is none, [`Denied`](ErrorKind::Denied) without the right,
    /// [`Unknown`](ErrorKind::Unknown) where it is not known whether it was sent.
    pub async fn signal(
        &self,
        permit: &Permit,
        process: ProcessId,
        signal: Signal,
    ) -> Result<Signalled, StepError> {
        if process.pid <= 1 || i32::try_from(process.pid).is_err() {
            let error = StepError::new(ErrorKind::Invalid, "the id is not one of a single process");
            return Err(error.fact("pid", process.pid));
        }
        match &self.0 {
            Way::Local => local::off_thread(move || local::signal(process, signal)).await,
            Way::Remote(host) => remote::signal(&**host, permit, process, signal).await,
        }
    }

    async fn of_process(&self, process: ProcessId, file: &'static str) -> Result<Option<Vec<u8>>, StepError> {
        match &self.0 {
            Way::Local => local::off_thread(move || local::of_process(process, file)).await,
            Way::Remote(host) => remote::of_process(&**host, process, file).await,
        }
    }

    async fn table(&self, path: &'static str) -> Result<Vec<u8>, StepError> {
        match &self.0 {
            Way::Local => local::off_thread(move || local::file(path.as_ref())).await,
            Way::Remote(host) => remote::file(&**host, path).await,
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Way::Local => "Machine(local)",
            Way::Remote(_) => "Machine(remote)",
        })
    }
}

fn not_whole(path: &'static str) -> StepError {
    StepError::new(ErrorKind::Failed, "the table was not read from its beginning").fact("path", path)
}

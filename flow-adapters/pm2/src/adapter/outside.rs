use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::{Clock, Name, StepError};
use flow_linux::{Machine, Process, ProcessId, TcpState, UnixState};

use super::record::{Record, VARIABLE};

/// The milliseconds of a clock tick: Linux shows hundredths of a second, whatever its timer does.
const TICK: u64 = 10;

/// What the process table shows of instances, whether PM2 knows them or not.
#[derive(Debug)]
pub(crate) struct Outside {
    machine: Machine,
    clock: Arc<dyn Clock>,
    place: Place,
    home: PathBuf,
    /// When a process was first seen here, where its age cannot be read.
    seen: Mutex<HashMap<ProcessId, Duration>>,
}

/// Whether files of `/proc` can be read directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    Elsewhere,
}

/// A process that carries an instance's record.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) record: Record,
}

impl Outside {
    pub(crate) fn new(machine: Machine, place: Place, home: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { machine, clock, place, home, seen: Mutex::default() }
    }

    pub(crate) const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The process that has this id, if it runs.
    pub(crate) async fn running(&self, pid: u32) -> Result<Option<Process>, StepError> {
        Ok(self.machine.process(pid).await?.filter(Process::is_running))
    }

    /// Every process that runs as an instance of `service`, ordered by its start: children come after their parents.
    pub(crate) async fn members(&self, service: &Name) -> Result<Vec<Member>, StepError> {
        // Whoever runs PM2 runs its apps: anybody else could give a process of his own this name.
        let owner = match (self.place, fs::metadata(&self.home)) {
            (Place::Elsewhere, _) => None,
            (Place::Here, Ok(home)) => Some(home.uid()),
            (Place::Here, Err(_)) => return Ok(Vec::new()),
        };
        let may_be =
            |process: &Process| process.is_running() && owner.is_none_or(|owner| owner == process.uid);
        // Another user's process, whose environment cannot be read, is none of ours.
        let started = self.machine.started_with(VARIABLE).await?.into_iter();
        let mut members: Vec<Member> = started
            .filter(|(process, _)| may_be(process))
            .filter_map(|(process, value)| {
                Some(Member { process, record: Record::read(&value, &self.home)? })
            })
            .collect();
        members.retain(|member| member.record.spec.service == *service);
        members.sort_by_key(|member| (member.process.id.start, member.process.id.pid));
        Ok(members)
    }

    /// How long a process has run for certain.
    pub(crate) fn age(&self, process: ProcessId) -> Duration {
        let read = if self.place == Place::Here { age(process).ok() } else { None };
        read.unwrap_or_else(|| {
            let now = self.clock.monotonic();
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            now.saturating_sub(*seen.entry(process).or_insert(now))
        })
    }

    /// Whether somebody listens at `address`.
    pub(crate) async fn is_listening(&self, address: &str) -> Result<bool, StepError> {
        Ok(!self.listeners(address).await?.is_empty())
    }

    /// The TCP ports at which somebody listens.
    pub(crate) async fn listening_ports(&self) -> Result<BTreeSet<u16>, StepError> {
        let sockets = self.machine.tcp_sockets().await?;
        let listening = sockets.iter().filter(|socket| socket.state == TcpState::Listening);
        Ok(listening.map(|socket| socket.local.port()).collect())
    }

    /// Who listens at `address`, as far as it is one of `pids`; none where nobody does, or somebody else.
    ///
    /// On another machine this cannot be read: there whoever listens counts as the first of them.
    pub(crate) async fn holder(&self, address: &str, pids: &[u32]) -> Result<Option<u32>, StepError> {
        let inodes = self.listeners(address).await?;
        if self.place == Place::Elsewhere {
            return Ok(pids.first().copied().filter(|_| !inodes.is_empty()));
        }
        let holds = |pid: &&u32| sockets_of(**pid).is_ok_and(|held| !held.is_disjoint(&inodes));
        Ok(pids.iter().find(holds).copied())
    }

    /// The inodes of the sockets that listen at `address`.
    async fn listeners(&self, address: &str) -> Result<BTreeSet<u64>, StepError> {
        if let Some(path) = address.strip_prefix("unix:").map(Path::new) {
            let sockets = self.machine.unix_sockets().await?;
            let listening = sockets.iter().filter(|socket| socket.path == path);
            let listening = listening.filter(|socket| socket.state == UnixState::Listening);
            return Ok(listening.map(|socket| socket.inode).collect());
        }
        let Ok(address) = address.parse::<SocketAddr>() else { return Ok(BTreeSet::new()) };
        let sockets = self.machine.tcp_sockets().await?;
        let covers = |local: SocketAddr| {
            local.port() == address.port() && (local.ip() == address.ip() || local.ip().is_unspecified())
        };
        let listening = sockets.iter().filter(|socket| socket.state == TcpState::Listening);
        Ok(listening.filter(|socket| covers(socket.local)).map(|socket| socket.inode).collect())
    }
}

/// The time since a process of this machine started, from `/proc/uptime`, see proc(5).
fn age(process: ProcessId) -> io::Result<Duration> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let uptime = uptime.ok_or(io::ErrorKind::InvalidData)?;
    // One tick less: both numbers are cut off.
    Ok(uptime.saturating_sub(Duration::from_millis(process.start.saturating_add(1).saturating_mul(TICK))))
}

/// The inodes of the sockets that a process of this machine holds.
fn sockets_of(pid: u32) -> io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that was closed since is none.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let inode = target.to_str().and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'));
        inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    Ok(inodes)
}

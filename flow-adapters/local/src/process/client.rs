use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use flow_core::port::{InstanceId, LaunchSpec};
use flow_core::{Clock, Digest, ErrorKind, Name, StepError};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::config::{Addresses, ProcessesConfig};
use super::record::{Leader, MARKER, Record};
use crate::os::{
    Process, boot_id, make_directory, marked, process, processes, read, refused, remove, replace, signal,
    signal_group, spawn, spawn_refused,
};

/// The longest path of a Unix socket, see unix(7).
const SOCKET_PATH_MAX: usize = 107;
/// What a failed launch shows of the log.
const LOG_TAIL: u64 = 2048;

/// The state files, logs and processes of one manager.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) config: ProcessesConfig,
    /// The root without links, as it stands in every marker.
    root: PathBuf,
    boot: String,
}

/// What runs of an instance.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Its first process; none where that has ended.
    pub(super) leader: Option<Process>,
    /// All of its processes.
    pub(super) members: Vec<Process>,
    /// The groups in which there is nobody else.
    groups: BTreeSet<u32>,
}

impl Client {
    pub(super) fn open(config: ProcessesConfig) -> Result<Self, StepError> {
        config.check(ephemeral_ports())?;
        make_directory(&config.root)?;
        let root = fs::canonicalize(&config.root)
            .map_err(|error| refused("the root cannot be used", &config.root, error))?;
        for part in ["instances", "logs"] {
            make_directory(&root.join(part))?;
        }
        if let Addresses::Sockets { directory } = &config.addresses {
            make_directory(directory)?;
        }
        Ok(Self { config, root, boot: boot_id()? })
    }

    pub(super) fn lock_path(&self, service: &Name, id: &InstanceId) -> Result<PathBuf, StepError> {
        let directory = self.root.join("instances").join(service.as_str());
        make_directory(&directory)?;
        Ok(directory.join(format!(".{id}.lock")))
    }

    pub(super) fn ports_lock_path(&self) -> PathBuf {
        self.root.join("instances").join(".addresses.lock")
    }

    fn state_path(&self, service: &Name, id: &InstanceId) -> PathBuf {
        self.root.join("instances").join(service.as_str()).join(format!("{id}.json"))
    }

    pub(super) fn log_path(&self, service: &Name, id: &InstanceId) -> PathBuf {
        self.root.join("logs").join(service.as_str()).join(format!("{id}.log"))
    }

    // --- state files

    pub(super) fn find(&self, service: &Name, id: &InstanceId) -> Result<Option<Record>, StepError> {
        self.read_record(&self.state_path(service, id))
    }

    /// All records of a service, ordered by instance.
    pub(super) fn records(&self, service: &Name) -> Result<Vec<Record>, StepError> {
        let directory = self.root.join("instances").join(service.as_str());
        let mut records = Vec::new();
        for path in entries(&directory)? {
            let name = path.file_name().unwrap_or_default().as_bytes();
            if !name.starts_with(b".") && name.ends_with(b".json") {
                // One that was removed since the directory was read is an instance that was stopped.
                records.extend(self.read_record(&path)?);
            }
        }
        records.sort_by(|left, right| left.spec.instance.cmp(&right.spec.instance));
        Ok(records)
    }

    fn read_record(&self, path: &Path) -> Result<Option<Record>, StepError> {
        let Some(content) = read(path)? else { return Ok(None) };
        let record = Record::parse(&content).map_err(|error| error.fact("path", path.display()))?;
        if self.state_path(&record.spec.service, &record.spec.instance) != path {
            return Err(StepError::new(ErrorKind::Conflict, "the state file is another instance's")
                .fact("path", path.display()));
        }
        Ok(Some(record))
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), StepError> {
        replace(&self.state_path(&record.spec.service, &record.spec.instance), &record.to_bytes()?)
    }

    /// Removes what stands of an instance that is gone. Its log stays.
    pub(super) fn forget(&self, record: &Record) -> Result<(), StepError> {
        if let Some(socket) = record.socket() {
            remove(&socket)?;
        }
        remove(&self.state_path(&record.spec.service, &record.spec.instance))
    }

    // --- processes

    /// The instance's first process, if it runs. What has its id and another start time is somebody else.
    pub(super) fn leader(&self, record: &Record) -> Result<Option<Process>, StepError> {
        match &record.process {
            Some(leader) => self.recorded(leader, &record.marker),
            None => Ok(self.observe(record)?.leader),
        }
    }

    fn recorded(&self, leader: &Leader, marker: &str) -> Result<Option<Process>, StepError> {
        if leader.boot_id != self.boot {
            return Ok(None);
        }
        // A program may overwrite its environment, as those do that show a title: id and start time prove enough. Only a
        // marker that says otherwise speaks against it.
        Ok(process(leader.pid)?.filter(|found| {
            found.start == leader.start_time && marked(found.pid, MARKER, marker) != Some(false)
        }))
    }

    /// Everything that runs of an instance, from the process table.
    pub(super) fn observe(&self, record: &Record) -> Result<Observed, StepError> {
        let all = processes()?;
        let recorded = match &record.process {
            Some(leader) => self.recorded(leader, &record.marker)?,
            None => None,
        };
        let belongs = |found: &Process| {
            recorded.is_some_and(|leader| {
                // Only in the group that it leads: any other may have strangers in it.
                leader.pid == found.pid || (leader.pid == leader.group && leader.group == found.group)
            }) || marked(found.pid, MARKER, &record.marker) == Some(true)
        };
        let members: Vec<Process> = all.iter().copied().filter(belongs).collect();
        let groups = members
            .iter()
            .map(|member| member.group)
            .filter(|group| {
                all.iter().filter(|other| other.group == *group).all(|other| members.contains(other))
            })
            .collect();
        let leader = match &record.process {
            Some(_) => recorded,
            // Its controller died before it could record it. Children inherit the marker, but the first process came
            // first and leads its group.
            None => members
                .iter()
                .copied()
                .filter(|member| member.pid == member.group)
                .min_by_key(|member| (member.start, member.pid)),
        };
        Ok(Observed { leader, members, groups })
    }

    /// Signals everything that runs of an instance, and nothing else.
    pub(super) fn signal(observed: &Observed, wanted: Signal) -> Result<(), StepError> {
        for group in &observed.groups {
            signal_group(*group, wanted)?;
        }
        for member in observed.members.iter().filter(|member| !observed.groups.contains(&member.group)) {
            signal(member.pid, wanted)?;
        }
        Ok(())
    }

    /// What is known of a process that was just started or found.
    pub(super) fn identify(&self, found: Process, clock: &dyn Clock) -> Leader {
        Leader {
            pid: found.pid,
            start_time: found.start,
            boot_id: self.boot.clone(),
            started: clock.now().to_string(),
        }
    }

    // --- starting

    /// Chooses an address and records the intent to start the instance there. The caller holds the lock on addresses, so
    /// that no two instances are given the same.
    pub(super) fn reserve(&self, spec: &LaunchSpec) -> Result<Record, StepError> {
        let state = self.state_path(&spec.service, &spec.instance);
        let marker = format!("{}#{}", state.display(), spec.digest.short());
        let address = match &self.config.addresses {
            Addresses::Ports { first, last } => self.free_port(*first, *last, &state)?,
            Addresses::Sockets { directory } => socket(directory, spec)?,
        };
        let record = Record::intent(spec.clone(), address, marker);
        self.write(&record)?;
        Ok(record)
    }

    /// A port that nobody listens on and no other instance was given. Where the search begins depends on the instance: it
    /// gets its old port again where that is free, and managers with other roots seldom meet.
    fn free_port(&self, first: u16, last: u16, state: &Path) -> Result<String, StepError> {
        let mut reserved = BTreeSet::new();
        for directory in entries(&self.root.join("instances"))?.into_iter().filter(|path| path.is_dir()) {
            for path in entries(&directory)? {
                if path.extension().is_some_and(|extension| extension == "json") && path != state {
                    reserved.extend(self.read_record(&path)?.map(|record| record.address));
                }
            }
        }
        let count = u32::from(last - first) + 1;
        let digest = Digest::of(state.as_os_str().as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        let offset = u32::from_be_bytes([a, b, c, d]) % count;
        (0..count)
            .filter_map(|step| u16::try_from((offset + step) % count).ok())
            .map(|step| first + step)
            .find(|port| {
                !reserved.contains(&format!("127.0.0.1:{port}"))
                    && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
            })
            .map(|port| format!("127.0.0.1:{port}"))
            .ok_or_else(|| {
                StepError::new(ErrorKind::Conflict, "every port of the range is taken")
                    .fact("first", first)
                    .fact("last", last)
            })
    }

    /// Starts the process of a reserved instance. Its log's length before is returned with it.
    pub(super) async fn start(&self, clock: &dyn Clock, record: &Record) -> Result<(Child, u64), StepError> {
        let spec = &record.spec;
        if let Some(socket) = record.socket() {
            make_directory(socket.parent().unwrap_or(Path::new("/")))?;
            remove(&socket)?;
        }
        let (log, length) = self.open_log(&self.log_path(&spec.service, &spec.instance))?;
        let log_again = log.try_clone().map_err(|error| {
            StepError::new(ErrorKind::Unavailable, "the log cannot be opened twice").because(error)
        })?;
        let mut command = Command::new(&spec.program);
        command
            .args(record.args())
            .env_clear()
            .envs(&spec.env)
            .env(MARKER, &record.marker)
            .current_dir(&spec.directory)
            .process_group(0)
            .kill_on_drop(false)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_again);
        let child = spawn(clock, &mut command).await.map_err(|error| spawn_refused(&spec.program, error))?;
        Ok((child, length))
    }

    /// Opens the log for appending, so that whoever cuts it from outside leaves no hole.
    fn open_log(&self, path: &Path) -> Result<(File, u64), StepError> {
        let unusable = |error| refused("the log cannot be opened", path, error);
        make_directory(path.parent().unwrap_or(Path::new("/")))?;
        if fs::metadata(path).is_ok_and(|log| log.len() >= self.config.log_limit) {
            fs::rename(path, path.with_added_extension("1")).map_err(unusable)?;
        }
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(unusable)?;
        let length = log.metadata().map_err(unusable)?.len();
        Ok((log, length))
    }

    /// The end of what was written to an instance's log after its first `from` bytes.
    pub(super) fn log_tail(&self, spec: &LaunchSpec, from: u64) -> String {
        let tail = || -> io::Result<Vec<u8>> {
            let mut log = File::open(self.log_path(&spec.service, &spec.instance))?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(from.max(length.saturating_sub(LOG_TAIL))))?;
            let mut tail = Vec::new();
            log.take(LOG_TAIL).read_to_end(&mut tail)?;
            Ok(tail)
        };
        match tail() {
            Ok(tail) => String::from_utf8_lossy(&tail).trim().to_owned(),
            Err(error) => format!("the log cannot be read: {error}"),
        }
    }
}

/// The paths in a directory; none where there is no directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, StepError> {
    let unreadable = |error| refused("the directory cannot be read", directory, error);
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unreadable(error)),
    }
}

fn socket(directory: &Path, spec: &LaunchSpec) -> Result<String, StepError> {
    let path = directory.join(spec.service.as_str()).join(format!("{}.sock", spec.instance));
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(StepError::new(
            ErrorKind::Invalid,
            "the path of the socket is longer than the system allows",
        )
        .fact("path", path.display())
        .fact("longest", SOCKET_PATH_MAX));
    }
    Ok(format!("unix:{}", path.display()))
}

/// The ports that the machine gives to outgoing connections, see ip(7); Linux's default where it does not say.
fn ephemeral_ports() -> (u16, u16) {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = range.split_ascii_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(low)), Some(Ok(high))) => (low, high),
        _ => (32_768, 60_999),
    }
}

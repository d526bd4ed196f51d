use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flow_core::port::Routing;
use flow_core::{Cause, Name, StepError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::address::SOCKET_PATH_MAX;
use super::config::ProxyConfig;
use super::error::ProxyError;
use super::process::ProxyProcess;

/// The one format of `routing.json` that this version writes and reads.
const FORMAT: u32 = 1;
/// More than any file of ours may hold.
const FILE_MAX: u64 = 1024 * 1024;

/// The files of one proxy.
#[derive(Debug, Clone)]
pub(super) struct StateDir(PathBuf);

impl StateDir {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn routing(&self) -> PathBuf {
        self.0.join("routing.json")
    }

    pub(super) fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    fn control_beside(&self) -> PathBuf {
        self.0.join("control.new")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("proxy.log")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn config(&self) -> PathBuf {
        self.0.join("proxy.json")
    }

    fn process(&self) -> PathBuf {
        self.0.join("process.json")
    }

    fn failure(&self) -> PathBuf {
        self.0.join("failure.json")
    }

    pub(super) fn fits_a_socket(&self) -> bool {
        self.control().as_os_str().len() <= SOCKET_PATH_MAX
    }

    /// Makes the directory where there is none, readable to its owner alone.
    pub(super) fn create(&self) -> Result<(), ProxyError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(ProxyError::io(&self.0))
    }

    /// Takes the lock that says that a proxy runs here; it is free again when the file is dropped or the process ends.
    /// None where somebody else has it.
    pub(super) fn try_lock(&self) -> Result<Option<File>, ProxyError> {
        let path = self.lock_file();
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(ProxyError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(ProxyError::io(&path)(error)),
        }
    }

    /// Whether somebody holds the lock.
    pub(super) fn is_locked(&self) -> Result<bool, ProxyError> {
        let path = self.lock_file();
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ProxyError::io(&path)(error)),
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(ProxyError::io(&path)(error)),
            },
        }
    }

    /// Listens on the control socket, which nobody but the owner can connect to. Only under the lock: what stands at
    /// its path then is a dead proxy's.
    pub(super) fn listen(&self) -> Result<UnixListener, ProxyError> {
        let (beside, path) = (self.control_beside(), self.control());
        remove(&beside)?;
        let listener = UnixListener::bind(&beside).map_err(ProxyError::io(&beside))?;
        std::fs::set_permissions(&beside, Permissions::from_mode(0o600)).map_err(ProxyError::io(&beside))?;
        std::fs::rename(&beside, &path).map_err(ProxyError::io(&path))?;
        Ok(listener)
    }

    pub(super) fn read_config(&self) -> Result<ProxyConfig, ProxyError> {
        let path = self.config();
        read(&path)?.ok_or_else(|| ProxyError::io(&path)(ErrorKind::NotFound.into()))
    }

    pub(super) fn write_config(&self, config: &ProxyConfig) -> Result<(), ProxyError> {
        let path = self.config();
        write(&path, config).map_err(|unwritten| ProxyError::io(&path)(unwritten.source))
    }

    /// The saved routing; an empty one of generation 0 where none was ever saved.
    pub(super) fn read_routing(&self, service: &Name) -> Result<SavedRouting, ProxyError> {
        let path = self.routing();
        let Some(value) = read::<serde_json::Value>(&path)? else {
            return Ok(SavedRouting::new(service, 0, Routing::default()));
        };
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            let found = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
            return Err(ProxyError::state(&path, format!("its format is {found}, not {FORMAT}")));
        }
        let saved: SavedRouting =
            serde_json::from_value(value).map_err(|error| ProxyError::state(&path, error))?;
        if saved.service != *service {
            return Err(ProxyError::state(&path, format!("it is of the service `{}`", saved.service)));
        }
        Ok(saved)
    }

    /// Saves `routing`, so that it survives a loss of power.
    pub(super) fn write_routing(&self, routing: &SavedRouting) -> Result<(), StepError> {
        write(&self.routing(), routing).map_err(|unwritten| {
            let error = StepError::from(ProxyError::io(&self.routing())(unwritten.source));
            if unwritten.replaced { error.after_effect() } else { error }
        })
    }

    pub(super) fn write_process(&self, process: &ProxyProcess) -> Result<(), ProxyError> {
        let path = self.process();
        write(&path, process).map_err(|unwritten| ProxyError::io(&path)(unwritten.source))
    }

    /// The process that last ran here, whether or not it still does.
    pub(super) fn read_process(&self) -> Result<Option<ProxyProcess>, ProxyError> {
        read(&self.process())
    }

    /// Leaves why this process ended, for whoever started it.
    pub(super) fn write_failure(&self, failure: &Failure) -> Result<(), ProxyError> {
        let path = self.failure();
        write(&path, failure).map_err(|unwritten| ProxyError::io(&path)(unwritten.source))
    }

    /// Why the process `pid` ended, where it said so.
    pub(super) fn failure_of(&self, pid: u32) -> Option<Cause> {
        let failure: Failure = read(&self.failure()).ok()??;
        (failure.pid == pid).then_some(failure.cause)
    }

    /// Removes what says that a proxy runs here. Only under the lock.
    pub(super) fn clear(&self) -> Result<(), ProxyError> {
        remove(&self.control())?;
        remove(&self.process())
    }
}

/// The form of `routing.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedRouting {
    format: u32,
    service: Name,
    pub(super) generation: u64,
    pub(super) routing: Routing,
}

impl SavedRouting {
    pub(super) fn new(service: &Name, generation: u64, routing: Routing) -> Self {
        Self { format: FORMAT, service: service.clone(), generation, routing }
    }
}

/// Why a proxy process ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) pid: u32,
    pub(super) cause: Cause,
}

struct Unwritten {
    source: io::Error,
    /// Whether the old content is gone already.
    replaced: bool,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ProxyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProxyError::io(path)(error)),
    };
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(ProxyError::io(path))?;
    serde_json::from_str(&text).map(Some).map_err(|error| ProxyError::state(path, error))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Unwritten> {
    replace(path, value).map_err(|source| Unwritten { source, replaced: false })?;
    let directory = path.parent().unwrap_or(path);
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| Unwritten { source, replaced: true })
}

fn replace<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn remove(path: &Path) -> Result<(), ProxyError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(ProxyError::io(path)(error)),
        _ => Ok(()),
    }
}

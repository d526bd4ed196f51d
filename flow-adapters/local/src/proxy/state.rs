use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
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
use crate::os;

/// The one format of `routing.json` that this version writes and reads.
const FORMAT: u32 = 1;

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

    pub(super) fn process(&self) -> PathBuf {
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
        os::make_directory(&self.0).map_err(ProxyError::File)
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
        os::remove(&beside).map_err(ProxyError::File)?;
        let listener = UnixListener::bind(&beside).map_err(ProxyError::io(&beside))?;
        std::fs::set_permissions(&beside, Permissions::from_mode(0o600)).map_err(ProxyError::io(&beside))?;
        std::fs::rename(&beside, &path).map_err(ProxyError::io(&path))?;
        Ok(listener)
    }

    pub(super) fn read_config(&self) -> Result<ProxyConfig, ProxyError> {
        let path = self.config();
        read(&path)?.ok_or_else(|| ProxyError::io(&path)(ErrorKind::NotFound.into()))
    }

    pub(super) fn write_config(&self, config: &ProxyConfig) -> Result<(), StepError> {
        write(&self.config(), config)
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
            return Err(ProxyError::state(&path, &format!("its format is {found}, not {FORMAT}")));
        }
        let saved: SavedRouting =
            serde_json::from_value(value).map_err(|error| ProxyError::state(&path, &error))?;
        if saved.service != *service {
            return Err(ProxyError::state(&path, &format!("it is of the service `{}`", saved.service)));
        }
        Ok(saved)
    }

    /// Saves `routing`, so that it survives a loss of power.
    pub(super) fn write_routing(&self, routing: &SavedRouting) -> Result<(), StepError> {
        write(&self.routing(), routing)
    }

    pub(super) fn write_process(&self, process: &ProxyProcess) -> Result<(), StepError> {
        write(&self.process(), process)
    }

    /// Leaves why this process ended, for whoever started it.
    pub(super) fn write_failure(&self, failure: &Failure) -> Result<(), StepError> {
        write(&self.failure(), failure)
    }

    /// Why the process `pid` ended, where it said so.
    pub(super) fn failure_of(&self, pid: u32) -> Option<Cause> {
        let failure: Failure = read(&self.failure()).ok()??;
        (failure.pid == pid).then_some(failure.cause)
    }

    /// Removes what says that a proxy runs here. Only under the lock.
    pub(super) fn clear(&self) -> Result<(), ProxyError> {
        os::remove(&self.control()).and_then(|()| os::remove(&self.process())).map_err(ProxyError::File)
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

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ProxyError> {
    let Some(content) = os::read(path).map_err(ProxyError::File)? else { return Ok(None) };
    serde_json::from_slice(&content).map(Some).map_err(|error| ProxyError::state(path, &error))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StepError> {
    let mut content = serde_json::to_vec_pretty(value).map_err(|error| {
        StepError::new(flow_core::ErrorKind::Invalid, "the state cannot be written as JSON").because(error)
    })?;
    content.push(b'\n');
    os::replace(path, &content)
}

use std::path::PathBuf;
use std::time::Duration;

use flow_core::Problems;
use serde::{Deserialize, Serialize};

/// How [`LocalProcesses`](super::LocalProcesses) keeps its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessesConfig {
    /// The directory of state files and logs, made where it does not exist. One manager's alone.
    pub root: PathBuf,
    /// Where instances listen.
    #[serde(default)]
    pub addresses: Addresses,
    /// The size in bytes from which an instance's log is put aside when it starts. One earlier log is kept.
    #[serde(default = "log_limit")]
    pub log_limit: u64,
    /// How long a started process is watched before it counts as running: one that ends within is a failed launch.
    #[serde(default = "watch")]
    pub watch: Duration,
    /// How long a killed process may take to be gone.
    #[serde(default = "settle")]
    pub settle: Duration,
}

/// Where instances listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Addresses {
    /// On `127.0.0.1`, on a free port from `first` to `last`.
    Ports {
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// On Unix sockets below a directory, which is made where it does not exist.
    Sockets {
        /// The directory. Its path must be short: the system allows 107 bytes for the whole path of a socket.
        directory: PathBuf,
    },
}

impl Default for Addresses {
    /// Ports 20000 to 31999, below those that Linux gives to outgoing connections unless told otherwise.
    fn default() -> Self {
        Self::Ports { first: 20_000, last: 31_999 }
    }
}

impl ProcessesConfig {
    /// Instances below `root`, on ports, with logs of up to 16 MiB.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            addresses: Addresses::default(),
            log_limit: log_limit(),
            watch: watch(),
            settle: settle(),
        }
    }

    /// Lets instances listen at `addresses`.
    #[must_use]
    pub fn addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// Finds everything wrong with it. `ephemeral` are the first and last port that the machine gives to
    /// outgoing connections: one of those may be taken at any moment.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self, ephemeral: (u16, u16)) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.root.is_absolute(), "root", "must be an absolute path");
        problems.check(self.log_limit > 0, "log_limit", "must be at least 1");
        problems.check(!self.settle.is_zero(), "settle", "must be longer than nothing");
        match &self.addresses {
            Addresses::Ports { first, last } => {
                problems.check(first <= last, "addresses.ports", "must end no lower than it begins");
                problems.check(*first >= 1024, "addresses.ports.first", "must be at least 1024");
                let (low, high) = ephemeral;
                if *first <= high && *last >= low {
                    problems.add(
                        "addresses.ports",
                        format!("must not meet `{low}` to `{high}`, which are for outgoing connections"),
                    );
                }
            }
            Addresses::Sockets { directory } => {
                problems.check(
                    directory.is_absolute(),
                    "addresses.sockets.directory",
                    "must be an absolute path",
                );
            }
        }
        problems.into_result()
    }
}

const fn log_limit() -> u64 {
    16 * 1024 * 1024
}

const fn watch() -> Duration {
    Duration::from_millis(100)
}

const fn settle() -> Duration {
    Duration::from_secs(10)
}

use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::Problems;
use serde::{Deserialize, Serialize};

/// The longest path of a Unix socket, see unix(7).
pub(crate) const SOCKET_PATH_MAX: usize = 107;
/// The first port that Linux gives to outgoing connections unless told otherwise: from there on any may be taken at any moment.
const EPHEMERAL: u16 = 32_768;
/// The longest time that PM2 can be told, in milliseconds: more is none to Node.
const TIMER_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// Which PM2 runs the instances, and how.
///
/// ```
/// use flow_pm2::Pm2Config;
///
/// let config: Pm2Config = serde_json::from_str(
///     r#"{ "home": "/home/app/.pm2", "state": "/var/lib/flow/pm2", "mode": { "colours": { "addresses": { "sockets": { "directory": "/run/app" } } } } }"#,
/// )?;
/// assert!(config.check().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pm2Config {
    /// PM2's own directory, `PM2_HOME`.
    pub home: PathBuf,
    /// Where locks and [notes](Readiness::Message) are kept, made where it does not exist. All controllers of one home share one.
    pub state: PathBuf,
    /// Where `rpc.sock` and `pub.sock` are found; in the home without one. A connection that forwards another machine's sockets puts them
    /// elsewhere.
    #[serde(default)]
    pub sockets: Option<PathBuf>,
    /// What to do without a daemon.
    #[serde(default)]
    pub daemon: Daemon,
    /// How instances run beside each other.
    pub mode: Mode,
    /// What runs the program, such as `/usr/bin/node` where that is a script; the program runs itself without one. It has no
    /// meaning in a cluster, whose programs are scripts that the daemon's own Node runs.
    #[serde(default)]
    pub interpreter: Option<PathBuf>,
    /// What proves an instance healthy.
    #[serde(default)]
    pub readiness: Readiness,
    /// What PM2 does when an instance ends by itself.
    #[serde(default)]
    pub restart: Restart,
    /// How long an instance must have been ready as one process before it is healthy: at every look of this controller since it was first
    /// seen ready. Where this controller never saw it otherwise, and did not start it, the time counts from the process's start; who has
    /// settled once need not again.
    #[serde(default = "settle")]
    pub settle: Duration,
    /// The same, of a process that PM2 had to start again: long enough that a crash does not go by unseen.
    #[serde(default = "settle_again")]
    pub settle_again: Duration,
    /// How long a started process is watched before it counts as running: one that ends within is a failed launch.
    #[serde(default = "watch")]
    pub watch: Duration,
    /// After what time PM2 itself kills an instance that it was told to stop. It is told so when an instance is launched and cannot be told
    /// anything else later, so this is also the longest grace that a stop can give; a shorter one is honoured.
    #[serde(default = "longest_grace")]
    pub longest_grace: Duration,
    /// How long the daemon may take for an answer.
    #[serde(default = "answer")]
    pub answer: Duration,
    /// How long an instance may take to be gone when it was killed.
    #[serde(default = "gone")]
    pub gone: Duration,
}

/// What to do without a daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Daemon {
    /// A launch is refused: somebody else, such as the system's service manager, starts it.
    #[default]
    MustRun,
    /// A launch starts it, by `pm2 ping` with an environment of its own, in which PM2 is told to ask nobody for news.
    Start {
        /// PM2's command.
        pm2: PathBuf,
        /// The `PATH` that it and the daemon get. Node must be on it.
        path: String,
    },
}

/// How instances run beside each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Mode {
    /// Each instance is an app of its own in PM2's fork mode, at an address of its own, which a router switches between. No request is
    /// lost.
    Colours {
        /// Where instances listen.
        addresses: Addresses,
    },
    /// All instances of a service are workers of PM2's cluster and share one port of `127.0.0.1`, so a new one gets traffic as soon as it
    /// listens. The daemon hands about one connection in a roll of four to a worker that is ending, and nobody can
    /// prevent that from outside.
    Cluster {
        /// The port.
        port: u16,
    },
}

/// Where instances listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Addresses {
    /// On `127.0.0.1`, on a free port from `first` to `last`, which is in the environment as `PORT`.
    Ports {
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// On Unix sockets below a directory, which is made where it does not exist. The path is in the environment as `SOCKET_PATH`.
    Sockets {
        /// The directory. Its path must be short: the system allows 107 bytes for the whole path of a socket.
        directory: PathBuf,
    },
}

/// What proves an instance healthy, beside having run undisturbed for long enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Its health check, answered by the very process that PM2 lists.
    #[default]
    Probe,
    /// Its own message `process.send('ready')`. PM2 tells it once, to who listens then; so it is noted durably when it was heard, and an
    /// instance whose message nobody heard is never healthy.
    Message,
    /// Both.
    Both,
}

impl Readiness {
    pub(crate) const fn needs_message(self) -> bool {
        matches!(self, Self::Message | Self::Both)
    }

    pub(crate) const fn needs_probe(self) -> bool {
        matches!(self, Self::Probe | Self::Both)
    }
}

/// What PM2 does when an instance ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// It starts it again, and gives up after many ends at once.
    #[default]
    Always,
    /// Nothing.
    Never,
}

impl Pm2Config {
    /// Instances of the PM2 in `home`, each at an address of its own.
    pub fn new(home: impl Into<PathBuf>, state: impl Into<PathBuf>, addresses: Addresses) -> Self {
        Self {
            home: home.into(),
            state: state.into(),
            sockets: None,
            daemon: Daemon::default(),
            mode: Mode::Colours { addresses },
            interpreter: None,
            readiness: Readiness::default(),
            restart: Restart::default(),
            settle: settle(),
            settle_again: settle_again(),
            watch: watch(),
            longest_grace: longest_grace(),
            answer: answer(),
            gone: gone(),
        }
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let optional = [("sockets", &self.sockets), ("interpreter", &self.interpreter)];
        let optional = optional.into_iter().filter_map(|(field, path)| Some((field, path.as_ref()?)));
        for (field, path) in [("home", &self.home), ("state", &self.state)].into_iter().chain(optional) {
            check_path(&mut problems, field, path);
        }
        if let Daemon::Start { pm2, path } = &self.daemon {
            check_path(&mut problems, "daemon.start.pm2", pm2);
            problems.check(!path.contains('\0'), "daemon.start.path", "holds a zero byte");
        }
        for (field, time) in
            [("longest_grace", self.longest_grace), ("answer", self.answer), ("gone", self.gone)]
        {
            problems.check(!time.is_zero(), field, "must be longer than nothing");
        }
        problems.check(
            self.longest_grace <= TIMER_MAX,
            "longest_grace",
            "is more than PM2 can be told, 2147483647 ms",
        );
        let socket = self.sockets.as_ref().unwrap_or(&self.home).join("rpc.sock");
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            problems.add("sockets", "makes the paths of PM2's sockets longer than the system allows");
        }
        self.check_mode(&mut problems);
        problems.into_result()
    }

    fn check_mode(&self, problems: &mut Problems) {
        match &self.mode {
            Mode::Colours { addresses: Addresses::Sockets { directory } } => {
                check_path(problems, "mode.colours.addresses.sockets.directory", directory);
            }
            Mode::Colours { addresses: Addresses::Ports { first, last } } => {
                let field = "mode.colours.addresses.ports";
                problems.check(first <= last, field, "must end no lower than it begins");
                problems.check(*first >= 1024, field, "must begin at 1024 or above");
                problems.check(
                    *last < EPHEMERAL,
                    field,
                    "must end below 32768, where the ports for outgoing connections begin",
                );
            }
            Mode::Cluster { port } => {
                problems.check(*port > 0, "mode.cluster.port", "must be a port");
                problems.check(
                    self.readiness == Readiness::Message,
                    "readiness",
                    "must be `message` in a cluster: whose worker answers a probe cannot be known",
                );
                problems.check(
                    self.interpreter.is_none(),
                    "interpreter",
                    "has no meaning in a cluster: the daemon's own Node runs it",
                );
            }
        }
    }
}

fn check_path(problems: &mut Problems, field: &str, path: &Path) {
    problems.check(path.is_absolute(), field, "must be an absolute path");
    problems.check(path.to_str().is_some_and(|path| !path.contains('\0')), field, "must be text");
}

const fn settle() -> Duration {
    Duration::from_secs(3)
}

const fn settle_again() -> Duration {
    Duration::from_mins(1)
}

const fn watch() -> Duration {
    Duration::from_millis(100)
}

const fn longest_grace() -> Duration {
    Duration::from_mins(10)
}

const fn answer() -> Duration {
    Duration::from_secs(10)
}

const fn gone() -> Duration {
    Duration::from_secs(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_with_a_configuration_is_said_at_once() {
        let mut config = Pm2Config::new("pm2", "/state", Addresses::Ports { first: 80, last: 40_000 });
        config.interpreter = Some("node".into());
        config.longest_grace = Duration::from_secs(3_000_000);
        config.answer = Duration::ZERO;
        let text = config.check().unwrap_err().to_string();
        for part in ["`home`", "`interpreter`", "`longest_grace`", "`answer`", "at 1024", "below 32768"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        config.mode = Mode::Cluster { port: 0 };
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("`mode.cluster.port`") && text.contains("`readiness`"), "{text}");
    }

    #[test]
    fn a_home_too_long_for_its_sockets_is_refused() {
        let sockets = Addresses::Sockets { directory: "/run".into() };
        let config = Pm2Config::new(format!("/{}", "d".repeat(100)), "/state", sockets);
        assert!(config.check().unwrap_err().to_string().contains("`sockets`"));
    }
}

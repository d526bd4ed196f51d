use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::{Name, Problems};
use serde::{Deserialize, Serialize};

use super::error::ProxyError;
use super::state::StateDir;
use crate::os;

/// What one proxy process serves, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// The one service that it serves.
    pub service: Name,
    /// The directory of its routing, its control socket, its lock and its log. Absolute; of this proxy alone.
    pub state_dir: PathBuf,
    /// Where it listens for HTTP.
    pub listen: SocketAddr,
    /// Its bounds.
    #[serde(default)]
    pub limits: Limits,
}

impl ProxyConfig {
    /// A proxy on 127.0.0.1 with the default limits.
    pub fn on_loopback(service: Name, state_dir: impl Into<PathBuf>, port: u16) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { service, state_dir: state_dir.into(), listen, limits: Limits::default() }
    }

    /// Reads what a [`LocalRouter`](super::LocalRouter) left in `state_dir` for the process that it starts.
    ///
    /// # Errors
    /// [`ProxyError::Io`] and [`ProxyError::State`] where there is no such file or it is not understood,
    /// [`ProxyError::Invalid`] where it names another directory.
    pub fn load(state_dir: &Path) -> Result<Self, ProxyError> {
        let config: Self = StateDir::new(state_dir).read_config()?;
        let mut problems = Problems::default();
        problems.check(config.state_dir == state_dir, "state_dir", "must be the directory it is read from");
        problems.into_result().map_err(ProxyError::Invalid)?;
        Ok(config)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// All problems at once.
    pub fn validate(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.state_dir.is_absolute(), "state_dir", "must be absolute");
        problems.check(
            StateDir::new(&self.state_dir).fits_a_socket(),
            "state_dir",
            "is too long for the path of a Unix socket below it",
        );
        problems.check(self.listen.port() != 0, "listen", "must name a port");
        self.limits.check(&mut problems);
        problems.into_result()
    }
}

/// The bounds of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many client connections are served at once; further ones wait to be accepted. A connection takes up to two
    /// file descriptors. 400.
    pub max_connections: usize,
    /// How many headers a request or a response may have. 100.
    pub max_headers: usize,
    /// How many bytes the head of a request or a response may have. 64 KiB.
    pub max_head_bytes: usize,
    /// How long a client may take to send a request's head, and how long it may be silent between two. 30 s.
    pub head_timeout: Duration,
    /// How long connecting to an upstream may take. 2 s.
    pub connect_timeout: Duration,
    /// How long a request may wait for the head of its response, before it is answered 504. 30 s.
    pub response_timeout: Duration,
    /// How long an idle connection to an upstream is kept; zero keeps none. Shorter than the upstreams' own. 1 s.
    pub keep_upstream: Duration,
    /// How long a proxy that was asked to stop waits for the requests under way before it cuts them off. 30 s.
    pub drain_timeout: Duration,
}

impl Limits {
    fn check(&self, problems: &mut Problems) {
        problems.check(self.max_connections > 0, "limits.max_connections", "must be at least 1");
        problems.check(self.max_headers > 0, "limits.max_headers", "must be at least 1");
        // hyper has no smaller buffer.
        problems.check(self.max_head_bytes >= 8192, "limits.max_head_bytes", "must be at least 8192");
        for (field, timeout) in [
            ("limits.head_timeout", self.head_timeout),
            ("limits.connect_timeout", self.connect_timeout),
            ("limits.response_timeout", self.response_timeout),
        ] {
            problems.check(!timeout.is_zero(), field, "must be more than zero");
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 400,
            max_headers: 100,
            max_head_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(30),
            keep_upstream: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// How a controller reaches its proxy, and how it starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterConfig {
    /// The proxy.
    pub proxy: ProxyConfig,
    /// The program to execute as the proxy: an absolute path, mostly `std::env::current_exe()`.
    pub program: PathBuf,
    /// Its arguments; the state directory follows as the last one.
    pub args: Vec<String>,
    /// Its environment: all of it, nothing is inherited.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may take until it answers.
    pub start_timeout: Duration,
}

impl RouterConfig {
    /// A router with an empty environment that waits 10 s for its proxy to start.
    pub fn new<A: Into<String>>(
        proxy: ProxyConfig,
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            proxy,
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            start_timeout: Duration::from_secs(10),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// All problems at once.
    pub fn validate(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if let Err(found) = self.proxy.validate() {
            for problem in found.as_slice() {
                problems.add(format!("proxy.{}", problem.field), problem.problem.clone());
            }
        }
        problems.check(self.program.is_absolute(), "program", "must be an absolute path");
        problems.check(!self.start_timeout.is_zero(), "start_timeout", "must be more than zero");
        os::check_environment(&mut problems, "env", &self.env);
        problems.into_result()
    }
}

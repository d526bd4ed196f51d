//! The configuration file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use flow_core::{Name, Problems};
use serde::Deserialize;

/// What is replaced, on what it runs, and what sends it traffic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) pm2_home: PathBuf,
    /// PM2's command-line program. It only starts a missing daemon.
    pub(crate) pm2_bin: PathBuf,
    pub(crate) app: App,
    /// Where releases are placed, one directory each by the digest of its files.
    pub(crate) releases_root: PathBuf,
    pub(crate) router: Router,
    /// Machines other than this one.
    #[serde(default)]
    pub(crate) hosts: Vec<Host>,
}

/// The application.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct App {
    pub(crate) name: Name,
    /// Below the release's directory.
    pub(crate) script: String,
    #[serde(default = "one")]
    pub(crate) instances: u32,
    #[serde(default)]
    pub(crate) ready: Ready,
    #[serde(default = "root_path")]
    pub(crate) probe_path: String,
    #[serde(default = "ten_seconds")]
    pub(crate) ready_timeout_ms: u64,
    #[serde(default = "a_second")]
    pub(crate) settle_ms: u64,
    /// How long the release is watched once it has the traffic.
    #[serde(default = "three_seconds")]
    pub(crate) bake_ms: u64,
    /// How long requests under way may take when their instance is to end.
    #[serde(default = "ten_seconds")]
    pub(crate) drain_timeout_ms: u64,
}

/// What shows that an instance can take traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ready {
    /// It says so: `process.send('ready')`.
    Message,
    /// It answers `probe_path`.
    #[default]
    Probe,
}

/// What sends the application its traffic.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum Router {
    /// nginx, whose upstream is a link to the socket that serves.
    SocketLink { link: PathBuf },
    /// nginx, whose upstream is a hundred such links.
    Slots {
        slots_dir: PathBuf,
        #[serde(default)]
        sticky: Option<String>,
    },
    /// nginx, whose upstream is a file of ours that is rewritten.
    FileReload { conf: PathBuf, nginx_bin: PathBuf },
    /// HAProxy, by its runtime socket.
    Haproxy { runtime_socket: PathBuf },
}

/// Another machine, reached over SSH, with a PM2 in `pm2_home` and an nginx of its own. Releases are placed in its `releases_root`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) ssh: String,
    #[serde(default = "ssh_port")]
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) key: PathBuf,
    pub(crate) known_hosts: PathBuf,
    /// A directory there, in which one of the application's name stands: where its instances listen.
    pub(crate) sockets: PathBuf,
    /// Upstreams of its nginx, one for each instance that runs there at a time: two for a second colour.
    pub(crate) edges: Vec<Edge>,
}

/// One upstream of another machine's nginx.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    /// Its name.
    pub(crate) name: Name,
    /// The directory there of the links that it leads to.
    pub(crate) links: PathBuf,
    /// Where its traffic comes in, as the router in front knows it.
    pub(crate) address: String,
}

/// The longest time that anything may be given.
const LONGEST_MS: u64 = 3_600_000;

impl Config {
    /// Reads and checks it; every problem is told at once.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = || format!("`{}`", path.display());
        let text = std::fs::read(path).with_context(shown)?;
        let config: Self = serde_json::from_slice(&text).with_context(shown)?;
        config.check().with_context(shown)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let app = &self.app;
        let paths = [
            ("pm2_home", &self.pm2_home),
            ("pm2_bin", &self.pm2_bin),
            ("releases_root", &self.releases_root),
        ];
        for (field, path) in paths.into_iter().chain(self.router.paths()) {
            problems.check(path.is_absolute(), field, "must be an absolute path");
        }
        problems.check((1..=100).contains(&app.instances), "app.instances", "must be from 1 to 100");
        problems.check(app.probe_path.starts_with('/'), "app.probe_path", "must begin with `/`");
        problems.check(app.ready_timeout_ms > 0, "app.ready_timeout_ms", "must be above 0");
        let times = [
            ("app.ready_timeout_ms", app.ready_timeout_ms),
            ("app.settle_ms", app.settle_ms),
            ("app.bake_ms", app.bake_ms),
            ("app.drain_timeout_ms", app.drain_timeout_ms),
        ];
        for (field, time) in times {
            problems.check(time <= LONGEST_MS, field, "must be at most an hour");
        }
        problems.check(self.pm2_bin.is_file(), "pm2_bin", "there is no such file");
        if !self.hosts.is_empty() {
            let is_remote = matches!(self.router, Router::Haproxy { .. } | Router::FileReload { .. });
            problems.check(
                is_remote,
                "router.kind",
                "must be `haproxy` or `file_reload` in front of other machines",
            );
            problems.check(
                app.ready == Ready::Message,
                "app.ready",
                "must be `message`: an address over there is not asked from here",
            );
        }
        for (host, number) in self.hosts.iter().zip(0..) {
            let field = format!("hosts[{number}].edges");
            problems.check(
                !host.edges.is_empty(),
                &field,
                "must be one for each instance that runs there at a time",
            );
            let paths = host.edges.iter().map(|edge| &edge.links).chain([&host.sockets]);
            let absolute = paths.into_iter().all(|path| path.is_absolute());
            problems.check(absolute, &field, "must have absolute paths, and so must `sockets`");
        }
        problems.into_result()
    }
}

impl Router {
    fn paths(&self) -> Vec<(&'static str, &PathBuf)> {
        match self {
            Self::SocketLink { link } => vec![("router.link", link)],
            Self::Slots { slots_dir, .. } => vec![("router.slots_dir", slots_dir)],
            Self::FileReload { conf, nginx_bin } => {
                vec![("router.conf", conf), ("router.nginx_bin", nginx_bin)]
            }
            Self::Haproxy { runtime_socket } => vec![("router.runtime_socket", runtime_socket)],
        }
    }
}

impl App {
    pub(crate) fn ready_within(&self) -> Duration {
        Duration::from_millis(self.ready_timeout_ms)
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    pub(crate) fn bake(&self) -> Duration {
        Duration::from_millis(self.bake_ms)
    }

    pub(crate) fn drain_within(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

const fn one() -> u32 {
    1
}

const fn ssh_port() -> u16 {
    22
}

const fn a_second() -> u64 {
    1_000
}

const fn three_seconds() -> u64 {
    3_000
}

const fn ten_seconds() -> u64 {
    10_000
}

fn root_path() -> String {
    "/".to_owned()
}

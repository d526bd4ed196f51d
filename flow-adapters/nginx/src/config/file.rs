use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::{Name, Problems};
use serde::{Deserialize, Serialize};

use super::upstream::{KeepAlive, Stickiness, Timeouts, location_of};
use crate::block::{Block, Word};
use crate::value::check_path;

/// How a [`FileRouter`](crate::FileRouter) switches: by a file of its own and a reload that is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The one service that it routes.
    pub service: Name,
    /// nginx's program: an absolute path.
    pub program: PathBuf,
    /// The prefix that nginx was started with (`-p`), if it was.
    #[serde(default)]
    pub prefix: Option<PathBuf>,
    /// The configuration that nginx was started with (`-c`), or its built-in one.
    pub conf: PathBuf,
    /// Where nginx says why it refuses a configuration; without it a refusal is seen, but not why.
    #[serde(default)]
    pub error_log: Option<PathBuf>,
    /// Our own file, which the user's configuration includes in `http`. Nothing else is ever written below the user's directories.
    pub file: PathBuf,
    /// A directory of this router alone: staged copies, its lock, and what it last put in force. Absolute.
    pub state_dir: PathBuf,
    /// A free loopback address where our block says which generation of it is in force.
    pub marker: SocketAddr,
    /// What keeps a user with one version.
    #[serde(default)]
    pub stickiness: Stickiness,
    /// How long nginx keeps connections to the application; none: it opens one for each request.
    #[serde(default)]
    pub keep_alive: Option<KeepAlive>,
    /// How long nginx waits for the application.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Where nginx writes the log that [`AccessLog`](crate::AccessLog) reads.
    pub access_log: PathBuf,
    /// How long `nginx -t` may take. 30 s.
    #[serde(default = "test_timeout")]
    pub test_timeout: Duration,
    /// How long nginx may take to put a configuration in force. Above the 2.5 s for which it tries to bind a port that is taken. 10 s.
    #[serde(default = "reload_timeout")]
    pub reload_timeout: Duration,
}

impl FileConfig {
    /// A router over `/usr/sbin/nginx` and `/etc/nginx/nginx.conf`, whose file is `/etc/nginx/flow/SERVICE.conf` and whose log is
    /// `/var/log/nginx/flow-SERVICE.log`.
    pub fn debian(service: Name, state_dir: impl Into<PathBuf>, marker: SocketAddr) -> Self {
        Self {
            program: "/usr/sbin/nginx".into(),
            prefix: None,
            conf: "/etc/nginx/nginx.conf".into(),
            error_log: Some("/var/log/nginx/error.log".into()),
            file: format!("/etc/nginx/flow/{service}.conf").into(),
            state_dir: state_dir.into(),
            marker,
            stickiness: Stickiness::None,
            keep_alive: None,
            timeouts: Timeouts::default(),
            access_log: format!("/var/log/nginx/flow-{service}.log").into(),
            test_timeout: test_timeout(),
            reload_timeout: reload_timeout(),
            service,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (field, path) in [
            ("program", Some(&self.program)),
            ("prefix", self.prefix.as_ref()),
            ("conf", Some(&self.conf)),
            ("error_log", self.error_log.as_ref()),
            ("file", Some(&self.file)),
            ("state_dir", Some(&self.state_dir)),
            ("access_log", Some(&self.access_log)),
        ] {
            if let Some(path) = path {
                check_path(&mut problems, field, path);
            }
        }
        problems.check(self.file != self.conf, "file", "must be a file of our own");
        problems.check(self.marker.ip().is_loopback(), "marker", "must be a loopback address");
        problems.check(self.marker.port() != 0, "marker", "must name a port");
        self.stickiness.check(&mut problems);
        if let Some(keep_alive) = &self.keep_alive {
            keep_alive.check(&mut problems);
        }
        self.timeouts.check(&mut problems);
        problems.check(!self.test_timeout.is_zero(), "test_timeout", "must be longer than nothing");
        let longer = self.reload_timeout > Duration::from_millis(2_500);
        problems.check(longer, "reload_timeout", "must be longer than 2.5 s");
        problems.into_result()
    }

    /// What stands before a version in the name of its upstream.
    pub(crate) fn upstream_prefix(&self) -> String {
        Word::upstream(&self.service, "").as_str().to_owned()
    }

    /// Our directives for the user's `location`: save them in a file of its own and include that, once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn location(&self) -> Result<String, Problems> {
        self.check()?;
        let mut block = Block::default();
        block.comment(&format!("The service `{}`, by flow-nginx. For a `location`.", self.service));
        let to = Word::joined(&[Word::own("http://"), Word::variable("flow", &self.service)], "");
        location_of(&mut block, to, &self.access_log, &self.service, &self.timeouts);
        // Every upstream is of one version, so what is tried again is tried there.
        block.directive("proxy_next_upstream", &[Word::own("error"), Word::own("timeout")]);
        block.directive("proxy_next_upstream_timeout", &[Word::time("", self.timeouts.retry)]);
        Ok(block.finish())
    }
}

const fn test_timeout() -> Duration {
    Duration::from_secs(30)
}

const fn reload_timeout() -> Duration {
    Duration::from_secs(10)
}

use std::path::Path;
use std::time::Duration;

use flow_core::{Name, Problems};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Word};

/// What keeps a user with one version while the shares stay, and with it while its share grows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stickiness {
    /// Nothing: every request for itself.
    #[default]
    None,
    /// A cookie of this name: letters, digits and underscores. Who brings none is treated request by request.
    Cookie(String),
    /// A header of this name: letters, digits and dashes. Who brings none is treated request by request.
    Header(String),
    /// The address that the connection comes from: right only where no proxy stands before nginx.
    Address,
}

impl Stickiness {
    pub(super) fn check(&self, problems: &mut Problems) {
        let (text, also) = match self {
            Self::None | Self::Address => return,
            Self::Cookie(name) => (name, '_'),
            Self::Header(name) => (name, '-'),
        };
        let fits = |each: char| each.is_ascii_alphanumeric() || each == also;
        let is_one = (1..=64).contains(&text.len())
            && text.starts_with(|each: char| each.is_ascii_alphanumeric() || each == also)
            && text.chars().all(fits);
        problems.check(
            is_one,
            "stickiness",
            &format!("`{}` must be 1 to 64 letters, digits and `{also}`", text.escape_debug()),
        );
    }
}

/// How long nginx keeps connections to the application for the next request.
///
/// A kept connection leads where it was opened to, so traffic moves only as these connections end: a switch takes up to `time` and `idle`
/// together. Both must be below the time after which the application closes an idle connection itself (Node: 5 s).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepAlive {
    /// How many idle connections each worker keeps.
    pub connections: u16,
    /// How old a connection may be when a request begins on it. At most 10 s; needs nginx 1.19.10.
    pub time: Duration,
    /// How long a connection may be idle. At most 10 s.
    pub idle: Duration,
}

impl Default for KeepAlive {
    /// 16 connections, for 100 ms each, idle for 100 ms.
    fn default() -> Self {
        let bound = Duration::from_millis(100);
        Self { connections: 16, time: bound, idle: bound }
    }
}

impl KeepAlive {
    /// After how long no request can begin on a connection that is open now.
    pub(crate) fn bound(&self) -> Duration {
        self.time + self.idle
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.check(self.connections > 0, "keep_alive.connections", "must be at least 1");
        check_time(problems, "keep_alive.time", self.time, Duration::from_secs(10));
        check_time(problems, "keep_alive.idle", self.idle, Duration::from_secs(10));
    }

    pub(crate) fn write(&self, block: &mut Block) {
        block.directive("keepalive", &[Word::number("", self.connections, "")]);
        block.directive("keepalive_time", &[Word::time("", self.time)]);
        block.directive("keepalive_timeout", &[Word::time("", self.idle)]);
    }
}

/// How long nginx waits for the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Connecting. nginx's own default of a minute would keep users waiting for one that hangs. 300 ms.
    pub connect: Duration,
    /// Between two pieces of an answer, and before its first. 60 s.
    pub read: Duration,
    /// After how long a request is tried nowhere else. 2 s.
    pub retry: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(300),
            read: Duration::from_secs(60),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timeouts {
    pub(super) fn check(&self, problems: &mut Problems) {
        check_time(problems, "timeouts.connect", self.connect, Duration::from_secs(75));
        check_time(problems, "timeouts.read", self.read, Duration::from_secs(3600));
        check_time(problems, "timeouts.retry", self.retry, Duration::from_secs(3600));
    }
}

fn check_time(problems: &mut Problems, field: &str, time: Duration, most: Duration) {
    let holds = time >= Duration::from_millis(1) && time <= most;
    problems.check(holds, field, &format!("must be from 1 ms to {most:?}"));
}

/// The variable by whose hash a user's place is chosen.
pub(crate) fn key(service: &Name) -> Word {
    Word::variable("flowkey", service)
}

/// Gives whoever brings nothing to be known by a place of their own for each request: all of them in one place would be no share at all.
pub(crate) fn key_map(block: &mut Block, service: &Name, stickiness: &Stickiness) {
    let source = match stickiness {
        Stickiness::None => return,
        Stickiness::Cookie(name) => Word::own("$cookie_").followed_by(name),
        Stickiness::Header(name) => Word::own("$http_").followed_by(&name.replace('-', "_").to_lowercase()),
        Stickiness::Address => Word::own("$remote_addr"),
    };
    block.block("map", &[source.clone(), key(service)], |block| {
        block.directive("", &[Word::own("$request_id")]);
        block.directive("default", &[source]);
    });
}

/// The log that [`AccessLog`](crate::AccessLog) reads: nothing in it comes from a user, so no line can be forged.
pub(crate) fn log_format(block: &mut Block, service: &Name, version: Word) {
    let mut words = [
        "$msec",
        "$request_time",
        "$status",
        "$upstream_addr",
        "$upstream_status",
        "$upstream_response_time",
    ]
    .map(Word::own)
    .to_vec();
    words.push(version);
    block.directive("log_format", &[Word::name("flow_", service), Word::joined(&words, "|")]);
}

/// What a location of the user's holds, but for the directives about trying again.
pub(crate) fn location_of(block: &mut Block, to: Word, log: &Path, service: &Name, timeouts: &Timeouts) {
    block.directive("proxy_pass", &[to]);
    block.directive("proxy_http_version", &[Word::own("1.1")]);
    for (header, value) in [
        ("Connection", ""),
        ("Host", "$http_host"),
        ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
        ("X-Forwarded-Proto", "$scheme"),
    ] {
        block.directive("proxy_set_header", &[Word::own(header), Word::own(value)]);
    }
    block.directive("proxy_connect_timeout", &[Word::time("", timeouts.connect)]);
    block.directive("proxy_read_timeout", &[Word::time("", timeouts.read)]);
    block.directive("access_log", &[Word::path("", log), Word::name("flow_", service)]);
}

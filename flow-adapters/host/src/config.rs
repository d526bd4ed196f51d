use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::port::{AssetRank, Command, HostPath};
use flow_core::{Name, Problems};
use serde_json::{Value, json};

/// What common files may come as: RFC 9239 for scripts, the registry of media types for the others.
const TYPES: [(&str, &[&str]); 14] = [
    ("html", &["text/html"]),
    ("htm", &["text/html"]),
    ("css", &["text/css"]),
    ("js", &["text/javascript", "application/javascript"]),
    ("mjs", &["text/javascript", "application/javascript"]),
    ("json", &["application/json"]),
    ("wasm", &["application/wasm"]),
    ("svg", &["image/svg+xml"]),
    ("png", &["image/png"]),
    ("jpg", &["image/jpeg"]),
    ("jpeg", &["image/jpeg"]),
    ("gif", &["image/gif"]),
    ("webp", &["image/webp"]),
    ("woff2", &["font/woff2"]),
];

/// The most hosts that are worked on at a time.
const AT_ONCE_MAX: usize = 1_000;

/// What a release is on each of its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseConfig {
    /// The name of the built artefact.
    pub artifact: Name,
    /// A directory of this machine for archives on their way to the hosts.
    pub archives: PathBuf,
    /// Files and directories below `shared/` on each host that are linked into each release, at the same paths. They must stand
    /// there, and the artefact must not have them.
    pub shared: Vec<HostPath>,
    /// How dependencies are installed in a new release.
    pub install: Option<Install>,
    /// A command that changes nothing and proves a release by ending with 0. It runs in the release's directory.
    pub check: Option<Command>,
    /// How many releases stay on a host, the newest ones. More do where they are in use.
    pub keep: u32,
    /// How many hosts are worked on at a time.
    pub at_once: usize,
}

/// How dependencies are installed in a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The command. It runs in the release's directory, which has no name yet: what it makes must not name where it stands.
    pub command: Command,
    /// Where to find out that an earlier release has the same dependencies.
    pub reuse: Option<Reuse>,
}

/// When dependencies are taken over from an earlier release on the same host instead of installed: when both have the same
/// lock file and were installed by the same command.
///
/// What else decides what is installed, such as the version of Node, must stand in the command or in its variables' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// The lock file, below the release.
    pub lock: HostPath,
    /// What the command makes, below the release.
    pub made: HostPath,
}

impl ReleaseConfig {
    /// The releases of `artifact`, nothing shared, installed or checked; 5 stay, and 4 hosts are worked on at a time.
    pub fn new(artifact: Name, archives: impl Into<PathBuf>) -> Self {
        let archives = archives.into();
        Self { artifact, archives, shared: Vec::new(), install: None, check: None, keep: 5, at_once: 4 }
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.archives.is_absolute(), "archives", "must be an absolute path");
        problems.check(self.keep > 0, "keep", "must be at least 1");
        problems.check((1..=AT_ONCE_MAX).contains(&self.at_once), "at_once", "must be from 1 to 1000");
        for (field, command) in self.commands() {
            command.check(field, &mut problems);
            let own = command.directory.is_some();
            problems.check(!own, &format!("{field}.directory"), "is the release's, and cannot be another");
        }
        problems.into_result()
    }

    /// The commands, by their fields.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&'static str, &Command)> {
        let install = self.install.iter().map(|install| ("install.command", &install.command));
        install.chain(self.check.iter().map(|check| ("check", check)))
    }

    /// The parameters for a fingerprint. Where archives stand on this machine changes no deployment.
    pub(crate) fn definition(&self) -> Value {
        let reuse = self.install.as_ref().and_then(|install| install.reuse.as_ref());
        json!({
            "artifact": self.artifact,
            "shared": self.shared,
            "install": self.install.as_ref().map(|install| install.command.definition()),
            "reuse": reuse.map(|reuse| [&reuse.lock, &reuse.made]),
            "check": self.check.as_ref().map(Command::definition),
            "keep": self.keep,
            "at_once": self.at_once,
        })
    }
}

impl Install {
    /// `npm ci` within `timeout`, with its cache in `cache/npm` below the host's root: every release fills it and finds it.
    ///
    /// It installs anew in each release; see [`reusing`](Self::reusing).
    #[must_use]
    pub fn npm_ci(timeout: Duration) -> Self {
        // A release and one that is being made both stand two directories below the root.
        let args =
            ["ci", "--omit=dev", "--no-audit", "--no-fund", "--prefer-offline", "--cache", "../../cache/npm"];
        Self { command: Command::new("npm", args).timeout(timeout), reuse: None }
    }

    /// Takes what it makes at `made` over from an earlier release with the same `lock` file.
    #[must_use]
    pub fn reusing(self, lock: HostPath, made: HostPath) -> Self {
        Self { reuse: Some(Reuse { lock, made }), ..self }
    }
}

/// What readers must get of a site on a host, see [`HostAssets::served_as`](crate::HostAssets::served_as).
///
/// ```
/// use flow_core::port::AssetRank;
/// use flow_host::ServedSite;
///
/// let mut site = ServedSite::new("http://127.0.0.1:8080")
///     .with_header(AssetRank::Hashed, "Cache-Control", "immutable")
///     .with_header(AssetRank::Entry, "Cache-Control", "no-cache");
/// site.types.insert("webmanifest".to_owned(), vec!["application/manifest+json".to_owned()]);
/// assert!(site.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedSite {
    /// Where the site's root is found: at the very host, since a cache in front of it may still have what was there before.
    pub base_url: String,
    /// What comes with files.
    pub headers: Vec<ServedHeader>,
    /// The media types that a file may come as, by its extension in lower case. Of other files the type is not looked at.
    pub types: BTreeMap<String, Vec<String>>,
    /// How long one file may take.
    pub timeout: Duration,
}

/// A header that must come with every file of a rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedHeader {
    /// The rank.
    pub rank: AssetRank,
    /// The header's name, in lower case.
    pub name: String,
    /// What its value must contain.
    pub value: String,
}

impl ServedSite {
    /// A site at this URL, whose common files come as their media types, each within 30 seconds.
    pub fn new(base_url: impl Into<String>) -> Self {
        let owned = |types: &[&str]| types.iter().map(|&media_type| media_type.to_owned()).collect();
        let types = TYPES.iter().map(|(extension, types)| ((*extension).to_owned(), owned(types))).collect();
        Self { base_url: base_url.into(), headers: Vec::new(), types, timeout: Duration::from_secs(30) }
    }

    /// Demands that every file of `rank` comes with a header `name` that contains `value`.
    #[must_use]
    pub fn with_header(mut self, rank: AssetRank, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(ServedHeader { rank, name: name.to_ascii_lowercase(), value: value.into() });
        self
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let below = ["http://", "https://"].iter().find_map(|scheme| self.base_url.strip_prefix(scheme));
        let host = below.is_some_and(|below| !below.is_empty() && !below.starts_with(['/', ':']));
        problems.check(host, "base_url", "must be `http://` or `https://` and a host");
        problems.check(
            self.base_url.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte)),
            "base_url",
            "must have no query, no fragment, no user, and no character that is not one of a URL",
        );
        let token = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        };
        for (index, header) in self.headers.iter().enumerate() {
            let field = format!("headers.{index}");
            let named = !header.name.is_empty() && header.name.bytes().all(token);
            problems.check(named, &format!("{field}.name"), "must be an HTTP token in lower case");
            problems.check(
                !header.value.is_empty(),
                &format!("{field}.value"),
                "must not be empty: every header contains nothing",
            );
        }
        for (extension, types) in &self.types {
            let field = format!("types.{}", extension.escape_debug());
            let plain = !extension.is_empty()
                && !extension.contains(|letter: char| ".:/".contains(letter) || letter.is_uppercase());
            problems.check(plain, &field, "must be by an extension in lower case, without its dot");
            let media = !types.is_empty() && types.iter().all(|media_type| media_type.contains('/'));
            problems.check(media, &field, "must be media types, at least one");
        }
        problems.check(!self.timeout.is_zero(), "timeout", "must be longer than nothing");
        problems.into_result()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_with_what_readers_must_get_is_said_at_once() {
        let mut site =
            ServedSite::new("ftp://user@host/?x").with_header(AssetRank::Page, "Cache Control", "");
        site.types = [(".JS".to_owned(), vec!["script".to_owned()]), ("css".to_owned(), Vec::new())].into();
        site.timeout = Duration::ZERO;
        let problems = site.check().unwrap_err();
        let fields: Vec<&str> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "base_url",
            "base_url",
            "headers.0.name",
            "headers.0.value",
            "types..JS",
            "types..JS",
            "types.css",
            "timeout",
        ];
        assert_eq!(fields, expected);
        for host in ["http://", "https:///x", "http://:80", "//host", "http://a b", "http://a#b"] {
            assert!(ServedSite::new(host).check().is_err(), "{host}");
        }
        for host in ["http://127.0.0.1:8080", "https://shop.example/", "http://[::1]:80/app"] {
            assert!(ServedSite::new(host).check().is_ok(), "{host}");
        }
    }
}

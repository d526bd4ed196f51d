//! The Debian packages that the suite needs beside Rust and Git. The list is the only place to name one.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use crate::args::Tier;
use crate::no_services::{NoServices, PolicyError};

/// A package, the file that shows that it is installed (on the path, else by its whole path), and what needs it.
type SystemPackage = (&'static str, &'static str, &'static str);

/// What the suite needs.
const SYSTEM_PACKAGES: &[SystemPackage] = &[
    ("nginx", "nginx", "the nginx suites"),
    ("haproxy", "haproxy", "the HAProxy suites"),
    ("openssh-server", "sshd", "the SSH suites"),
    ("nodejs", "node", "the applications behind the servers, and PM2"),
    ("npm", "npm", "PM2, PostgreSQL 18 and the clients of Tencent Cloud"),
    ("postgresql-15", "/usr/lib/postgresql/15/bin/postgres", "the database suites"),
    ("pgbouncer", "pgbouncer", "the database suites"),
    ("mariadb-server-core", "mariadbd", "the database suites"),
    ("mariadb-client", "mariadb-dump", "the database suites"),
    ("sqlite3", "sqlite3", "the database suites"),
    ("libssl-dev", "/usr/include/openssl/ssl.h", "flow-tencent's feature `tencentcloud-sdk-rs`"),
    ("pkg-config", "pkg-config", "flow-tencent's feature `tencentcloud-sdk-rs`"),
    ("python3-pip", "pip3", "the clients of PostgreSQL 18 and of Tencent Cloud"),
];

/// What only the long tier needs.
const OF_THE_LONG_TIER: &[SystemPackage] = &[("caddy", "caddy", "the comparison with Caddy")];

/// Where Debian keeps servers; the path of a plain user lacks it.
const SYSTEM: &str = "/usr/sbin";

/// Why a system package is missing.
#[derive(Debug, Error)]
pub(crate) enum PackageError {
    /// `apt-get` could not be started.
    #[error("`apt-get` could not be started for {wanted}")]
    Start {
        /// What is missing, with what needs it.
        wanted: String,
        /// Why.
        source: io::Error,
    },
    /// `apt-get` refused; it has said why.
    #[error("`apt-get {verb}` ended with {status} for {wanted}")]
    Ended {
        /// What was asked of it.
        verb: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What is missing, with what needs it.
        wanted: String,
    },
    /// The packages' services would have started.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Installs what is missing for `tier`, and lets no service start; `apt-get` is not touched when nothing is missing.
pub(crate) fn ensure(tier: &Tier) -> Result<(), PackageError> {
    let missing = missing(&wanted(tier), is_on_path);
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = describe(&missing);
    println!("installing {wanted}");
    let names = missing.iter().map(|(package, ..)| *package);
    let _no_services = NoServices::forbid()?;
    apt_get("update", std::iter::empty(), &wanted)?;
    apt_get("install", names, &wanted)
}

fn wanted(tier: &Tier) -> Vec<SystemPackage> {
    let long: &[SystemPackage] = if *tier == Tier::Short { &[] } else { OF_THE_LONG_TIER };
    [SYSTEM_PACKAGES, long].concat()
}

fn missing(packages: &[SystemPackage], is_there: impl Fn(&str) -> bool) -> Vec<SystemPackage> {
    packages.iter().copied().filter(|(_, program, _)| !is_there(program)).collect()
}

fn describe(packages: &[SystemPackage]) -> String {
    let each = packages.iter().map(|(package, _, needed_by)| format!("`{package}` (for {needed_by})"));
    each.collect::<Vec<_>>().join(", ")
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain([PathBuf::from(SYSTEM)]);
    folders.any(|folder| folder.join(program).is_file())
}

fn apt_get(
    verb: &'static str,
    names: impl Iterator<Item = &'static str>,
    wanted: &str,
) -> Result<(), PackageError> {
    let mut command = Command::new("apt-get");
    command.args([verb, "--yes", "--quiet"]).args(names).stdin(Stdio::null());
    command.env("DEBIAN_FRONTEND", "noninteractive");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(PackageError::Ended { verb, status, wanted: wanted.to_owned() }),
        Err(source) => Err(PackageError::Start { wanted: wanted.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[SystemPackage] =
        &[("nginx-light", "nginx", "the nginx suite"), ("openssh-server", "sshd", "the ssh suite")];

    #[test]
    fn only_what_is_missing_is_asked_for() {
        let missing = missing(SOME, |program| program == "nginx");
        assert_eq!(describe(&missing), "`openssh-server` (for the ssh suite)");
    }

    #[test]
    fn only_the_long_tier_asks_for_caddy() {
        let asks = |tier| wanted(&tier).iter().any(|(package, ..)| *package == "caddy");
        assert!(!asks(Tier::Short) && asks(Tier::Long) && asks(Tier::LongOnly("nginx".to_owned())));
    }

    #[test]
    fn a_program_counts_as_there_when_the_path_has_it() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program-anywhere"));
    }
}

//! The world as anyone can see it who knows nothing of the deployment: databases, files, processes and answers.
//!
//! Two snapshots, one from before a deployment and one from after its rollback, tell whether all of it was taken back.

mod database;
mod files;
mod processes;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use database::DatabaseState;
use files::Entry;
use processes::Processes;
use traffic::Traffic;

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    /// Database files. One that is missing is seen as missing.
    pub(crate) databases: Vec<PathBuf>,
    /// Directories.
    pub(crate) trees: Vec<Tree>,
    /// Processes whose program or one of whose arguments lies below one of these directories.
    pub(crate) processes_below: Vec<PathBuf>,
    /// Proxies.
    pub(crate) proxies: Vec<SocketAddr>,
    /// How many requests each proxy is sent to see which versions answer.
    pub(crate) samples: u32,
}

/// A directory with what is of no interest in it.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// The directory.
    pub(crate) root: PathBuf,
    /// Paths below it that are left out, with everything below them.
    pub(crate) except: Vec<PathBuf>,
}

/// Why the world could not be seen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum OutsideError {
    /// A file, a directory or the process table could not be read.
    #[error("`{}` cannot be read", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A database could not be read.
    #[error("the database `{}` cannot be read", path.display())]
    Database {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
}

impl OutsideError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

impl Outside {
    /// Looks at everything, the answers first.
    ///
    /// # Errors
    /// [`OutsideError`] where anything that is there cannot be read.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, OutsideError> {
        let mut snapshot = Snapshot::default();
        for proxy in &self.proxies {
            snapshot.traffic.insert(*proxy, Traffic::sample(*proxy, self.samples).await);
        }
        for path in &self.databases {
            let state = DatabaseState::read(path).await;
            let state = state.map_err(|source| OutsideError::Database { path: path.clone(), source })?;
            snapshot.databases.extend(state.map(|state| (path.clone(), state)));
        }
        for tree in &self.trees {
            snapshot.files.extend(files::read(tree)?);
        }
        snapshot.processes = Processes::below(&self.processes_below)?;
        Ok(snapshot)
    }
}

/// What was seen at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    databases: BTreeMap<PathBuf, DatabaseState>,
    files: BTreeMap<PathBuf, Entry>,
    processes: Processes,
    traffic: BTreeMap<SocketAddr, Traffic>,
}

impl Snapshot {
    /// What `other`, seen later, has otherwise; nothing where the two are the same.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let paths = |path: &PathBuf| path.display().to_string();
        let mut found = Vec::new();
        for (path, before, after) in both(&self.databases, &other.databases) {
            match (before, after) {
                (Some(before), Some(after)) => found.extend(before.differences(after, &paths(path))),
                (before, after) => found.extend(changed("database", &paths(path), before, after)),
            }
        }
        for (path, before, after) in both(&self.files, &other.files) {
            found.extend(changed("file", &paths(path), before, after));
        }
        found.extend(self.processes.differences(&other.processes));
        for (proxy, before, after) in both(&self.traffic, &other.traffic) {
            let same = before.zip(after).is_some_and(|(before, after)| before.agrees_with(after));
            found.extend((!same).then(|| changed("traffic at", &proxy.to_string(), before, after)).flatten());
        }
        found
    }
}

impl Display for DatabaseState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there")
    }
}

/// Every key of the two with what each has there.
fn both<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter().map(|key| (key, before.get(key), after.get(key)))
}

/// One sentence where the two differ.
fn changed<V: PartialEq + Display>(
    what: &str,
    name: &str,
    before: Option<&V>,
    after: Option<&V>,
) -> Option<String> {
    match (before, after) {
        (Some(before), Some(after)) if before == after => None,
        (Some(before), Some(after)) => Some(format!("{what} `{name}`: {before} before, {after} after")),
        (Some(before), None) => Some(format!("{what} `{name}` is gone: {before} before")),
        (None, Some(after)) => Some(format!("{what} `{name}` is new: {after}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;

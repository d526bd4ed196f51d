//! The links of one service.
//!
//! ```text
//! DIRECTORY/live                    a link to `tables/ID`: the one thing that a switch changes, by one rename
//! DIRECTORY/tables/ID/00.sock ..    a link for each place to the socket of a version
//! DIRECTORY/tables/ID/routing.json  which version is which; ID is the digest of this file
//! DIRECTORY/history.json            when which place led where, and where traffic went before
//! DIRECTORY/noted.json              the same, while a switch is under way
//! DIRECTORY/.history.json.new       the same, where a loss of power took the rename behind it
//! ```
//!
//! nginx connects to `DIRECTORY/live/00.sock`. All places move at once, and no crash can leave some of them behind.

mod local;
mod remote;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use flow_core::port::Host;
use flow_core::{Permit, StepError};

use crate::client::files::Lock;
use crate::history::History;
pub(crate) use local::history;
use remote::Remote;

/// The directory of a service's links, on this machine or on another.
#[derive(Debug, Clone)]
pub(crate) enum Links {
    Local(PathBuf),
    Remote(Remote),
}

/// A table as it stands: its text, and where its places lead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) text: Vec<u8>,
    pub(crate) targets: Vec<Option<PathBuf>>,
}

/// A table that is to be in force.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) wanted: Standing,
}

impl Change {
    /// The error where the table is not what was laid.
    fn missing(&self) -> StepError {
        StepError::in_doubt("the table that was laid is not there").fact("table", &self.id)
    }

    /// How many places it has.
    fn places(&self) -> u8 {
        u8::try_from(self.wanted.targets.len()).unwrap_or(u8::MAX)
    }
}

impl Links {
    pub(crate) fn remote(directory: &Path, host: Arc<dyn Host>, root: &Path) -> Self {
        Self::Remote(Remote::new(directory, host, root))
    }

    /// Keeps other routers of this machine away until it is dropped. On another machine only the run's lease does.
    pub(crate) async fn lock(&self) -> Result<Option<Lock>, StepError> {
        match self {
            Self::Local(directory) => local::run(directory, local::lock).await.map(Some),
            Self::Remote(_) => Ok(None),
        }
    }

    /// The table in force: its id, and what stands there, which somebody may have removed; none where there never was one.
    pub(crate) async fn live(&self, places: u8) -> Result<Option<(String, Option<Standing>)>, StepError> {
        match self {
            Self::Local(directory) => {
                local::run(directory, move |directory| {
                    let Some(id) = local::live(directory)? else { return Ok(None) };
                    Ok(Some((id.clone(), local::table(directory, &id, places)?)))
                })
                .await
            }
            Self::Remote(remote) => {
                let Some(id) = remote.live().await? else { return Ok(None) };
                Ok(Some((id.clone(), remote.table(&id, places).await?)))
            }
        }
    }

    /// Makes sure that the table of a change stands, notes the history that it begins, and puts the table in force by one rename. Gives the id
    /// of the one that was found in force then. What stands already is not laid again: the way back waits for no disk.
    ///
    /// An error from the rename on is one after an effect; before it nothing is in force that was not.
    pub(crate) async fn switch(
        &self,
        permit: &Permit,
        change: Change,
        history: &History,
    ) -> Result<Option<String>, StepError> {
        match self {
            // In one piece: each of these is shorter than the way to another thread and back.
            Self::Local(directory) => {
                let noted = history.written()?;
                local::run(directory, move |directory| local::change(directory, &change, &noted)).await
            }
            Self::Remote(remote) => remote.change(permit, &change, history).await,
        }
    }

    /// Removes all tables but `kept`.
    pub(crate) async fn clear(&self, permit: &Permit, kept: &[String]) -> Result<(), StepError> {
        match self {
            Self::Local(directory) => {
                let kept = kept.to_vec();
                local::run(directory, move |directory| local::clear(directory, &kept)).await
            }
            Self::Remote(remote) => remote.clear(permit, kept).await,
        }
    }

    /// What is remembered; nothing where nothing ever was.
    pub(crate) async fn history(&self) -> Result<History, StepError> {
        match self {
            Self::Local(directory) => local::run(directory, history).await,
            Self::Remote(remote) => remote.history().await,
        }
    }

    /// Remembers what is written behind a switch, and makes both outlive a loss of power.
    pub(crate) async fn remember(&self, permit: &Permit, history: &History) -> Result<(), StepError> {
        match self {
            Self::Local(directory) => {
                let text = history.written()?;
                local::run(directory, move |directory| local::remember(directory, &text)).await
            }
            Self::Remote(remote) => remote.remember(permit, history).await,
        }
    }
}

/// Where a link in `directory` leads, by its text alone.
fn resolved(directory: &Path, target: &Path) -> PathBuf {
    let mut path = if target.is_absolute() { PathBuf::from("/") } else { directory.to_owned() };
    for part in target.components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path
}

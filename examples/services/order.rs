//! What is being deployed, kept beside the journal: whoever resumes a run must know what it was to do.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flow_core::{Digest, Name, RunId};
use serde::{Deserialize, Serialize};

/// A deployment that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// The run that carries it out.
    pub(crate) run: RunId,
    /// The release, as people call it.
    pub(crate) release: String,
    /// The version that the service then runs: two releases of one name differ in their content.
    pub(crate) version: Name,
    /// The digest of the release's files.
    pub(crate) digest: Digest,
    /// The directory that the release is taken from.
    pub(crate) directory: PathBuf,
    /// The order before it, whose colour is kept warm until this one begins.
    pub(crate) earlier: Option<Box<Order>>,
}

/// The file that holds the latest order.
#[derive(Debug, Clone)]
pub(crate) struct Orders(PathBuf);

impl Orders {
    pub(crate) fn beside(journal: &Path) -> Self {
        let mut name = journal.as_os_str().to_owned();
        name.push(".order");
        Self(name.into())
    }

    pub(crate) fn latest(&self) -> Result<Option<Order>> {
        match std::fs::read(&self.0) {
            Ok(text) => Ok(Some(
                serde_json::from_slice(&text)
                    .with_context(|| format!("`{}` is no order", self.0.display()))?,
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("`{}`", self.0.display())),
        }
    }

    /// Durable before the run begins.
    pub(crate) fn keep(&self, order: &Order) -> Result<()> {
        let beside = self.0.with_extension("order.new");
        let mut file = File::create(&beside).with_context(|| format!("`{}`", beside.display()))?;
        file.write_all(&serde_json::to_vec(order)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.0)?;
        let directory = self.0.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?)
    }
}

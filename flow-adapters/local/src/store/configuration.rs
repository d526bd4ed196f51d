//! Configuration files in a directory.

use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_core::{ErrorKind, Name, Permit, StepError};

use super::blocking::{change, look};
use super::directory::{Directory, Readers};

/// The largest configuration: 1 MiB.
const LIMIT: u64 = 1 << 20;

/// Keeps each configuration as the file `<root>/<name>`, readable by its owner alone.
///
/// A configuration may hold secrets, so no error shows its content.
#[derive(Debug, Clone)]
pub struct DirectoryConfiguration {
    root: PathBuf,
}

impl DirectoryConfiguration {
    /// A store in the directory `root`, which is made with the first configuration.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl ConfigurationStore for DirectoryConfiguration {
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError> {
        let (root, name) = (self.root.clone(), name.clone());
        look(move || match Directory::find(&root)? {
            Some(root) => root.read(name.as_str(), LIMIT),
            None => Ok(None),
        })
        .await
    }

    async fn write(&self, permit: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError> {
        let size = content.as_ref().map_or(0, Vec::len);
        if u64::try_from(size).unwrap_or(u64::MAX) > LIMIT {
            return Err(StepError::new(ErrorKind::Invalid, "the configuration is larger than its limit")
                .fact("name", name)
                .fact("limit", LIMIT));
        }
        let name = name.clone();
        change(permit, &self.root, Readers::Owner, move |root, _| {
            // Reading first refuses a link or a directory under the name, which a rename or a removal would not.
            let found = root.read(name.as_str(), LIMIT)?;
            match content {
                Some(content) if found.as_ref() == Some(&content) => Ok(()),
                Some(content) => root.replace(name.as_str(), &content, Readers::Owner),
                None => root.remove_file(name.as_str()),
            }
        })
        .await
    }
}

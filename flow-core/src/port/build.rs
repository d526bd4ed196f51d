use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::receipt::Artifact;

/// Which code is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRequest {
    /// The tag that must point to the commit.
    pub tag: String,
}

/// Which code was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceVersion {
    /// The commit, as the source prints it.
    pub commit: String,
    /// The tag that points to it.
    pub tag: String,
    /// Where the checked-out tree stands.
    pub tree: PathBuf,
}

/// Where code comes from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Finds the commit that `request` names and that its tree is clean, without changing anything.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) without the tag, [`Conflict`](crate::ErrorKind::Conflict) for a dirty tree.
    async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError>;

    /// Lays the tree of exactly that commit at [`SourceVersion::tree`]. A tree that already stands there is checked,
    /// not trusted.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); and [`Conflict`](crate::ErrorKind::Conflict) where the tag has moved.
    async fn check_out(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError>;
}

/// What a build gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// The artefacts by name, each standing whole in its `releases/<sha256>/`.
    pub artifacts: BTreeMap<Name, Artifact>,
    /// The last lines of the build's output.
    pub log: String,
}

/// Builds code and keeps what it built, pinned by digest.
#[async_trait]
pub trait Builder: Send + Sync {
    /// Says what the build would run, as an argument list a line.
    fn describe(&self) -> Vec<String>;

    /// The artefacts that an earlier build of this commit left, if all of them stand whole.
    ///
    /// # Errors
    /// Any kind where they cannot be read.
    async fn find(&self, version: &SourceVersion) -> Result<Option<Built>, StepError>;

    /// Builds the tree and keeps the artefacts, hashed while they are copied.
    ///
    /// # Errors
    /// [`Failed`](crate::ErrorKind::Failed) with the end of the output when the build itself fails.
    async fn build(&self, permit: &Permit, version: &SourceVersion) -> Result<Built, StepError>;

    /// Removes kept artefacts; ones that are not there are done.
    ///
    /// # Errors
    /// Any kind where one still stands.
    async fn discard(&self, permit: &Permit, digests: &[Digest]) -> Result<(), StepError>;
}

/// Keeps an environment's configuration file.
#[async_trait]
pub trait ConfigurationStore: Send + Sync {
    /// The configuration in force under `name`; none where there is none.
    ///
    /// # Errors
    /// Any kind where it cannot be read.
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError>;

    /// Replaces it, to the byte, so that a reader sees the old one or the new one whole; `None` removes it, and one that is
    /// not there is done.
    ///
    /// # Errors
    /// Any kind; the old one then stands. None shows a configuration.
    async fn write(&self, permit: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError>;
}

/// Builds container images and keeps them in a registry.
#[async_trait]
pub trait ImageRegistry: Send + Sync {
    /// The digest that `reference` has in the registry; none where it has no such image.
    ///
    /// # Errors
    /// Any kind where the registry cannot be asked.
    async fn find(&self, reference: &str) -> Result<Option<Digest>, StepError>;

    /// Builds the image from the tree, pushes it, and returns the digest that the registry then has for it.
    ///
    /// # Errors
    /// Any kind; see [`StepError`].
    async fn push(&self, permit: &Permit, tree: &SourceVersion, reference: &str)
    -> Result<Digest, StepError>;
}

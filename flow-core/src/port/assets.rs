use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;

/// One file of a site: what it is named on the site, and its content's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetFile {
    /// The digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// All files of a site by their path below its root.
pub type Manifest = BTreeMap<String, AssetFile>;

/// Keeps a site's static files.
///
/// An implementation proves itself with `flow_testkit::assets_conformance!`.
#[async_trait]
pub trait AssetStore: Send + Sync {
    /// The store, as a resource that no other run may touch meanwhile.
    fn resource(&self) -> Name;

    /// Reads the files of a site that is to be deployed.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for links, unreadable files and paths that leave the directory, with all of them;
    /// [`NotFound`](crate::ErrorKind::NotFound) without the directory.
    async fn read(&self, directory: &Path) -> Result<Manifest, StepError>;

    /// The files that the store serves now.
    ///
    /// # Errors
    /// Any kind where they cannot be listed.
    async fn serving(&self) -> Result<Manifest, StepError>;

    /// Puts the files of `directory` in force: content-hashed ones first, entry pages last, so that no reader meets a
    /// page whose assets are missing. Files of earlier releases stay. Before a file is overwritten its content is kept.
    /// A cancelled call stops between two files.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) where the directory no longer matches `manifest`, and
    /// [`Invalid`](crate::ErrorKind::Invalid) for paths that leave the site, with all of them: no file was touched then.
    async fn put(&self, permit: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError>;

    /// Serves `before` again, from kept content, entry pages last, and removes what came after it, also where a
    /// [`put`](Self::put) ended half-way. `before` is what the site [served](Self::serving) as a whole once.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when kept content is missing, and
    /// [`Invalid`](crate::ErrorKind::Invalid) as [`put`](Self::put): no file was touched then.
    async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError>;
}

/// What a domain's name and certificate look like from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainReport {
    /// The domain.
    pub domain: String,
    /// Whether all is as it must be.
    pub holds: bool,
    /// What was found, in words.
    pub found: String,
}

/// A cache in front of a site.
///
/// An implementation proves itself with `flow_testkit::cdn_conformance!`.
#[async_trait]
pub trait Cdn: Send + Sync {
    /// Makes the cache forget `paths`, which are those of the site's [`Manifest`]: readers then meet what the site has, or
    /// has no longer. Returns when it has. Repeated under the same key it purges again: a cache may have filled in between.
    /// No path at all is never every path.
    ///
    /// # Errors
    /// [`Throttled`](crate::ErrorKind::Throttled) when a quota is used up; [`Invalid`](crate::ErrorKind::Invalid) for paths
    /// that leave the site, with nothing purged.
    async fn purge(&self, permit: &Permit, paths: &[String]) -> Result<(), StepError>;

    /// Looks at the site's domain: name resolution, certificate, origin. A broken domain is an answer that does not hold.
    ///
    /// # Errors
    /// Any kind where it cannot be looked at.
    async fn domain(&self) -> Result<DomainReport, StepError>;
}

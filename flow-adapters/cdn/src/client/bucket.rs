use std::collections::BTreeMap;

use flow_core::port::{AssetFile, HostPath};
use flow_core::{CancelToken, Digest, ErrorKind, StepError};
use flow_tencent::{Cos, Failure, Listed, ObjectKey};
use sha2::{Digest as _, Sha256};

/// The directory of a site's own bookkeeping. It is never part of a manifest.
const RESERVED: &str = ".flow";

/// Behind all bookkeeping, whose names begin with letters.
const BEHIND: &str = ".flow/~";

/// More than a manifest should have.
const FILES_MAX: usize = 500_000;

/// How often an object whose transfer breaks is read.
const READS: u32 = 3;

/// The objects of one site.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(super) cos: Cos,
    prefix: String,
}

impl Bucket {
    pub(crate) const fn new(cos: Cos, prefix: String) -> Self {
        Self { cos, prefix }
    }

    /// The same site, whose calls stop when `token` is cancelled.
    pub(crate) fn until(&self, token: &CancelToken) -> Self {
        Self { cos: self.cos.until(token), prefix: self.prefix.clone() }
    }

    /// What forbids `path` on this site, if anything.
    pub(crate) fn refuses(&self, path: &str) -> Option<String> {
        if HostPath::new(path).is_err() {
            return Some("is not a plain relative path below the site".to_owned());
        }
        if path.split('/').any(|part| part == RESERVED) {
            return Some("reaches into the bookkeeping of this site, or of one below it".to_owned());
        }
        if path < BEHIND {
            return Some("sorts before `.flow/`, where no listing looks for files".to_owned());
        }
        let refused = ObjectKey::new(format!("{}{path}", self.prefix)).err()?;
        Some(format!("cannot be a key: {refused}"))
    }

    /// The key of a file.
    pub(super) fn key(&self, path: &str) -> Result<ObjectKey, StepError> {
        Ok(ObjectKey::new(format!("{}{path}", self.prefix))?)
    }

    /// The key of a piece of bookkeeping.
    pub(super) fn own(&self, name: &str) -> Result<ObjectKey, StepError> {
        Ok(ObjectKey::new(format!("{}{RESERVED}/{name}", self.prefix))?)
    }

    /// All files of the site by path. Objects that no file can be, as those that stand for folders, are passed over.
    ///
    /// The listing begins behind the bookkeeping: what is kept there costs no page.
    pub(crate) async fn list(&self) -> Result<BTreeMap<String, Listed>, StepError> {
        let mut files = BTreeMap::new();
        let mut after = format!("{}{BEHIND}", self.prefix);
        loop {
            let page = self.cos.list(&self.prefix, Some(&after)).await?;
            for object in page.objects {
                let path = object.key.strip_prefix(&self.prefix).map(str::to_owned);
                if let Some(path) = path.filter(|path| self.refuses(path).is_none()) {
                    files.insert(path, object);
                }
            }
            if files.len() > FILES_MAX {
                return Err(StepError::new(
                    ErrorKind::Invalid,
                    "the site has more files than a manifest takes",
                )
                .fact("most", FILES_MAX));
            }
            match page.next {
                Some(next) => after = next,
                None => return Ok(files),
            }
        }
    }

    /// Reads a file whole to know its content.
    pub(crate) async fn content(&self, path: &str, listed: &Listed) -> Result<AssetFile, StepError> {
        self.hashed(&self.key(path)?, &listed.etag).await.map_err(|error| error.fact("path", path))
    }

    /// Reads an object whole, which must have this `ETag`. A transfer that breaks is begun anew.
    pub(super) async fn hashed(&self, key: &ObjectKey, etag: &str) -> Result<AssetFile, StepError> {
        let mut read = 1;
        loop {
            match self.hashed_once(key, etag).await {
                Err(Broken::Passing(_)) if read < READS => read += 1,
                Err(Broken::Passing(error) | Broken::For(error)) => return Err(error),
                Ok(file) => return Ok(file),
            }
        }
    }

    async fn hashed_once(&self, key: &ObjectKey, etag: &str) -> Result<AssetFile, Broken> {
        let mut download = self.cos.get(key).await.map_err(|error| Broken::For(error.into()))?;
        if download.meta().stored.etag != etag {
            return Err(Broken::For(StepError::new(
                ErrorKind::Conflict,
                "the object changed while it was looked at",
            )));
        }
        let (mut hasher, mut bytes) = (Sha256::new(), 0_u64);
        loop {
            match download.piece().await {
                Ok(Some(piece)) => {
                    hasher.update(&piece);
                    bytes = bytes.saturating_add(piece.len() as u64);
                }
                Ok(None) => {
                    return Ok(AssetFile { digest: Digest::from_bytes(hasher.finalize().into()), bytes });
                }
                Err(error) if error.failure() == Failure::Transient => {
                    return Err(Broken::Passing(error.into()));
                }
                Err(error) => return Err(Broken::For(error.into())),
            }
        }
    }

    /// Removes a file. One that is not there is done.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), StepError> {
        let removed = self.cos.delete(&self.key(path)?).await;
        removed.map_err(|error| StepError::from(error).fact("path", path))
    }
}

/// Why an object was not read.
enum Broken {
    Passing(StepError),
    For(StepError),
}

use flow_core::port::AssetFile;
use flow_core::{ErrorKind, StepError};
use flow_tencent::{Listed, ObjectKey, Stored};

use super::bucket::Bucket;
use super::record::Contents;

/// Kept content, and whether it can be brought back.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is what it should be; its `ETag`.
    Whole(String),
    /// It is not, for a reason.
    Wrong(ErrorKind, String),
}

impl Bucket {
    /// Keeps the content of a file that is about to go, by a copy on the server, if it is not kept yet.
    ///
    /// [`ErrorKind::Conflict`] where the file is no longer as it was listed.
    pub(crate) async fn keep(&self, path: &str, listed: &Listed, file: &AssetFile) -> Result<(), StepError> {
        let (from, to) = (self.key(path)?, self.kept_key(file)?);
        let named = |error: flow_tencent::ApiError| StepError::from(error).fact("path", path);
        let found = self.cos.find(&to).await.map_err(named)?;
        if found.is_some_and(|kept| kept.length == listed.length && kept.stored.etag == listed.etag) {
            return Ok(());
        }
        let copy = self.cos.copy(&from, &to).await.map_err(named)?;
        if copy.etag != listed.etag && !self.is_copy(&from, &to, &listed.etag).await? {
            return Err(StepError::new(ErrorKind::Conflict, "a file of the site changed meanwhile")
                .fact("path", path));
        }
        Ok(())
    }

    /// Looks whether the content `file` is kept. What its `ETag` does not tell is read.
    pub(crate) async fn kept(&self, file: &AssetFile, known: &Contents) -> Result<Kept, StepError> {
        let key = self.kept_key(file)?;
        let Some(meta) = self.cos.find(&key).await? else {
            return Ok(Kept::Wrong(ErrorKind::NotFound, format!("its content {} is not kept", file.digest)));
        };
        let etag = meta.stored.etag;
        let same = meta.length == file.bytes
            && (known.get(&etag) == Some(file) || self.hashed(&key, &etag).await? == *file);
        if same {
            return Ok(Kept::Whole(etag));
        }
        Ok(Kept::Wrong(ErrorKind::Conflict, format!("its kept content {} was changed", file.digest)))
    }

    /// Serves kept content, which has this `ETag`, at `path` again; gives the file's `ETag`.
    pub(crate) async fn bring_back(
        &self,
        path: &str,
        file: &AssetFile,
        etag: &str,
    ) -> Result<String, StepError> {
        let (from, to) = (self.kept_key(file)?, self.key(path)?);
        let copy = self.cos.copy(&from, &to).await;
        let Stored { etag: copied, .. } = copy.map_err(|error| StepError::from(error).fact("path", path))?;
        if copied != etag && !self.is_copy(&from, &to, etag).await? {
            return Err(StepError::in_doubt("a file is not served as it was kept").fact("path", path));
        }
        Ok(copied)
    }

    /// Whether two objects whose `ETag`s differ are the same: one that was uploaded in parts has no MD5, and its copy may.
    async fn is_copy(&self, from: &ObjectKey, to: &ObjectKey, etag: &str) -> Result<bool, StepError> {
        let (from, to) = (self.cos.head(from).await?, self.cos.head(to).await?);
        let (crc64, copied) = (from.stored.crc64, to.stored.crc64);
        Ok(from.stored.etag == etag && from.length == to.length && crc64.is_some() && crc64 == copied)
    }

    fn kept_key(&self, file: &AssetFile) -> Result<ObjectKey, StepError> {
        self.own(&format!("kept/{}", file.digest.hex()))
    }
}

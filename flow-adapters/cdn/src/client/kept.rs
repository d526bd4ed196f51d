use flow_core::port::AssetFile;
use flow_core::{ErrorKind, StepError};
use flow_tencent::{Attributes, Listed, ObjectKey, ObjectMeta, Stored};

use super::bucket::Bucket;
use super::record::Contents;

/// Kept content, and whether it can be brought back.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is what it should be, and what the storage tells of it.
    Whole(ObjectMeta),
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
        let source = Stored { etag: listed.etag.clone(), ..Stored::default() };
        self.cos.copy(&from, &source, &to).await.map_err(named)?;
        Ok(())
    }

    /// Looks whether the content `file` is kept. What its `ETag` does not tell is read.
    pub(crate) async fn kept(&self, file: &AssetFile, known: &Contents) -> Result<Kept, StepError> {
        let key = self.kept_key(file)?;
        let Some(meta) = self.cos.find(&key).await? else {
            return Ok(Kept::Wrong(ErrorKind::NotFound, format!("its content {} is not kept", file.digest)));
        };
        let etag = &meta.stored.etag;
        let same = meta.length == file.bytes
            && (known.get(etag) == Some(file) || self.hashed(&key, etag).await? == *file);
        if same {
            return Ok(Kept::Whole(meta));
        }
        Ok(Kept::Wrong(ErrorKind::Conflict, format!("its kept content {} was changed", file.digest)))
    }

    /// Serves what is kept of a file at `path` again; gives its `ETag` there.
    ///
    /// Content is kept once, however many files had it: its type and its age are those of `path`, not of the file that it was kept of.
    pub(crate) async fn bring_back(
        &self,
        path: &str,
        file: &AssetFile,
        kept: &ObjectMeta,
        attributes: Attributes,
    ) -> Result<String, StepError> {
        let attributes = Attributes {
            content_type: attributes.content_type,
            cache_control: attributes.cache_control,
            ..kept.attributes.clone()
        };
        let other = (attributes != kept.attributes).then_some(&attributes);
        let copied = self.cos.copy_as(&self.kept_key(file)?, &kept.stored, &self.key(path)?, other).await;
        Ok(copied.map_err(|error| StepError::from(error).fact("path", path))?.etag)
    }

    fn kept_key(&self, file: &AssetFile) -> Result<ObjectKey, StepError> {
        self.own(&format!("kept/{}", file.digest.hex()))
    }
}

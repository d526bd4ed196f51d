use std::path::PathBuf;

use flow_core::{CancelToken, ErrorKind, StepError};
use flow_tencent::Attributes;

use super::bucket::Bucket;
use super::files::{LocalFile, off_thread, open};

impl Bucket {
    /// Puts a file of this machine in force; gives its `ETag`. What it held when it was last looked at must be what is served.
    pub(crate) async fn upload(
        &self,
        path: &str,
        from: PathBuf,
        local: &LocalFile,
        attributes: &Attributes,
    ) -> Result<String, StepError> {
        let file = off_thread(&CancelToken::new(), move |_| {
            open(&from).map_err(|error| {
                let why = StepError::new(ErrorKind::Conflict, "the file can no longer be read");
                why.fact("file", from.display()).because(error)
            })
        })
        .await?;
        let stored = self.cos.put_file(&self.key(path)?, file, attributes).await;
        let stored = stored.map_err(|error| StepError::from(error).fact("path", path))?;
        if local.digests.agree(None, &stored.etag, stored.crc64) == Some(false) {
            return Err(StepError::in_doubt("the file changed while it was uploaded").fact("path", path));
        }
        Ok(stored.etag)
    }
}

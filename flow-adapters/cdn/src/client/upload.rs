use std::io::Read as _;
use std::path::PathBuf;

use flow_core::{CancelToken, ErrorKind, StepError};
use flow_tencent::{Attributes, Digests};

use super::bucket::Bucket;
use super::files::{LocalFile, off_thread, open};

/// A file of no more than this goes in one piece, which is looked at before it is sent.
const PIECE: u64 = 2 << 20;

impl Bucket {
    /// Puts a file of this machine in force; gives its `ETag`. What it held when it was last looked at must be what is served.
    pub(crate) async fn upload(
        &self,
        path: &str,
        from: PathBuf,
        local: &LocalFile,
        attributes: &Attributes,
    ) -> Result<String, StepError> {
        let (key, small) = (self.key(path)?, local.digests.length <= PIECE);
        let (file, content) = off_thread(&CancelToken::new(), move |_| {
            let read = || {
                let (file, mut content) = (open(&from)?, Vec::new());
                if small {
                    // One byte more than there may be: what grew is seen.
                    (&file).take(PIECE + 1).read_to_end(&mut content)?;
                }
                Ok((file, content))
            };
            read().map_err(|error: std::io::Error| {
                let why = StepError::new(ErrorKind::Conflict, "the file can no longer be read");
                why.fact("file", from.display()).because(error)
            })
        })
        .await?;
        let stored = if small {
            if Digests::of(&content) != local.digests {
                let why = "the file changed after it was read";
                return Err(StepError::new(ErrorKind::Conflict, why).fact("path", path));
            }
            self.cos.put(&key, content.into(), attributes).await
        } else {
            self.cos.put_file(&key, file, attributes).await
        };
        let stored = stored.map_err(|error| StepError::from(error).fact("path", path))?;
        if local.digests.agree(None, &stored.etag, stored.crc64) == Some(false) {
            return Err(StepError::in_doubt("the file changed while it was uploaded").fact("path", path));
        }
        Ok(stored.etag)
    }
}

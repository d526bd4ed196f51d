use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use flow_core::CancelToken;
use futures::FutureExt as _;
use reqwest::Method;

use super::call::Call;
use super::client::{Cos, error};
use super::digest::{Digester, Digests};
use super::key::ObjectKey;
use super::multipart::{PARTS_MAX, Part, Upload};
use super::object::{Attributes, Stored};
use crate::{ApiError, Failure, Nature};

/// What of a file is in memory at a time, but for 64 KiB. A file of no more than this is one request.
const PIECE: u64 = 2 << 20;

impl Cos {
    /// Writes a file as an object, over any other of that key, with 2 MiB of it in memory at a time (more from 20 GB on). Safe to repeat:
    /// parts that an earlier call with the same attributes stored and that are still what the file holds are not sent again. The last
    /// upload of that key that is found otherwise is given up.
    ///
    /// # Errors
    /// Those of [`put`](Self::put), [`put_part`](Self::put_part) and [`complete_upload`](Self::complete_upload); [`Failure::Invalid`]
    /// where the file cannot be read. A file that is changed meanwhile ends as [`Failure::Damaged`], and no object is made of it. What
    /// would be a refusal is [`Failure::InDoubt`] once an upload has begun: it stands, and the next call goes on with it.
    pub async fn put_file(
        &self,
        key: &ObjectKey,
        file: File,
        attributes: &Attributes,
    ) -> Result<Stored, ApiError> {
        let content = Content { file: Arc::new(file), key: key.clone() };
        let length = content.length().await?;
        if length <= PIECE {
            // One byte more than there may be: what grew is seen.
            let piece = content.piece(0, PIECE + 1).await?;
            if piece.len() as u64 != length {
                return Err(changed());
            }
            return self.put(key, piece, attributes).await;
        }
        let whole = content.digests(self.cancelled()).await?;
        let size = part_size(whole.length, attributes);
        let known = self.uploads_of(key).await?;
        let Some(found) = known.last() else {
            let id = self.begin_beside(&known, key, attributes).await?;
            let stored = self.fill(&content, &id, size, &whole, Vec::new()).await;
            return stored.map_err(ApiError::after_effect);
        };
        let there = self.parts(key, &found.id).await?;
        let resumed = async {
            if there.iter().any(|part| part.length == size) {
                let stored = self.fill(&content, &found.id, size, &whole, there).await?;
                // Other attributes give parts of this length once in 65,536 times.
                if attributes.are_kept_by(&self.head(key).await?.attributes) {
                    return Ok(stored);
                }
            } else {
                // Completed, it might be served otherwise than asked.
                self.abort_upload(key, &found.id).await?;
            }
            let id = self.begin_beside(&known, key, attributes).await?;
            self.fill(&content, &id, size, &whole, Vec::new()).await
        };
        resumed.await.map_err(ApiError::after_effect)
    }

    async fn uploads_of(&self, key: &ObjectKey) -> Result<Vec<Upload>, ApiError> {
        let mut found = self.uploads(key.as_str()).await?;
        found.retain(|upload| upload.key == key.as_str());
        Ok(found)
    }

    /// Begins an upload beside the `known` ones. Where the answer is lost, another than these is it.
    async fn begin_beside(
        &self,
        known: &[Upload],
        key: &ObjectKey,
        attributes: &Attributes,
    ) -> Result<String, ApiError> {
        let call = Call::new("POST uploads", Method::POST, Nature::Writes);
        let write = || async { Ok(self.begin_upload(key, attributes).await?.id) }.boxed();
        let look = || {
            async {
                let mut found = self.uploads_of(key).await?.into_iter();
                let other = |upload: &Upload| known.iter().all(|known| known.id != upload.id);
                Ok(found.rfind(other).map(|upload| upload.id))
            }
            .boxed()
        };
        self.settle(&call, write, look).await
    }

    /// Uploads the parts that are not `there`, and completes the upload.
    async fn fill(
        &self,
        content: &Content,
        id: &str,
        size: u64,
        whole: &Digests,
        there: Vec<Part>,
    ) -> Result<Stored, ApiError> {
        let mut there: BTreeMap<_, _> = there.into_iter().map(|part| (part.number, part)).collect();
        let (mut parts, mut taken) = (Vec::new(), Digester::new());
        let (mut offset, mut number) = (0, 1);
        while offset < whole.length {
            let piece = content.piece(offset, size).await?;
            if piece.is_empty() {
                break;
            }
            taken.update(&piece);
            let same =
                |part: &Part| Digests::of(&piece).agree(Some(part.length), &part.etag, None) == Some(true);
            parts.push(match there.remove(&number).filter(same) {
                Some(part) => part,
                None => self.put_part(&content.key, id, number, piece).await?,
            });
            (offset, number) = (offset + size, number + 1);
        }
        if taken.finish() != *whole {
            return Err(changed());
        }
        self.complete_upload(&content.key, id, &parts, whole).await
    }
}

/// How long the parts are. An upload that stands tells its parts' lengths and not how its object will be served: so these differ with that.
fn part_size(length: u64, attributes: &Attributes) -> u64 {
    let mut digester = Digester::new();
    for (name, value) in attributes.headers() {
        digester.update(format!("{name}:{value}\n").as_bytes());
    }
    PIECE.max(length.div_ceil(u64::from(PARTS_MAX))) + digester.finish().crc64 % (64 << 10)
}

/// A file that is read piece by piece, away from the threads that wait.
struct Content {
    file: Arc<File>,
    key: ObjectKey,
}

impl Content {
    async fn length(&self) -> Result<u64, ApiError> {
        self.blocking(|file| file.metadata().map(|metadata| metadata.len())).await
    }

    /// At most `size` bytes from `offset` on.
    async fn piece(&self, offset: u64, size: u64) -> Result<Bytes, ApiError> {
        self.blocking(move |file| read(file, offset, size)).await
    }

    async fn digests(&self, cancel: &CancelToken) -> Result<Digests, ApiError> {
        let cancel = cancel.clone();
        let whole = move |file: &File| {
            let mut digester = Digester::new();
            let mut offset = 0;
            while !cancel.is_cancelled() {
                let piece = read(file, offset, PIECE)?;
                if piece.is_empty() {
                    return Ok(Some(digester.finish()));
                }
                digester.update(&piece);
                offset += piece.len() as u64;
            }
            Ok(None)
        };
        let digests = self.blocking(whole).await?;
        digests.ok_or_else(|| failed(Failure::Cancelled, "it was asked to stop"))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let file = Arc::clone(&self.file);
        let ended = tokio::task::spawn_blocking(move || work(&file)).await;
        let unreadable = failed(Failure::Invalid, "the file cannot be read");
        match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(reason)) => Err(unreadable.because(reason)),
            Err(reason) => Err(unreadable.because(reason)),
        }
    }
}

fn changed() -> ApiError {
    failed(Failure::Damaged, "the file was changed while it was read")
}

fn failed(failure: Failure, message: &'static str) -> ApiError {
    error(&Call::new("PUT file", Method::PUT, Nature::Writes), failure, message)
}

fn read(file: &File, offset: u64, size: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let mut filled = 0;
    while let Some(free) = piece.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read_at(free, offset + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    // A small file keeps no large buffer.
    piece.shrink_to_fit();
    Ok(Bytes::from(piece))
}

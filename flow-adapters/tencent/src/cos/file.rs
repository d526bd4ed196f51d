use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;

use super::call::Call;
use super::client::{Cos, error};
use super::digest::{Digester, Digests};
use super::key::ObjectKey;
use super::multipart::{PARTS_MAX, Part};
use super::object::{Attributes, Stored};
use crate::{ApiError, Failure, Nature};

/// What of a file is in memory at a time. A file of no more than this is one request.
const PIECE: u64 = 2 << 20;

impl Cos {
    /// Writes a file as an object, over any other of that key, with 2 MiB of it in memory at a time (more from 20 GB on). Safe to repeat:
    /// parts that an earlier call stored and that are still what the file holds are not sent again.
    ///
    /// # Errors
    /// Those of [`put`](Self::put), [`put_part`](Self::put_part) and [`complete_upload`](Self::complete_upload); [`Failure::Invalid`]
    /// where the file cannot be read. A file that is changed meanwhile ends as [`Failure::Damaged`]. What would be a refusal is
    /// [`Failure::InDoubt`] once an upload has begun: it stands, and the next call goes on with it.
    pub async fn put_file(
        &self,
        key: &ObjectKey,
        file: File,
        attributes: &Attributes,
    ) -> Result<Stored, ApiError> {
        let content = Content { file: Arc::new(file), key: key.clone() };
        let length = content.length().await?;
        if length <= PIECE {
            return self.put(key, content.piece(0, PIECE).await?, attributes).await;
        }
        let whole = content.digests().await?;
        let found = self.uploads(key.as_str()).await?.into_iter().rfind(|upload| upload.key == key.as_str());
        let Some(begun) = found else {
            let upload = self.begin_upload(key, attributes).await?;
            let stored = self.fill(&content, &upload.id, &whole, Vec::new()).await;
            return stored.map_err(ApiError::after_effect);
        };
        let there = self.parts(key, &begun.id).await?;
        let resumed = async {
            let stored = self.fill(&content, &begun.id, &whole, there).await?;
            // Whoever began that upload may have wanted it to be served otherwise.
            if attributes.are_kept_by(&self.head(key).await?.attributes) {
                return Ok(stored);
            }
            let upload = self.begin_upload(key, attributes).await?;
            self.fill(&content, &upload.id, &whole, Vec::new()).await
        };
        resumed.await.map_err(ApiError::after_effect)
    }

    /// Uploads the parts that are not `there`, and completes the upload.
    async fn fill(
        &self,
        content: &Content,
        id: &str,
        whole: &Digests,
        there: Vec<Part>,
    ) -> Result<Stored, ApiError> {
        let mut there: BTreeMap<_, _> = there.into_iter().map(|part| (part.number, part)).collect();
        let size = PIECE.max(whole.length.div_ceil(u64::from(PARTS_MAX)));
        let mut parts = Vec::new();
        let (mut offset, mut number) = (0, 1);
        while offset < whole.length {
            let piece = content.piece(offset, size).await?;
            let digests = Digests::of(&piece);
            let same = |part: &Part| digests.agree(Some(part.length), &part.etag, None) == Some(true);
            parts.push(match there.remove(&number).filter(same) {
                Some(part) => part,
                None => self.put_part(&content.key, id, number, piece).await?,
            });
            (offset, number) = (offset + size, number + 1);
        }
        self.complete_upload(&content.key, id, &parts, whole).await
    }
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

    async fn digests(&self) -> Result<Digests, ApiError> {
        let whole = |file: &File| {
            let mut digester = Digester::new();
            let mut offset = 0;
            loop {
                let piece = read(file, offset, PIECE)?;
                if piece.is_empty() {
                    return Ok(digester.finish());
                }
                digester.update(&piece);
                offset += piece.len() as u64;
            }
        };
        self.blocking(whole).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let file = Arc::clone(&self.file);
        let ended = tokio::task::spawn_blocking(move || work(&file)).await;
        let call = Call::new("PUT file", Method::PUT, Nature::Writes);
        let unreadable = error(&call, Failure::Invalid, "the file cannot be read");
        match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(reason)) => Err(unreadable.because(reason)),
            Err(reason) => Err(unreadable.because(reason)),
        }
    }
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

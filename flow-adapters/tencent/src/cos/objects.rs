use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use reqwest::Method;

use super::call::Call;
use super::client::{Cos, error, parsed};
use super::digest::{Digester, Digests};
use super::key::ObjectKey;
use super::object::{Attributes, ObjectMeta, Stored};
use super::xml::WrittenResult;
use crate::signature::encoded_path;
use crate::transport::Broken;
use crate::{ApiError, Failure, Nature};

/// What one PUT may hold in memory. Larger content goes in parts.
const PUT_MAX: usize = 64 << 20;

/// How long a whole download may take.
const DOWNLOAD: Duration = Duration::from_secs(3600);

impl Cos {
    /// Writes an object in one piece, over any other of that key. Safe to repeat.
    ///
    /// # Errors
    /// [`Failure::Damaged`] where the storage says that it keeps something else than was sent: the object stands, damaged.
    /// [`Failure::InDoubt`] where no answer came three times and the object is not yet as asked.
    pub async fn put(
        &self,
        key: &ObjectKey,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<Stored, ApiError> {
        let call = Call::new("PUT object", Method::PUT, Nature::Writes).on(key).saying(attributes.headers());
        if content.len() > PUT_MAX {
            return Err(error(&call, Failure::Invalid, "content of more than 64 MiB goes in parts"));
        }
        let digests = Digests::of(&content);
        let call = call.sending(content, digests.content_md5());
        let write = || {
            async {
                let stored = Stored::of(&self.carry_out(&call).await?.headers);
                self.checked(&call, key, &digests, stored).await
            }
            .boxed()
        };
        let look = || self.kept(key, digests, attributes).boxed();
        self.settle(&call, write, look).await
    }

    /// What was stored, if it is what `digests` are of: where the write's answer tells nothing that could differ, the object is asked.
    pub(super) async fn checked(
        &self,
        call: &Call,
        key: &ObjectKey,
        digests: &Digests,
        stored: Stored,
    ) -> Result<Stored, ApiError> {
        let (stored, agreed) = match digests.agree(None, &stored.etag, stored.crc64) {
            Some(agreed) => (stored, agreed),
            None => {
                let meta = self.head(key).await.map_err(ApiError::after_effect)?;
                let agreed = digests.agree(Some(meta.length), &meta.stored.etag, meta.stored.crc64);
                (meta.stored, agreed == Some(true))
            }
        };
        if agreed {
            Ok(stored)
        } else {
            Err(error(call, Failure::Damaged, "what is stored is not what was sent"))
        }
    }

    /// What is stored under `key`, if it is what `digests` are of and is served as asked.
    async fn kept(
        &self,
        key: &ObjectKey,
        digests: Digests,
        attributes: &Attributes,
    ) -> Result<Option<Stored>, ApiError> {
        let found = self.find(key).await?;
        let agrees = |meta: &ObjectMeta| {
            let agreed = digests.agree(Some(meta.length), &meta.stored.etag, meta.stored.crc64);
            agreed == Some(true) && attributes.are_kept_by(&meta.attributes)
        };
        Ok(found.filter(agrees).map(|meta| meta.stored))
    }

    /// What is told of an object without its content.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where there is none.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, ApiError> {
        let call = Call::new("HEAD object", Method::HEAD, Nature::Reads).on(key);
        let answer = self.carry_out(&call).await?;
        ObjectMeta::of(&answer.headers)
            .ok_or_else(|| error(&call, Failure::Unexpected, "the answer tells no length"))
    }

    /// What is told of an object, or nothing where there is none.
    ///
    /// # Errors
    /// As [`head`](Self::head), but for `NotFound`.
    pub async fn find(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>, ApiError> {
        match self.head(key).await {
            Ok(meta) => Ok(Some(meta)),
            // A bucket that is not there has no code of its own here: HEAD has no body.
            Err(error) if error.failure() == Failure::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins to read an object: its content comes piece by piece. What breaks after the first piece is not tried again.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where there is none.
    pub async fn get(&self, key: &ObjectKey) -> Result<Download, ApiError> {
        let call = Call::new("GET object", Method::GET, Nature::Reads).on(key);
        self.repeat(&call, || self.open(&call).boxed()).await
    }

    async fn open(&self, call: &Call) -> Result<Download, ApiError> {
        let response = self.begin(call, DOWNLOAD).await?;
        let Some(meta) = ObjectMeta::of(response.headers()) else {
            return Err(error(call, Failure::Unexpected, "the answer tells no length"));
        };
        Ok(Download {
            cos: self.clone(),
            call: call.clone(),
            meta,
            response,
            digester: Some(Digester::new()),
            damaged: false,
        })
    }

    /// Reads a whole object of at most `max` bytes. What breaks is tried again.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where there is none, [`Failure::Invalid`] where it is longer than `max`, [`Failure::Damaged`] where
    /// what came is not what the storage says that it keeps.
    pub async fn read(&self, key: &ObjectKey, max: u64) -> Result<(ObjectMeta, Bytes), ApiError> {
        let call = Call::new("GET object", Method::GET, Nature::Reads).on(key);
        let whole = || {
            async {
                let mut download = self.open(&call).await?;
                if download.meta.length > max {
                    return Err(error(&call, Failure::Invalid, "the object is longer than it may be"));
                }
                let mut content = BytesMut::new();
                while let Some(piece) = download.piece().await? {
                    content.extend_from_slice(&piece);
                }
                Ok((download.meta, content.freeze()))
            }
            .boxed()
        };
        self.repeat(&call, whole).await
    }

    /// Removes an object. Safe to repeat: that there is none is no error.
    ///
    /// # Errors
    /// [`Failure::InDoubt`] where no answer came three times and the object is still there.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ApiError> {
        let call = Call::new("DELETE object", Method::DELETE, Nature::Writes).on(key);
        let write = || {
            async {
                match self.carry_out(&call).await {
                    Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
                    ended => ended.map(drop),
                }
            }
            .boxed()
        };
        let look = || async { Ok(self.find(key).await?.is_none().then_some(())) }.boxed();
        self.settle(&call, write, look).await
    }

    /// Copies an object within the bucket, on the server, with its attributes. Safe to repeat.
    ///
    /// `source` is what `from` is expected to be; of a listing, its `ETag` is enough. The copy is compared with it.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where `from` does not exist; [`Failure::Conflict`] where it is not `source`: nothing is copied.
    /// [`Failure::Damaged`] where the copy is not what `source` is: it stands. [`Failure::InDoubt`] where no answer came three times and
    /// the copy is not there.
    pub async fn copy(&self, from: &ObjectKey, source: &Stored, to: &ObjectKey) -> Result<Stored, ApiError> {
        self.copy_as(from, source, to, None).await
    }

    /// The same, served with `attributes` instead of those of `from`, where there are any.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub async fn copy_as(
        &self,
        from: &ObjectKey,
        source: &Stored,
        to: &ObjectKey,
        attributes: Option<&Attributes>,
    ) -> Result<Stored, ApiError> {
        let named = format!("{}{}", self.host(), encoded_path(&format!("/{from}")));
        let call = Call::new("PUT copy", Method::PUT, Nature::Writes).on(to).saying([
            ("x-cos-copy-source".to_owned(), named),
            ("x-cos-copy-source-if-match".to_owned(), format!("\"{}\"", source.etag)),
        ]);
        let replaced = attributes.map(|attributes| {
            let directive = ("x-cos-metadata-directive".to_owned(), "Replaced".to_owned());
            [directive].into_iter().chain(attributes.headers())
        });
        let call = call.saying(replaced.into_iter().flatten());
        let write = || {
            async {
                let answer = self.carry_out(&call).await?;
                let copied = parsed::<WrittenResult>(&call, &answer)?.stored(&answer.headers);
                if source.is_also(&copied) {
                    return Ok(copied);
                }
                // Copied parts may have the `ETag` of a whole: then both objects tell more.
                let found =
                    self.copied(from, source, to, attributes).await.map_err(ApiError::after_effect)?;
                found.ok_or_else(|| error(&call, Failure::Damaged, "what is stored is not what was copied"))
            }
            .boxed()
        };
        self.settle(&call, write, || self.copied(from, source, to, attributes).boxed()).await
    }

    /// What is stored under `to`, if it is what is stored under `from`, which is `source`, and is served alike or with `attributes`.
    async fn copied(
        &self,
        from: &ObjectKey,
        source: &Stored,
        to: &ObjectKey,
        attributes: Option<&Attributes>,
    ) -> Result<Option<Stored>, ApiError> {
        let (original, copy) = (self.head(from).await?, self.find(to).await?);
        let same = |copy: &ObjectMeta| {
            source.is_also(&original.stored)
                && original.stored.is_also(&copy.stored)
                && original.length == copy.length
                && attributes.unwrap_or(&original.attributes).are_kept_by(&copy.attributes)
        };
        Ok(copy.filter(same).map(|copy| copy.stored))
    }
}

/// An object that is being read. Its end is reached only if all of it came as the storage keeps it.
#[derive(Debug)]
pub struct Download {
    cos: Cos,
    call: Call,
    meta: ObjectMeta,
    response: reqwest::Response,
    digester: Option<Digester>,
    damaged: bool,
}

impl Download {
    /// What is told of the object.
    #[must_use]
    pub const fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    /// The next piece, or nothing at the end.
    ///
    /// # Errors
    /// [`Failure::Transient`] where the connection broke, [`Failure::Damaged`] at the end where length, CRC-64 or MD5 differ.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        let next = self.response.chunk().await;
        let next = next.map_err(|reason| self.cos.broken(&self.call, Broken::of(reason)))?;
        if let Some(piece) = &next {
            if let Some(digester) = &mut self.digester {
                digester.update(piece);
            }
            return Ok(next);
        }
        if let Some(digester) = self.digester.take() {
            let (digests, stored) = (digester.finish(), &self.meta.stored);
            self.damaged = digests.agree(Some(self.meta.length), &stored.etag, stored.crc64) == Some(false);
        }
        if self.damaged {
            return Err(error(&self.call, Failure::Damaged, "what came is not what is stored"));
        }
        Ok(None)
    }
}

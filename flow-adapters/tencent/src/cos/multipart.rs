use bytes::Bytes;
use futures::FutureExt as _;
use reqwest::Method;

use super::call::Call;
use super::client::{Cos, error, parsed};
use super::digest::Digests;
use super::key::ObjectKey;
use super::listing::Encoding;
use super::object::{Attributes, Stored, unquoted};
use super::xml::{
    CompleteMultipartUpload, CompletePart, InitiateResult, ListPartsResult, ListUploadsResult, WrittenResult,
};
use crate::{ApiError, Failure, Nature};

/// How many parts an upload may have.
pub(super) const PARTS_MAX: u32 = 10_000;

/// More uploads than this below one prefix are not listed.
const UPLOADS_MAX: usize = 10_000;

/// Content that is being uploaded in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key that the object will have.
    pub key: String,
    /// The upload's own name.
    pub id: String,
    /// When it was begun, as the storage writes it; empty where it was begun here.
    pub initiated: String,
}

/// A part that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its place, from 1.
    pub number: u32,
    /// Its `ETag` without quotes: the MD5 of its content.
    pub etag: String,
    /// Its length in bytes.
    pub length: u64,
}

impl Cos {
    /// Begins an upload in parts. Not safe to repeat: each call begins another one.
    ///
    /// # Errors
    /// [`Failure::InDoubt`] where the answer was lost: an upload may stand, which [`uploads`](Self::uploads) tells.
    pub async fn begin_upload(&self, key: &ObjectKey, attributes: &Attributes) -> Result<Upload, ApiError> {
        let call = Call::new("POST uploads", Method::POST, Nature::Writes)
            .on(key)
            .asking("uploads", "")
            .saying(attributes.headers());
        let begun: InitiateResult = self.xml(&call).await?;
        Ok(Upload { key: key.to_string(), id: begun.upload_id, initiated: String::new() })
    }

    /// Uploads one part, over any other of that number. Safe to repeat.
    ///
    /// # Errors
    /// [`Failure::Damaged`] where the storage keeps something else than was sent; [`Failure::InDoubt`] where no answer came three times and
    /// the part is not there; [`Failure::NotFound`] where the upload is gone.
    pub async fn put_part(
        &self,
        key: &ObjectKey,
        id: &str,
        number: u32,
        content: Bytes,
    ) -> Result<Part, ApiError> {
        let digests = Digests::of(&content);
        let call = Call::new("PUT part", Method::PUT, Nature::Writes)
            .on(key)
            .asking("partNumber", number.to_string())
            .asking("uploadId", id)
            .sending(content, digests.content_md5());
        if number == 0 || number > PARTS_MAX {
            return Err(error(&call, Failure::Invalid, "a part's number is 1 to 10000"));
        }
        let write = || {
            async {
                let stored = Stored::of(&self.carry_out(&call).await?.headers);
                if digests.agree(None, &stored.etag, stored.crc64) == Some(false) {
                    return Err(error(&call, Failure::Damaged, "what is stored is not what was sent"));
                }
                Ok(Part { number, etag: stored.etag, length: digests.length })
            }
            .boxed()
        };
        let look = || {
            async {
                let found = self.parts_behind(key, id, number - 1).await?.0;
                let same = |part: &Part| {
                    part.number == number && digests.agree(Some(part.length), &part.etag, None) == Some(true)
                };
                Ok(found.into_iter().find(same))
            }
            .boxed()
        };
        self.settle(&call, write, look).await
    }

    /// Makes one object of `parts`, in the order of their numbers; `whole` are the digests of all of it. Safe to repeat.
    ///
    /// # Errors
    /// [`Failure::Damaged`] where the object is not what `whole` are of: it stands, damaged. [`Failure::InDoubt`] where no answer came
    /// three times and the object is not there. [`Failure::NotFound`] where the upload is gone.
    pub async fn complete_upload(
        &self,
        key: &ObjectKey,
        id: &str,
        parts: &[Part],
        whole: &Digests,
    ) -> Result<Stored, ApiError> {
        let call = Call::new("POST upload", Method::POST, Nature::Writes).on(key).asking("uploadId", id);
        let quoted =
            |part: &Part| CompletePart { part_number: part.number, etag: format!("\"{}\"", part.etag) };
        let body = CompleteMultipartUpload { part: parts.iter().map(quoted).collect() };
        let body =
            quick_xml::se::to_string_with_root("CompleteMultipartUpload", &body).map_err(|reason| {
                error(&call, Failure::Invalid, "the parts cannot be written as XML").because(reason)
            })?;
        let md5 = Digests::of(body.as_bytes()).content_md5();
        let call = call
            .saying([("content-type".to_owned(), "application/xml".to_owned())])
            .sending(Bytes::from(body), md5);
        let write = || {
            async {
                let answer = self.carry_out(&call).await?;
                let stored = parsed::<WrittenResult>(&call, &answer)?.stored(&answer.headers);
                self.checked(&call, key, whole, stored).await
            }
            .boxed()
        };
        let look = || {
            async {
                if self.stands(key, id).await? {
                    // What is stored may be the same content, served as it was before.
                    return Ok(None);
                }
                let found = self.find(key).await?;
                let same = |length, stored: &Stored| {
                    stored.crc64 == Some(whole.crc64)
                        && whole.agree(Some(length), &stored.etag, stored.crc64) == Some(true)
                };
                Ok(found.filter(|meta| same(meta.length, &meta.stored)).map(|meta| meta.stored))
            }
            .boxed()
        };
        self.settle(&call, write, look).await
    }

    /// Gives an upload and its parts up. Safe to repeat: that there is none is no error.
    ///
    /// # Errors
    /// [`Failure::InDoubt`] where no answer came three times and the upload still stands.
    pub async fn abort_upload(&self, key: &ObjectKey, id: &str) -> Result<(), ApiError> {
        let call = Call::new("DELETE upload", Method::DELETE, Nature::Writes).on(key).asking("uploadId", id);
        let write = || {
            async {
                match self.carry_out(&call).await {
                    Err(error) if error.failure() == Failure::NotFound => Ok(()),
                    ended => ended.map(drop),
                }
            }
            .boxed()
        };
        let look = || async { Ok((!self.stands(key, id).await?).then_some(())) }.boxed();
        self.settle(&call, write, look).await
    }

    /// Whether an upload is still under way.
    async fn stands(&self, key: &ObjectKey, id: &str) -> Result<bool, ApiError> {
        match self.parts_behind(key, id, 0).await {
            Ok(_) => Ok(true),
            Err(error) if error.failure() == Failure::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The uploads under way whose keys begin with `prefix`, 10,000 at most.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where there is no such bucket; [`Failure::Invalid`] where there are more.
    pub async fn uploads(&self, prefix: &str) -> Result<Vec<Upload>, ApiError> {
        let mut found = Vec::new();
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        loop {
            let call = Call::new("GET uploads", Method::GET, Nature::Reads)
                .asking("uploads", "")
                .asking("prefix", prefix)
                .asking("key-marker", key_marker.as_str())
                .asking("upload-id-marker", id_marker.as_str())
                .asking("encoding-type", "url");
            let page: ListUploadsResult = self.xml(&call).await?;
            let plain = Encoding::of(page.encoding_type.as_deref());
            for upload in page.upload {
                let key = plain.decode(&call, upload.key)?;
                found.push(Upload { key, id: upload.upload_id, initiated: upload.initiated });
            }
            if found.len() > UPLOADS_MAX {
                return Err(error(&call, Failure::Invalid, "more than 10000 uploads are under way"));
            }
            if !page.is_truncated {
                return Ok(found);
            }
            let next = plain.decode(&call, page.next_key_marker.unwrap_or_default())?;
            let next = (next, page.next_upload_id_marker.unwrap_or_default());
            if next <= (key_marker, id_marker) {
                return Err(error(&call, Failure::Unexpected, "the listing does not go on"));
            }
            (key_marker, id_marker) = next;
        }
    }

    /// The parts of an upload that are stored, in the order of their numbers.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where there is no such upload.
    pub async fn parts(&self, key: &ObjectKey, id: &str) -> Result<Vec<Part>, ApiError> {
        let mut found: Vec<Part> = Vec::new();
        let mut behind = 0;
        loop {
            let (parts, next) = self.parts_behind(key, id, behind).await?;
            found.extend(parts);
            match next {
                Some(next) => behind = next,
                None => return Ok(found),
            }
        }
    }

    /// A page of parts, and behind which number the next one begins.
    async fn parts_behind(
        &self,
        key: &ObjectKey,
        id: &str,
        behind: u32,
    ) -> Result<(Vec<Part>, Option<u32>), ApiError> {
        let call = Call::new("GET parts", Method::GET, Nature::Reads)
            .on(key)
            .asking("uploadId", id)
            .asking("part-number-marker", behind.to_string())
            .asking("max-parts", "1000");
        let page: ListPartsResult = self.xml(&call).await?;
        let parts: Vec<_> = page
            .part
            .into_iter()
            .map(|part| Part { number: part.part_number, etag: unquoted(&part.etag), length: part.size })
            .collect();
        if !page.is_truncated {
            return Ok((parts, None));
        }
        let told = page.next_part_number_marker.and_then(|marker| marker.parse().ok());
        match told.or(parts.last().map(|part| part.number)).filter(|next| *next > behind) {
            Some(next) => Ok((parts, Some(next))),
            None => Err(error(&call, Failure::Unexpected, "the listing does not go on")),
        }
    }
}

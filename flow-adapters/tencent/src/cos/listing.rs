use bytes::Bytes;
use reqwest::Method;

use super::call::Call;
use super::client::{Cos, error};
use super::digest::Digests;
use super::key::ObjectKey;
use super::object::unquoted;
use super::xml::{Delete, DeleteKey, DeleteResult, ListBucketResult};
use crate::signature::decoded;
use crate::{ApiError, Failure, Nature};

/// What one request lists or deletes.
const PAGE: usize = 1000;

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key. Others may have chosen one that [`ObjectKey`] refuses.
    pub key: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its `ETag` without quotes.
    pub etag: String,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Objects in the order of their keys' bytes, a thousand at most.
    pub objects: Vec<Listed>,
    /// Behind which key the next page begins, where there is one.
    pub next: Option<String>,
}

/// An object that was not deleted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDeleted {
    /// Its key.
    pub key: String,
    /// The service's code.
    pub code: String,
    /// The service's text.
    pub message: String,
}

impl Cos {
    /// A page of the objects whose keys begin with `prefix` and stand behind `after`.
    ///
    /// # Errors
    /// [`Failure::NotFound`] where there is no such bucket.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, ApiError> {
        let call = Call::new("GET bucket", Method::GET, Nature::Reads)
            .asking("prefix", prefix)
            .asking("marker", after.unwrap_or_default())
            .asking("max-keys", PAGE.to_string())
            // Keys may hold what XML cannot, and blanks at their ends.
            .asking("encoding-type", "url");
        let listed: ListBucketResult = self.xml(&call).await?;
        let plain = Encoding::of(listed.encoding_type.as_deref());
        let mut objects = Vec::with_capacity(listed.contents.len());
        for entry in listed.contents {
            let key = plain.decode(&call, entry.key)?;
            objects.push(Listed { key, length: entry.size, etag: unquoted(&entry.etag) });
        }
        let next = match listed.next_marker.filter(|marker| !marker.is_empty()) {
            Some(marker) => Some(plain.decode(&call, marker)?),
            None => objects.last().map(|last| last.key.clone()),
        };
        let next = next.filter(|_| listed.is_truncated);
        if listed.is_truncated && next.as_deref() <= after {
            return Err(error(&call, Failure::Unexpected, "the listing does not go on"));
        }
        Ok(Page { objects, next })
    }

    /// All objects whose keys begin with `prefix`, `max` at most.
    ///
    /// # Errors
    /// As [`list`](Self::list); [`Failure::Invalid`] where there are more than `max`.
    pub async fn list_all(&self, prefix: &str, max: usize) -> Result<Vec<Listed>, ApiError> {
        let mut objects = Vec::new();
        let mut after = None;
        loop {
            let page = self.list(prefix, after.as_deref()).await?;
            objects.extend(page.objects);
            if objects.len() > max {
                let call = Call::new("GET bucket", Method::GET, Nature::Reads);
                return Err(error(&call, Failure::Invalid, "there are more objects than expected"));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(objects),
            }
        }
    }

    /// Removes objects, a thousand at most, and tells which were not. Those that do not exist count as removed. Safe to repeat.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for none or for more than a thousand; [`Failure::InDoubt`] where the answer was lost: list, then call again.
    pub async fn delete_many(&self, keys: &[ObjectKey]) -> Result<Vec<NotDeleted>, ApiError> {
        let call = Call::new("POST delete", Method::POST, Nature::Writes).asking("delete", "");
        if keys.is_empty() || keys.len() > PAGE {
            return Err(error(&call, Failure::Invalid, "one request deletes 1 to 1000 objects"));
        }
        let object = keys.iter().map(|key| DeleteKey { key: key.as_str() }).collect();
        let body = quick_xml::se::to_string_with_root("Delete", &Delete { quiet: "true", object }).map_err(
            |reason| error(&call, Failure::Invalid, "the keys cannot be written as XML").because(reason),
        )?;
        let digests = Digests::of(body.as_bytes());
        let call = call
            .saying([("content-type".to_owned(), "application/xml".to_owned())])
            .sending(Bytes::from(body), digests.content_md5());
        let result: DeleteResult = self.xml(&call).await?;
        let kept = result.error.into_iter().filter(|refused| refused.code != "NoSuchKey");
        Ok(kept
            .map(|refused| NotDeleted { key: refused.key, code: refused.code, message: refused.message })
            .collect())
    }
}

/// How an answer writes its keys: as asked, if it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub(super) fn of(said: Option<&str>) -> Self {
        if said.is_some_and(|said| said.eq_ignore_ascii_case("url")) { Self::Url } else { Self::Plain }
    }

    pub(super) fn decode(self, call: &Call, key: String) -> Result<String, ApiError> {
        match self {
            Self::Plain => Ok(key),
            Self::Url => decoded(&key).ok_or_else(|| error(call, Failure::Unexpected, "a key is no UTF-8")),
        }
    }
}

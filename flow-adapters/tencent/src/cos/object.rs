use std::collections::BTreeMap;

use reqwest::header::HeaderMap;

use crate::transport::header;

const META: &str = "x-cos-meta-";

/// How an object is served. What is `None` is the storage's choice. Values with blanks at their ends are refused as [`Failure::Invalid`](crate::Failure::Invalid).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// Further values by lower-case name, sent as `x-cos-meta-<name>`.
    pub metadata: BTreeMap<String, String>,
}

impl Attributes {
    /// The headers that say so.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let named = [
            ("content-type", &self.content_type),
            ("cache-control", &self.cache_control),
            ("content-encoding", &self.content_encoding),
            ("content-disposition", &self.content_disposition),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let metadata = self.metadata.iter().map(|(name, value)| (format!("{META}{name}"), value.clone()));
        named.chain(metadata).collect()
    }

    fn of(headers: &HeaderMap) -> Self {
        let named = |name| header(headers, name).map(str::to_owned);
        let metadata = headers.keys().filter_map(|name| {
            let short = name.as_str().strip_prefix(META)?;
            Some((short.to_owned(), header(headers, name.as_str())?.to_owned()))
        });
        Self {
            content_type: named("content-type"),
            cache_control: named("cache-control"),
            content_encoding: named("content-encoding"),
            content_disposition: named("content-disposition"),
            metadata: metadata.collect(),
        }
    }

    /// Whether an object with the attributes `other` is served as asked here.
    pub(super) fn are_kept_by(&self, other: &Self) -> bool {
        let kept = |asked: &Option<String>, found: &Option<String>| asked.is_none() || asked == found;
        kept(&self.content_type, &other.content_type)
            && kept(&self.cache_control, &other.cache_control)
            && kept(&self.content_encoding, &other.content_encoding)
            && kept(&self.content_disposition, &other.content_disposition)
            && self.metadata == other.metadata
    }
}

/// What the storage tells of an object without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The number of bytes.
    pub length: u64,
    /// What the storage tells of the content.
    pub stored: Stored,
    /// How it is served.
    pub attributes: Attributes,
}

impl ObjectMeta {
    /// What the headers of an answer tell, if they tell a length.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let length = header(headers, "content-length")?.parse().ok()?;
        Some(Self { length, stored: Stored::of(headers), attributes: Attributes::of(headers) })
    }
}

/// What the storage tells of content that it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The `ETag` without its quotes. Not always an MD5.
    pub etag: String,
    /// The CRC-64/XZ; old and copied objects may have none.
    pub crc64: Option<u64>,
    /// The version, where the bucket keeps versions.
    pub version: Option<String>,
}

impl Stored {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: unquoted(header(headers, "etag").unwrap_or_default()),
            crc64: header(headers, "x-cos-hash-crc64ecma").and_then(|crc| crc.parse().ok()),
            version: header(headers, "x-cos-version-id").map(str::to_owned),
        }
    }

    /// Whether content of which the storage tells `other` is the same, by the best that it tells of both.
    pub(super) fn is_also(&self, other: &Self) -> bool {
        match (self.crc64, other.crc64) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => !self.etag.is_empty() && self.etag.eq_ignore_ascii_case(&other.etag),
        }
    }
}

pub(super) fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::header_map;

    #[test]
    fn what_is_asked_for_is_found_again_in_the_answers_headers() {
        let asked = Attributes {
            content_type: Some("text/html".into()),
            cache_control: Some("no-cache".into()),
            content_encoding: Some("br".into()),
            content_disposition: None,
            metadata: BTreeMap::from([("note".into(), "é 中".into())]),
        };
        let mut sent = asked.headers();
        sent.extend([
            ("content-length".into(), "12".into()),
            ("etag".into(), "\"abc\"".into()),
            ("x-cos-hash-crc64ecma".into(), "18446744073709551615".into()),
            ("x-cos-version-id".into(), "v1".into()),
        ]);
        let headers = header_map(sent.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap();
        let meta = ObjectMeta::of(&headers).unwrap();
        assert_eq!(meta.length, 12);
        assert_eq!(
            meta.stored,
            Stored { etag: "abc".into(), crc64: Some(u64::MAX), version: Some("v1".into()) }
        );
        assert_eq!(meta.attributes, asked);
    }

    #[test]
    fn what_was_not_asked_for_may_be_anything_and_what_was_may_not() {
        let found = Attributes { content_type: Some("text/html".into()), ..Attributes::default() };
        assert!(Attributes::default().are_kept_by(&found));
        let other = Attributes { content_type: Some("text/css".into()), ..Attributes::default() };
        assert!(!other.are_kept_by(&found));
        let cached = Attributes { cache_control: Some("no-cache".into()), ..found.clone() };
        assert!(!cached.are_kept_by(&found));
    }
}

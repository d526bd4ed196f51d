use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::super::digests::{Digests, flipped, from_base64, hex};
use super::super::request::Request;
use super::super::server::Reply;
use super::super::world::World;
use super::error::CosError;
use super::place::Place;
use super::xml::Document;

/// Headers that an object keeps, beside those that begin with `x-cos-meta-`.
const KEPT: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-cos-storage-class",
];

/// An object's content and what is told of it.
#[derive(Debug, Clone)]
pub(in super::super) struct Object {
    pub(in super::super) content: Bytes,
    pub(super) etag: String,
    /// Copied objects have none, nor has what was written past the API: old objects may be like that.
    pub(super) crc64: Option<u64>,
    pub(in super::super) headers: BTreeMap<String, String>,
}

impl Object {
    pub(super) fn of(content: Bytes, headers: BTreeMap<String, String>) -> Self {
        let digests = Digests::of(&content);
        Self::told(content, &digests, headers)
    }

    fn told(content: Bytes, digests: &Digests, headers: BTreeMap<String, String>) -> Self {
        Self { content, etag: format!("\"{}\"", hex(&digests.md5)), crc64: Some(digests.crc64), headers }
    }
}

/// The body as it is stored: what `Content-MD5` says of it is checked, then a fault may flip a bit.
pub(super) fn received(
    world: &mut World,
    request: &Request,
    key: &str,
    headers: BTreeMap<String, String>,
) -> Result<Object, CosError> {
    if request.header("content-length").is_none() && request.header("transfer-encoding").is_none() {
        return Err(CosError::new("MissingContentLength", "the request lacks Content-Length"));
    }
    check_md5(request)?;
    let sent = &request.body;
    Ok(if world.faults.corrupts(key) {
        Object::of(flipped(sent), headers)
    } else {
        Object::told(sent.clone(), request.digests(), headers)
    })
}

pub(super) fn check_md5(request: &Request) -> Result<(), CosError> {
    let Some(told) = request.header("content-md5") else { return Ok(()) };
    match from_base64(told).filter(|digest| digest.len() == 16) {
        None => Err(CosError::new("InvalidDigest", format!("`{told}` is no digest of MD5 in base64"))),
        Some(digest) if digest != request.digests().md5 => {
            Err(CosError::new("BadDigest", "the Content-MD5 is not that of the body"))
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn kept_headers(request: &Request) -> BTreeMap<String, String> {
    let kept = |name: &str| KEPT.contains(&name) || name.starts_with("x-cos-meta-");
    let headers = request.headers.iter().filter(|(name, _)| kept(name));
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn put(world: &mut World, request: &Request, bucket: &str, key: &str) -> Result<Reply, CosError> {
    check_target(world, request, bucket, key)?;
    let object = received(world, request, key, kept_headers(request))?;
    let (etag, crc64) = (object.etag.clone(), object.crc64);
    let (now, number) = (world.now, world.chance.next());
    let bucket = world.storage.bucket(bucket)?;
    let version = bucket.store(key, Some(object), now, number);
    let reply = Reply::new(200, "application/xml", "", "ok").with("etag", etag);
    Ok(versioned(hashed(reply, crc64), &version))
}

/// Refuses to overwrite where the request asks for that.
pub(super) fn check_target(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<(), CosError> {
    if key.len() > 850 {
        return Err(CosError::new("KeyTooLong", "the key has more than 850 bytes"));
    }
    let exists = world.storage.bucket(bucket)?.newest(key).is_some();
    if exists && request.header("x-cos-forbid-overwrite") == Some("true") {
        return Err(CosError::new("FileAlreadyExists", format!("there is an object `{key}` already")));
    }
    Ok(())
}

pub(super) fn hashed(reply: Reply, crc64: Option<u64>) -> Reply {
    match crc64 {
        Some(crc64) => reply.with("x-cos-hash-crc64ecma", crc64.to_string()),
        None => reply,
    }
}

pub(super) fn versioned(reply: Reply, version: &str) -> Reply {
    if version == "null" { reply } else { reply.with("x-cos-version-id", version) }
}

/// `GET` and `HEAD`.
pub(super) fn get(world: &mut World, request: &Request, bucket: &str, key: &str) -> Result<Reply, CosError> {
    let version = request.parameter("versionId");
    let stored = world.storage.bucket(bucket)?.find(key, version.as_deref())?;
    let Some(object) = &stored.object else {
        return Err(CosError::new("NoSuchKey", "it is a delete marker"));
    };
    if request.header("if-none-match") == Some(object.etag.as_str()) {
        return Err(CosError::new("NotModified", "the object is what the client has"));
    }
    if request.header("if-match").is_some_and(|etag| etag != object.etag) {
        return Err(CosError::new("PreconditionFailed", "the object is not what the client has"));
    }
    let length = object.content.len();
    let range = request.header("range").map(|range| span(range, length)).transpose()?;
    let (status, content) = match range {
        Some((start, end)) => (206, object.content.slice(start..end)),
        None => (200, object.content.clone()),
    };
    let mut reply = Reply::new(status, "application/octet-stream", Bytes::new(), "ok")
        .with("etag", &object.etag)
        .with("last-modified", http_date(stored.modified))
        .with("accept-ranges", "bytes")
        .with("content-length", content.len().to_string());
    reply = hashed(reply, object.crc64);
    for (name, value) in &object.headers {
        reply = reply.with(name, value);
    }
    for (name, value) in request.parameters() {
        if let Some(name) = name.strip_prefix("response-") {
            reply = reply.with(name, value);
        }
    }
    if let Some((start, end)) = range {
        reply = reply.with("content-range", format!("bytes {start}-{}/{length}", end.saturating_sub(1)));
    }
    if request.method == "GET" {
        reply.body = content;
    }
    Ok(versioned(reply, &stored.version))
}

/// The bytes from the first to the second, without it.
pub(super) fn span(range: &str, length: usize) -> Result<(usize, usize), CosError> {
    let bounds = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let found = bounds.and_then(|(first, last)| match (first, last) {
        ("", last) => Some((length.saturating_sub(last.parse().ok()?), length)),
        (first, "") => Some((first.parse().ok()?, length)),
        (first, last) => {
            Some((first.parse().ok()?, last.parse::<usize>().ok()?.saturating_add(1).min(length)))
        }
    });
    found
        .filter(|(start, end)| start < end)
        .ok_or_else(|| CosError::new("InvalidRange", format!("`{range}` is no range of {length} bytes")))
}

pub(super) fn delete(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<Reply, CosError> {
    let (now, number) = (world.now, world.chance.next());
    let version = request.parameter("versionId");
    let removed = world.storage.bucket(bucket)?.remove(key, version.as_deref(), now, number);
    let reply = Reply::new(204, "application/xml", "", "ok");
    Ok(match removed {
        Some((version, true)) => versioned(reply.with("x-cos-delete-marker", "true"), &version),
        Some((version, false)) => versioned(reply, &version),
        None => reply,
    })
}

/// What a copy is made of: the source's content and headers, if the source is the one that is meant.
pub(super) fn source(world: &mut World, request: &Request, default: &str) -> Result<Object, CosError> {
    let named = request.header("x-cos-copy-source").unwrap_or_default();
    let wrong = || CosError::new("InvalidArgument", format!("`{named}` names no object"));
    let (bucket, key) = Place::of_source(named, default).ok_or_else(wrong)?;
    let version = named.split_once("versionId=").map(|(_, version)| version);
    let stored = world.storage.bucket(&bucket)?.find(&key, version)?;
    let object = stored.object.clone().ok_or_else(wrong)?;
    let meant = request.header("x-cos-copy-source-if-match").map(|etag| etag.trim_matches('"'));
    if meant.is_some_and(|etag| etag != object.etag.trim_matches('"')) {
        return Err(CosError::new(
            "PreconditionFailed",
            format!("`{named}` is not the object that is meant"),
        ));
    }
    Ok(object)
}

pub(super) fn copy(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
    default: &str,
) -> Result<Reply, CosError> {
    let mut object = source(world, request, default)?;
    check_target(world, request, bucket, key)?;
    match request.header("x-cos-metadata-directive") {
        None | Some("Copy") => {}
        Some("Replaced") => object.headers = kept_headers(request),
        Some(other) => return Err(CosError::new("InvalidArgument", format!("the directive `{other}`"))),
    }
    if world.faults.corrupts(key) {
        object = Object::of(flipped(&object.content), object.headers);
    }
    object.crc64 = None;
    let (now, number) = (world.now, world.chance.next());
    let etag = object.etag.clone();
    let version = world.storage.bucket(bucket)?.store(key, Some(object), now, number);
    let mut told = Document::new("CopyObjectResult");
    told.value("ETag", &etag).value("LastModified", now.strftime("%Y-%m-%dT%H:%M:%SZ"));
    let reply = Reply::new(200, "application/xml", told.end(), "ok");
    Ok(versioned(reply.with("etag", etag), &version))
}

/// As HTTP writes times.
fn http_date(moment: Timestamp) -> String {
    moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_content() {
        assert_eq!(span("bytes=0-3", 10), Ok((0, 4)));
        assert_eq!(span("bytes=8-20", 10), Ok((8, 10)));
        assert_eq!(span("bytes=4-", 10), Ok((4, 10)));
        assert_eq!(span("bytes=-3", 10), Ok((7, 10)));
        for wrong in ["bytes=10-", "bytes=3-1", "bytes=x-", "0-3"] {
            assert_eq!(span(wrong, 10).unwrap_err().code, "InvalidRange", "{wrong}");
        }
    }

    #[test]
    fn times_are_those_of_http() {
        let moment = Timestamp::from_second(784_111_777).unwrap();
        assert_eq!(http_date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;

use super::super::digests::{Digests, hex};
use super::super::request::Request;
use super::super::server::Reply;
use super::super::world::World;
use super::error::CosError;
use super::listing::{most, written};
use super::objects::{Object, check_target, hashed, kept_headers, received, source, span, versioned};
use super::xml::{Document, Element};

/// The smallest part, but for the last one.
const SMALLEST: usize = 1024 * 1024;

/// How many parts there may be.
const MOST: u32 = 10_000;

/// An object that arrives in parts.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) begun: Timestamp,
    headers: BTreeMap<String, String>,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug, Clone)]
struct Part {
    object: Object,
    arrived: Timestamp,
}

pub(super) fn begin(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<Reply, CosError> {
    check_target(world, request, bucket, key)?;
    let id = format!("{}{:016x}", world.now.as_second(), world.chance.next());
    let upload = Upload {
        key: key.to_owned(),
        begun: world.now,
        headers: kept_headers(request),
        parts: BTreeMap::new(),
    };
    world.storage.bucket(bucket)?.uploads.insert(id.clone(), upload);
    let mut told = Document::new("InitiateMultipartUploadResult");
    told.value("Bucket", bucket).value("Key", key).value("UploadId", id);
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

/// A part with a body, or copied from an object.
pub(super) fn part(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
    default: &str,
) -> Result<Reply, CosError> {
    let number = request.parameter("partNumber").unwrap_or_default();
    let number = number.parse().ok().filter(|number| (1..=MOST).contains(number));
    let number: u32 =
        number.ok_or_else(|| CosError::new("InvalidArgument", "a part's number is 1 to 10000"))?;
    let copied = request.header("x-cos-copy-source").is_some();
    let object = if copied {
        let whole = source(world, request, default)?.content;
        let content = match request.header("x-cos-copy-source-range") {
            Some(range) => {
                let (start, end) = span(range, whole.len())?;
                whole.slice(start..end)
            }
            None => whole,
        };
        Object::of(content, BTreeMap::new())
    } else {
        received(world, request, key, BTreeMap::new())?
    };
    let (etag, crc64, now) = (object.etag.clone(), object.crc64, world.now);
    upload(world, request, bucket, key)?.parts.insert(number, Part { object, arrived: now });
    let mut told = Document::new("CopyPartResult");
    told.value("ETag", &etag).value("LastModified", time(now));
    let body = if copied { told.end() } else { String::new() };
    let reply = Reply::new(200, "application/xml", body, "ok").with("etag", etag);
    Ok(hashed(reply, crc64))
}

fn upload<'a>(
    world: &'a mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<&'a mut Upload, CosError> {
    let id = request.parameter("uploadId").unwrap_or_default();
    let found = world.storage.bucket(bucket)?.uploads.get_mut(&id).filter(|upload| upload.key == key);
    found.ok_or_else(|| CosError::new("NoSuchUpload", format!("there is no upload `{id}` of `{key}`")))
}

pub(super) fn complete(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<Reply, CosError> {
    let upload = upload(world, request, bucket, key)?;
    let object = joined(upload, &request.body)?;
    let (etag, crc64) = (object.etag.clone(), object.crc64);
    let (now, number) = (world.now, world.chance.next());
    let id = request.parameter("uploadId").unwrap_or_default();
    let within = world.storage.bucket(bucket)?;
    within.uploads.remove(&id);
    let version = within.store(key, Some(object), now, number);
    let mut told = Document::new("CompleteMultipartUploadResult");
    let host = request.host();
    told.value("Location", format!("http://{host}/{key}"))
        .value("Bucket", bucket)
        .value("Key", key)
        .value("ETag", etag);
    let reply = Reply::new(200, "application/xml", told.end(), "ok");
    Ok(versioned(hashed(reply, crc64), &version))
}

/// The parts that the client lists, in their order, as one object.
fn joined(upload: &Upload, body: &[u8]) -> Result<Object, CosError> {
    let listed = Element::read(body).filter(|root| root.name == "CompleteMultipartUpload");
    let listed = listed.ok_or_else(|| CosError::new("MalformedXML", "the body lists no parts"))?;
    let rows: Vec<_> = listed.all("Part").collect();
    let (mut content, mut digests, mut last) = (BytesMut::new(), Vec::new(), 0);
    for (index, row) in rows.iter().enumerate() {
        let number = row.value("PartNumber").and_then(|number| number.parse::<u32>().ok());
        let number = number.ok_or_else(|| CosError::new("MalformedXML", "a part has no number"))?;
        if number <= last {
            return Err(CosError::new("InvalidPartOrder", format!("the part {number} stands behind {last}")));
        }
        last = number;
        let told = row.value("ETag").unwrap_or_default().trim_matches('"');
        let part = upload.parts.get(&number).filter(|part| part.object.etag.trim_matches('"') == told);
        let part = part.ok_or_else(|| {
            CosError::new("InvalidPart", format!("there is no part {number} with `{told}`"))
        })?;
        if part.object.content.len() < SMALLEST && index + 1 < rows.len() {
            return Err(CosError::new("EntityTooSmall", format!("the part {number} has less than 1 MB")));
        }
        content.extend_from_slice(&part.object.content);
        digests.extend_from_slice(&Digests::of(&part.object.content).md5);
    }
    if rows.is_empty() {
        return Err(CosError::new("MalformedXML", "the body lists no parts"));
    }
    let mut object = Object::of(content.freeze(), upload.headers.clone());
    object.etag = format!("\"{}-{}\"", hex(&Digests::of(&digests).md5), rows.len());
    Ok(object)
}

pub(super) fn abort(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<Reply, CosError> {
    upload(world, request, bucket, key)?;
    let id = request.parameter("uploadId").unwrap_or_default();
    world.storage.bucket(bucket)?.uploads.remove(&id);
    Ok(Reply::new(204, "application/xml", Bytes::new(), "ok"))
}

pub(super) fn list_parts(
    world: &mut World,
    request: &Request,
    bucket: &str,
    key: &str,
) -> Result<Reply, CosError> {
    let number = |name: &str| request.parameter(name).and_then(|number| number.parse::<u32>().ok());
    let marker = number("part-number-marker").unwrap_or(0);
    let most = number("max-parts").unwrap_or(1000).min(1000);
    let id = request.parameter("uploadId").unwrap_or_default();
    let upload = upload(world, request, bucket, key)?;
    let after: Vec<_> = upload.parts.iter().filter(|(number, _)| **number > marker).collect();
    let page: Vec<_> = after.iter().take(usize::try_from(most).unwrap_or(1000)).collect();
    let mut told = Document::new("ListPartsResult");
    told.value("Bucket", bucket).value("Key", key).value("UploadId", id);
    told.value("PartNumberMarker", marker)
        .value("MaxParts", most)
        .value("IsTruncated", page.len() < after.len());
    if let Some((last, _)) = page.last() {
        told.value("NextPartNumberMarker", last);
    }
    for (number, part) in page {
        told.within("Part", |row| {
            row.value("PartNumber", number).value("LastModified", time(part.arrived));
            row.value("ETag", &part.object.etag).value("Size", part.object.content.len());
        });
    }
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

/// The uploads of a bucket that have not ended, by their keys.
pub(super) fn list_uploads(world: &mut World, request: &Request, bucket: &str) -> Result<Reply, CosError> {
    let text = |name: &str| request.parameter(name).unwrap_or_default();
    let (prefix, key_marker, id_marker) = (text("prefix"), text("key-marker"), text("upload-id-marker"));
    let (most, encodes) = (most(request, "max-uploads")?, text("encoding-type") == "url");
    let within = world.storage.bucket(bucket)?;
    // The marker of an upload counts beside that of its key alone.
    let is_behind = |key: &str, id: &str| {
        key > key_marker.as_str() || (key == key_marker && !id_marker.is_empty() && id > id_marker.as_str())
    };
    let mut rows: Vec<_> = within.uploads.iter().map(|(id, upload)| (&upload.key, id, upload)).collect();
    rows.retain(|(key, id, _)| key.starts_with(&prefix) && is_behind(key, id));
    rows.sort_by_key(|(key, id, _)| (*key, *id));
    let more = rows.len() > most;
    rows.truncate(most);
    let mut told = Document::new("ListMultipartUploadsResult");
    told.value("Bucket", bucket)
        .value("Prefix", written(&prefix, encodes))
        .value("KeyMarker", written(&key_marker, encodes))
        .value("UploadIdMarker", &id_marker)
        .value("MaxUploads", most)
        .value("IsTruncated", more);
    if encodes {
        told.value("EncodingType", "url");
    }
    if let Some((key, id, _)) = rows.last().filter(|_| more) {
        told.value("NextKeyMarker", written(key, encodes)).value("NextUploadIdMarker", id);
    }
    for (key, id, upload) in rows {
        told.within("Upload", |row| {
            row.value("Key", written(key, encodes))
                .value("UploadId", id)
                .value("Initiated", time(upload.begun));
        });
    }
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

pub(super) fn time(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(parts: &[(u32, usize)]) -> Upload {
        let now = Timestamp::UNIX_EPOCH;
        let part =
            |length| Part { object: Object::of(vec![1; length].into(), BTreeMap::new()), arrived: now };
        let parts = parts.iter().map(|(number, length)| (*number, part(*length))).collect();
        Upload { key: "a".to_owned(), begun: now, headers: BTreeMap::new(), parts }
    }

    fn listed(upload: &Upload, numbers: &[u32]) -> String {
        let mut list = Document::new("CompleteMultipartUpload");
        for number in numbers {
            let etag = upload.parts.get(number).map_or("none", |part| &part.object.etag);
            list.within("Part", |part| {
                part.value("PartNumber", number).value("ETag", etag);
            });
        }
        list.end()
    }

    #[test]
    fn parts_make_one_object() {
        let upload = upload(&[(1, SMALLEST), (3, 7)]);
        let object = joined(&upload, listed(&upload, &[1, 3]).as_bytes()).unwrap();
        assert_eq!(object.content.len(), SMALLEST + 7);
        assert!(object.etag.ends_with("-2\""), "{}", object.etag);
        assert_eq!(object.crc64, Some(Digests::of(&object.content).crc64));
    }

    #[test]
    fn a_list_that_does_not_fit_is_refused() {
        let upload = upload(&[(1, 7), (2, SMALLEST)]);
        let code = |numbers: &[u32]| joined(&upload, listed(&upload, numbers).as_bytes()).unwrap_err().code;
        assert_eq!(code(&[2, 1]), "InvalidPartOrder");
        assert_eq!(code(&[1, 2]), "EntityTooSmall");
        assert_eq!(code(&[3]), "InvalidPart");
        assert_eq!(code(&[]), "MalformedXML");
    }
}

use quick_xml::Reader;
use quick_xml::events::Event;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::object::{Stored, unquoted};

/// What an answer's XML says, told by its root: of another document, such as a gateway's page, nothing is missing that may be absent.
pub(super) trait Document: DeserializeOwned {
    /// What the outermost element may be called.
    const ROOTS: &'static [&'static str];
}

/// `<Error>`, which is also found in answers with status 200.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorBody {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) request_id: String,
}

/// The answer to a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListBucketResult {
    pub(super) is_truncated: bool,
    pub(super) next_marker: Option<String>,
    pub(super) encoding_type: Option<String>,
    pub(super) contents: Vec<Contents>,
}

impl Document for ListBucketResult {
    const ROOTS: &'static [&'static str] = &["ListBucketResult"];
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Contents {
    pub(super) key: String,
    #[serde(rename = "ETag", default)]
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The answer to the begin of an upload.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InitiateResult {
    pub(super) upload_id: String,
}

impl Document for InitiateResult {
    const ROOTS: &'static [&'static str] = &["InitiateMultipartUploadResult"];
}

/// The answer to the end of an upload, and to a copy.
#[derive(Debug, Deserialize)]
pub(super) struct WrittenResult {
    #[serde(rename = "ETag")]
    etag: String,
    #[serde(rename = "CRC64")]
    crc64: Option<String>,
}

impl WrittenResult {
    /// What it tells, and what the `headers` do. A copy's CRC-64 may stand in either or in none.
    pub(super) fn stored(self, headers: &HeaderMap) -> Stored {
        let told = Stored::of(headers);
        let crc64 = told.crc64.or_else(|| self.crc64?.parse().ok());
        Stored { etag: unquoted(&self.etag), crc64, ..told }
    }
}

impl Document for WrittenResult {
    const ROOTS: &'static [&'static str] = &["CompleteMultipartUploadResult", "CopyObjectResult"];
}

/// The answer to a listing of uploads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListUploadsResult {
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_upload_id_marker: Option<String>,
    pub(super) encoding_type: Option<String>,
    pub(super) upload: Vec<UploadBody>,
}

impl Document for ListUploadsResult {
    const ROOTS: &'static [&'static str] = &["ListMultipartUploadsResult"];
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadBody {
    pub(super) key: String,
    pub(super) upload_id: String,
    #[serde(default)]
    pub(super) initiated: String,
}

/// The answer to a listing of parts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListPartsResult {
    pub(super) is_truncated: bool,
    pub(super) next_part_number_marker: Option<String>,
    pub(super) part: Vec<PartBody>,
}

impl Document for ListPartsResult {
    const ROOTS: &'static [&'static str] = &["ListPartsResult"];
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PartBody {
    pub(super) part_number: u32,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
}

/// The answer to a quiet request to delete: what was not.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeleteResult {
    pub(super) error: Vec<DeleteError>,
}

impl Document for DeleteResult {
    const ROOTS: &'static [&'static str] = &["DeleteResult"];
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeleteError {
    pub(super) key: String,
    pub(super) code: String,
    pub(super) message: String,
}

/// `<Delete>`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete<'a> {
    pub(super) quiet: &'static str,
    pub(super) object: Vec<DeleteKey<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteKey<'a> {
    pub(super) key: &'a str,
}

/// `<CompleteMultipartUpload>`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CompleteMultipartUpload {
    pub(super) part: Vec<CompletePart>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CompletePart {
    pub(super) part_number: u32,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

/// The error that a body holds, if it holds one.
pub(super) fn error_in(body: &[u8]) -> Option<ErrorBody> {
    let text = std::str::from_utf8(body).ok()?;
    (root(text).as_deref() == Some("Error")).then(|| quick_xml::de::from_str(text).unwrap_or_default())
}

/// The name of the outermost element.
pub(super) fn root(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start) => return Some(start.name().as_ref().to_owned()),
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_behind_a_declaration_and_only_as_the_root() {
        let body = b"<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n\t<Code>NoSuchKey</Code>\n\t<Message>a &lt; b</Message>\
            <Resource>x</Resource><RequestId>r-1</RequestId><TraceId>t</TraceId></Error>";
        let error = error_in(body).unwrap();
        assert_eq!((&*error.code, &*error.message, &*error.request_id), ("NoSuchKey", "a < b", "r-1"));
        assert_eq!(error_in(b"<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>"), None);
        assert_eq!(error_in(b""), None);
        assert_eq!(error_in(b"{\"Error\": 1}"), None);
        assert_eq!(error_in(b"<Error><Code>Inter"), Some(ErrorBody::default()), "cut, but an error");
    }

    #[test]
    fn a_listing_is_read_with_its_entities_and_mixed_parts() {
        let body = r#"<?xml version="1.0"?><ListBucketResult xmlns="x"><Name>b-1</Name><EncodingType>url</EncodingType>
            <Prefix/><Contents><Key>a%20b&amp;c</Key><LastModified>2026</LastModified><ETag>&quot;abc&quot;</ETag><Size>3</Size>
            <Owner><ID>1</ID></Owner></Contents><CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>
            <Contents><Key>d</Key><ETag>"e"</ETag><Size>0</Size></Contents>
            <IsTruncated>true</IsTruncated><NextMarker>d</NextMarker></ListBucketResult>"#;
        let listed: ListBucketResult = quick_xml::de::from_str(body).unwrap();
        assert!(listed.is_truncated);
        assert_eq!(listed.next_marker.as_deref(), Some("d"));
        let keys: Vec<_> =
            listed.contents.iter().map(|entry| (&*entry.key, &*entry.etag, entry.size)).collect();
        assert_eq!(keys, [("a%20b&c", "\"abc\"", 3), ("d", "\"e\"", 0)]);
        let empty: ListBucketResult =
            quick_xml::de::from_str("<ListBucketResult></ListBucketResult>").unwrap();
        assert!(empty.contents.is_empty() && !empty.is_truncated);
    }

    #[test]
    fn requests_are_written_with_their_entities() {
        let object = vec![DeleteKey { key: "a<b&c" }, DeleteKey { key: "d" }];
        let written =
            quick_xml::se::to_string_with_root("Delete", &Delete { quiet: "true", object }).unwrap();
        let expected = "<Delete><Quiet>true</Quiet><Object><Key>a&lt;b&amp;c</Key></Object><Object><Key>d</Key></Object></Delete>";
        assert_eq!(written, expected);
    }
}

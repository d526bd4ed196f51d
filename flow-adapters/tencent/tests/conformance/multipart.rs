use bytes::Bytes;
use flow_tencent::{Attributes, Digests, Failure, Part};

use crate::objects::{CONTENT, about, cos, key};
use crate::server::{Reply, Server};

const FIRST: &[u8] = b"12345";
const SECOND: &[u8] = b"6789";

pub(crate) fn part(number: u32, content: &[u8]) -> Part {
    Part { number, etag: Digests::of(content).etag(), length: content.len() as u64 }
}

pub(crate) fn stored(content: &[u8]) -> Reply {
    let etag = format!("\"{}\"", Digests::of(content).etag());
    Reply::of(200, &[("ETag", &*etag)], "")
}

/// The answer to a listing of parts.
pub(crate) fn parts(listed: &[Part], further: &str) -> Reply {
    let write = |part: &Part| {
        let Part { number, etag, length } = part;
        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag><Size>{length}</Size></Part>")
    };
    let all: String = listed.iter().map(write).collect();
    Reply::of(200, &[], format!("<ListPartsResult>{all}{further}</ListPartsResult>"))
}

#[tokio::test]
async fn an_upload_in_parts_is_begun_filled_and_completed() {
    let begun = Reply::of(
        200,
        &[],
        "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>",
    );
    let crc = Digests::of(CONTENT).crc64.to_string();
    let done = "<CompleteMultipartUploadResult><ETag>\"x-2\"</ETag></CompleteMultipartUploadResult>";
    let done = Reply::of(200, &[("x-cos-hash-crc64ecma", &*crc)], done);
    let server = Server::telling([begun, stored(FIRST), stored(SECOND), done]).await;
    let (cos, key) = (cos(&server), key("big"));
    let html = Attributes { content_type: Some("text/html".into()), ..Attributes::default() };
    let upload = cos.begin_upload(&key, &html).await.unwrap();
    let first = cos.put_part(&key, &upload.id, 1, Bytes::from_static(FIRST)).await.unwrap();
    let second = cos.put_part(&key, &upload.id, 2, Bytes::from_static(SECOND)).await.unwrap();
    assert_eq!((&first, &second), (&part(1, FIRST), &part(2, SECOND)));
    let whole = Digests::of(CONTENT);
    let object = cos.complete_upload(&key, &upload.id, &[first, second], &whole).await.unwrap();
    assert_eq!((&*object.etag, object.crc64), ("x-2", Some(whole.crc64)));

    let lines = server.lines();
    assert_eq!(
        lines,
        [
            "POST /big?uploads=",
            "PUT /big?partNumber=1&uploadId=u%2F1",
            "PUT /big?partNumber=2&uploadId=u%2F1",
            "POST /big?uploadId=u%2F1",
        ]
    );
    let asked = server.asked();
    assert_eq!(asked[0].header("content-type"), Some("text/html"));
    let expected = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"{}\"</ETag></Part>\
         <Part><PartNumber>2</PartNumber><ETag>\"{}\"</ETag></Part></CompleteMultipartUpload>",
        Digests::of(FIRST).etag(),
        Digests::of(SECOND).etag()
    );
    assert_eq!(asked[3].text().replace("&quot;", "\""), expected);
    for asked in &asked[1..] {
        assert_eq!(asked.header("content-md5"), Some(&*Digests::of(&asked.body).content_md5()));
    }
}

#[tokio::test]
async fn a_part_whose_answer_is_lost_is_looked_for_among_the_parts() {
    let server = Server::telling([Reply::HangUp, parts(&[part(2, SECOND)], "")]).await;
    let put = cos(&server).put_part(&key("big"), "u", 2, Bytes::from_static(SECOND)).await.unwrap();
    assert_eq!(put, part(2, SECOND));
    assert_eq!(
        server.lines(),
        ["PUT /big?partNumber=2&uploadId=u", "GET /big?uploadId=u&part-number-marker=1&max-parts=1000"]
    );

    let server = Server::telling([Reply::HangUp, parts(&[part(2, FIRST)], ""), stored(SECOND)]).await;
    cos(&server).put_part(&key("big"), "u", 2, Bytes::from_static(SECOND)).await.unwrap();
    assert_eq!(server.asked().len(), 3, "another content stood there: it was sent again");
}

#[tokio::test]
async fn a_part_that_is_stored_otherwise_is_damaged() {
    let server = Server::telling([stored(FIRST)]).await;
    let error = cos(&server).put_part(&key("big"), "u", 1, Bytes::from_static(SECOND)).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Damaged);
}

#[tokio::test]
async fn a_completion_that_fails_inside_of_status_200_is_looked_at_and_repeated() {
    let failed = "<Error><Code>InternalError</Code><Message>try again</Message></Error>";
    let crc = Digests::of(CONTENT).crc64.to_string();
    let done = "<CompleteMultipartUploadResult><ETag>\"x-1\"</ETag></CompleteMultipartUploadResult>";
    let done = Reply::of(200, &[("x-cos-hash-crc64ecma", &*crc)], done);
    let (stands, gone) = (|| parts(&[part(1, CONTENT)], ""), || Reply::of(404, &[], ""));
    let server = Server::telling([Reply::of(200, &[], failed), stands(), done]).await;
    let whole = Digests::of(CONTENT);
    cos(&server).complete_upload(&key("big"), "u", &[part(1, CONTENT)], &whole).await.unwrap();
    let look = "GET /big?uploadId=u&part-number-marker=0&max-parts=1000";
    assert_eq!(server.lines(), ["POST /big?uploadId=u", look, "POST /big?uploadId=u"]);

    let before = about(b"987654321", &[], b"");
    let completed = about(CONTENT, &[], b"");
    let server =
        Server::telling([Reply::HangUp, gone(), before, Reply::HangUp, gone(), completed.clone()]).await;
    cos(&server).complete_upload(&key("big"), "u", &[part(1, CONTENT)], &whole).await.unwrap();
    assert_eq!(server.asked().len(), 6, "what stood there before is not what was completed");

    let server = Server::telling([Reply::HangUp, gone(), completed]).await;
    cos(&server).complete_upload(&key("big"), "u", &[part(1, CONTENT)], &whole).await.unwrap();
    assert_eq!(server.lines(), ["POST /big?uploadId=u", look, "HEAD /big"]);
}

#[tokio::test]
async fn an_object_that_was_completed_from_other_content_is_damaged() {
    let done = "<CompleteMultipartUploadResult><ETag>\"x-1\"</ETag></CompleteMultipartUploadResult>";
    let told = vec![Reply::of(200, &[("x-cos-hash-crc64ecma", "1")], done)];
    let asked_for = vec![Reply::of(200, &[], done), about(b"987654321", &[], b"")];
    for replies in [told, asked_for] {
        let server = Server::telling(replies).await;
        let error = cos(&server)
            .complete_upload(&key("big"), "u", &[part(1, CONTENT)], &Digests::of(CONTENT))
            .await
            .unwrap_err();
        assert_eq!(error.failure(), Failure::Damaged);
        assert!(server.was_asked());
    }
}

#[tokio::test]
async fn uploads_and_parts_are_listed_page_by_page() {
    let upload = |key: &str, id: &str| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
    let first = format!(
        "<ListMultipartUploadsResult><EncodingType>url</EncodingType>{}<IsTruncated>true</IsTruncated>\
         <NextKeyMarker>a%20b</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker></ListMultipartUploadsResult>",
        upload("a%20b", "1")
    );
    let second = format!(
        "<ListMultipartUploadsResult><EncodingType>url</EncodingType>{}<IsTruncated>false</IsTruncated>\
         </ListMultipartUploadsResult>",
        upload("c", "2")
    );
    let server = Server::telling([Reply::of(200, &[], first), Reply::of(200, &[], second)]).await;
    let found = cos(&server).uploads("").await.unwrap();
    let found: Vec<_> = found.iter().map(|upload| (&*upload.key, &*upload.id)).collect();
    assert_eq!(found, [("a b", "1"), ("c", "2")]);
    assert!(server.lines()[1].contains("&key-marker=a%20b&upload-id-marker=1&"), "{:?}", server.lines());

    let more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>";
    let server = Server::telling([parts(&[part(1, FIRST)], more), parts(&[part(2, SECOND)], "")]).await;
    let found = cos(&server).parts(&key("big"), "u").await.unwrap();
    assert_eq!(found, [part(1, FIRST), part(2, SECOND)]);

    let more = "<IsTruncated>true</IsTruncated>";
    let server = Server::telling([parts(&[part(7, FIRST)], more), parts(&[part(8, SECOND)], "")]).await;
    assert_eq!(cos(&server).parts(&key("big"), "u").await.unwrap().len(), 2);
    assert!(server.lines()[1].contains("part-number-marker=7&"), "the last number is the marker");
}

#[tokio::test]
async fn more_uploads_than_anybody_means_are_given_up() {
    let page = |number: u32, uploads: usize| {
        let upload = "<Upload><Key>a</Key><UploadId>u</UploadId></Upload>".repeat(uploads);
        let next =
            format!("<NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>{number}</NextUploadIdMarker>");
        let more = format!("{upload}<IsTruncated>true</IsTruncated>{next}");
        Reply::of(200, &[], format!("<ListMultipartUploadsResult>{more}</ListMultipartUploadsResult>"))
    };
    let last = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
    let server = Server::telling([page(1, 9_000), page(2, 1_000), Reply::of(200, &[], last)]).await;
    assert_eq!(cos(&server).uploads("").await.unwrap().len(), 10_000);
    assert_eq!(server.asked().len(), 3);
    let server = Server::telling([page(1, 9_000), page(2, 1_001)]).await;
    assert_eq!(cos(&server).uploads("").await.unwrap_err().failure(), Failure::Invalid);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_listing_that_does_not_go_on_is_given_up() {
    let stuck = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>\
                 <NextUploadIdMarker>1</NextUploadIdMarker></ListMultipartUploadsResult>";
    let stuck = Reply::of(200, &[], stuck);
    let server = Server::telling([stuck.clone(), stuck]).await;
    assert_eq!(cos(&server).uploads("").await.unwrap_err().failure(), Failure::Unexpected);
    assert_eq!(server.asked().len(), 2);

    let stuck = parts(&[], "<IsTruncated>true</IsTruncated><NextPartNumberMarker>0</NextPartNumberMarker>");
    let server = Server::telling([stuck]).await;
    assert_eq!(cos(&server).parts(&key("big"), "u").await.unwrap_err().failure(), Failure::Unexpected);
}

#[tokio::test]
async fn a_part_that_no_upload_can_have_is_not_sent() {
    let server = Server::telling([]).await;
    for number in [0, 10_001] {
        let put = cos(&server).put_part(&key("big"), "u", number, Bytes::from_static(FIRST)).await;
        assert_eq!(put.unwrap_err().failure(), Failure::Invalid);
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn giving_up_an_upload_that_is_gone_is_no_error() {
    let gone = "<Error><Code>NoSuchUpload</Code><Message>no</Message></Error>";
    let server = Server::telling([Reply::of(404, &[], gone)]).await;
    cos(&server).abort_upload(&key("big"), "u").await.unwrap();
    let server = Server::telling([Reply::HangUp, Reply::of(404, &[], gone)]).await;
    cos(&server).abort_upload(&key("big"), "u").await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

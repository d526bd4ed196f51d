use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flow_core::CancelToken;
use flow_tencent::{
    ApiError, Attributes, Cos, CosConfig, Credential, Credentials, Digests, Failure, ObjectKey, Stored,
};

use crate::server::{Reply, Server};
use crate::skipping_clock::SkippingClock;

pub(crate) const CONTENT: &[u8] = b"123456789";

pub(crate) fn cos(server: &Server) -> Cos {
    asked_by(server, Credential::new("AKID1", "s3cret", None).unwrap())
}

pub(crate) fn asked_by(server: &Server, credentials: impl Credentials + 'static) -> Cos {
    let config = CosConfig {
        bucket: "site".into(),
        appid: "1250000000".into(),
        region: "ap-guangzhou".into(),
        endpoint: Some(server.url()),
    };
    Cos::new(&config, Arc::new(credentials), Arc::new(SkippingClock::default())).unwrap()
}

pub(crate) fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

/// An answer about an object whose content is `content`, all of it true.
pub(crate) fn about(content: &[u8], further: &[(&str, &str)], body: &[u8]) -> Reply {
    let digests = Digests::of(content);
    let (etag, crc64) = (format!("\"{}\"", digests.etag()), digests.crc64.to_string());
    let mut headers = vec![("ETag", &*etag), ("x-cos-hash-crc64ecma", &*crc64), ("x-cos-request-id", "r-1")];
    headers.extend(further);
    Reply::announcing(200, &headers, if body.is_empty() { content.len() } else { body.len() }, body)
}

/// The answer to a PUT: it has no body.
fn put_answer(headers: &[(&str, &str)]) -> Reply {
    Reply::of(200, headers, "")
}

fn html() -> Attributes {
    Attributes {
        content_type: Some("text/html".into()),
        cache_control: Some("no-cache".into()),
        metadata: BTreeMap::from([("release".into(), "1.0.0".into())]),
        ..Attributes::default()
    }
}

const AS_ASKED: [(&str, &str); 3] =
    [("Content-Type", "text/html"), ("Cache-Control", "no-cache"), ("x-cos-meta-release", "1.0.0")];

const CRC: (&str, &str) = ("x-cos-hash-crc64ecma", "11051210869376104954");

async fn put(server: &Server) -> Result<(), ApiError> {
    cos(server).put(&key("a b/index.html"), Bytes::from_static(CONTENT), &html()).await.map(drop)
}

#[tokio::test]
async fn a_put_is_one_request_with_md5_attributes_and_the_buckets_own_host() {
    let server = Server::telling([put_answer(&[CRC])]).await;
    put(&server).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((&*asked[0].line, &*asked[0].body), ("PUT /a%20b/index.html", CONTENT));
    for (name, value) in AS_ASKED.into_iter().chain([
        ("host", "site-1250000000.cos.ap-guangzhou.myqcloud.com"),
        ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
        ("content-length", "9"),
    ]) {
        assert_eq!(asked[0].header(name), Some(value), "{name}");
    }
    let signed = asked[0].header("authorization").unwrap();
    let listed = "q-header-list=cache-control;content-md5;content-type;host;x-cos-meta-release&";
    assert!(signed.contains(listed) && signed.contains("q-sign-time=1767225540;1767226500"), "{signed}");
}

#[tokio::test]
async fn an_empty_object_says_its_length() {
    let server = Server::telling([put_answer(&[("x-cos-hash-crc64ecma", "0")])]).await;
    cos(&server).put(&key("empty"), Bytes::new(), &Attributes::default()).await.unwrap();
    assert_eq!(server.asked()[0].header("content-length"), Some("0"));
}

#[tokio::test]
async fn what_is_stored_otherwise_than_sent_is_damaged() {
    for header in [("x-cos-hash-crc64ecma", "1"), ("ETag", "\"00000000000000000000000000000000\"")] {
        let server = Server::telling([put_answer(&[header])]).await;
        assert_eq!(put(&server).await.unwrap_err().failure(), Failure::Damaged);
    }
}

#[tokio::test]
async fn without_a_crc_the_etag_counts_and_without_both_the_length() {
    let server = Server::telling([put_answer(&[("ETag", "\"25F9E794323B453885F5181F1B624D0B\"")])]).await;
    put(&server).await.unwrap();
    assert_eq!(server.asked().len(), 1);
    let of_length = |length| Reply::announcing(200, &[], length, "");
    let damaged = Some(Failure::Damaged);
    let other = about(b"987654321", &[], b"");
    for (head, ended) in [(of_length(9), None), (of_length(8), damaged), (other, damaged)] {
        let server = Server::telling([put_answer(&[("ETag", "\"sealed\"")]), head]).await;
        assert_eq!(put(&server).await.err().map(|error| error.failure()), ended);
        assert_eq!(server.lines(), ["PUT /a%20b/index.html", "HEAD /a%20b/index.html"]);
    }
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_looked_at_and_not_repeated_where_it_arrived() {
    let server = Server::telling([Reply::HangUp, about(CONTENT, &AS_ASKED, b"")]).await;
    put(&server).await.unwrap();
    assert_eq!(server.lines(), ["PUT /a%20b/index.html", "HEAD /a%20b/index.html"]);
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_repeated_where_it_did_not_arrive() {
    let absent = Reply::of(404, &[], "");
    let old = about(b"old", &AS_ASKED, b"");
    let served_otherwise = about(CONTENT, &[("Content-Type", "text/plain")], b"");
    for found in [absent, old, served_otherwise] {
        let gateway = Reply::of(502, &[], "<html>");
        let server = Server::telling([gateway, found, put_answer(&[CRC])]).await;
        put(&server).await.unwrap();
        assert_eq!(
            server.lines(),
            ["PUT /a%20b/index.html", "HEAD /a%20b/index.html", "PUT /a%20b/index.html"]
        );
    }
}

#[tokio::test]
async fn a_put_without_an_end_is_in_doubt_after_three_rounds() {
    let round = [Reply::HangUp, Reply::of(404, &[], "")];
    let server = Server::telling(round.iter().cycle().take(6).cloned()).await;
    assert!(put(&server).await.unwrap_err().is_in_doubt());
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn a_doubt_stays_one_when_the_look_or_the_next_put_is_refused() {
    let denied = || Reply::of(403, &[], "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    let absent = || Reply::of(404, &[], "");
    let refused_look = vec![Reply::HangUp, Reply::of(403, &[], "")];
    let refused_put = vec![Reply::HangUp, absent(), denied(), absent(), denied(), absent()];
    for replies in [refused_look, refused_put] {
        let server = Server::telling(replies).await;
        let error = put(&server).await.unwrap_err();
        assert!(error.is_in_doubt() && server.was_asked(), "{error}");
    }
    let found = about(CONTENT, &AS_ASKED, b"");
    let server = Server::telling([Reply::HangUp, absent(), denied(), found]).await;
    put(&server).await.unwrap();
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_put_that_was_answered_and_cannot_be_looked_at_is_in_doubt() {
    let denied = Reply::of(403, &[], "");
    let server = Server::telling([put_answer(&[("ETag", "\"sealed\"")]), denied.clone(), denied]).await;
    assert!(put(&server).await.unwrap_err().is_in_doubt());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn content_of_more_than_64_mib_is_not_sent_in_one_piece() {
    let server = Server::telling([]).await;
    let content = Bytes::from(vec![0; (64 << 20) + 1]);
    let error = cos(&server).put(&key("a"), content, &html()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Invalid);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_put_that_is_cancelled_ends_while_it_waits_for_its_answer() {
    let server = Server::telling([Reply::Silence]).await;
    let cancel = CancelToken::new();
    let (cos, key, html) = (cos(&server).until(&cancel), key("a"), html());
    let put = cos.put(&key, Bytes::from_static(CONTENT), &html);
    let cancelling = async {
        while !server.was_asked() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(put, cancelling);
    assert_eq!(ended.unwrap_err().failure(), Failure::Cancelled);
}

#[tokio::test]
async fn attributes_that_no_header_carries_as_they_are_are_refused_and_not_sent() {
    let server = Server::telling([]).await;
    for value in [" text/html", "text/html ", "text/html\t", "text\nhtml"] {
        let attributes = Attributes { content_type: Some(value.into()), ..Attributes::default() };
        let error = cos(&server).put(&key("a"), Bytes::from_static(CONTENT), &attributes).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Invalid, "{value:?}");
        assert!(error.message().contains("`content-type`"), "{error}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_throttled_put_is_sent_again_without_a_look() {
    let slow = Reply::of(503, &[], "<Error><Code>SlowDown</Code><Message>slow</Message></Error>");
    let server = Server::telling([slow.clone(), slow, put_answer(&[CRC])]).await;
    put(&server).await.unwrap();
    assert_eq!(server.lines(), ["PUT /a%20b/index.html"; 3]);
}

#[tokio::test]
async fn an_object_is_read_whole_and_compared() {
    let server = Server::telling([about(CONTENT, &AS_ASKED, CONTENT)]).await;
    let (meta, content) = cos(&server).read(&key("a"), 9).await.unwrap();
    assert_eq!((&*content, meta.length, meta.attributes), (CONTENT, 9, html()));

    let server = Server::telling([about(CONTENT, &[], b"123456780")]).await;
    assert_eq!(cos(&server).read(&key("a"), 9).await.unwrap_err().failure(), Failure::Damaged);

    let server = Server::telling([about(CONTENT, &[], CONTENT)]).await;
    assert_eq!(cos(&server).read(&key("a"), 8).await.unwrap_err().failure(), Failure::Invalid);
}

#[tokio::test]
async fn a_read_that_breaks_is_begun_again_and_a_download_tells_it() {
    let cut = Reply::announcing(200, &[CRC], 9, &CONTENT[..5]);
    let server = Server::telling([cut.clone(), about(CONTENT, &[], CONTENT)]).await;
    let (_, content) = cos(&server).read(&key("a"), 9).await.unwrap();
    assert_eq!(&*content, CONTENT);
    assert_eq!(server.asked().len(), 2);

    let server = Server::telling([cut]).await;
    let mut download = cos(&server).get(&key("a")).await.unwrap();
    let error = loop {
        match download.piece().await {
            Ok(piece) => assert!(piece.is_some(), "the end was reached without all of it"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.failure(), Failure::Transient);
}

#[tokio::test]
async fn a_damaged_download_never_tells_that_it_ended_well() {
    let server = Server::telling([about(CONTENT, &[], b"987654321")]).await;
    let mut download = cos(&server).get(&key("a")).await.unwrap();
    while let Ok(piece) = download.piece().await {
        assert!(piece.is_some(), "it ended well");
    }
    assert_eq!(download.piece().await.unwrap_err().failure(), Failure::Damaged);
}

#[tokio::test]
async fn every_flipped_byte_of_a_download_is_found() {
    for at in 0..CONTENT.len() {
        let mut flipped = CONTENT.to_vec();
        flipped[at] ^= 1;
        let server = Server::telling([about(CONTENT, &[], &flipped)]).await;
        assert_eq!(cos(&server).read(&key("a"), 9).await.unwrap_err().failure(), Failure::Damaged, "{at}");
    }
}

#[tokio::test]
async fn an_object_that_is_not_there_is_not_found_by_its_code() {
    let body = "<Error><Code>NoSuchKey</Code><Message>no</Message><RequestId>r-2</RequestId></Error>";
    let server = Server::telling([Reply::of(404, &[], body), Reply::of(404, &[], "")]).await;
    let cos = cos(&server);
    let error = cos.get(&key("a")).await.unwrap_err();
    assert_eq!(
        (error.failure(), error.code(), error.request_id()),
        (Failure::NotFound, Some("NoSuchKey"), Some("r-2"))
    );
    assert_eq!(cos.find(&key("a")).await.unwrap(), None);
    assert_eq!(server.lines(), ["GET /a", "HEAD /a"]);
}

#[tokio::test]
async fn a_delete_whose_answer_is_lost_is_repeated_only_while_the_object_is_there() {
    let server = Server::telling([Reply::HangUp, Reply::of(404, &[], "")]).await;
    cos(&server).delete(&key("a")).await.unwrap();
    assert_eq!(server.lines(), ["DELETE /a", "HEAD /a"]);
    let server = Server::telling([Reply::HangUp, about(CONTENT, &[], b""), Reply::of(204, &[], "")]).await;
    cos(&server).delete(&key("a")).await.unwrap();
    assert_eq!(server.lines(), ["DELETE /a", "HEAD /a", "DELETE /a"]);
    let gone = Reply::of(404, &[], "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>");
    let server = Server::telling([gone]).await;
    cos(&server).delete(&key("a")).await.unwrap();
    let no_bucket = Reply::of(404, &[], "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>");
    let server = Server::telling([no_bucket]).await;
    assert_eq!(cos(&server).delete(&key("a")).await.unwrap_err().failure(), Failure::NotFound);
}

/// What is told of [`CONTENT`], which is also what a listing tells of it.
fn source() -> Stored {
    Stored { etag: Digests::of(CONTENT).etag(), ..Stored::default() }
}

async fn copy(server: &Server, source: &Stored) -> Result<Stored, ApiError> {
    cos(server).copy(&key("a b"), source, &key(".flow/kept/1")).await
}

fn copied(told: &str) -> Reply {
    Reply::of(200, &[], format!("<CopyObjectResult>{told}</CopyObjectResult>"))
}

const COPIED: &str = "<ETag>\"25f9e794323b453885f5181f1b624d0b\"</ETag>";

#[tokio::test]
async fn a_copy_names_its_source_and_an_error_inside_of_status_200_is_one() {
    let server = Server::telling([copied(COPIED)]).await;
    assert_eq!(copy(&server, &source()).await.unwrap(), source());
    let asked = server.asked();
    assert_eq!(asked[0].line, "PUT /.flow/kept/1");
    let named = "site-1250000000.cos.ap-guangzhou.myqcloud.com/a%20b";
    assert_eq!(asked[0].header("x-cos-copy-source"), Some(named));
    let expected = "\"25f9e794323b453885f5181f1b624d0b\"";
    assert_eq!(asked[0].header("x-cos-copy-source-if-match"), Some(expected));

    for (status, code, failure) in
        [(200, "AccessDenied", Failure::Auth), (412, "PreconditionFailed", Failure::Conflict)]
    {
        let refused = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
        let server = Server::telling([Reply::of(status, &[], refused)]).await;
        let error = copy(&server, &source()).await.unwrap_err();
        assert_eq!((error.failure(), error.code()), (failure, Some(code)));
    }
}

#[tokio::test]
async fn a_copy_that_is_not_its_source_is_damaged() {
    let (whole, other) = (|| about(CONTENT, &AS_ASKED, b""), || about(b"987654321", &AS_ASKED, b""));
    let known = Stored { crc64: Some(Digests::of(CONTENT).crc64), ..source() };
    let flipped = "<ETag>\"00000000000000000000000000000000\"</ETag>";
    let wrong_crc = format!("{COPIED}<CRC64>1</CRC64>");
    for (told, source) in [(flipped, source()), (&*wrong_crc, known.clone())] {
        let server = Server::telling([copied(told), whole(), other()]).await;
        assert_eq!(copy(&server, &source).await.unwrap_err().failure(), Failure::Damaged, "{told}");
        assert_eq!(server.lines(), ["PUT /.flow/kept/1", "HEAD /a%20b", "HEAD /.flow/kept/1"]);
    }
    let server = Server::telling([copied(flipped), other(), other()]).await;
    let error = copy(&server, &source()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Damaged, "the source is another by now, too");
    let server = Server::telling([copied(flipped), Reply::of(403, &[], "")]).await;
    assert!(copy(&server, &source()).await.unwrap_err().is_in_doubt(), "something was copied");
}

#[tokio::test]
async fn a_copy_of_an_object_in_parts_is_compared_by_crc() {
    let in_parts = Stored { etag: "x-2".into(), ..Stored::default() };
    let original = Reply::announcing(200, &[("ETag", "\"x-2\""), CRC], 9, "");
    let server = Server::telling([copied(COPIED), original, about(CONTENT, &[], b"")]).await;
    assert_eq!(copy(&server, &in_parts).await.unwrap().etag, source().etag);
    assert_eq!(server.lines(), ["PUT /.flow/kept/1", "HEAD /a%20b", "HEAD /.flow/kept/1"]);

    let told = copied(&format!("{COPIED}<CRC64>{}</CRC64>", CRC.1));
    let server = Server::telling([told]).await;
    let known = Stored { crc64: Some(Digests::of(CONTENT).crc64), ..in_parts };
    assert_eq!(copy(&server, &known).await.unwrap().crc64, known.crc64);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_copy_whose_answer_is_lost_is_compared_with_its_source() {
    let same = about(CONTENT, &AS_ASKED, b"");
    let server = Server::telling([Reply::HangUp, same.clone(), same.clone()]).await;
    copy(&server, &source()).await.unwrap();
    let look = ["PUT /.flow/kept/1", "HEAD /a%20b", "HEAD /.flow/kept/1"];
    assert_eq!(server.lines(), look);

    let other = about(b"987654321", &AS_ASKED, b"");
    let served_otherwise = about(CONTENT, &[("Content-Type", "text/plain")], b"");
    for found in [other, served_otherwise, Reply::of(404, &[], "")] {
        let server = Server::telling([Reply::HangUp, same.clone(), found, copied(COPIED)]).await;
        copy(&server, &source()).await.unwrap();
        assert_eq!(server.lines(), [look[0], look[1], look[2], look[0]]);
    }
}

#[tokio::test]
async fn a_listing_goes_on_behind_its_marker_until_its_end() {
    let page = |next: &str, truncated: bool, keys: &[&str]| {
        let entry =
            |key: &&str| format!("<Contents><Key>{key}</Key><ETag>\"e\"</ETag><Size>1</Size></Contents>");
        let contents: String = keys.iter().map(entry).collect();
        Reply::of(
            200,
            &[],
            format!(
                "<ListBucketResult><EncodingType>url</EncodingType>{contents}<IsTruncated>{truncated}</IsTruncated>\
                 <NextMarker>{next}</NextMarker></ListBucketResult>"
            ),
        )
    };
    let pages = [page("a%20%26b", true, &["a", "a%20%26b"]), page("", false, &["%20c%20"])];
    let server = Server::telling(pages.clone()).await;
    let listed = cos(&server).list_all("", 3).await.unwrap();
    let keys: Vec<_> = listed.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["a", "a &b", " c "]);
    let query = |after: &str| format!("GET /?prefix=&marker={after}&max-keys=1000&encoding-type=url");
    assert_eq!(server.lines(), [query(""), query("a%20%26b")]);

    let server = Server::telling(pages).await;
    assert_eq!(cos(&server).list_all("", 2).await.unwrap_err().failure(), Failure::Invalid);

    let unmarked = [page("", true, &["a", "b"]), page("", false, &["c"])];
    let server = Server::telling(unmarked).await;
    assert_eq!(cos(&server).list_all("", 9).await.unwrap().len(), 3);
    assert_eq!(server.lines(), [query(""), query("b")], "the last key is the marker");

    let stuck = page("a", true, &["a"]);
    let server = Server::telling([stuck.clone(), stuck]).await;
    assert_eq!(cos(&server).list_all("", 9).await.unwrap_err().failure(), Failure::Unexpected);
}

#[tokio::test]
async fn a_page_of_another_kind_is_no_empty_listing() {
    let page = || Reply::of(200, &[], "<html><body>sign in</body></html>");
    let empty = Reply::of(200, &[], "<?xml version='1.0'?><ListBucketResult xmlns='x'></ListBucketResult>");
    let server = Server::telling([page(), Reply::of(200, &[], ""), empty]).await;
    assert!(cos(&server).list_all("", 9).await.unwrap().is_empty());
    assert_eq!(server.asked().len(), 3);

    let server = Server::telling([page()]).await;
    assert!(cos(&server).delete_many(&[key("a")]).await.unwrap_err().is_in_doubt());
}

#[tokio::test]
async fn many_deletes_are_one_request_that_tells_what_stayed() {
    let body = "<DeleteResult><Error><Key>b&amp;</Key><Code>AccessDenied</Code><Message>no</Message></Error>\
                <Error><Key>c</Key><Code>NoSuchKey</Code><Message>no</Message></Error></DeleteResult>";
    let server = Server::telling([Reply::of(200, &[], body)]).await;
    let kept = cos(&server).delete_many(&[key("a"), key("b&"), key("c")]).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((&*kept[0].key, &*kept[0].code), ("b&", "AccessDenied"));
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /?delete=");
    let md5 = Digests::of(&asked[0].body).content_md5();
    assert_eq!(asked[0].header("content-md5"), Some(&*md5));
    assert!(asked[0].text().contains("<Object><Key>b&amp;</Key></Object>"), "{}", asked[0].text());

    let nothing = Server::telling([]).await;
    for keys in [vec![], vec![key("a"); 1001]] {
        assert_eq!(cos(&nothing).delete_many(&keys).await.unwrap_err().failure(), Failure::Invalid);
    }
    assert!(nothing.asked().is_empty());
}

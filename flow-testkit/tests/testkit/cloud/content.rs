use serde_json::json;

use super::client::{BUCKET, cloud, content, function, md5, ok, refused, settle};
use super::signing::hex;

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let cloud = cloud().await;
    let sum = md5(b"hello");
    let headers =
        [("Content-MD5", sum.as_str()), ("Content-Type", "text/css"), ("Cache-Control", "no-cache")];
    let put = content(&cloud, "PUT", "/css/a.css", &headers, b"hello").await.unwrap();
    assert_eq!((put.status, put.header("etag")), (200, "\"5d41402abc4b2a76b9719d911017c592\""));
    let got = content(&cloud, "GET", "/css/a.css", &[], b"").await.unwrap();
    assert_eq!((got.text().as_str(), got.header("content-type")), ("hello", "text/css"));
    assert_eq!(got.header("cache-control"), "no-cache");
    assert_eq!(got.header("x-cos-hash-crc64ecma"), put.header("x-cos-hash-crc64ecma"));
    let head = content(&cloud, "HEAD", "/css/a.css", &[], b"").await.unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), ("5", 0));
    let part = content(&cloud, "GET", "/css/a.css", &[("Range", "bytes=1-3")], b"").await.unwrap();
    assert_eq!(
        (part.status, part.text().as_str(), part.header("content-range")),
        (206, "ell", "bytes 1-3/5")
    );
    assert_eq!(content(&cloud, "DELETE", "/css/a.css", &[], b"").await.unwrap().status, 204);
    let gone = content(&cloud, "GET", "/css/a.css", &[], b"").await.unwrap();
    assert_eq!((gone.status, gone.code().as_str()), (404, "NoSuchKey"));
}

#[tokio::test]
async fn a_body_that_is_not_what_its_digest_says_is_refused_and_nothing_is_stored() {
    let cloud = cloud().await;
    let sum = md5(b"hello");
    let bad = content(&cloud, "PUT", "/a", &[("Content-MD5", &sum)], b"hellO").await.unwrap();
    assert_eq!((bad.status, bad.code().as_str()), (400, "BadDigest"));
    let none = content(&cloud, "PUT", "/a", &[("Content-MD5", "abc")], b"hello").await.unwrap();
    assert_eq!(none.code(), "InvalidDigest");
    assert!(cloud.objects(BUCKET).is_empty());
    content(&cloud, "PUT", "/a", &[], b"one").await.unwrap();
    let twice = content(&cloud, "PUT", "/a", &[("x-cos-forbid-overwrite", "true")], b"two").await.unwrap();
    assert_eq!((twice.status, twice.code().as_str()), (409, "FileAlreadyExists"));
    assert_eq!(cloud.objects(BUCKET)["a"], b"one");
}

#[tokio::test]
async fn what_was_corrupted_on_its_way_shows_in_the_answer() {
    let cloud = cloud().await;
    let sound = content(&cloud, "PUT", "/a", &[], b"hello").await.unwrap();
    cloud.fault(serde_json::from_value(json!({ "kind": "cos_corrupt", "subject": ["a"] })).unwrap());
    let sum = md5(b"hello");
    let put = content(&cloud, "PUT", "/a", &[("Content-MD5", &sum)], b"hello").await.unwrap();
    assert_eq!(put.status, 200);
    assert_ne!(put.header("x-cos-hash-crc64ecma"), sound.header("x-cos-hash-crc64ecma"));
    assert_ne!(cloud.objects(BUCKET)["a"], b"hello");
}

#[tokio::test]
async fn parts_make_an_object() {
    let cloud = cloud().await;
    let begun = content(&cloud, "POST", "/big?uploads", &[], b"").await.unwrap().text();
    let id = begun.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let parts = [vec![1_u8; 1024 * 1024], b"end".to_vec()];
    let mut list = String::from("<CompleteMultipartUpload>");
    for (number, part) in (1..).zip(&parts) {
        let target = format!("/big?partNumber={number}&uploadId={id}");
        let put = content(&cloud, "PUT", &target, &[], part).await.unwrap();
        list.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
            put.header("etag")
        ));
    }
    list.push_str("</CompleteMultipartUpload>");
    let told = content(&cloud, "GET", "/?uploads", &[], b"").await.unwrap().text();
    assert!(told.contains(&id), "{told}");
    let told = content(&cloud, "GET", &format!("/big?uploadId={id}"), &[], b"").await.unwrap().text();
    assert_eq!(told.matches("<Part>").count(), 2);
    let target = format!("/big?uploadId={id}");
    let done = content(&cloud, "POST", &target, &[], list.as_bytes()).await.unwrap();
    assert!(done.text().contains("-2&quot;</ETag>"), "{}", done.text());
    assert_eq!(cloud.objects(BUCKET)["big"], parts.concat());
    let again = content(&cloud, "POST", &target, &[], list.as_bytes()).await.unwrap();
    assert_eq!(again.code(), "NoSuchUpload");
}

#[tokio::test]
async fn parts_belong_to_their_own_upload_and_are_named_by_their_etags() {
    let cloud = cloud().await;
    let begun = content(&cloud, "POST", "/big?uploads", &[], b"").await.unwrap().text();
    let id = begun.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let other = format!("/another?partNumber=1&uploadId={id}");
    assert_eq!(content(&cloud, "PUT", &other, &[], b"part").await.unwrap().code(), "NoSuchUpload");
    content(&cloud, "PUT", &format!("/big?partNumber=1&uploadId={id}"), &[], b"part").await.unwrap();
    let list = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"0\"</ETag></Part></CompleteMultipartUpload>";
    let target = format!("/big?uploadId={id}");
    let refused = content(&cloud, "POST", &target, &[], list.as_bytes()).await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (400, "InvalidPart"));
}

#[tokio::test]
async fn uploads_are_listed_in_pages_by_their_keys() {
    let cloud = cloud().await;
    for key in ["c", "a+b", "b", "a+b", "a"] {
        content(&cloud, "POST", &format!("/{key}?uploads"), &[], b"").await.unwrap();
    }
    let list = async |query: &str| {
        let told = content(&cloud, "GET", &format!("/?uploads{query}"), &[], b"").await.unwrap().text();
        let all = |name: &str| {
            let begin = format!("<{name}>");
            let parts = told.split(&begin).skip(1);
            parts.map(|part| part.split('<').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let next = (all("NextKeyMarker").concat(), all("NextUploadIdMarker").concat());
        (all("Key"), all("IsTruncated").concat(), next)
    };
    assert_eq!(list("").await.0, ["a", "a+b", "a+b", "b", "c"]);
    let (first, more, (key, id)) = list("&max-uploads=2&encoding-type=url").await;
    assert_eq!(
        (first, more.as_str(), key.as_str()),
        (vec!["a".to_owned(), "a%2Bb".to_owned()], "true", "a%2Bb")
    );
    let (second, more, next) = list(&format!("&key-marker={key}&upload-id-marker={id}")).await;
    assert_eq!((second, more.as_str()), (["a+b", "b", "c"].map(str::to_owned).to_vec(), "false"));
    assert_eq!(next, Default::default());
    assert_eq!(list(&format!("&key-marker={key}")).await.0, ["b", "c"]);
    let wrong = content(&cloud, "GET", "/?uploads&max-uploads=x", &[], b"").await.unwrap();
    assert_eq!(wrong.code(), "InvalidArgument");
}

#[tokio::test]
async fn a_page_has_a_thousand_keys_whatever_is_asked_for() {
    let cloud = cloud().await;
    for number in 0..1001 {
        cloud.change_object(BUCKET, &format!("{number:04}"), Some(b""));
    }
    let told = content(&cloud, "GET", "/?max-keys=5000", &[], b"").await.unwrap().text();
    assert_eq!(told.matches("<Key>").count(), 1000);
    assert!(told.contains("<NextMarker>0999</NextMarker>"));
}

#[tokio::test]
async fn many_keys_are_listed_in_pages_copied_and_deleted_in_one_request() {
    let cloud = cloud().await;
    for key in ["a/1", "a/2", "b"] {
        content(&cloud, "PUT", &format!("/{key}"), &[], key.as_bytes()).await.unwrap();
    }
    let listed = content(&cloud, "GET", "/?max-keys=2", &[], b"").await.unwrap().text();
    assert!(listed.contains("<NextMarker>a/2</NextMarker>"), "{listed}");
    assert!(!listed.contains("<Key>b</Key>"));
    let source = format!("{BUCKET}.cos.ap-beijing.myqcloud.com/a/1");
    let copied = content(&cloud, "PUT", "/c", &[("x-cos-copy-source", &source)], b"").await.unwrap();
    assert!(copied.text().contains("<CopyObjectResult>"));
    assert_eq!(cloud.objects(BUCKET)["c"], b"a/1");
    let body = b"<Delete><Object><Key>a/1</Key></Object><Object><Key>b</Key></Object></Delete>";
    assert_eq!(content(&cloud, "POST", "/?delete", &[], body).await.unwrap().code(), "MissingRequestHeader");
    let sum = md5(body);
    let deleted = content(&cloud, "POST", "/?delete", &[("Content-MD5", &sum)], body).await.unwrap();
    assert_eq!(deleted.text().matches("<Deleted>").count(), 2);
    assert_eq!(cloud.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["a/2", "c"]);
}

#[tokio::test]
async fn a_key_among_many_may_be_refused_and_is_told_also_to_the_quiet() {
    let cloud = cloud().await;
    for key in ["a", "b"] {
        cloud.change_object(BUCKET, key, Some(b""));
    }
    let fault = json!({ "kind": "cos_delete", "subject": ["a"], "code": "AccessDenied" });
    cloud.fault(serde_json::from_value(fault).unwrap());
    let body =
        b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>";
    let sum = md5(body);
    let delete = async || content(&cloud, "POST", "/?delete", &[("Content-MD5", &sum)], body).await.unwrap();
    let told = delete().await;
    assert!(told.text().contains("<Error><Key>a</Key><Code>AccessDenied</Code>"), "{}", told.text());
    assert_eq!((told.status, told.text().matches("<Key>").count()), (200, 1));
    assert_eq!(cloud.objects(BUCKET).into_keys().collect::<Vec<_>>(), ["a"]);
    assert!(!delete().await.text().contains("<Error>"));
    assert!(cloud.objects(BUCKET).is_empty());
}

#[tokio::test]
async fn a_copy_and_what_was_written_past_the_api_tell_no_crc() {
    let cloud = cloud().await;
    let put = content(&cloud, "PUT", "/a", &[], b"hello").await.unwrap();
    cloud.change_object(BUCKET, "old", Some(b"hello"));
    let source = format!("{BUCKET}.cos.ap-beijing.myqcloud.com/a");
    let copied = content(&cloud, "PUT", "/b", &[("x-cos-copy-source", &source)], b"").await.unwrap();
    assert_eq!((copied.header("etag"), copied.text().contains("CRC64")), (put.header("etag"), false));
    for (key, tells) in [("/a", true), ("/b", false), ("/old", false)] {
        let told = content(&cloud, "HEAD", key, &[], b"").await.unwrap();
        assert_eq!(!told.header("x-cos-hash-crc64ecma").is_empty(), tells, "{key}");
    }
}

#[tokio::test]
async fn a_copy_of_another_object_than_is_meant_is_refused() {
    let cloud = cloud().await;
    let meant = content(&cloud, "PUT", "/a", &[], b"one").await.unwrap();
    let source = format!("{BUCKET}.cos.ap-beijing.myqcloud.com/a");
    let copy = async || {
        let headers =
            [("x-cos-copy-source", source.as_str()), ("x-cos-copy-source-If-Match", meant.header("etag"))];
        content(&cloud, "PUT", "/b", &headers, b"").await.unwrap()
    };
    assert_eq!(copy().await.status, 200);
    content(&cloud, "PUT", "/a", &[], b"two").await.unwrap();
    let refused = copy().await;
    assert_eq!((refused.status, refused.code().as_str()), (412, "PreconditionFailed"));
    assert_eq!(cloud.objects(BUCKET)["b"], b"one");
}

#[tokio::test]
async fn a_versioned_bucket_gives_the_old_bytes_back() {
    let cloud = cloud().await;
    let on = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    content(&cloud, "PUT", "/?versioning", &[], on).await.unwrap();
    let first = content(&cloud, "PUT", "/a", &[], b"one").await.unwrap();
    content(&cloud, "PUT", "/a", &[], b"two").await.unwrap();
    let target = format!("/a?versionId={}", first.header("x-cos-version-id"));
    assert_eq!(content(&cloud, "GET", &target, &[], b"").await.unwrap().text(), "one");
    assert_eq!(content(&cloud, "GET", "/a", &[], b"").await.unwrap().text(), "two");
    let told = content(&cloud, "GET", "/?versions", &[], b"").await.unwrap().text();
    assert_eq!(told.matches("<Version>").count(), 2);
}

#[tokio::test]
async fn code_may_come_from_a_bucket_named_without_the_accounts_number() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"old").await;
    content(&cloud, "PUT", "/code.zip", &[], b"new").await.unwrap();
    let given = |bucket: &str, object: &str| json!({ "FunctionName": "shop", "Code": { "CosBucketName": bucket, "CosObjectName": object } });
    let refusal = async |bucket: &str, object: &str| {
        refused(&cloud, "scf", "UpdateFunctionCode", given(bucket, object)).await
    };
    assert_eq!(refusal(BUCKET, "/code.zip").await, "InvalidParameterValue.CosBucketName");
    assert_eq!(refusal("site", "code.zip").await, "InvalidParameterValue.CosObjectName");
    ok(&cloud, "scf", "UpdateFunctionCode", given("site", "/code.zip")).await;
    settle(&cloud);
    let told = ok(&cloud, "scf", "GetFunctionAddress", json!({ "FunctionName": "shop" })).await;
    let sha256 = <sha2::Sha256 as sha2::Digest>::digest(b"new");
    assert_eq!(told["CodeSha256"], hex(&sha256));
}

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, StepError};
use flow_tencent::{Attributes, Credential, Credentials, Digests, Failure, Part};

use crate::multipart::{part, parts, stored};
use crate::objects::{CONTENT, asked_by, cos, key};
use crate::server::{Reply, Server};

/// Five MiB in which no two pieces are the same.
fn large() -> Vec<u8> {
    (0_u32..(5 << 20) / 4).flat_map(u32::to_le_bytes).collect()
}

fn file(content: &[u8]) -> File {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file.reopen().unwrap()
}

/// How long the parts are in which a file goes up that is to be served so.
async fn size(attributes: &Attributes) -> usize {
    let server = Server::telling([uploads(""), begun(), Reply::of(403, &[], "")]).await;
    cos(&server).put_file(&key("a"), file(&large()), attributes).await.unwrap_err();
    bodies(&server, "PUT").concat().len()
}

fn pieces(content: &[u8], size: usize) -> Vec<Part> {
    (1..).zip(content.chunks(size)).map(|(number, piece)| part(number, piece)).collect()
}

fn begun() -> Reply {
    Reply::of(
        200,
        &[],
        "<InitiateMultipartUploadResult><UploadId>new</UploadId></InitiateMultipartUploadResult>",
    )
}

fn uploads(listed: &str) -> Reply {
    Reply::of(200, &[], format!("<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"))
}

fn completed(content: &[u8]) -> Reply {
    let crc = Digests::of(content).crc64.to_string();
    let body = "<CompleteMultipartUploadResult><ETag>\"x-3\"</ETag></CompleteMultipartUploadResult>";
    Reply::of(200, &[("x-cos-hash-crc64ecma", &*crc)], body)
}

fn html() -> Attributes {
    Attributes { content_type: Some("text/html".into()), ..Attributes::default() }
}

/// The bodies of the requests whose line begins with `begin`.
fn bodies(server: &Server, begin: &str) -> Vec<Vec<u8>> {
    server.asked().into_iter().filter(|asked| asked.line.starts_with(begin)).map(|asked| asked.body).collect()
}

#[tokio::test]
async fn a_small_file_is_one_put() {
    let server = Server::telling([stored(CONTENT)]).await;
    cos(&server).put_file(&key("a"), file(CONTENT), &html()).await.unwrap();
    assert_eq!(server.lines(), ["PUT /a"]);
    assert_eq!(bodies(&server, "PUT"), [CONTENT]);
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let content = large();
    let put = content.chunks(size(&html()).await).map(stored);
    let server =
        Server::telling([uploads(""), begun()].into_iter().chain(put).chain([completed(&content)])).await;
    cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap();
    assert_eq!(bodies(&server, "PUT").concat(), content);
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn parts_that_an_earlier_call_stored_are_not_sent_again_unless_the_file_has_changed() {
    let (content, size) = (large(), size(&html()).await);
    let mut there = pieces(&content, size);
    there[2].etag = "0".repeat(32);
    there.remove(0);
    // The second part is there as it is; the third is another's.
    let others = "<Upload><Key>a/b</Key><UploadId>other</UploadId></Upload>";
    let found = format!("<Upload><Key>a</Key><UploadId>old</UploadId></Upload>{others}");
    let server = Server::telling([
        uploads(&found),
        parts(&there, ""),
        stored(&content[..size]),
        stored(&content[2 * size..]),
        completed(&content),
        Reply::announcing(200, &[("Content-Type", "text/html")], content.len(), ""),
    ])
    .await;
    cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap();
    let lines = server.lines();
    assert_eq!(
        lines[2..5],
        ["PUT /a?partNumber=1&uploadId=old", "PUT /a?partNumber=3&uploadId=old", "POST /a?uploadId=old"]
    );
}

#[tokio::test]
async fn an_upload_that_was_begun_to_be_served_otherwise_is_given_up_before_it_is_an_object() {
    let (content, size) = (large(), size(&html()).await);
    let found = || uploads("<Upload><Key>a</Key><UploadId>old</UploadId></Upload>");
    let plain = Attributes { content_type: Some("text/plain".into()), ..Attributes::default() };
    let others = pieces(&content, self::size(&plain).await);
    for there in [others, Vec::new()] {
        let gone = Reply::of(204, &[], "");
        let given_up = [found(), parts(&there, ""), gone, begun()];
        let again = content.chunks(size).map(stored);
        let server = Server::telling(given_up.into_iter().chain(again).chain([completed(&content)])).await;
        cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap();
        assert_eq!(server.lines()[2..4], ["DELETE /a?uploadId=old", "POST /a?uploads="]);
        assert_eq!(bodies(&server, "PUT /a?partNumber").concat(), content);
    }
}

#[tokio::test]
async fn parts_that_are_as_long_by_chance_are_not_enough() {
    let (content, size) = (large(), size(&html()).await);
    let found = "<Upload><Key>a</Key><UploadId>old</UploadId></Upload>";
    let resumed = [
        uploads(found),
        parts(&pieces(&content, size), ""),
        completed(&content),
        Reply::announcing(200, &[("Content-Type", "text/plain")], content.len(), ""),
        begun(),
    ];
    let again = content.chunks(size).map(stored);
    let server = Server::telling(resumed.into_iter().chain(again).chain([completed(&content)])).await;
    cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap();
    assert_eq!(bodies(&server, "PUT /a?partNumber").len(), 3);
}

#[tokio::test]
async fn a_begin_whose_answer_is_lost_is_looked_for_among_the_uploads() {
    let content = large();
    let other = "<Upload><Key>a/b</Key><UploadId>other</UploadId></Upload>";
    let found = uploads(&format!("<Upload><Key>a</Key><UploadId>new</UploadId></Upload>{other}"));
    let server = Server::telling([uploads(other), Reply::HangUp, found, Reply::of(403, &[], "")]).await;
    cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap_err();
    assert_eq!(server.lines()[3], "PUT /a?partNumber=1&uploadId=new");
}

#[tokio::test]
async fn a_file_is_not_read_to_its_end_where_the_call_is_cancelled() {
    let server = Server::telling([]).await;
    let cancel = CancelToken::new();
    cancel.cancel();
    let endless = file(b"");
    endless.set_len(20 << 30).unwrap();
    let (cos, key, attributes) = (cos(&server).until(&cancel), key("a"), html());
    let put = cos.put_file(&key, endless, &attributes);
    let ended = tokio::time::timeout(Duration::from_secs(10), put).await.unwrap();
    assert_eq!(ended.unwrap_err().failure(), Failure::Cancelled);
}

#[tokio::test]
async fn a_refusal_is_one_until_an_upload_has_begun_and_a_doubt_from_then_on() {
    let (content, size) = (large(), size(&html()).await);
    let denied = || Reply::of(403, &[], "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    let found = uploads("<Upload><Key>a</Key><UploadId>old</UploadId></Upload>");
    let otherwise = Reply::announcing(200, &[], content.len(), "");
    for (replies, failure) in [
        (vec![uploads(""), denied()], Failure::Auth),
        (vec![uploads(""), begun(), denied()], Failure::InDoubt),
        (
            vec![found, parts(&pieces(&content, size), ""), completed(&content), otherwise, denied()],
            Failure::InDoubt,
        ),
    ] {
        let server = Server::telling(replies).await;
        let error = cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap_err();
        assert_eq!((error.failure(), error.code()), (failure, Some("AccessDenied")));
        assert!(server.was_asked());
    }
}

/// Changes a file whenever it is asked, so between the two times that the file is read.
#[derive(Debug)]
struct Changing(PathBuf, Vec<u8>);

#[async_trait]
impl Credentials for Changing {
    async fn credential(&self) -> Result<Credential, StepError> {
        std::fs::write(&self.0, &self.1).unwrap();
        Ok(Credential::new("AKID1", "s3cret", None)?)
    }
}

#[tokio::test]
async fn no_object_is_made_of_a_file_that_is_changed_while_it_is_read() {
    let (content, size) = (large(), size(&html()).await);
    let mut other = content.clone();
    other[0] ^= 1;
    for changed in [other, content[..size + 1].to_vec(), [content.clone(), vec![0]].concat()] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        let put = changed.chunks(size).map(stored);
        let server = Server::telling([uploads(""), begun()].into_iter().chain(put)).await;
        let cos = asked_by(&server, Changing(file.path().to_owned(), changed.clone()));
        let error = cos.put_file(&key("a"), file.reopen().unwrap(), &html()).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Damaged);
        assert!(server.lines().iter().all(|line| !line.starts_with("POST /a?uploadId")));
    }
}

#[tokio::test]
async fn a_folder_is_no_file() {
    let server = Server::telling([]).await;
    let folder = tempfile::tempdir().unwrap();
    let error =
        cos(&server).put_file(&key("a"), File::open(folder.path()).unwrap(), &html()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Invalid);
    assert!(server.asked().is_empty());
}

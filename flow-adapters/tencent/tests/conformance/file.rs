use std::fs::File;

use flow_tencent::{Attributes, Digests, Failure, Part};

use crate::multipart::{part, parts, stored};
use crate::objects::{CONTENT, cos, key};
use crate::server::{Reply, Server};

const PIECE: usize = 2 << 20;

/// Five MiB in which no two pieces are the same.
fn large() -> Vec<u8> {
    (0_u32..(5 << 20) / 4).flat_map(u32::to_le_bytes).collect()
}

fn file(content: &[u8]) -> File {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file.reopen().unwrap()
}

fn pieces(content: &[u8]) -> Vec<Part> {
    (1..).zip(content.chunks(PIECE)).map(|(number, piece)| part(number, piece)).collect()
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
    let put = content.chunks(PIECE).map(stored);
    let server =
        Server::telling([uploads(""), begun()].into_iter().chain(put).chain([completed(&content)])).await;
    cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap();
    assert_eq!(bodies(&server, "PUT").concat(), content);
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn parts_that_an_earlier_call_stored_are_not_sent_again_unless_the_file_has_changed() {
    let content = large();
    let mut there = pieces(&content);
    there[2].etag = "0".repeat(32);
    there.remove(0);
    // The second part is there as it is; the third is another's.
    let others = "<Upload><Key>a/b</Key><UploadId>other</UploadId></Upload>";
    let found = format!("<Upload><Key>a</Key><UploadId>old</UploadId></Upload>{others}");
    let server = Server::telling([
        uploads(&found),
        parts(&there, ""),
        stored(&content[..PIECE]),
        stored(&content[2 * PIECE..]),
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
async fn an_upload_that_was_begun_to_be_served_otherwise_is_not_enough() {
    let content = large();
    let found = "<Upload><Key>a</Key><UploadId>old</UploadId></Upload>";
    let resumed = [
        uploads(found),
        parts(&pieces(&content), ""),
        completed(&content),
        Reply::announcing(200, &[("Content-Type", "text/plain")], content.len(), ""),
        begun(),
    ];
    let again = content.chunks(PIECE).map(stored);
    let server = Server::telling(resumed.into_iter().chain(again).chain([completed(&content)])).await;
    cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap();
    assert_eq!(bodies(&server, "PUT /a?partNumber").len(), 3);
}

#[tokio::test]
async fn a_refusal_is_one_until_an_upload_has_begun_and_a_doubt_from_then_on() {
    let content = large();
    let denied = || Reply::of(403, &[], "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    let found = uploads("<Upload><Key>a</Key><UploadId>old</UploadId></Upload>");
    let otherwise = Reply::announcing(200, &[], content.len(), "");
    for (replies, failure) in [
        (vec![uploads(""), denied()], Failure::Auth),
        (vec![uploads(""), begun(), denied()], Failure::InDoubt),
        (
            vec![found, parts(&pieces(&content), ""), completed(&content), otherwise, denied()],
            Failure::InDoubt,
        ),
    ] {
        let server = Server::telling(replies).await;
        let error = cos(&server).put_file(&key("a"), file(&content), &html()).await.unwrap_err();
        assert_eq!((error.failure(), error.code()), (failure, Some("AccessDenied")));
        assert!(server.was_asked());
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

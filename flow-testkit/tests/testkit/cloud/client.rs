//! A client that writes requests byte by byte.

use std::io;
use std::net::SocketAddr;

use flow_testkit::cloud::{FakeCloud, FakeCloudConfig, SECRET_ID, SECRET_KEY};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::signing;

pub(super) const BUCKET: &str = "site-1250000000";
const JSON: &str = "application/json";

pub(super) async fn cloud() -> FakeCloud {
    let config = FakeCloudConfig { buckets: vec![BUCKET.to_owned()], ..FakeCloudConfig::default() };
    FakeCloud::start(&config).await.unwrap()
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(each, _)| each == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The inside of the API's envelope.
    pub(super) fn response(&self) -> Value {
        assert_eq!((self.status, self.header("content-type")), (200, JSON));
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert!(body["Response"]["RequestId"].as_str().is_some_and(|id| id.len() == 36), "{body}");
        body["Response"].clone()
    }

    /// The code of an error, of the API or of object storage; empty for none.
    pub(super) fn code(&self) -> String {
        if self.header("content-type") == JSON {
            return self.response()["Error"]["Code"].as_str().unwrap_or_default().to_owned();
        }
        let text = self.text();
        let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        code.map(|(code, _)| code.to_owned()).unwrap_or_default()
    }
}

/// Sends these bytes and reads until the connection ends; an answer shorter than it says is an error.
pub(super) async fn send(address: SocketAddr, head: &str, body: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let cut = all.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(broken)?;
    let head = String::from_utf8(all[..cut].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let answer = Answer { status: status.ok_or_else(broken)?, headers, body: all[cut + 4..].to_vec() };
    let length = answer.header("content-length").parse::<usize>().ok();
    if length.is_some_and(|length| length > answer.body.len()) && !answer.body.is_empty() {
        return Err(broken());
    }
    Ok(answer)
}

pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// A call of the API.
pub(super) async fn call(
    cloud: &FakeCloud,
    service: &str,
    action: &str,
    given: &Value,
) -> io::Result<Answer> {
    let host = cloud.address().to_string();
    let body = given.to_string().into_bytes();
    let second = now();
    let signed = signing::tc3((SECRET_ID, SECRET_KEY), service, &host, JSON, second, &body);
    send(cloud.address(), &head_of_call((service, action), "/", &host, &signed, second, body.len()), &body)
        .await
}

/// The lines before the body of a call that was signed at this second.
pub(super) fn head_of_call(
    (service, action): (&str, &str),
    target: &str,
    host: &str,
    signed: &str,
    second: i64,
    length: usize,
) -> String {
    let version = match service {
        "scf" => "2018-04-16",
        "cdn" => "2018-06-06",
        _ => "2021-03-23",
    };
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {JSON}\r\nContent-Length: {length}\r\n\
         X-TC-Action: {action}\r\nX-TC-Version: {version}\r\nX-TC-Region: ap-guangzhou\r\nX-TC-Timestamp: {second}\r\n\
         Authorization: {signed}\r\n\r\n"
    )
}

/// A call that must succeed.
pub(super) async fn ok(cloud: &FakeCloud, service: &str, action: &str, given: Value) -> Value {
    let answer = call(cloud, service, action, &given).await.unwrap().response();
    assert_eq!(answer.get("Error"), None, "{action} {given}");
    answer
}

/// The code that a call is refused with.
pub(super) async fn refused(cloud: &FakeCloud, service: &str, action: &str, given: Value) -> String {
    call(cloud, service, action, &given).await.unwrap().code()
}

/// A request to object storage, in the test's bucket.
pub(super) async fn content(
    cloud: &FakeCloud,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let host = format!("{BUCKET}.cos.ap-beijing.myqcloud.com");
    let path = target.split('?').next().unwrap();
    let signed = signing::cos((SECRET_ID, SECRET_KEY), method, path, &host, now());
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: {signed}\r\n"
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    send(cloud.address(), &head, body).await
}

/// A command to the fake itself.
pub(super) async fn control(cloud: &FakeCloud, command: &str, given: Value) -> Answer {
    let body = given.to_string();
    let head = format!(
        "POST /__fake__/{command} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    send(cloud.address(), &head, body.as_bytes()).await.unwrap()
}

/// Creates a function with this code, ready to be called.
pub(super) async fn function(cloud: &FakeCloud, name: &str, code: &[u8]) {
    let given =
        json!({ "FunctionName": name, "Handler": "index.handler", "Code": { "ZipFile": base64(code) } });
    ok(cloud, "scf", "CreateFunction", given).await;
    settle(cloud);
}

/// Lets what began end.
pub(super) fn settle(cloud: &FakeCloud) {
    cloud.clock().advance(std::time::Duration::from_secs(2));
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(super) fn md5(bytes: &[u8]) -> String {
    use md5::Digest;
    base64(&md5::Md5::digest(bytes))
}

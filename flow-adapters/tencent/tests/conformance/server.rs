use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// What a request meets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, as they are; then the connection ends.
    Raw(Vec<u8>),
    /// Nothing: the connection ends as soon as the request has been read.
    HangUp,
    /// Nothing, and the connection stays.
    Silence,
}

impl Reply {
    /// A whole answer.
    pub(crate) fn of(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self::announcing(status, headers, body.as_ref().len(), body)
    }

    /// An answer whose head announces `length` bytes.
    pub(crate) fn announcing(
        status: u16,
        headers: &[(&str, &str)],
        length: usize,
        body: impl AsRef<[u8]>,
    ) -> Self {
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = format!("{head}\r\n").into_bytes();
        bytes.extend_from_slice(body.as_ref());
        Self::Raw(bytes)
    }

    /// An answer of the API.
    pub(crate) fn json(body: &str) -> Self {
        Self::of(200, &[("Content-Type", "application/json")], body)
    }

    /// A refusal of the API.
    pub(crate) fn refusal(code: &str) -> Self {
        Self::json(&format!(
            r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"no"}},"RequestId":"r-1"}}}}"#
        ))
    }
}

/// Answers one request after another as it was told, and remembers them. Whoever asks more often than expected meets a 418.
pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: Arc<Mutex<VecDeque<Reply>>>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn telling(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::starting(None, replies).await
    }

    /// The same by TLS, with a certificate for `localhost` that nobody trusts who was not told to.
    pub(crate) async fn telling_by_tls(replies: impl IntoIterator<Item = Reply>) -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key);
        Self::starting(Some(TlsAcceptor::from(Arc::new(config.unwrap()))), replies).await
    }

    async fn starting(tls: Option<TlsAcceptor>, replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = listen().await;
        let port = listener.local_addr().unwrap().port();
        let (asked, left) = (Arc::default(), Arc::new(Mutex::new(replies.into_iter().collect())));
        let serving = tokio::spawn(serve(listener, tls, Arc::clone(&asked), Arc::clone(&left)));
        Self { port, asked, left, serving }
    }

    /// Its host and port, by the name that its certificate has.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether all that it was told to answer has been asked.
    pub(crate) fn was_asked(&self) -> bool {
        self.left.lock().unwrap().is_empty()
    }

    /// All requests so far. Every reply must have been used: a test that needs fewer requests than it says is wrong.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        assert!(self.left.lock().unwrap().is_empty(), "not all replies were used");
        self.asked.lock().unwrap().clone()
    }

    /// The lines of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.line.clone()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: Arc<Mutex<VecDeque<Reply>>>,
) {
    let mut silent = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream: Box<dyn Wire> = match &tls {
            None => Box::new(stream),
            Some(tls) => match tls.accept(stream).await {
                Ok(stream) => Box::new(stream),
                Err(_) => continue,
            },
        };
        let Some(request) = read(&mut *stream).await else { continue };
        asked.lock().unwrap().push(request);
        let reply = left.lock().unwrap().pop_front();
        match reply.unwrap_or_else(|| Reply::of(418, &[], "")) {
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            Reply::HangUp => {}
            Reply::Silence => silent.push(stream),
        }
    }
}

async fn read(stream: &mut (impl Wire + ?Sized)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(head + 4);
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.lines();
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut asked = Asked { line, headers, body: Vec::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    asked.body = body;
    Some(asked)
}

/// A listener on a free loopback port below the ephemeral range.
pub(crate) async fn listen() -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 11_999;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
}

//! As much of HTTP/1.1 as a user needs who must know what became of each single connection.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::{Address, Outside, PATIENCE};

const HEAD_MAX: usize = 64 * 1024;
const BODY_MAX: usize = 16 * 1024 * 1024;
const HEADERS_MAX: usize = 64;

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    method: &'static str,
    path: String,
    lines: String,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), ..Self::default() }
    }

    /// A request with a body.
    #[must_use]
    pub fn with_body(method: &'static str, path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { method, path: path.into(), lines: String::new(), body: body.into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, path, lines, body } = self;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{lines}").into_bytes();
        if *method != "GET" {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
    pub(crate) keeps_connection: bool,
}

impl Reply {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Makes one request on a connection of its own and reads the answer whole.
///
/// # Errors
/// Where no whole answer comes within [`PATIENCE`].
pub async fn exchange(address: &Address, request: &Request) -> Outside<Reply> {
    let exchanged = async { Ok(Connection::open(address).await?.exchange(request).await?) };
    tokio::time::timeout(PATIENCE, exchanged).await?
}

/// Why a request got no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection ended before a byte of the answer")]
    BeforeAnswer(#[source] io::Error),
    #[error("the connection ended inside the answer")]
    InAnswer(#[source] io::Error),
    #[error("the answer is not understood: {0}")]
    Bad(String),
}

/// One connection, for one request after another.
pub(crate) struct Connection {
    socket: Box<dyn Socket>,
}

trait Socket: AsyncRead + AsyncWrite + AsFd + Unpin + Send {}
impl Socket for TcpStream {}
impl Socket for UnixStream {}

impl Connection {
    pub(crate) async fn open(address: &Address) -> io::Result<Self> {
        let socket: Box<dyn Socket> = match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        Ok(Self { socket })
    }

    /// Looks whether the other side has closed, or sent what nobody asked for. It asks the kernel: what the runtime knows may be
    /// a moment old.
    pub(crate) fn is_open(&self) -> bool {
        let mut byte = [0_u8; 1];
        let seen = rustix::net::recv(self.socket.as_fd(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(seen, Err(Errno::AGAIN))
    }

    pub(crate) async fn exchange(&mut self, request: &Request) -> Result<Reply, Broken> {
        self.socket.write_all(&request.bytes()).await.map_err(Broken::BeforeAnswer)?;
        let mut received = Vec::with_capacity(1024);
        let head = loop {
            self.receive(&mut received).await?;
            if let Some(head) = Head::read(&received)? {
                break head;
            }
            bounded(received.len(), HEAD_MAX)?;
        };
        received.drain(..head.bytes);
        let body = match head.length {
            Length::Of(bytes) => {
                bounded(bytes, BODY_MAX)?;
                while received.len() < bytes {
                    self.receive_more(&mut received).await?;
                }
                received
            }
            Length::Chunked => self.chunks(received).await?,
            Length::UntilClosed => {
                while self.socket.read_buf(&mut received).await.map_err(Broken::InAnswer)? > 0 {
                    bounded(received.len(), BODY_MAX)?;
                }
                received
            }
        };
        let keeps_connection = head.keeps && !matches!(head.length, Length::UntilClosed);
        Ok(Reply { status: head.status, body, headers: head.headers, keeps_connection })
    }

    async fn chunks(&mut self, mut received: Vec<u8>) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let size =
                httparse::parse_chunk_size(&received).map_err(|error| Broken::Bad(error.to_string()))?;
            if let httparse::Status::Complete((start, size)) = size {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                bounded(size.saturating_add(body.len()), BODY_MAX)?;
                if size == 0 {
                    // Trailers may follow; an empty line ends them. The search begins with the end of the line before.
                    let rest = received.get(start.saturating_sub(2)..).unwrap_or_default();
                    if rest.windows(4).any(|window| window == b"\r\n\r\n") {
                        return Ok(body);
                    }
                } else if let (Some(chunk), Some(b"\r\n")) =
                    (received.get(start..start + size), received.get(start + size..start + size + 2))
                {
                    body.extend_from_slice(chunk);
                    received.drain(..start + size + 2);
                    continue;
                }
            }
            self.receive_more(&mut received).await?;
        }
    }

    async fn receive_more(&mut self, received: &mut Vec<u8>) -> Result<(), Broken> {
        self.receive(received).await.map_err(|broken| match broken {
            Broken::BeforeAnswer(error) => Broken::InAnswer(error),
            other => other,
        })
    }

    async fn receive(&mut self, received: &mut Vec<u8>) -> Result<(), Broken> {
        let error = match self.socket.read_buf(received).await {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(if received.is_empty() { Broken::BeforeAnswer(error) } else { Broken::InAnswer(error) })
    }
}

fn bounded(length: usize, bound: usize) -> Result<(), Broken> {
    if length <= bound { Ok(()) } else { Err(Broken::Bad(format!("more than {bound} bytes"))) }
}

enum Length {
    Of(usize),
    Chunked,
    UntilClosed,
}

struct Head {
    bytes: usize,
    status: u16,
    headers: Vec<(String, String)>,
    keeps: bool,
    length: Length,
}

impl Head {
    fn read(received: &[u8]) -> Result<Option<Self>, Broken> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(received).map_err(|error| Broken::Bad(error.to_string()))?;
        let httparse::Status::Complete(bytes) = parsed else { return Ok(None) };
        let status = response.code.unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> = response
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
            .collect();
        let value = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let length = match (value("transfer-encoding"), value("content-length")) {
            _ if matches!(status, 204 | 304) => Length::Of(0),
            (Some(_), _) => Length::Chunked,
            (None, Some(length)) => {
                Length::Of(length.parse().map_err(|_| Broken::Bad(format!("content-length: {length}")))?)
            }
            (None, None) => Length::UntilClosed,
        };
        let keeps = response.version == Some(1)
            && !value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { bytes, status, headers, keeps, length }))
    }
}

//! A small HTTP/1.1 server: one thread a connection, kept alive until the other side closes it.
//!
//! The standard library cannot wait for SIGTERM, so the process simply ends by it. Nothing is lost as long as the proxy
//! in front drains an instance before it is stopped; nothing here writes anything.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How many connections are served at once; further ones are closed.
const CONNECTIONS: usize = 256;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(120);
/// How long the other side may take to read an answer.
const WRITE: Duration = Duration::from_secs(30);
/// The longest head of a request, in bytes.
const HEAD: u64 = 16 * 1024;
/// The longest body that is read over, in bytes.
const BODY: u64 = 64 * 1024;

/// An answer in JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) body: String,
}

/// The statuses that are answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    ServerError,
    Unavailable,
}

impl Status {
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::ServerError => "500 Internal Server Error",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Serves for ever: `answer` is given the path of each request.
pub(crate) fn serve(
    listener: &TcpListener,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> io::Result<()> {
    let answer = Arc::new(answer);
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            // The other side was gone before it was served.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let place = Place::take(&open);
        let answer = Arc::clone(&answer);
        if let Some(place) = place {
            // Without a thread the connection is dropped, and so closed.
            _ = thread::Builder::new().spawn(move || {
                _ = converse(&stream, &*answer);
                drop(place);
            });
        }
    }
    Ok(())
}

/// One of the connections that are served.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::Relaxed) < CONNECTIONS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn converse(stream: &TcpStream, answer: &dyn Fn(&str) -> Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(WRITE))?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let reply = match &request.target {
            Target::Path(path) => answer(path),
            Target::OtherMethod => Answer {
                status: Status::MethodNotAllowed,
                body: r#"{"error":"only GET and HEAD"}"#.to_owned(),
            },
            Target::Malformed => {
                Answer { status: Status::BadRequest, body: r#"{"error":"malformed request"}"#.to_owned() }
            }
        };
        request.reply(stream, &reply)?;
        if request.after == After::Close {
            break;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum After {
    KeepAlive,
    Close,
}

enum Target {
    Path(String),
    OtherMethod,
    Malformed,
}

struct Request {
    target: Target,
    head_only: HeadOnly,
    after: After,
}

#[derive(PartialEq, Eq)]
enum HeadOnly {
    Yes,
    No,
}

impl Request {
    /// Reads the next request with its body; nothing once the other side has closed the connection.
    fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Self>> {
        let mut head = reader.by_ref().take(HEAD);
        let mut first = String::new();
        if head.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut words = first.split_ascii_whitespace();
        let (method, path, version) = (words.next(), words.next(), words.next());
        let mut request = match (method, path, version) {
            (Some(method), Some(path), Some(version @ ("HTTP/1.0" | "HTTP/1.1"))) => {
                let path = path.split('?').next().unwrap_or_default().to_owned();
                Self {
                    target: if matches!(method, "GET" | "HEAD") {
                        Target::Path(path)
                    } else {
                        Target::OtherMethod
                    },
                    head_only: if method == "HEAD" { HeadOnly::Yes } else { HeadOnly::No },
                    after: if version == "HTTP/1.1" { After::KeepAlive } else { After::Close },
                }
            }
            _ => return Ok(Some(Self::malformed())),
        };
        let mut body = 0;
        loop {
            let mut line = String::new();
            // A line without its end was cut off by the limit or by the other side.
            if head.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Ok(Some(Self::malformed()));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { return Ok(Some(Self::malformed())) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "connection" if value.eq_ignore_ascii_case("close") => request.after = After::Close,
                "content-length" => match value.parse() {
                    Ok(length) if length <= BODY => body = length,
                    _ => return Ok(Some(Self::malformed())),
                },
                "transfer-encoding" => return Ok(Some(Self::malformed())),
                _ => {}
            }
        }
        let read = io::copy(&mut reader.by_ref().take(body), &mut io::sink())?;
        Ok(Some(if read == body { request } else { Self::malformed() }))
    }

    /// One after which nobody knows where the next begins.
    const fn malformed() -> Self {
        Self { target: Target::Malformed, head_only: HeadOnly::No, after: After::Close }
    }

    fn reply(&self, mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
        let connection = if self.after == After::Close { "connection: close\r\n" } else { "" };
        let mut reply = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{connection}\r\n",
            answer.status.line(),
            answer.body.len(),
        );
        if self.head_only == HeadOnly::No {
            reply.push_str(&answer.body);
        }
        // One write, so that no answer waits for the acknowledgement of its first half.
        stream.write_all(reply.as_bytes())
    }
}

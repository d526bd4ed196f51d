//! Header names spelled as the real servers spell them: an official client looks for `ETag` in exactly these letters.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const NAMES: [&str; 11] = [
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Last-Modified",
];

/// A connection whose answers' heads are spelled anew: only letters change their case, so no length does.
#[derive(Debug)]
pub(super) struct Spelled(pub(super) TcpStream);

impl AsyncRead for Spelled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Spelled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = spelled(buf);
        Pin::new(&mut self.0).poll_write(cx, written.as_deref().unwrap_or(buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The same bytes with the names of the head in their spelling; none if no head begins here.
fn spelled(bytes: &[u8]) -> Option<Vec<u8>> {
    let end =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| bytes.starts_with(b"HTTP/1.1 "))?;
    let (head, rest) = bytes.split_at(end);
    let mut head = String::from_utf8(head.to_vec()).ok()?;
    for name in NAMES {
        head = head.replace(&format!("\r\n{}: ", name.to_ascii_lowercase()), &format!("\r\n{name}: "));
    }
    Some([head.as_bytes(), rest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_heads_names_change() {
        let sent = b"HTTP/1.1 200 OK\r\netag: \"etag: \"\r\nx-cos-a: 1\r\n\r\n\r\netag: ";
        let wanted = b"HTTP/1.1 200 OK\r\nETag: \"etag: \"\r\nx-cos-a: 1\r\n\r\n\r\netag: ";
        assert_eq!(spelled(sent).as_deref(), Some(wanted.as_slice()));
        assert_eq!(spelled(b"\r\netag: 1\r\n\r\n"), None);
    }
}

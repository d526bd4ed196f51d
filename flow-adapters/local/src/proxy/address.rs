use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::endpoint::{ConnectError, Connection, Shape};

/// The longest path of a Unix socket on every Unix (the shortest `sun_path` is 104 bytes with its end).
pub(super) const SOCKET_PATH_MAX: usize = 103;

/// Where an upstream listens: on this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix);
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "must be `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`")?;
        if !address.ip().is_loopback() {
            return Err("must be a loopback address");
        }
        if address.port() == 0 {
            return Err("must name a port");
        }
        if address.to_string() != text {
            return Err("must be in its shortest form");
        }
        Ok(Self::Tcp(address))
    }

    pub(super) async fn connect(&self, within: Duration, shape: Shape) -> Result<Connection, ConnectError> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        match self {
            Self::Tcp(address) => {
                let stream =
                    tokio::time::timeout(within, TcpStream::connect(address)).await.map_err(late)??;
                stream.set_nodelay(true)?;
                Connection::over(stream, shape).await
            }
            Self::Unix(path) => {
                let stream =
                    tokio::time::timeout(within, UnixStream::connect(path)).await.map_err(late)??;
                Connection::over(stream, shape).await
            }
        }
    }
}

fn socket_path(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    if text.len() > SOCKET_PATH_MAX {
        return Err("is too long for the path of a Unix socket");
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    // `components` drops `.` and doubled separators, so the text is compared with what is left of it.
    let plain: PathBuf = path.components().filter(|part| !matches!(part, Component::ParentDir)).collect();
    if !path.is_absolute() || plain.as_os_str() != path.as_os_str() || path.file_name().is_none() {
        return Err("must be an absolute path without `.` and `..`");
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_this_machine_and_has_one_spelling() {
        for good in ["127.0.0.1:8080", "[::1]:80", "unix:/run/app/1.sock"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_MAX));
        for bad in [
            "",
            "8080",
            "localhost:80",
            "10.0.0.1:80",
            "0.0.0.0:80",
            "[::]:80",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:80/x",
            "127.0.0.1:080",
            "[0:0::1]:80",
            "unix:",
            "unix:/",
            "unix:run/x",
            "unix:../x",
            "unix:/run/../x",
            "unix:/run//x",
            "unix:/run/./x",
            "unix:/run/x/",
            "unix:/run/x\0y",
            "unix:/run/x\ny",
            "http://127.0.0.1:80",
            &long,
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}

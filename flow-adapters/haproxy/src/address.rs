use std::fmt;
use std::net::SocketAddr;

/// The longest path of a Unix socket on every Unix (the shortest `sun_path` is 104 bytes with its end).
const SOCKET_PATH_MAX: usize = 103;

/// Where a backend listens. Nothing in it can end a word or a command of HAProxy's runtime socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(String),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(|()| Self::Unix(path.to_owned()));
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| "must be `IP:PORT`, `[IP]:PORT` or `unix:PATH`; names are not resolved")?;
        if address.port() == 0 {
            return Err("must name a port");
        }
        if address.ip().is_unspecified() {
            return Err("must name one address");
        }
        // One spelling each, so that one address in two spellings is seen to stand twice.
        if address.to_string() != text {
            return Err("must be in its shortest form");
        }
        Ok(Self::Tcp(address))
    }

    /// The address in a server's declaration.
    pub(crate) fn declared(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix@{path}"),
        }
    }

    /// What HAProxy shows of it: of a Unix socket no more than that it is one.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "unix".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

fn socket_path(path: &str) -> Result<(), &'static str> {
    if path.len() > SOCKET_PATH_MAX {
        return Err("is too long for the path of a Unix socket");
    }
    let parts = path.strip_prefix('/').ok_or("must be an absolute path")?;
    if parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("must be a path without empty parts, `.` and `..`");
    }
    let is_plain = |each: char| each.is_ascii_alphanumeric() || "/._-+@=,:~".contains(each);
    if !path.chars().all(is_plain) {
        return Err("may hold letters, digits and `/._-+@=,:~` alone");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling_and_ends_no_command() {
        for good in ["127.0.0.1:8080", "10.0.0.1:80", "[::1]:80", "unix:/run/app/1.0+b.sock"] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_MAX));
        for bad in [
            "",
            "8080",
            "localhost:80",
            "0.0.0.0:80",
            "127.0.0.1:0",
            "127.0.0.1:080",
            "127.0.0.1:80;disable",
            "unix:",
            "unix:/",
            "unix:run/x",
            "unix:/run/../x",
            "unix:/run//x",
            "unix:/run/x/",
            "unix:/run/x y",
            "unix:/run/x;set server",
            "unix:/run/x\ny",
            "unix:/run/x\\",
            "unix:/run/$HOME",
            "unix:/run/\"x",
            "unix:/run/x<<",
            "unix:/run/ü",
            &long,
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}

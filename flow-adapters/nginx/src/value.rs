//! What stands in a configuration: values whose form leaves no room for a second directive.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};

use flow_core::port::Routing;
use flow_core::{Name, Problems};

/// The longest path of a Unix socket on Linux: `sun_path` has 108 bytes with its end.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

/// The most addresses of a routing.
const ADDRESSES_MAX: usize = 1_000;

/// Where a version answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// Which addresses a driver can route to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Those of Unix sockets: a link can point to nothing else.
    Sockets,
    /// Those of both kinds.
    Both,
}

impl Address {
    fn parse(text: &str, takes: Takes) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            if path.as_os_str().len() > SOCKET_PATH_MAX {
                return Err("is too long for the path of a Unix socket");
            }
            return if is_plain(path) { Ok(Self::Unix(path.to_owned())) } else { Err(NO_PATH) };
        }
        if takes == Takes::Sockets {
            return Err("must be `unix:` and an absolute path: this router switches links to Unix sockets");
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "must be `unix:PATH`, `IP:PORT` or `[IP]:PORT`")?;
        if address.port() == 0 || address.ip().is_unspecified() {
            return Err("must name an address and a port");
        }
        if address.to_string() != text {
            return Err("must be in its shortest form");
        }
        Ok(Self::Tcp(address))
    }
}

const NO_PATH: &str = "must be an absolute path of letters, digits and `._+@=-`, without `.` and `..`";

/// Whether nginx, its log and a link can hold the path as it is.
pub(crate) fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    let plain: PathBuf = path.components().filter(|part| !matches!(part, Component::ParentDir)).collect();
    let fits = |each: char| each.is_ascii_alphanumeric() || "/._+@=-".contains(each);
    path.is_absolute()
        && path.file_name().is_some()
        && plain.as_os_str() == path.as_os_str()
        && text.chars().all(fits)
}

/// Adds a problem unless `path` [is plain](is_plain).
pub(crate) fn check_path(problems: &mut Problems, field: &str, path: &Path) {
    problems.check(is_plain(path), field, NO_PATH);
}

/// A routing whose every part was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked(pub(crate) Vec<Version>);

/// One version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) name: Name,
    pub(crate) weight: u8,
    pub(crate) addresses: Vec<Address>,
}

impl Checked {
    /// Checks a routing.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(crate) fn of(routing: &Routing, granularity: u8, takes: Takes) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if let Err(problem) = routing.weights() {
            problems.add("routing", problem.to_string());
        }
        let mut taken = std::collections::BTreeSet::new();
        let mut versions: Vec<Version> = Vec::new();
        for (name, route) in &routing.0 {
            let field = format!("routing.{name}.weight");
            let whole = route.weight.is_multiple_of(granularity);
            problems.check(whole, &field, &format!("the weight must be a multiple of {granularity}"));
            if route.weight > 0 && route.addresses.is_empty() {
                problems.add(format!("routing.{name}.addresses"), "must hold an address");
            }
            let same = |other: &Version| other.name.as_str().eq_ignore_ascii_case(name.as_str());
            problems.check(
                !versions.iter().any(same),
                &format!("routing.{name}"),
                "differs from another version in upper and lower case alone, which nginx does not see",
            );
            let mut addresses = Vec::new();
            for (index, text) in route.addresses.iter().enumerate() {
                let field = format!("routing.{name}.addresses.{index}");
                match Address::parse(text, takes) {
                    Err(problem) => problems.add(field, format!("`{}` {problem}", text.escape_debug())),
                    Ok(address) if !taken.insert(address.clone()) => {
                        // One address in two versions would give one's failures to the other.
                        problems.add(field, format!("`{text}` is routed twice"));
                    }
                    Ok(address) => addresses.push(address),
                }
            }
            versions.push(Version { name: name.clone(), weight: route.weight, addresses });
        }
        problems.check(taken.len() <= ADDRESSES_MAX, "routing", "must hold at most 1000 addresses");
        problems.into_result().map(|()| Self(versions))
    }

    /// Puts the versions in the order in which they take their shares: those that are new before those that `before` has, which
    /// keep their order. So a version that grows only adds users, and one that shrinks loses those that it got last, as long as there are two.
    pub(crate) fn in_order_after(mut self, before: &[Name]) -> Self {
        let place = |version: &Version| before.iter().position(|name| *name == version.name);
        self.0.sort_by_key(|version| place(version).map_or(0, |place| place + 1));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling_and_nothing_that_ends_a_directive() {
        for good in ["127.0.0.1:8080", "[::1]:80", "10.0.0.1:9000", "unix:/run/app/1.0.0+x.sock"] {
            assert!(Address::parse(good, Takes::Both).is_ok(), "{good}");
        }
        let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_MAX));
        for bad in [
            "",
            "localhost:80",
            "0.0.0.0:80",
            "127.0.0.1:0",
            "127.0.0.1:080",
            "127.0.0.1:80;",
            "127.0.0.1:80 down",
            "[0:0::1]:80",
            "unix:",
            "unix:/",
            "unix:run/x",
            "unix:/run/../x",
            "unix:/run//x",
            "unix:/run/x/",
            "unix:/run/x;",
            "unix:/run/x y",
            "unix:/run/x\ny",
            "unix:/run/$(id)",
            "unix:/run/x}",
            "unix:/run/x\"",
            "unix:/run/x,unix:/run/y",
            "unix:/run/ü",
            &long,
        ] {
            assert!(Address::parse(bad, Takes::Both).is_err(), "{bad}");
        }
        assert!(Address::parse("127.0.0.1:8080", Takes::Sockets).is_err());
    }
}

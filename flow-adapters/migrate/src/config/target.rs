//! Which database, and how the way to it is protected.

use std::fmt;
use std::path::PathBuf;

use flow_core::Problems;
use flow_sql::Dialect;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::settings::check_path;

const URL: &str = "database_url";

/// One database of one server, or one file.
///
/// Neither its [`Debug`] form nor any error shows the password.
///
/// ```
/// use flow_migrate::{Protection, Target};
///
/// let target = Target::parse("postgres://app:s3cret@db.example/shop?sslmode=verify-full")?;
/// assert_eq!(target.protection(), Protection::Verified);
/// assert!(!format!("{target:?}").contains("s3cret"));
/// assert!(Target::parse("postgres://db.example/shop?sslmode=perhaps").is_err());
/// # Ok::<(), flow_core::Problems>(())
/// ```
#[derive(Debug, Clone)]
pub struct Target {
    place: Place,
}

/// Who could read or answer in the database's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Anybody on the way: the connection may be in clear text, or its other end anybody.
    Open,
    /// Nobody on the way: TLS, with the server's certificate verified.
    Verified,
    /// There is no way: a file, a Unix socket or this machine.
    Local,
}

/// Where a target is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Postgres(Server),
    Mysql(Server),
    Sqlite(PathBuf),
}

/// One database of one server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The socket (MySQL) or its directory (PostgreSQL), in place of host and port.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) user: String,
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) database: String,
    pub(crate) tls: Tls,
    /// The certificates that the server's is verified with, in place of the system's.
    pub(crate) authority: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    Off,
    Preferred,
    Required,
    VerifyAuthority,
    VerifyFull,
}

impl Target {
    /// Reads `postgres://`, `postgresql://`, `mysql://`, `mariadb://` or `sqlite:`. A server's URL names its user and its database;
    /// `host` (PostgreSQL) or `socket` (MySQL) names a Unix socket, `sslmode` how TLS is used and `sslrootcert` a file of
    /// authorities. Nothing is taken from the environment.
    ///
    /// # Errors
    /// Every problem of the URL.
    pub fn parse(url: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let place = match url.split_once(':') {
            Some(("sqlite", path)) => Some(Place::Sqlite(sqlite_path(path, &mut problems))),
            Some(("postgres" | "postgresql", _)) => server(url, 5432, &mut problems).map(Place::Postgres),
            Some(("mysql" | "mariadb", _)) => server(url, 3306, &mut problems).map(Place::Mysql),
            _ => {
                problems.add(URL, "is neither `postgres://`, `mysql://` nor `sqlite:`");
                None
            }
        };
        problems.into_result()?;
        // Without a problem there is a place.
        place.map(|place| Self { place }).ok_or_else(Problems::default)
    }

    /// The database file at `path`.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self { place: Place::Sqlite(path.into()) }
    }

    /// The language of its scripts.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self.place {
            Place::Postgres(_) => Dialect::Postgres,
            Place::Mysql(_) => Dialect::Mysql,
            Place::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Who could read or answer in the database's place.
    #[must_use]
    pub fn protection(&self) -> Protection {
        match &self.place {
            Place::Sqlite(_) => Protection::Local,
            Place::Postgres(server) | Place::Mysql(server) => server.protection(),
        }
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        if let Place::Sqlite(path) = &self.place {
            check_path(problems, "database", path);
        }
    }
}

impl Server {
    fn protection(&self) -> Protection {
        let local = self.socket.is_some() || ["localhost", "127.0.0.1", "::1"].contains(&self.host.as_str());
        match self.tls {
            _ if local => Protection::Local,
            Tls::VerifyAuthority | Tls::VerifyFull => Protection::Verified,
            Tls::Off | Tls::Preferred | Tls::Required => Protection::Open,
        }
    }

    pub(crate) fn postgres(&self) -> PgConnectOptions {
        let mode = match self.tls {
            Tls::Off => PgSslMode::Disable,
            Tls::Preferred => PgSslMode::Prefer,
            Tls::Required => PgSslMode::Require,
            Tls::VerifyAuthority => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        };
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(mode)
            .extra_float_digits(None);
        let options = self.socket.iter().fold(options, PgConnectOptions::socket);
        let options = self.authority.iter().fold(options, PgConnectOptions::ssl_root_cert);
        self.password.iter().fold(options, |options, password| options.password(password))
    }

    pub(crate) fn mysql(&self) -> MySqlConnectOptions {
        let mode = match self.tls {
            Tls::Off => MySqlSslMode::Disabled,
            Tls::Preferred => MySqlSslMode::Preferred,
            Tls::Required => MySqlSslMode::Required,
            Tls::VerifyAuthority => MySqlSslMode::VerifyCa,
            Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
        };
        // The session is the plain client's: the driver's own settings would change what a script means.
        let options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(mode)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None);
        let options = self.socket.iter().fold(options, MySqlConnectOptions::socket);
        let options = self.authority.iter().fold(options, MySqlConnectOptions::ssl_ca);
        self.password.iter().fold(options, |options, password| options.password(password))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("socket", &self.socket)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// `sqlite:path` and `sqlite://path`, as sqlx has it; what follows a `?` is its own and not needed here.
fn sqlite_path(rest: &str, problems: &mut Problems) -> PathBuf {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let path = PathBuf::from(decoded(path, problems));
    check_path(problems, URL, &path);
    path
}

fn server(url: &str, port: u16, problems: &mut Problems) -> Option<Server> {
    let url = match Url::parse(url) {
        Ok(url) => url,
        Err(error) => {
            problems.add(URL, format!("is no URL: {error}"));
            return None;
        }
    };
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => decoded(&host.to_string(), problems),
        None => String::new(),
    };
    let mut server = Server {
        socket: host.starts_with('/').then(|| host.clone().into()),
        host,
        port: url.port().unwrap_or(port),
        user: decoded(url.username(), problems),
        password: url.password().map(|password| Zeroizing::new(decoded(password, problems))),
        database: decoded(url.path().trim_start_matches('/'), problems),
        tls: Tls::Preferred,
        authority: None,
    };
    for (name, value) in url.query_pairs() {
        parameter(&mut server, &name, &value, problems);
    }
    if server.socket.is_some() {
        server.tls = Tls::Off;
    }
    problems.check(!server.host.is_empty() || server.socket.is_some(), URL, "names no host");
    problems.check(!server.user.is_empty(), URL, "names no user");
    problems.check(!server.database.is_empty(), URL, "names no database");
    Some(server)
}

fn parameter(server: &mut Server, name: &str, value: &str, problems: &mut Problems) {
    match name {
        "host" if value.starts_with('/') => server.socket = Some(value.into()),
        "host" => value.clone_into(&mut server.host),
        "socket" => server.socket = Some(value.into()),
        "user" => value.clone_into(&mut server.user),
        "dbname" => value.clone_into(&mut server.database),
        "port" => match value.parse() {
            Ok(port) => server.port = port,
            Err(_) => problems.add(URL, format!("the port `{value}` is none")),
        },
        "password" => server.password = Some(Zeroizing::new(value.to_owned())),
        "sslrootcert" | "ssl-ca" | "sslca" => server.authority = Some(value.into()),
        "sslmode" | "ssl-mode" => match value.to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" | "disabled" => server.tls = Tls::Off,
            "allow" | "prefer" | "preferred" => server.tls = Tls::Preferred,
            "require" | "required" => server.tls = Tls::Required,
            "verify-ca" => server.tls = Tls::VerifyAuthority,
            "verify-full" | "verify-identity" => server.tls = Tls::VerifyFull,
            _ => problems.add(URL, format!("the TLS mode `{value}` is not known")),
        },
        _ => problems.add(URL, format!("the parameter `{name}` is not known")),
    }
}

/// Percent signs resolved.
fn decoded(text: &str, problems: &mut Problems) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map_or_else(
        |_| {
            problems.add(URL, "is not UTF-8");
            String::new()
        },
        std::borrow::Cow::into_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_of(url: &str) -> Server {
        match Target::parse(url).unwrap().place {
            Place::Postgres(server) | Place::Mysql(server) => server,
            Place::Sqlite(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn a_url_gives_host_socket_user_and_database() {
        let plain = server_of("postgres://a%40b:p%2Fw@db:5433/sh%20op?sslmode=verify-full");
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.user.as_str(), plain.database.as_str(), plain.tls),
            ("db", 5433, "a@b", "sh op", Tls::VerifyFull)
        );
        assert_eq!(plain.password.as_ref().map(|password| password.as_str()), Some("p/w"));
        let postgres = server_of("postgresql://u@localhost/d?host=/run/pg");
        assert_eq!(postgres.socket, Some("/run/pg".into()));
        assert_eq!(server_of("postgres://u@%2Frun%2Fpg:5433/d").socket, Some("/run/pg".into()));
        assert_eq!(server_of("mariadb://u@[::1]/d").host, "::1");
        assert_eq!(server_of("mysql://u@localhost/d?socket=/run/m.sock").socket, Some("/run/m.sock".into()));
        for url in ["sqlite:a/b.db", "sqlite://a/b.db?mode=rwc"] {
            assert!(matches!(Target::parse(url).unwrap().place, Place::Sqlite(path) if path == *"a/b.db"));
        }
    }

    #[test]
    fn protection_is_what_the_connection_really_has() {
        for (url, protection) in [
            ("postgres://u@db/d", Protection::Open),
            ("postgres://u@db/d?sslmode=require", Protection::Open),
            ("mysql://u@db/d?ssl-mode=VERIFY_IDENTITY", Protection::Verified),
            ("postgres://u@db/d?sslmode=verify-ca", Protection::Verified),
            ("mysql://u@127.0.0.1/d", Protection::Local),
            ("sqlite:x", Protection::Local),
        ] {
            assert_eq!(Target::parse(url).unwrap().protection(), protection, "{url}");
        }
    }

    #[test]
    fn every_problem_of_a_url_is_named_and_the_password_is_not() {
        let problems = Target::parse("postgres://:hunter2@db/?sslmode=x&port=y&colour=red").unwrap_err();
        let text = problems.to_string();
        for expected in ["names no user", "names no database", "TLS mode `x`", "port `y`", "`colour`"] {
            assert!(text.contains(expected), "{expected} not in {text}");
        }
        for url in ["oracle://u:hunter2@db/d", "postgres://u:hunter2@db:port/d"] {
            assert!(!Target::parse(url).unwrap_err().to_string().contains("hunter2"));
        }
        assert!(!format!("{:?}", Target::parse("mysql://u:hunter2@db/d").unwrap()).contains("hunter2"));
    }
}

use serde::{Deserialize, Serialize};

use crate::Dialect;

/// A database server, as far as the rules differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The product.
    pub product: Product,
    /// Its major and minor version.
    pub version: (u32, u32),
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// MySQL, by its manual alone.
    Mysql,
    /// SQLite.
    Sqlite,
}

/// A version that a server does not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of a server")]
pub struct UnknownServer(String);

impl Server {
    /// Reads the version that a server says of itself, such as `10.11.19-MariaDB-0+deb12u1`.
    ///
    /// # Errors
    /// Where it does not begin with a number.
    pub fn read(dialect: Dialect, version: &str) -> Result<Self, UnknownServer> {
        let unknown = || UnknownServer(version.chars().take(100).collect());
        let mut numbers = version.split(|character: char| !character.is_ascii_digit());
        let major = numbers.next().and_then(|major| major.parse().ok()).ok_or_else(unknown)?;
        let minor = numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0);
        let product = match dialect {
            Dialect::Postgres => Product::Postgres,
            Dialect::Mysql if version.to_ascii_lowercase().contains("mariadb") => Product::Mariadb,
            Dialect::Mysql => Product::Mysql,
            Dialect::Sqlite => Product::Sqlite,
        };
        Ok(Self { product, version: (major, minor) })
    }
}

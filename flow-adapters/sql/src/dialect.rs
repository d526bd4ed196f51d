use serde::{Deserialize, Serialize};

/// The language of a script, as its server understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// PostgreSQL 12 and later.
    Postgres,
    /// MariaDB 10.5 and later, and MySQL 8.
    Mysql,
    /// SQLite 3.37 and later.
    Sqlite,
}

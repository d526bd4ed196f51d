//! The layouts of migration folders.

mod detect;
mod name;
mod read;
mod side;

pub use read::{MAX_FILES, read};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How a folder of migrations is laid out.
///
/// | layout | files | outside a transaction |
/// |---|---|---|
/// | sqlx | `1_name.sql`, or `1_name.up.sql` and `1_name.down.sql` | the first line is `-- no-transaction` |
/// | diesel | `1_name/up.sql`, `1_name/down.sql` | `1_name/metadata.toml` says `run_in_transaction = false` |
/// | golang-migrate | `1_name.up.sql`, `1_name.down.sql` | no mark: its statements decide |
/// | popx | `1_name.up.sql`, `1_name.mysql.up.sql`, `..down.sql`; the file of the dialect goes before the general one | `1_name.autocommit.up.sql` |
/// | Flyway, refinery | `V1.2__name.sql`, `U1.2__name.sql` in any folder below | `V1.2__name.sql.conf` says `executeInTransaction=false` |
///
/// What repeats (`R__name.sql`) or stands for others (`B1__name.sql`) has no place in a history of steps that each have a way
/// back, and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// sqlx, and this project's own.
    Sqlx,
    /// diesel.
    Diesel,
    /// golang-migrate.
    GolangMigrate,
    /// popx, the migrations of Ory.
    Popx,
    /// Flyway and refinery.
    Flyway,
}

/// One file of a folder of migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the folder.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Entry {
    /// Whether a file at `path` below the folder can belong to a migration, so that its content is wanted. Hidden files and
    /// folders never do.
    #[must_use]
    pub fn is_wanted(path: &Path) -> bool {
        let hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
        let extension = path.extension().unwrap_or_default();
        // Code among migrations is read to be refused by name.
        let wanted = ["sql", "conf", "toml", "rs", "java", "fizz"];
        wanted.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted)) && !path.iter().any(hidden)
    }
}

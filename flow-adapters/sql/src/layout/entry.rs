//! Files as they come from outside.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

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
        let hidden = |part: &OsStr| part.as_encoded_bytes().starts_with(b".");
        let extension = path.extension().unwrap_or_default();
        // Code among migrations is read to be refused by name.
        let wanted = ["sql", "conf", "toml", "rs", "java", "fizz"];
        wanted.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted)) && !path.iter().any(hidden)
    }
}

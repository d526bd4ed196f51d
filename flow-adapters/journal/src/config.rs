use std::path::PathBuf;
use std::time::Duration;

use flow_core::Problems;

/// Where a SQLite journal lies, and its limits.
///
/// ```
/// use flow_journal::SqliteConfig;
///
/// let config = SqliteConfig { max_bytes: Some(64 << 20), ..SqliteConfig::at("/var/lib/deploy/journal.db") };
/// assert!(config.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. It is made where it does not exist, readable by its owner alone; its directory must exist, on a
    /// local disk: SQLite's write-ahead log does not work over a network.
    pub path: PathBuf,
    /// How long a transaction waits for one of another process before the store counts as unavailable.
    pub busy_timeout: Duration,
    /// The size that the file may grow to; beyond it, appends are refused as on a full disk.
    pub max_bytes: Option<u64>,
}

/// SQLite's default, which the layout is made with.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The empty layout takes nine pages; below this there would be no room for anything else.
const MIN_BYTES: u64 = 16 * PAGE_BYTES;

impl SqliteConfig {
    /// A journal at `path` that waits five seconds for another process and has no limit but the disk.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), busy_timeout: Duration::from_secs(5), max_bytes: None }
    }

    /// Looks for everything that is wrong with these values by themselves.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.path.file_name().is_some(), "path", "must name a file");
        let text = self.path.to_str();
        problems.check(text.is_some_and(|text| !text.contains('\0')), "path", "must be UTF-8 without NUL");
        // SQLite takes whole milliseconds in 31 bits.
        let waits = (1..=u128::from(i32::MAX.unsigned_abs())).contains(&self.busy_timeout.as_millis());
        problems.check(waits, "busy_timeout", "must be between 1 ms and 24 days");
        let room = self.max_bytes.is_none_or(|bytes| bytes >= MIN_BYTES);
        problems.check(room, "max_bytes", "must be at least 65536");
        problems.into_result()
    }

    /// The limit in SQLite's own unit. Its greatest value is what it takes for none.
    pub(crate) fn max_pages(&self) -> Option<u64> {
        self.max_bytes.map(|bytes| (bytes / PAGE_BYTES).min(u64::from(u32::MAX - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_named_at_once() {
        let config =
            SqliteConfig { path: "/".into(), busy_timeout: Duration::ZERO, max_bytes: Some(MIN_BYTES - 1) };
        let problems = config.check().unwrap_err();
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["path", "busy_timeout", "max_bytes"]);
    }

    #[test]
    fn a_path_that_sqlite_cannot_take_is_refused() {
        assert!(SqliteConfig::at("dir/a\0b").check().is_err());
        assert!(SqliteConfig::at("dir/journal.db").check().is_ok());
    }
}

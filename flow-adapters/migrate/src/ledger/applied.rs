//! What the database records as applied, compared with the scripts.

use std::fmt;

use flow_core::port::MigrationScript;
use flow_core::{Digest, ErrorKind, StepError};
use flow_sql::{Body, Dialect, Mode, Phase, Script, Statement, Token, Version, lex};
use sha2::{Digest as _, Sha384};

use super::history::BACKFILLS;

/// One migration that stands in the database, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) version: Version,
    pub(crate) name: String,
    /// The checksum of the up script that was applied.
    pub(crate) up: Checksum,
    /// The way back as it was when the migration was applied.
    pub(crate) down: Option<Kept>,
    /// The idempotency key that it was applied under.
    pub(crate) under: String,
    /// The fence of the attempt that applied it.
    pub(crate) fence: u64,
    pub(crate) statements: u32,
    pub(crate) ms: u64,
    pub(crate) progress: Progress,
    /// How far its rows are filled in, of a backfill.
    pub(crate) filled: Option<BackfillProgress>,
}

/// How far a backfill came. Each batch commits together with this record of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillProgress {
    /// The rows that batches have gone over.
    pub rows: u64,
    /// The rows that the table had when the backfill began: the application goes on adding and deleting some.
    pub of: u64,
    /// The key of the last row of the last batch.
    pub last_key: Option<String>,
}

impl fmt::Display for BackfillProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows", self.rows, self.of)?;
        self.last_key.as_ref().map_or(Ok(()), |key| write!(f, ", up to the key `{key}`"))
    }
}

/// How much of a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All of it.
    Whole,
    /// All of it, by an application that migrates itself with sqlx.
    Foreign,
    /// What was reached of its up script.
    Applying(Reached),
    /// All but what was reached of its down script.
    Reverting(Reached),
    /// A part of it, but what was reached of its down script.
    Unwinding(Reached),
}

/// How far a script came whose statements commit one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// So many statements certainly took effect.
    pub(crate) done: u32,
    /// The digest over their texts.
    pub(crate) hash: Option<Digest>,
    /// The one behind them was begun, and its end was not recorded.
    pub(crate) begun: Option<Begun>,
}

impl Reached {
    /// What stands of a script of so many statements, in words.
    pub(crate) fn describe(&self, of: u32) -> String {
        let under_way = if self.begun.is_some() { ", and perhaps the next one" } else { "" };
        match self.done {
            0 => format!("none of {of} statements{under_way}"),
            1 => format!("statement 1 of {of}{under_way}"),
            done => format!("statements 1 to {done} of {of}{under_way}"),
        }
    }
}

impl Applied {
    /// Whether the row is sqlx's, and not ours.
    pub(crate) const fn is_foreign(&self) -> bool {
        matches!(self.up, Checksum::Sqlx(_))
    }
}

/// A statement that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The digest of its text.
    pub(crate) statement: Digest,
    /// The session that it was begun in.
    pub(crate) by: String,
    /// What stood before of the objects that it names; none where its effect cannot be seen.
    pub(crate) footprint: Option<Digest>,
}

/// The checksum of an up script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// SHA-256 of the text with line feeds alone.
    Ours(Digest),
    /// sqlx's: SHA-384 of the file's bytes, in hexadecimal.
    Sqlx(String),
}

impl Checksum {
    /// Whether it is the script's, whatever the line ends were when it was applied.
    pub(crate) fn is_of(&self, up: &Body) -> bool {
        match self {
            Self::Ours(digest) => *digest == up.digest,
            Self::Sqlx(hex) => {
                let windows = up.text.replace('\n', "\r\n");
                let others = [up.text.as_bytes(), windows.as_bytes()];
                self::hex(&up.sha384) == *hex
                    || others.iter().any(|bytes| self::hex(&Sha384::digest(bytes)) == *hex)
            }
        }
    }
}

/// `versions` as one text for people.
pub(crate) fn list<'a>(versions: impl IntoIterator<Item = &'a Version>) -> String {
    versions.into_iter().map(Version::as_str).collect::<Vec<_>>().join(", ")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a statement may not stand in a script: the history is not its own.
pub(crate) fn refusal(dialect: Dialect, statement: &Statement) -> Option<String> {
    const OURS: &str = "_flow_migrations";
    // Most scripts are done with here: taking a long one to pieces costs.
    if !statement.text.to_ascii_lowercase().contains(OURS) {
        return None;
    }
    let ours = |name: &str| [OURS, BACKFILLS].iter().any(|ours| name.eq_ignore_ascii_case(ours));
    let names = |token: &Token<'_>| token.identifier().is_some_and(|name| ours(&name));
    let tokens = lex(dialect, &statement.text).unwrap_or_default();
    tokens.iter().any(names).then(|| format!("`{OURS}` belongs to the migrator"))
}

/// A down script as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) digest: Digest,
    pub(crate) text: String,
    pub(crate) mode: Mode,
}

/// Where the database and the scripts do not agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Divergence {
    pub(crate) edited: Vec<Version>,
    pub(crate) missing: Vec<Version>,
    pub(crate) late: Vec<Version>,
}

impl Divergence {
    pub(crate) fn of(scripts: &[Script], applied: &[Applied]) -> Self {
        let row = |script: &Script| applied.iter().find(|row| row.version == script.version);
        let latest = applied.iter().map(|row| &row.version).max();
        let contracts = scripts.iter().filter(|script| script.phase == Phase::Contract);
        let latest_contract = contracts.filter(|script| row(script).is_some()).map(|one| &one.version).max();
        // What is applied in part may have been mended behind the part that stands, unless that is rows.
        let edited = |script: &&Script| {
            row(script).is_some_and(|row| {
                let filled = row.filled.as_ref().is_some_and(|filled| filled.rows > 0);
                (filled || !matches!(row.progress, Progress::Applying(_))) && !row.up.is_of(&script.up)
            })
        };
        // A contract migration waits while later ones expand.
        let late = |script: &&Script| {
            let latest = if script.phase == Phase::Contract { latest_contract } else { latest };
            row(script).is_none() && Some(&script.version) < latest
        };
        let missing = |row: &&Applied| !scripts.iter().any(|script| script.version == row.version);
        Self {
            edited: scripts.iter().filter(edited).map(|script| script.version.clone()).collect(),
            missing: applied.iter().filter(missing).map(|row| row.version.clone()).collect(),
            late: scripts.iter().filter(late).map(|script| script.version.clone()).collect(),
        }
    }

    /// # Errors
    /// [`ErrorKind::Conflict`] with the list, where there is one.
    pub(super) fn into_result(self) -> Result<(), StepError> {
        let mut conflict = StepError::new(ErrorKind::Conflict, "the database and the scripts do not agree");
        let mut agree = true;
        for (what, versions) in
            [("edited", self.edited), ("missing", self.missing), ("out of order", self.late)]
        {
            if !versions.is_empty() {
                agree = false;
                conflict = conflict.fact(what, list(&versions));
            }
        }
        if agree { Ok(()) } else { Err(conflict) }
    }
}

/// The port's form of a script.
pub(crate) fn port_script(script: &Script) -> MigrationScript {
    MigrationScript {
        version: script.version.to_string(),
        name: script.name.clone(),
        up: script.up.digest,
        down: script.down.as_ref().map(|down| down.digest),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use flow_sql::{Entry, Layout, read};

    use super::super::View;
    use super::*;

    fn pending<'a>(scripts: &'a [Script], applied: &[Applied]) -> Result<Vec<&'a Script>, StepError> {
        View { scripts, phase: None }.pending(applied)
    }

    pub(crate) fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
        let entry = |(name, text): &(&str, &str)| Entry { path: name.into(), bytes: (*text).into() };
        read(Layout::Sqlx, Dialect::Sqlite, files.iter().map(entry), |_| None).unwrap()
    }

    pub(crate) fn applied(script: &Script) -> Applied {
        Applied {
            version: script.version.clone(),
            name: script.name.clone(),
            up: Checksum::Ours(script.up.digest),
            down: None,
            under: "key".to_owned(),
            fence: 1,
            statements: 1,
            ms: 0,
            progress: Progress::Whole,
            filled: None,
        }
    }

    #[test]
    fn edited_missing_and_late_migrations_are_listed_together() {
        let before = scripts(&[("2_b.up.sql", "SELECT 2"), ("3_c.up.sql", "SELECT 3")]);
        let rows: Vec<_> = before.iter().map(applied).collect();
        let now = scripts(&[("1_a.up.sql", "SELECT 1"), ("2_b.up.sql", "SELECT 22")]);
        let conflict = pending(&now, &rows).unwrap_err();
        assert_eq!(conflict.kind(), ErrorKind::Conflict);
        assert_eq!(
            conflict.facts().collect::<Vec<_>>(),
            [("edited", "2"), ("missing", "3"), ("out of order", "1")]
        );
    }

    #[test]
    fn other_line_ends_are_no_edit() {
        let unix = scripts(&[("1_a.up.sql", "SELECT 1;\nSELECT 2;\n")]);
        let windows = scripts(&[("1_a.up.sql", "SELECT 1;\r\nSELECT 2;\r\n")]);
        let rows: Vec<_> = unix.iter().map(applied).collect();
        assert_eq!(pending(&windows, &rows).unwrap().len(), 0);
    }

    #[test]
    fn the_checksum_that_sqlx_kept_is_known_with_either_line_end() {
        let mut row = applied(&scripts(&[("1_a.up.sql", "SELECT 1;\n")])[0]);
        for kept in ["SELECT 1;\n", "SELECT 1;\r\n"] {
            row.up = Checksum::Sqlx(hex(&Sha384::digest(kept.as_bytes())));
            assert_eq!(
                pending(&scripts(&[("1_a.up.sql", "SELECT 1;\r\n")]), &[row.clone()]).unwrap().len(),
                0
            );
            assert!(pending(&scripts(&[("1_a.up.sql", "SELECT 2;\n")]), &[row.clone()]).is_err());
        }
    }

    #[test]
    fn what_is_applied_in_part_is_pending_and_may_be_mended() {
        let mut row = applied(&scripts(&[("1_a.up.sql", "SELECT 1; SELECT oops")])[0]);
        row.progress = Progress::Applying(Reached { done: 1, ..Reached::default() });
        let mended = scripts(&[("1_a.up.sql", "SELECT 1; SELECT 2")]);
        assert_eq!(pending(&mended, &[row.clone()]).unwrap().len(), 1);
        for (rows, edited) in [(0, false), (1, true)] {
            row.filled = Some(BackfillProgress { rows, ..BackfillProgress::default() });
            assert_eq!(pending(&mended, &[row.clone()]).is_err(), edited);
        }
    }

    #[test]
    fn the_history_is_no_scripts_own() {
        let refused = |sql: &str| {
            let statements = flow_sql::split(Dialect::Sqlite, sql).unwrap();
            statements.iter().any(|statement| refusal(Dialect::Sqlite, statement).is_some())
        };
        for bad in [
            "DROP TABLE _flow_migrations",
            "DELETE FROM [_FLOW_migrations]",
            "DELETE FROM _flow_migrations_backfill",
            "INSERT INTO '_flow_migrations' VALUES(1)",
        ] {
            assert!(refused(bad), "{bad}");
        }
        assert!(!refused("SELECT 'COMMIT', '_flow_migrations is ours'"));
    }
}

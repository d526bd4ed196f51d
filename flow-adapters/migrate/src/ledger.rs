//! What the database records as applied, compared with the scripts.

use flow_core::port::MigrationScript;
use flow_core::{Digest, ErrorKind, StepError};

use crate::scripts::Script;
use crate::version::Version;

/// The table that holds one row for each applied migration.
pub(crate) const TABLE: &str = "_flow_migrations";

/// One applied migration, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) version: Version,
    pub(crate) name: String,
    /// The digest of the up script that was applied.
    pub(crate) up: Digest,
    /// The way back as it was when the migration was applied.
    pub(crate) down: Option<Kept>,
    /// The idempotency key that it was applied under.
    pub(crate) under: String,
    /// The fence of the attempt that applied it.
    pub(crate) fence: u64,
    pub(crate) statements: u32,
    pub(crate) ms: u64,
}

/// A down script as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) digest: Digest,
    pub(crate) text: String,
}

/// The scripts that are not applied yet, in order.
///
/// # Errors
/// [`ErrorKind::Conflict`] with every edited, missing and out-of-order migration.
pub(crate) fn pending<'a>(scripts: &'a [Script], applied: &[Applied]) -> Result<Vec<&'a Script>, StepError> {
    let row = |script: &Script| applied.iter().find(|row| row.version == script.version);
    let latest = applied.iter().map(|row| &row.version).max();
    let edited = scripts.iter().filter(|script| row(script).is_some_and(|row| row.up != script.up.digest));
    let missing = applied.iter().filter(|row| !scripts.iter().any(|script| script.version == row.version));
    let pending: Vec<_> = scripts.iter().filter(|script| row(script).is_none()).collect();
    let late = pending.iter().filter(|script| Some(&script.version) < latest);

    let mut conflict = StepError::new(ErrorKind::Conflict, "the database and the scripts do not agree");
    let mut agree = true;
    for (what, versions) in [
        ("edited", edited.map(|script| script.version.as_str()).collect::<Vec<_>>()),
        ("missing", missing.map(|row| row.version.as_str()).collect()),
        ("out of order", late.map(|script| script.version.as_str()).collect()),
    ] {
        if !versions.is_empty() {
            agree = false;
            conflict = conflict.fact(what, versions.join(", "));
        }
    }
    if agree { Ok(pending) } else { Err(conflict) }
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
mod tests {
    use super::*;
    use crate::scripts::{Entry, read};

    fn scripts(files: &[(&str, &str)]) -> Vec<Script> {
        read(files.iter().map(|(name, text)| Entry::file(name, text.as_bytes()))).unwrap()
    }

    fn applied(script: &Script) -> Applied {
        Applied {
            version: script.version.clone(),
            name: script.name.clone(),
            up: script.up.digest,
            down: None,
            under: "key".to_owned(),
            fence: 1,
            statements: 1,
            ms: 0,
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
}

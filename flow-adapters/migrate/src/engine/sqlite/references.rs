//! The references between tables, as they stand.

use std::collections::{BTreeMap, BTreeSet};

use flow_core::{ErrorKind, StepError};

use crate::effect::Effect;
use crate::engine::{Row, Session};

/// The tables, and whether each may refer to another one: to look for those takes as long as all the rows together.
const TABLES: &str =
    "SELECT name, sql LIKE '%references%' FROM sqlite_master WHERE type = 'table' AND rootpage > 0";

/// Rows that refer to no row of a table that is there.
const VIOLATIONS: &str = "SELECT \"table\", \"parent\", count(*) FROM pragma_foreign_key_check AS violation
    WHERE EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(violation.\"parent\"))
    GROUP BY 1, 2";

/// Tables that refer to a table that is not there. Without rows in them no check of the rows would find it.
const DANGLING: &str = "SELECT child.name, reference.\"table\"
    FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS reference
    WHERE child.type = 'table' AND NOT EXISTS (SELECT 1 FROM sqlite_master AS parent
        WHERE parent.type = 'table' AND lower(parent.name) = lower(reference.\"table\"))";

/// What is wrong with the references between tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct References {
    tables: BTreeSet<String>,
    /// How many rows of a table refer to no row of another. None where SQLite cannot check them.
    violations: Option<BTreeMap<(String, String), u64>>,
    dangling: BTreeSet<(String, String)>,
}

impl References {
    pub(crate) async fn read(session: &mut dyn Session) -> Result<Self, StepError> {
        let pair = |row: &Row| Some((row.first()?.clone()?, row.get(1)?.clone()?));
        let mut refers = false;
        let mut tables = BTreeSet::new();
        for row in session.query(TABLES, &[]).await? {
            let [name, may_refer] = <[Option<String>; 2]>::try_from(row).unwrap_or_default();
            refers |= may_refer.as_deref() == Some("1");
            tables.extend(name);
        }
        if !refers {
            return Ok(Self { tables, violations: Some(BTreeMap::new()), dangling: BTreeSet::new() });
        }
        let dangling = session.query(DANGLING, &[]).await?.iter().filter_map(pair).collect();
        let violations = match session.query(VIOLATIONS, &[]).await {
            Ok(rows) => {
                let counted = |row: &Row| Some((pair(row)?, row.get(2)?.as_deref()?.parse().ok()?));
                Some(rows.iter().filter_map(counted).collect())
            }
            // A reference to columns that are no key: SQLite refuses the check itself.
            Err(error) if error.kind() == ErrorKind::Failed => None,
            Err(error) => return Err(error),
        };
        Ok(Self { tables, violations, dangling })
    }

    /// Which rows refer to nothing that did so neither `before` nor at the `start`, one sentence each.
    pub(crate) fn rows_worse_than(&self, before: &Self, start: &Self) -> Vec<String> {
        let mut worse = Vec::new();
        if self.violations.is_none() && before.violations.is_some() {
            worse.push("a foreign key refers to columns that are no key".to_owned());
        }
        for (key, rows) in self.violations.iter().flatten() {
            let knew =
                |then: &Self| then.violations.as_ref().is_none_or(|known| known.get(key) >= Some(rows));
            if !knew(before) && !knew(start) {
                let (child, parent) = key;
                worse.push(format!("{rows} rows of `{child}` refer to no row of `{parent}`"));
            }
        }
        worse
    }

    /// Which tables refer to one that is not there and did not so at the `start`, one sentence each.
    pub(crate) fn dangling_beyond(&self, start: &Self) -> Vec<String> {
        let new = self.dangling.difference(&start.dangling);
        // A new table may refer to one that a later migration adds.
        new.filter(|(child, _)| start.tables.contains(child))
            .map(|(child, parent)| format!("`{child}` now refers to `{parent}`, which is not there"))
            .collect()
    }
}

/// Whether `statement` can break a reference. Looking costs every row that refers to another.
pub(super) fn can_break(statement: &str) -> bool {
    match Effect::of(statement) {
        Effect::Read | Effect::Index(_) => false,
        // What is created refers to others, and nothing refers to it yet.
        Effect::Catalogue => !statement.get(..6).is_some_and(|first| first.eq_ignore_ascii_case("create")),
        Effect::Scan(_) | Effect::Rewrite(_) | Effect::Drop(_) | Effect::Write => true,
    }
}

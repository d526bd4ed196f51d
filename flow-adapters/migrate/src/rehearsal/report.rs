use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flow_core::Digest;
use flow_core::port::{MigrationScript, StatementImpact};
use flow_sql::{Algorithm, Impact, LockMode};

/// What one statement of a pending migration does to a running service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementPlan {
    /// The migration's version, as its file has it.
    pub version: String,
    /// The statement's number, from 1.
    pub statement: u32,
    /// What the lint foretells from the text and the catalogue.
    pub foretold: Impact,
    /// What was measured on a restored copy, if it was rehearsed there.
    pub measured: Option<Rehearsed>,
}

/// Tells this plan from every other one: by the server, the scripts with their ways back, and what the lint foretells of them. What
/// was measured is left out, because times and numbers of rows differ from copy to copy.
pub(crate) fn hash(server: (&str, &str), scripts: &[MigrationScript], plans: &[StatementPlan]) -> Digest {
    let scripts = scripts.iter().map(|script| (&script.version, script.up, script.down)).collect::<Vec<_>>();
    let plans = plans.iter().map(|plan| (&plan.version, plan.statement, &plan.foretold)).collect::<Vec<_>>();
    // Every part says where it ends: text is quoted, and sets are ordered.
    Digest::of(format!("flow-migrate plan 1 {server:?} {scripts:?} {plans:?}").as_bytes())
}

/// What one statement did on a restored copy with real rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rehearsed {
    /// The strongest lock that it took on each relation that stood there before its script, and held until the end of its
    /// transaction.
    pub locks: BTreeMap<String, LockMode>,
    /// The relations that got a new file.
    pub rewrites: BTreeSet<String>,
    /// How many rows of which relation were read one by one.
    pub scans: BTreeMap<String, u64>,
    /// The first algorithm that MariaDB or MySQL accepted, from the cheapest on.
    pub algorithm: Option<Algorithm>,
    /// How long it took.
    pub took: Duration,
    /// What the way back of its migration does not bring back: tables with their rows before and after.
    pub lost: Vec<(String, u64, u64)>,
    /// All locks that its transaction held by then.
    pub(super) held: BTreeSet<(String, LockMode)>,
}

impl Rehearsed {
    /// Adds the locks that the lint foretells and that were held, but not for the first time: the server does not say who asked.
    pub(super) fn with_foretold(mut self, foretold: &Impact) -> Self {
        if let Impact::Predicted(one) = foretold {
            let held = one
                .locks
                .iter()
                .filter(|(relation, mode)| self.held.contains(&((*relation).clone(), **mode)));
            for (relation, mode) in held {
                let taken = self.locks.entry(relation.clone()).or_insert(*mode);
                *taken = (*taken).max(*mode);
            }
        }
        self
    }
}

impl StatementPlan {
    /// In the words of the port.
    pub(crate) fn in_words(&self) -> StatementImpact {
        let measured = self.measured.clone().unwrap_or_default();
        let mut effects = Vec::new();
        let locks = measured.locks.iter().filter(|(_, mode)| **mode != LockMode::None);
        effects.extend(locks.map(|(relation, mode)| format!("{mode:?} on `{relation}`")));
        effects.extend(measured.algorithm.map(|algorithm| format!("algorithm {algorithm:?}")));
        effects.extend(measured.rewrites.iter().map(|relation| format!("rewrites `{relation}`")));
        let scans = measured.scans.iter().filter(|(relation, _)| !measured.rewrites.contains(*relation));
        effects.extend(scans.map(|(relation, rows)| format!("scans `{relation}` ({rows} rows)")));
        if effects.is_empty() {
            effects.push("touches no table that was there".to_owned());
        }
        let lost = measured.lost.iter();
        effects.extend(lost.map(|(table, before, after)| {
            format!("the way back leaves {after} of {before} rows in `{table}`")
        }));
        StatementImpact {
            version: self.version.clone(),
            statement: self.statement,
            effect: effects.join("; "),
            ms: Some(u64::try_from(measured.took.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{AlertRules, RuleSet};
use flow_core::{ErrorKind, Name, Permit, Problems, StepError};

use crate::ledger::{Change, Ledger};

/// A monitoring system's rules in memory.
///
/// It checks what needs no reader of YAML: that `groups` comes first, that no tab indents, and that brackets and double
/// quotes close. All problems are reported at once, each with its line and column.
#[derive(Debug, Clone, Default)]
pub struct FakeRules {
    ledger: Ledger,
    sets: Arc<Mutex<BTreeMap<Name, String>>>,
}

impl FakeRules {
    /// A system without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A system without rules that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), sets: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts rules in force, as somebody else would.
    pub fn put(&self, set: RuleSet) {
        self.sets().insert(set.name, set.rules);
    }

    /// The rules in force under `name`.
    #[must_use]
    pub fn in_force(&self, name: &Name) -> Option<String> {
        self.sets().get(name).cloned()
    }

    /// The names of all sets in force, ordered.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.sets().keys().cloned().collect()
    }

    fn sets(&self) -> MutexGuard<'_, BTreeMap<Name, String>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AlertRules for FakeRules {
    async fn read(&self, name: &Name) -> Result<Option<RuleSet>, StepError> {
        let found = || self.in_force(name).map(|rules| RuleSet { name: name.clone(), rules });
        self.ledger.read("rules.read", name, || Ok(found())).await
    }

    async fn apply(&self, permit: &Permit, rules: &RuleSet) -> Result<(), StepError> {
        self.ledger
            .change(Change::new("rules.apply", &rules.name, permit), || {
                check(&rules.rules).into_result().map_err(|problems| {
                    StepError::new(ErrorKind::Invalid, "the rules are not well-formed")
                        .fact("rules", &rules.name)
                        .because(problems)
                })?;
                self.put(rules.clone());
                Ok(())
            })
            .await
    }

    async fn remove(&self, permit: &Permit, name: &Name) -> Result<(), StepError> {
        self.ledger
            .change(Change::new("rules.remove", name, permit), || {
                self.sets().remove(name);
                Ok(())
            })
            .await
    }
}

fn check(rules: &str) -> Problems {
    let mut problems = Problems::default();
    let mut open: Vec<(char, usize, usize)> = Vec::new();
    let first = rules.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    problems.check(
        first.is_some_and(|line| line.starts_with("groups:")),
        "groups",
        "is missing (line 1, column 1)",
    );
    for (line, text) in (1_usize..).zip(rules.lines()) {
        let indent = text.len() - text.trim_start().len();
        if let Some(column) = text.get(..indent).and_then(|indent| indent.find('\t')) {
            problems.add("rules", format!("a tab indents (line {line}, column {})", column + 1));
        }
        brackets(text, line, &mut open, &mut problems);
    }
    for (bracket, line, column) in open {
        problems.add("rules", format!("`{bracket}` never closes (line {line}, column {column})"));
    }
    problems
}

/// Opens and closes the brackets of one line. Quotes end with their line.
fn brackets(text: &str, line: usize, open: &mut Vec<(char, usize, usize)>, problems: &mut Problems) {
    let mut quote = None;
    let mut escaped = false;
    for (column, c) in (1_usize..).zip(text.chars()) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote.is_some() => escaped = true,
            '"' => quote = if quote.is_some() { None } else { Some(column) },
            _ if quote.is_some() => {}
            '#' => break,
            '(' | '[' | '{' => open.push((c, line, column)),
            ')' | ']' | '}' => {
                let opened = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop_if(|(bracket, _, _)| *bracket == opened).is_none() {
                    problems.add("rules", format!("`{c}` closes nothing (line {line}, column {column})"));
                }
            }
            _ => {}
        }
    }
    if let Some(column) = quote {
        problems.add("rules", format!("the quote never closes (line {line}, column {column})"));
    }
}

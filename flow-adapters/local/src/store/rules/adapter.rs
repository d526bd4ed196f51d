//! The rule files and what holds them.

use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::{AlertRules, RuleSet};
use flow_core::{ErrorKind, Name, Permit, Problems, StepError};

use super::check::check;
use crate::store::blocking::{change, look};
use crate::store::directory::{Directory, Readers};

/// The largest rule file: 1 MiB.
const LIMIT: u64 = 1 << 20;

/// Keeps each rule set as the file `<directory>/<name>.rules.yml`, for a Prometheus whose `rule_files` names
/// `<directory>/*.rules.yml`.
///
/// Rules are checked before they are written: their structure, names, durations, and that the brackets and quotes of every
/// expression close. Whether an expression means anything is for Prometheus to say. What is observed is the file; nobody
/// is asked to reload it.
#[derive(Debug, Clone)]
pub struct RuleFiles {
    directory: PathBuf,
}

impl RuleFiles {
    /// Rule files in `directory`, which is made with the first set.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

#[async_trait]
impl AlertRules for RuleFiles {
    async fn read(&self, name: &Name) -> Result<Option<RuleSet>, StepError> {
        let (directory, name) = (self.directory.clone(), name.clone());
        look(move || {
            let Some(directory) = Directory::find(&directory)? else { return Ok(None) };
            let file = file_of(&name);
            let Some(content) = directory.read(&file, LIMIT)? else { return Ok(None) };
            let rules = String::from_utf8(content).map_err(|error| {
                StepError::new(ErrorKind::Conflict, "the rule file is not UTF-8")
                    .fact("path", directory.path_of(&file).display())
                    .because(error)
            })?;
            Ok(Some(RuleSet { name, rules }))
        })
        .await
    }

    async fn apply(&self, permit: &Permit, rules: &RuleSet) -> Result<(), StepError> {
        if u64::try_from(rules.rules.len()).unwrap_or(u64::MAX) > LIMIT {
            let mut problems = Problems::default();
            problems.add("rules", format!("are larger than {LIMIT} bytes"));
            return Err(problems.into());
        }
        check(&rules.rules).map_err(|problems| {
            StepError::new(ErrorKind::Invalid, "the rules are not well-formed")
                .fact("rules", &rules.name)
                .because(problems)
        })?;
        let rules = rules.clone();
        change(permit, &self.directory, Readers::Everyone, move |directory, _| {
            let file = file_of(&rules.name);
            let content = rules.rules.as_bytes();
            // Reading first refuses a link or a directory under the name, which a rename would replace.
            if directory.read(&file, LIMIT)?.as_deref() == Some(content) {
                return Ok(());
            }
            directory.replace(&file, content, Readers::Everyone)
        })
        .await
    }

    async fn remove(&self, permit: &Permit, name: &Name) -> Result<(), StepError> {
        let name = name.clone();
        change(permit, &self.directory, Readers::Everyone, move |directory, _| {
            directory.remove_file(&file_of(&name))
        })
        .await
    }
}

fn file_of(name: &Name) -> String {
    format!("{name}.rules.yml")
}

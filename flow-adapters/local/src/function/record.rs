use std::collections::{BTreeMap, BTreeSet};

use flow_core::port::FunctionState;
use flow_core::{Digest, ErrorKind, Name, StepError};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

/// What stands in a function's state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    pub(super) function: Name,
    /// The code that the next version is published from.
    pub(super) digest: Option<Digest>,
    pub(super) triggers: BTreeMap<Name, String>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) live: Option<u64>,
    pub(super) versions: BTreeMap<u64, Version>,
    /// The number of the last version ever published. Numbers of removed versions are not given again, since journals
    /// and reports speak of versions by number.
    last: u64,
}

/// A published version: it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    pub(super) digest: Digest,
    pub(super) variables: BTreeMap<String, String>,
    /// The idempotency key of the call that published it.
    key: String,
}

impl Record {
    pub(super) const fn new(function: Name) -> Self {
        Self {
            format: FORMAT,
            function,
            digest: None,
            triggers: BTreeMap::new(),
            variables: BTreeMap::new(),
            live: None,
            versions: BTreeMap::new(),
            last: 0,
        }
    }

    /// Reads a state file.
    ///
    /// # Errors
    /// A typed refusal for one that is damaged or of another format: it is left as it is.
    pub(super) fn parse(content: &[u8]) -> Result<Self, StepError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error| {
            StepError::new(ErrorKind::Conflict, "the state file of a function is damaged").because(error)
        };
        let Format { format } = serde_json::from_slice(content).map_err(damaged)?;
        if format != FORMAT {
            return Err(StepError::new(ErrorKind::Conflict, "the state file is of another format")
                .fact("format", format)
                .fact("known", FORMAT));
        }
        serde_json::from_slice(content).map_err(damaged)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StepError> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the function has no JSON form").because(error)
        })
    }

    pub(super) fn state(&self) -> FunctionState {
        FunctionState {
            digest: self.digest,
            triggers: self.triggers.clone(),
            variables: self.variables.clone(),
            live: self.live.map(|version| version.to_string()),
        }
    }

    /// Publishes a version under `key`, or finds the one that was published under it.
    pub(super) fn publish(&mut self, key: &str) -> Result<u64, StepError> {
        if let Some((number, _)) = self.versions.iter().find(|(_, version)| version.key == key) {
            return Ok(*number);
        }
        let digest = self.digest.ok_or_else(|| {
            StepError::new(ErrorKind::NotFound, "the function has no code to publish")
                .fact("function", &self.function)
        })?;
        self.last += 1;
        let version = Version { digest, variables: self.variables.clone(), key: key.to_owned() };
        self.versions.insert(self.last, version);
        Ok(self.last)
    }

    /// A published version by its name.
    pub(super) fn version(&self, name: &str) -> Result<(u64, &Version), StepError> {
        let number = name.parse().ok().filter(|number: &u64| number.to_string() == name);
        number.and_then(|number| Some((number, self.versions.get(&number)?))).ok_or_else(|| {
            StepError::new(ErrorKind::NotFound, "the function has no such version")
                .fact("function", &self.function)
                .fact("version", name)
        })
    }

    /// Brings back `before`, and removes what was published after the version that was live then.
    pub(super) fn restore(&mut self, before: &FunctionState) -> Result<(), StepError> {
        let live = match &before.live {
            Some(name) => Some(self.version(name)?.0),
            None => None,
        };
        self.digest = before.digest;
        self.triggers.clone_from(&before.triggers);
        self.variables.clone_from(&before.variables);
        self.live = live;
        self.versions.retain(|number, _| live.is_some_and(|live| *number <= live));
        Ok(())
    }

    /// All code that the function needs.
    pub(super) fn needs(&self) -> BTreeSet<Digest> {
        self.versions.values().map(|version| version.digest).chain(self.digest).collect()
    }
}

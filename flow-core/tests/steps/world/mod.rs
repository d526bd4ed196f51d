//! A world in memory that all ports share: strict, counted, and breakable after any change.

mod build;
mod data;
mod functions;
mod people;
mod site;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flow_core::gate::StandardGate;
use flow_core::port::{Built, Command, MigrationScript, Notification, RuleSet, SecurityAspect};
use flow_core::{Digest, Name, StepError};
use serde_json::Value;

pub(crate) use data::script;
pub(crate) use site::SITE;
pub(crate) use watch::{Dial, Guard, Liar, Unreadable};

/// All of the world.
#[derive(Debug, Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    changes: Vec<String>,
    fault: Option<usize>,
    broke: bool,

    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) trees: BTreeSet<String>,
    /// What a build gives: artefact and content.
    pub(crate) yields: BTreeMap<Name, Vec<u8>>,
    pub(crate) kept: BTreeSet<Digest>,
    pub(crate) builds: BTreeMap<String, Built>,
    pub(crate) documents: BTreeMap<Name, Vec<u8>>,
    pub(crate) images: BTreeMap<String, Digest>,

    pub(crate) scripts: Vec<MigrationScript>,
    pub(crate) applied: Vec<MigrationScript>,
    pub(crate) backups: BTreeMap<String, Digest>,
    /// What the data check finds after the migration.
    pub(crate) inconsistent: bool,
    /// Down scripts that leave something behind.
    pub(crate) leftover: bool,
    pub(crate) leaves: bool,

    pub(crate) directories: BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>>,
    pub(crate) served: BTreeMap<String, Vec<u8>>,
    pub(crate) ever_served: BTreeMap<Digest, Vec<u8>>,
    pub(crate) cache: BTreeMap<String, Vec<u8>>,
    pub(crate) domain_broken: bool,

    pub(crate) functions: BTreeMap<Name, functions::Function>,
    /// What code answers, by its digest.
    pub(crate) answers: BTreeMap<Digest, Value>,

    pub(crate) rules: BTreeMap<Name, RuleSet>,
    pub(crate) messages: BTreeMap<String, Notification>,
    pub(crate) pages: BTreeMap<String, Vec<Page>>,
    pub(crate) asked: Vec<String>,
    pub(crate) installed: BTreeSet<String>,
    pub(crate) exit_codes: BTreeMap<String, i32>,
    /// What a gauge shows.
    pub(crate) figures: BTreeMap<StandardGate, f64>,
    /// What a security check finds open.
    pub(crate) open: BTreeMap<SecurityAspect, String>,
}

/// What a page answers.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) elapsed: Duration,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Everything that an undo must bring back. Messages, images, backups, trees and caches are not among it.
    pub(crate) fn seen(&self) -> String {
        let state = self.state();
        let texts =
            |files: Vec<&Vec<u8>>| files.into_iter().map(|file| file.escape_ascii().to_string()).collect();
        let documents: Vec<String> = texts(state.documents.values().collect());
        let served: Vec<String> = texts(state.served.values().collect());
        let parts: [&dyn fmt::Debug; 11] = [
            &state.kept,
            &state.builds,
            &state.documents.keys(),
            &documents,
            &state.applied,
            &state.leftover,
            &state.served.keys(),
            &served,
            &state.functions,
            &state.rules,
            &state.installed,
        ];
        format!("{parts:#?}")
    }

    /// Everything that was changed, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.state().changes.clone()
    }

    /// Lets the `nth` change from now on take effect without an answer.
    pub(crate) fn break_after(&self, nth: usize) {
        let mut state = self.state();
        (state.fault, state.broke) = (Some(nth), false);
    }

    /// Whether the change that was to break was made. Nothing breaks any more after this.
    pub(crate) fn broke(&self) -> bool {
        let mut state = self.state();
        state.fault = None;
        state.broke
    }

    fn change<T>(
        &self,
        what: impl Into<String>,
        change: impl FnOnce(&mut State) -> T,
    ) -> Result<T, StepError> {
        let mut state = self.state();
        let changed = change(&mut state);
        state.changes.push(what.into());
        state.fault = match state.fault {
            Some(1) => {
                state.broke = true;
                state.fault = None;
                return Err(StepError::in_doubt("the connection broke"));
            }
            Some(left) => Some(left - 1),
            None => None,
        };
        Ok(changed)
    }
}

fn argv(command: &Command) -> String {
    std::iter::once(&command.program).chain(&command.args).cloned().collect::<Vec<_>>().join(" ")
}

//! A world in memory that all ports share: the testkit's fakes on one ledger, and the rest in [`State`], counted and
//! breakable after any change.

mod build;
mod people;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flow_core::gate::StandardGate;
use flow_core::port::{Command, Notification, RuleSet, SecurityAspect};
use flow_core::{Name, StepError};
use flow_testkit::Ledger;
use flow_testkit::fake::{
    FakeAssets, FakeBuilder, FakeCdn, FakeFunctions, FakeImages, FakeMigrator, FakeSource, Migration,
};
use flow_testkit::fault::{At, Fault};

pub(crate) use watch::{Dial, Guard, Liar, Unreadable};

/// Where readers reach the site.
pub(crate) const SITE: &str = "https://shop.test";

/// A migration with a way back.
pub(crate) fn migration(version: &str) -> Migration {
    Migration::table(version, &format!("t{version}"))
}

/// All of the world.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) source: FakeSource,
    pub(crate) builder: FakeBuilder,
    pub(crate) images: FakeImages,
    pub(crate) database: FakeMigrator,
    pub(crate) assets: FakeAssets,
    pub(crate) cdn: FakeCdn,
    pub(crate) functions: FakeFunctions,
    rest: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    changes: Vec<String>,
    fault: Option<usize>,

    pub(crate) documents: BTreeMap<Name, Vec<u8>>,
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
        let ledger = Ledger::new();
        let (source, assets) = (FakeSource::in_ledger(&ledger), FakeAssets::in_ledger(&ledger));
        Self {
            builder: FakeBuilder::of(&source),
            images: FakeImages::of(&source),
            database: FakeMigrator::in_ledger(&ledger),
            cdn: FakeCdn::before(&assets),
            functions: FakeFunctions::in_ledger(&ledger),
            ledger,
            source,
            assets,
            rest: Arc::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.rest.lock().unwrap()
    }

    /// Everything that an undo must bring back. Messages, images, backups, trees and caches are not among it.
    pub(crate) fn seen(&self) -> String {
        let state = self.state();
        let documents: Vec<String> =
            state.documents.values().map(|file| file.escape_ascii().to_string()).collect();
        let rest: [&dyn fmt::Debug; 4] =
            [&state.documents.keys(), &documents, &state.rules, &state.installed];
        let (built, data) = (self.builder.seen(), self.database.seen());
        format!("{built}\n{data}\n{}\n{}\n{rest:#?}", self.assets.seen(), self.functions.seen())
    }

    /// Everything that was changed, in order: what the fakes changed, and then the rest.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut changes = self.ledger.changes();
        changes.extend(self.state().changes.clone());
        changes
    }

    /// Lets the nth change from now on break: of the fakes by `fault`, of the rest without an answer.
    pub(crate) fn break_after(&self, nth: usize, fault: Fault) {
        self.ledger.faults().inject(At::any_change().nth(nth.try_into().unwrap()), fault);
        self.state().fault = Some(nth);
    }

    /// Takes back what did not break; whether something did.
    pub(crate) fn mend(&self) -> bool {
        let (fakes, rest) = (self.ledger.faults().withdraw() == 0, self.state().fault.take().is_none());
        fakes || rest
    }

    /// Lets the next call of `point` take effect without an answer.
    pub(crate) fn doubt(&self, point: &'static str) {
        self.ledger.faults().inject(At::call(point), Fault::InDoubt);
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

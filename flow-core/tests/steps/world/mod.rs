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

/// A single change that a step makes, and how it goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Break {
    /// At a call of a fake.
    Call(At, Fault),
    /// The nth change of the rest takes effect without an answer.
    Rest(usize),
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

    /// How many calls and changes of the rest were made: what [`breaks_since`](Self::breaks_since) counts from.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.ledger.calls().len(), self.state().changes.len())
    }

    /// Every way in which a single change since `mark` can go wrong when the same changes are made again.
    pub(crate) fn breaks_since(&self, (calls, rest): (usize, usize)) -> Vec<Break> {
        let changes: Vec<_> =
            self.ledger.calls().split_off(calls).into_iter().filter(|call| call.permit.is_some()).collect();
        let mut breaks: Vec<Break> = (1..=self.state().changes.len() - rest).map(Break::Rest).collect();
        for (index, change) in changes.iter().enumerate() {
            let nth = changes[..=index].iter().filter(|earlier| earlier.point == change.point).count();
            let at = At::call(change.point).nth(nth.try_into().unwrap());
            breaks.extend([Fault::InDoubt, Fault::HalfDone].map(|fault| Break::Call(at.clone(), fault)));
        }
        breaks
    }

    /// Lets a change go wrong.
    pub(crate) fn inject(&self, fault: &Break) {
        match fault {
            Break::Call(at, fault) => self.ledger.faults().inject(at.clone(), *fault),
            Break::Rest(nth) => self.state().fault = Some(*nth),
        }
    }

    /// Lets the next call of `point` take effect without an answer.
    pub(crate) fn doubt(&self, point: &'static str) {
        self.ledger.faults().inject(At::call(point), Fault::InDoubt);
    }

    /// Whether all that was to go wrong did.
    pub(crate) fn broke(&self) -> bool {
        let state = self.state();
        self.ledger.faults().unfired().is_empty() && state.fault.is_none()
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

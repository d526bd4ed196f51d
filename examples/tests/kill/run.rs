//! One run with its deaths, from its first command to its end, and what must hold of it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use flow_core::RunId;
use flow_core::journal::{self, End, Entry, JournalStore, Standing};
use flow_core::machine::{Mode, State};
use flow_journal::SqliteJournal;

use crate::look::{Seen, look};
use crate::points::{Case, Point};
use crate::scenario::{Leg, Scenario};
use crate::shop::Shop;
use crate::trail::{Line, Trail};

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How each command ended.
    pub(crate) ends: Vec<&'static str>,
    pub(crate) trail: Trail,
    /// A death inside an effect that was done before it was polled so often: it was placed nowhere.
    pub(crate) missed: bool,
}

/// The worlds that undisturbed runs left, by scenario and command.
pub(crate) type Worlds = BTreeMap<(Scenario, usize), Seen>;

/// A run under way in a shop.
pub(crate) struct Trial<'a> {
    pub(crate) shop: &'a Shop,
    pub(crate) scenario: Scenario,
    pub(crate) run: &'a str,
}

impl Trial<'_> {
    fn command(&self, command: &str, death: Option<&Point>) -> ExitStatus {
        let trail = self.trail_path();
        let mut words =
            vec![command, self.shop.root(), self.scenario.version(), "--run", self.run, "--trail"];
        words.push(trail.to_str().unwrap());
        words.extend(self.scenario.options());
        if let Some(death) = death {
            words.extend(["--die", &death.death]);
        }
        self.shop.run(&words)
    }

    fn trail_path(&self) -> std::path::PathBuf {
        self.shop.root.join(format!("{}.trail", self.run))
    }

    pub(crate) fn trail(&self) -> Trail {
        Trail::read(&self.trail_path())
    }

    /// Runs one command without a death.
    pub(crate) async fn undisturbed(&self, leg: &Leg) {
        leg.prepare(self.shop, &RunId::new(self.run).unwrap()).await;
        let status = self.command(leg.command, None);
        assert_eq!(status.code(), Some(leg.code), "{:?}: {}", self.scenario, self.shop.log());
    }

    /// Runs `command`, which dies at `death`; whether it did. It died nowhere else, and by SIGKILL.
    fn dies(&self, command: &str, death: &Point) -> bool {
        let status = self.command(command, Some(death));
        let trail = self.trail();
        if status.signal() == Some(9) {
            assert_eq!(trail.0.last(), Some(&Line::Died(death.death.clone())), "it died somewhere else");
            return true;
        }
        assert!(!trail.0.ends_with(&[Line::Died(death.death.clone())]));
        let (log, inside) = (self.shop.log(), death.death.starts_with("inside:"));
        assert!(inside, "{}: `{}` did not die: {status}: {log}", self.run, death.death);
        false
    }

    /// Runs one command with the deaths of `case` in it, and then to its end. Whether all deaths struck.
    async fn killed(&self, leg: &Leg, case: &Case) -> bool {
        leg.prepare(self.shop, &RunId::new(self.run).unwrap()).await;
        let mut struck = self.dies(leg.command, &case.first);
        if let Some(again) = case.again.as_ref().filter(|_| struck) {
            // Died before the first record: there is no run to go on with, and the first attempt is made again.
            let command = if self.trail().has_begun() { leg.recovery } else { leg.command };
            struck = self.dies(command, again);
        }
        if !self.trail().has_begun() {
            assert_eq!(self.command(leg.recovery, None).code(), Some(1));
            assert_eq!(self.command(leg.command, None).code(), Some(leg.code), "{}", self.shop.log());
            return struck;
        }
        if struck {
            let status = self.command(leg.recovery, None);
            assert_eq!(status.code(), Some(leg.code), "{case:?}: {status}: {}", self.shop.log());
        }
        struck
    }

    /// Runs all commands of `case`, with its deaths, and holds each end to what the world shows.
    pub(crate) async fn survives(&self, case: &Case, worlds: &Worlds) -> Outcome {
        let told = format!("{:?} {}: {} {:?}", self.scenario, self.run, case.first.death, case.again);
        let before = look(self.shop).await;
        let mut ends = Vec::new();
        let mut missed = false;
        let mut held = None;
        for (index, leg) in self.scenario.legs().iter().enumerate() {
            if case.first.leg == index {
                missed = !self.killed(leg, case).await;
            } else {
                self.undisturbed(leg).await;
            }
            let world = look(self.shop).await;
            let (mode, standing) = self.journal(&told).await;
            let expected = match mode {
                Mode::Completed | Mode::Held => worlds[&(self.scenario, index)].clone(),
                Mode::RolledBack => before.clone().of_any_run(),
                Mode::Parked => parked(&before, held.as_ref().unwrap_or(&before), &standing),
                other => panic!("{told}: the run is {other:?}"),
            };
            assert_eq!(world.clone().of_any_run(), expected, "{told}: {mode:?}");
            if mode == Mode::RolledBack {
                assert_eq!(world, before, "{told}: with the change record of the old release");
            }
            ends.push(named(mode));
            held = (mode == Mode::Held).then_some(world);
        }
        let trail = self.trail();
        trail.check(&told);
        Outcome { ends, trail, missed }
    }

    /// What the journal says: how the run stands, and what of it. Every effect has one outcome at most.
    async fn journal(&self, told: &str) -> (Mode, Vec<Standing>) {
        let store = SqliteJournal::open(self.shop.root.join("journal.db")).await.unwrap();
        let raw = store.load(&RunId::new(self.run).unwrap()).await.unwrap();
        let records = journal::read(&raw).unwrap();
        let mut done = BTreeMap::new();
        for record in &records {
            if let Entry::Ended { key, ended } = &record.entry
                && ended.end == End::Done
            {
                *done.entry(key.to_string()).or_insert(0) += 1;
            }
        }
        assert!(done.values().all(|ends| *ends == 1), "{told}: an outcome was recorded twice: {done:?}");
        let state = State::replay(records.iter().map(|record| &record.entry)).unwrap();
        let running = state.running().unwrap();
        (running.mode, running.standing.clone())
    }
}

/// The world of a parked run: the old one but for what the journal names, which stands as the run left it.
fn parked(before: &Seen, held: &Seen, standing: &[Standing]) -> Seen {
    let named: Vec<&str> = standing.iter().map(|standing| standing.step.as_str()).collect();
    assert_eq!(named, ["write-configuration"], "what stands");
    let (file, away) = ("configuration/shop.json", "configuration/shop.json.away");
    let mut expected = before.clone().of_any_run();
    let old = expected.files.remove(file);
    let new = held.files.get(file).cloned();
    assert!(old.is_some() && new.is_some() && old != new, "the releases have one configuration");
    expected.files.extend(new.map(|new| (away.to_owned(), new)));
    expected
}

const fn named(mode: Mode) -> &'static str {
    match mode {
        Mode::Completed => "completed",
        Mode::RolledBack => "rolled back",
        Mode::Parked => "parked",
        Mode::Held => "held",
        _ => "neither",
    }
}

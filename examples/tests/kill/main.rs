//! The example's controller is killed with SIGKILL at every kind of journal record and of effect, on the way forward and on
//! the way back, and again while it recovers; then the world is read from outside.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the matrix says what it did")]

mod look;
mod points;
mod run;
mod scenario;
mod shop;
mod trail;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::look::look;
use crate::points::{Case, Point, Points, Seed};
use crate::run::{Outcome, Trial, Worlds};
use crate::scenario::Scenario;
use crate::shop::{Shop, Works, program};
use crate::trail::Line;

const SCENARIOS: [Scenario; 3] = [Scenario::Good, Scenario::Bad, Scenario::Stuck];
/// How many shops deploy side by side.
const LANES: usize = 2;
/// How often a death inside an effect may be missed because the effect was quicker this time.
const TRIES: usize = 4;
/// What the second death is put at in the short tier.
const AGAIN: [&str; 14] = [
    "before owner_changed",
    "after owner_changed",
    "before released",
    "after released",
    "before intended do of a step",
    "inside do of a step",
    "effect do of a move",
    "after ended do of a step done",
    "after intended undo of a move",
    "inside undo of a step",
    "effect undo of a move",
    "before undone",
    "before parked",
    "after finished",
];

/// The scenarios without a death: what points they have, and what world they leave.
async fn undisturbed(works: &Works) -> (BTreeMap<Scenario, Points>, Worlds) {
    let (mut points, mut worlds) = (BTreeMap::new(), Worlds::new());
    for scenario in SCENARIOS {
        let shop = works.shop(&format!("undisturbed-{scenario:?}"), "production");
        let before = look(&shop).await;
        let trial = Trial { shop: &shop, scenario, run: "undisturbed" };
        let mut trails = Vec::new();
        let mut known = 0;
        for (index, leg) in scenario.legs().iter().enumerate() {
            trial.undisturbed(leg).await;
            let trail = trial.trail();
            trails.push(trail::Trail(trail.0[known..].to_vec()));
            known = trail.0.len();
            worlds.insert((scenario, index), look(&shop).await.of_any_run());
            trail.check("undisturbed");
        }
        if scenario != Scenario::Good {
            assert_eq!(look(&shop).await, before, "1.2.0 was not taken back whole");
        }
        points.insert(scenario, Points::of(&trails));
    }
    (points, worlds)
}

/// One case for each kind of second death, and as many more as it takes to die once at every kind of point.
fn one_of_each_kind(points: &BTreeMap<Scenario, Points>) -> Vec<Case> {
    let mut seed = Seed::new();
    let mut chosen: Vec<Case> = Vec::new();
    let pairs = all_again(points);
    for kind in AGAIN {
        let dies_there = |case: &&Case| case.again.as_ref().is_some_and(|again| again.kinds.contains(kind));
        let cases: Vec<&Case> = pairs.iter().filter(dies_there).collect();
        let case = seed.one_of(&cases).copied().cloned();
        chosen.push(case.unwrap_or_else(|| panic!("no run has `{kind}` while it recovers")));
    }
    let mut covered: BTreeSet<String> = chosen.iter().flat_map(Case::kinds).collect();
    for kind in kinds(points) {
        if covered.contains(kind) {
            continue;
        }
        let of_kind = |scenario: Scenario| {
            let points = points[&scenario].points.iter().filter(|point| point.kinds.contains(kind));
            points.map(move |point| Case { scenario, first: point.clone(), again: None })
        };
        // The longest scenario only where no other comes by.
        let mut cases: Vec<Case> = of_kind(Scenario::Good).chain(of_kind(Scenario::Bad)).collect();
        if cases.is_empty() {
            cases.extend(of_kind(Scenario::Stuck));
        }
        let case = seed.one_of(&cases).cloned().unwrap();
        covered.extend(case.kinds());
        chosen.push(case);
    }
    chosen
}

/// Every kind of point that the scenarios have.
fn kinds(points: &BTreeMap<Scenario, Points>) -> BTreeSet<&str> {
    let all = points.values().flat_map(|points| &points.points);
    all.flat_map(|point| &point.kinds).map(String::as_str).collect()
}

/// Every pair of a death and a later one while the run recovers from it.
fn all_again(points: &BTreeMap<Scenario, Points>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (scenario, points) in points {
        for first in &points.points {
            let later = points.after(first);
            let mut add = |again: Point| {
                cases.push(Case { scenario: *scenario, first: first.clone(), again: Some(again) });
            };
            if !later.is_empty() && first.death != "before:started" {
                add(first.of_successor("before", "owner_changed"));
                add(first.of_successor("after", "owner_changed"));
            }
            if first.death == "after:held" {
                add(first.of_successor("before", "released"));
                add(first.of_successor("after", "released"));
            }
            later.into_iter().cloned().for_each(add);
        }
    }
    cases
}

/// Every point of every run, where records of one commit are one point; every third dies again while it recovers. What the
/// stuck run has in common with the bad one is tried out there.
fn every_point(all: &BTreeMap<Scenario, Points>) -> Vec<Case> {
    let mut seed = Seed::new();
    let mut cases = Vec::new();
    for (scenario, points) in all {
        let elsewhere = |point: &&Point| {
            let bad = all[&Scenario::Bad].points.iter();
            *scenario == Scenario::Stuck && bad.clone().any(|other| other.death == point.death)
        };
        let own = points.distinct().into_iter().filter(|point| !elsewhere(point));
        for (index, first) in own.enumerate() {
            let later = points.after(first);
            let again = if index.is_multiple_of(3) { seed.one_of(&later).copied().cloned() } else { None };
            cases.push(Case { scenario: *scenario, first: first.clone(), again });
        }
    }
    cases.extend(one_of_each_kind(all).into_iter().filter(|case| case.again.is_some()));
    cases
}

/// What the matrix came to.
#[derive(Debug, Default)]
struct Table {
    cases: usize,
    deaths: usize,
    missed: usize,
    ends: BTreeMap<String, usize>,
    kinds: BTreeSet<String>,
    /// Runs of each effect: in how many cases, in all, and in one case at most.
    runs: BTreeMap<String, (usize, usize, usize)>,
}

impl Table {
    fn add(&mut self, case: &Case, outcome: &Outcome) {
        self.cases += 1;
        self.deaths += outcome.trail.0.iter().filter(|line| matches!(line, Line::Died(_))).count();
        *self.ends.entry(format!("{:?}: {}", case.scenario, outcome.ends.join(", "))).or_default() += 1;
        self.kinds.extend(case.kinds());
        for (effect, runs) in outcome.trail.runs() {
            let (cases, all, most) = self.runs.entry(effect).or_default();
            (*cases, *all, *most) = (*cases + 1, *all + runs, runs.max(*most));
        }
    }

    fn print(&self, points: &BTreeMap<Scenario, Points>) {
        println!("effect: runs in cases, at most in one");
        for (effect, (cases, all, most)) in &self.runs {
            println!("  {effect}: {all} in {cases}, {most}");
        }
        let without: BTreeSet<&String> = points.values().flat_map(|points| &points.without_inside).collect();
        println!("without an inside, since they are done when first polled: {without:?}");
        println!("{} kinds of point: {:?}", self.kinds.len(), self.kinds);
        println!("{} cases, {} deaths, {} missed and repeated", self.cases, self.deaths, self.missed);
        println!("ends: {:?}", self.ends);
    }
}

/// The cases that are left, and what came of those that are done.
struct Matrix<'a> {
    works: &'a Works,
    worlds: &'a Worlds,
    left: Mutex<VecDeque<(usize, Case)>>,
    table: Mutex<Table>,
}

/// Leaves nothing for the other lane when this one fails.
struct StopAll<'a>(&'a Mutex<VecDeque<(usize, Case)>>);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Matrix<'_> {
    /// Carries out case after case. A shop whose run was taken back is as it was, so it serves the next one.
    async fn lane(&self, lane: usize) {
        let _stop = StopAll(&self.left);
        let mut kept: Option<Shop> = None;
        while let Some((index, case)) = self.next() {
            for attempt in 0..TRIES {
                let begun = Instant::now();
                let shop = kept.take().filter(|_| case.scenario != Scenario::Good).unwrap_or_else(|| {
                    self.works.shop(&format!("shop-{lane}-{index}-{attempt}"), "production")
                });
                let run = format!("case-{index}-{attempt}");
                let trial = Trial { shop: &shop, scenario: case.scenario, run: &run };
                let outcome = trial.survives(&case, self.worlds).await;
                let again = case.again.as_ref().map(|again| &again.death);
                println!(
                    "{index}: {:?} {} {again:?}: {} in {:.1} s{}",
                    case.scenario,
                    case.first.death,
                    outcome.ends.join(", "),
                    begun.elapsed().as_secs_f64(),
                    if outcome.missed { ", missed" } else { "" }
                );
                kept = (case.scenario != Scenario::Good).then_some(shop);
                let mut table = self.table.lock().unwrap();
                if !outcome.missed {
                    table.add(&case, &outcome);
                    break;
                }
                table.missed += 1;
                assert!(attempt + 1 < TRIES, "{case:?}: the effect has no inside");
            }
        }
    }

    fn next(&self) -> Option<(usize, Case)> {
        self.left.lock().unwrap().pop_front()
    }
}

#[test]
fn a_killed_controller_is_resumed_and_the_world_is_the_one_that_its_end_names() {
    let begun = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let works = Works { program: program(directory.path()), directory: directory.path().to_owned() };
    works.build();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (points, worlds) = runtime().block_on(undisturbed(&works));
    let long = std::env::var_os("FLOW_LONG").is_some();
    let mut cases = if long { every_point(&points) } else { one_of_each_kind(&points) };
    // Shops that can be kept first, so that few have to be made.
    cases.sort_by_key(|case| case.scenario == Scenario::Good);
    println!("{} cases after {:.1} s", cases.len(), begun.elapsed().as_secs_f64());
    let left = Mutex::new(cases.into_iter().enumerate().collect());
    let matrix = Matrix { works: &works, worlds: &worlds, left, table: Mutex::default() };
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let matrix = &matrix;
            scope.spawn(move || runtime().block_on(matrix.lane(lane)));
        }
    });
    let table = matrix.table.into_inner().unwrap();
    table.print(&points);
    let all: BTreeSet<String> = kinds(&points).into_iter().map(str::to_owned).collect();
    let missed: Vec<&String> = all.difference(&table.kinds).collect();
    assert!(missed.is_empty(), "nobody died at {missed:?}");
    println!("took {:.1} s", begun.elapsed().as_secs_f64());
}

/// The traces that the engine's points of failure leave in a program: their text, their symbols, their source's name.
const POINTS: [&str; 3] = ["a fault that a test put there", "durable6points", "durable/points.rs"];

#[test]
fn the_engine_of_a_normal_build_has_no_points_of_failure() {
    // Alone, so that no other crate turns on `testing`, as the examples' tests do.
    let words = ["build", "--quiet", "--locked", "--package", "flow-core", "--lib"];
    assert!(flow_proving::cargo().args(words).status().unwrap().success());
    let deps = std::env::current_exe().unwrap();
    let content = std::fs::read(deps.ancestors().nth(2).unwrap().join("libflow_core.rlib")).unwrap();
    let content = String::from_utf8_lossy(&content);
    assert!(content.contains("durable9journaled"), "it has the engine, and can be searched");
    let found: Vec<&str> = POINTS.into_iter().filter(|point| content.contains(point)).collect();
    assert!(found.is_empty(), "{found:?}");
}

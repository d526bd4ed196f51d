//! Comparisons of two things in one run, by turns. Each figure is a line of JSON, for `cargo xtask bench`.
#![expect(clippy::print_stdout, reason = "a bench speaks to the terminal")]

use std::sync::{Arc, Mutex, PoisonError};

use flow_benches::{Disk, Error, Figure, Samples, Sequence, Times, runtime, setting};
use flow_core::durable::Journaled;
use flow_core::event::Next;
use flow_core::journal::{JournalStore, MemoryJournal};
use flow_core::{ErrorKind, RunId, StepError};
use tokio::runtime::Runtime;

/// Where the disk is that builds go to.
const BELOW: &str = env!("CARGO_TARGET_TMPDIR");

/// A run of this many steps must be linear.
const LONG: usize = 1_000;
/// How often each comparison is made.
const ROUNDS: usize = 10;

fn main() -> Result<(), Error> {
    let runtime = runtime()?;
    against_a_bare_append(&runtime)?;
    first_steps_against_last(&runtime)?;
    watched_against_unwatched(&runtime)
}

/// The steps' effect is the bare append itself: so a durable step and a bare append follow each other all along.
fn against_a_bare_append(runtime: &Runtime) -> Result<(), Error> {
    let disk = Disk::below(BELOW)?;
    let journal = runtime.block_on(disk.journal("journal.db"))?;
    let bytes = bytes_a_step(runtime)?;
    let bare = Arc::new(Mutex::new((disk.log("bare.log")?, Samples::default())));
    let effect = bare.clone();
    let sequence = Sequence::doing(LONG, move || {
        let mut bare = effect.lock().unwrap_or_else(PoisonError::into_inner);
        let took = bare.0.append(&vec![b'x'; bytes]);
        let took =
            took.map_err(|error| StepError::new(ErrorKind::Failed, "the disk refuses").because(error))?;
        bare.1.extend([took]);
        Ok(())
    })?;
    let mut durable = Samples::default();
    let (mut early, mut late) = (Samples::default(), Samples::default());
    for round in 0..3 {
        let (sequence, journal) = (sequence.clone(), journal.clone());
        let run = RunId::new(format!("bench-{round}"))?;
        let times = runtime
            .block_on(async move { sequence.run(&setting()?, &Journaled::new(journal, run)).await })?;
        split(&times, &mut early, &mut late);
        durable.extend(times.gaps());
    }
    let bare = bare.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
    let what = format!(
        "a durable step on SQLite ({:.0?}) against a bare append and fdatasync of {bytes} bytes ({:.0?}), by turns",
        durable.median(),
        bare.median()
    );
    figure(&what, durable.against(&bare), 1.5);
    figure("the last hundred of 1,000 steps on SQLite against the first", late.against(&early), 1.2);
    Ok(())
}

/// What a step adds to a journal.
fn bytes_a_step(runtime: &Runtime) -> Result<usize, Error> {
    let (sequence, journal, run) = (Sequence::idle(100)?, MemoryJournal::new(), RunId::new("bench")?);
    runtime.block_on(async {
        sequence.run(&setting()?, &Journaled::new(Arc::new(journal.clone()), run.clone())).await?;
        let records = journal.load(&run).await?;
        let bytes: usize = records.iter().skip(1).map(|record| record.body.len()).sum();
        Ok(bytes / 100)
    })
}

fn first_steps_against_last(runtime: &Runtime) -> Result<(), Error> {
    let sequence = Sequence::idle(LONG)?;
    let (mut early, mut late) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        split(&in_memory(runtime, &sequence, None)?, &mut early, &mut late);
    }
    figure("the last hundred of 1,000 steps in memory against the first", late.against(&early), 1.2);
    Ok(())
}

/// Who watches a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watcher {
    /// Subscribes and never reads.
    Sleeps,
    /// Subscribes and goes away.
    Goes,
}

fn watched_against_unwatched(runtime: &Runtime) -> Result<(), Error> {
    let sequence = Sequence::idle(LONG)?;
    let mut samples = [Samples::default(), Samples::default(), Samples::default()];
    let watchers = [None, Some(Watcher::Sleeps), Some(Watcher::Goes)];
    for _ in 0..ROUNDS {
        for (watcher, samples) in watchers.into_iter().zip(&mut samples) {
            samples.extend(in_memory(runtime, &sequence, watcher)?.gaps());
        }
    }
    let [unwatched, sleeps, goes] = samples;
    figure(
        "a step while a subscriber never reads, against one that nobody watches",
        sleeps.against(&unwatched),
        1.1,
    );
    figure(
        "a step after a subscriber went away, against one that nobody watches",
        goes.against(&unwatched),
        1.1,
    );
    Ok(())
}

fn in_memory(runtime: &Runtime, sequence: &Sequence, watcher: Option<Watcher>) -> Result<Times, Error> {
    let (sequence, setting) = (sequence.clone(), setting()?);
    let subscribed = watcher.map(|_| setting.events.subscribe());
    let mut stream = subscribed.filter(|_| watcher == Some(Watcher::Sleeps));
    runtime.block_on(async move {
        let durable = Journaled::new(Arc::new(MemoryJournal::new()), RunId::new("bench")?);
        let times = sequence.run(&setting, &durable).await?;
        if let Some(stream) = &mut stream {
            // Its ring overflowed all along, and it is told how much it missed.
            match stream.next().await {
                Some(Next::Gap(missed)) if missed > 1_000 => {}
                other => return Err(format!("a subscriber that never read got {other:?}").into()),
            }
        }
        Ok(times)
    })
}

fn split(times: &Times, early: &mut Samples, late: &mut Samples) {
    let gaps = times.gaps();
    early.extend(gaps.iter().take(100).copied());
    late.extend(gaps.iter().rev().take(100).copied());
}

fn figure(what: &str, ratio: f64, goal: f64) {
    println!("{}", Figure::of(what, format!("{ratio:.2} ×")).goal(format!("≤ {goal}"), ratio <= goal));
}

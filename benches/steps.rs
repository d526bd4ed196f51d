//! Durations by criterion: a durable step in a sequence, and the resume of a long journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use flow_benches::{Disk, Error, Sequence, held, runtime, setting};
use flow_core::RunId;
use flow_core::durable::{Durable, Journaled};
use flow_core::journal::{JournalStore, MemoryJournal};
use flow_journal::SqliteJournal;

/// Where the disk is that builds go to.
const BELOW: &str = env!("CARGO_TARGET_TMPDIR");

fn memory_step(criterion: &mut Criterion) {
    must(|| {
        let runtime = runtime()?;
        let mut group = criterion.benchmark_group("memory_step");
        for steps in [10, 100, 1_000] {
            let sequence = Sequence::idle(steps)?;
            group.bench_function(BenchmarkId::from_parameter(steps), |bencher| {
                bencher.iter_custom(|times| {
                    repeat(times, || {
                        let sequence = sequence.clone();
                        runtime.block_on(async move {
                            let journal = Arc::new(MemoryJournal::new());
                            let durable = Journaled::new(journal, RunId::new("bench")?);
                            Ok(sequence.run(&setting()?, &durable).await?.median())
                        })
                    })
                });
            });
        }
        group.finish();
        Ok(())
    });
}

fn sqlite_step(criterion: &mut Criterion) {
    must(|| {
        let runtime = runtime()?;
        let disk = Disk::below(BELOW)?;
        let journal = runtime.block_on(disk.journal("journal.db"))?;
        let (sequence, run) = (Sequence::idle(100)?, AtomicU64::new(0));
        let mut group = criterion.benchmark_group("sqlite_step");
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(100), |bencher| {
            bencher.iter_custom(|times| {
                repeat(times, || {
                    let (sequence, journal) = (sequence.clone(), journal.clone());
                    let run = RunId::new(format!("bench-{}", run.fetch_add(1, Ordering::Relaxed)))?;
                    runtime.block_on(async move {
                        let durable = Journaled::new(journal, run);
                        Ok(sequence.run(&setting()?, &durable).await?.median())
                    })
                })
            });
        });
        group.finish();
        Ok(())
    });
}

/// Opens the file, takes the run, reads and checks its journal, and stands at its stage.
fn sqlite_resume(criterion: &mut Criterion) {
    const ENTRIES: usize = 10_000;
    must(|| {
        let runtime = runtime()?;
        let disk = Disk::below(BELOW)?;
        let run = RunId::new("bench")?;
        let (workflow, setting) = runtime.block_on(async {
            let journal = disk.journal("journal.db").await?;
            // A step is three records: its capture, its intent, its end.
            let held = held(ENTRIES / 3 + 1, Journaled::new(journal.clone(), run.clone())).await?;
            let records = journal.load(&run).await?.len();
            if records < ENTRIES {
                return Err(Error::from(format!("only {records} records")));
            }
            Ok(held)
        })?;
        let mut group = criterion.benchmark_group("sqlite_resume");
        group.sample_size(10);
        group.bench_function(BenchmarkId::from_parameter(ENTRIES), |bencher| {
            bencher.iter_custom(|times| {
                repeat(times, || {
                    runtime.block_on(async {
                        let began = Instant::now();
                        let journal = Arc::new(SqliteJournal::open(disk.path("journal.db")).await?);
                        let durable: Arc<dyn Durable> = Arc::new(Journaled::new(journal, run.clone()));
                        let resumed = workflow.clone().resume(&setting, durable.clone()).await?;
                        let took = began.elapsed();
                        drop(resumed);
                        durable.close().await;
                        Ok(took)
                    })
                })
            });
        });
        group.finish();
        Ok(())
    });
}

/// The sum over `times` measurements. Criterion has no way to be told of an error.
fn repeat(times: u64, mut measure: impl FnMut() -> Result<Duration, Error>) -> Duration {
    let mut sum = Duration::ZERO;
    for _ in 0..times {
        must(|| {
            sum += measure()?;
            Ok(())
        });
    }
    sum
}

/// Ends the bench with a message where something went wrong.
fn must(work: impl FnOnce() -> Result<(), Error>) {
    if let Err(error) = work() {
        // A panic would be reported as a bug of the bench; a figure must not be made up either.
        std::process::exit(report(&error));
    }
}

#[expect(clippy::print_stderr, reason = "a bench speaks to the terminal")]
fn report(error: &Error) -> i32 {
    eprintln!("bench: {error}");
    1
}

criterion_group!(benches, memory_step, sqlite_step, sqlite_resume);
criterion_main!(benches);

//! A lease that cannot be kept: what was begun under it is over before anybody else may begin.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::durable::Journaled;
use flow_core::journal::{JournalStore, MemoryJournal};
use flow_core::stage::Verify;
use flow_core::{Stopped, Work, name};

use crate::probe::{Bench, Ends, Probe};
use crate::promises::{Last, approved, ending_with, one};
use crate::store::{Asked, Does, Faulty};

/// Runs a step that does not stop when it is asked to, under a lease of `ttl` whose renewals go as `script` says from the
/// moment at which the step begins. Returns when the step was last seen at work, and when another owner could take the run.
async fn last_seen_and_taken(ttl: Duration, script: &[Does]) -> (Duration, Duration) {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let clock = setting.clock.clone();
    let journal = MemoryJournal::on(clock.clone());
    let begun = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(Duration::ZERO));
    let step = {
        let (begun, seen, clock) = (begun.clone(), seen.clone(), clock.clone());
        Last::doing(&bench.log, move || {
            let (begun, seen, clock) = (begun.clone(), seen.clone(), clock.clone());
            async move {
                begun.store(true, Ordering::SeqCst);
                loop {
                    *seen.lock().unwrap() = clock.monotonic();
                    clock.sleep(Duration::from_millis(50)).await;
                }
            }
        })
    };
    let rest = Arc::new(Mutex::new(VecDeque::from(script.to_vec())));
    let (scripted, works) = (rest.clone(), begun.clone());
    let store = Faulty::over(&journal, move |asked| match asked {
        Asked::Renew if works.load(Ordering::SeqCst) => {
            scripted.lock().unwrap().pop_front().unwrap_or(Does::Hangs)
        }
        _ => Does::Passes,
    });
    let workflow = ending_with(&bench, step);
    let plan = approved(&workflow, &setting).await;
    let durable = Journaled::new(Arc::new(store), one()).ttl(ttl);
    let another = async {
        while !begun.load(Ordering::SeqCst) {
            clock.sleep(Duration::from_millis(50)).await;
        }
        while journal.acquire(&one(), &[], "another", ttl).await.is_err() {
            clock.sleep(Duration::from_millis(50)).await;
        }
        clock.monotonic()
    };
    let (ended, taken) = tokio::join!(workflow.run(plan, &durable), another);
    assert!(matches!(ended, Err(Stopped::HandedOver(_))), "{ended:?}");
    assert!(rest.lock().unwrap().is_empty(), "not every renewal came: {rest:?}");
    let seen = *seen.lock().unwrap();
    (seen, taken)
}

#[tokio::test(start_paused = true)]
async fn an_effect_is_over_before_its_lease_however_the_renewals_fail() {
    let scripts = |ttl: Duration| {
        [
            vec![Does::Hangs],
            vec![Does::Refuses, Does::Refuses],
            vec![Does::Refuses, Does::Hangs],
            vec![Does::Passes, Does::Refuses, Does::Hangs],
            // The lease lasts from when the store renewed it, not from when its owner heard of that.
            vec![Does::AnswersLate(ttl * 3 / 10), Does::Hangs],
        ]
    };
    for ttl in [30, 6].map(Duration::from_secs) {
        for script in scripts(ttl) {
            let (seen, taken) = last_seen_and_taken(ttl, &script).await;
            assert!(seen < taken, "{script:?}, {ttl:?}: at work until {seen:?}, taken over at {taken:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_wakes_when_its_lease_is_over_stops_the_effect_at_once() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let clock = setting.clock.clone();
    let journal = MemoryJournal::on(clock.clone());
    let asleep = Arc::new(AtomicBool::new(false));
    let slept = asleep.clone();
    let store = Faulty::over(&journal, move |asked| match asked {
        Asked::Renew if slept.load(Ordering::SeqCst) => Does::Hangs,
        _ => Does::Passes,
    });
    let mut workflow = bench.workflow();
    workflow.verify = Work::step(Probe::<Verify>::new(name!("verify"), &bench.log).ending(Ends::Hangs));
    let plan = approved(&workflow, &setting).await;
    let durable = Journaled::new(Arc::new(store), one());
    let run = async { (workflow.run(plan, &durable).await, clock.monotonic()) };
    let machine_sleeps = async {
        while !bench.log.lines().contains(&"run verify".to_owned()) {
            clock.sleep(Duration::from_millis(50)).await;
        }
        asleep.store(true, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(31)).await;
        clock.monotonic()
    };
    let ((ended, at), woke) = tokio::join!(run, machine_sleeps);
    assert!(matches!(ended, Err(Stopped::HandedOver(_))), "{ended:?}");
    assert!(at < woke + Duration::from_secs(1), "woke at {woke:?}, and the effect went on until {at:?}");
}

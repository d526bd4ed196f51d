//! Who watches a run, and how slowly, changes nothing about it; what was missed is counted.

use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::Journaled;
use flow_core::event::{EventHub, EventStream, Next};
use flow_core::journal::{JournalStore, MemoryJournal};
use flow_core::plan::Approvals;
use flow_core::stage::{Monitoring, MonitoringActivity, Services};
use flow_core::{Name, RunId, Setting, SystemClock, Work, Workflow, name};
use tokio::sync::oneshot;

use crate::probe::{Bench, Probe};

/// Enough steps that their events overflow what is kept for a subscriber, which is 1,024.
const STEPS: usize = 400;
const KEPT: u64 = 1024;

/// What a run came to: how long it took on its clock, what its steps did, and how many entries it left.
#[derive(Debug, PartialEq)]
struct Came {
    took: Duration,
    lines: Vec<String>,
    entries: u64,
}

/// Carries out `workflow` with many more steps.
async fn deploy(bench: &Bench, mut workflow: Workflow, setting: Setting) -> Came {
    for number in 0..STEPS {
        let step = Probe::<Monitoring>::new(Name::new(format!("alert-{number}")).unwrap(), &bench.log);
        workflow.monitoring = workflow.monitoring.then(step.covering(&[MonitoringActivity::Alerts]));
    }
    let (journal, run) = (MemoryJournal::on(setting.clock.clone()), RunId::new("one").unwrap());
    let durable = Journaled::new(Arc::new(journal.clone()), run.clone());
    let approved = workflow.plan(&setting).await.unwrap().approve(&Approvals::none()).unwrap();
    let begun = setting.clock.monotonic();
    workflow.run(approved, &durable).await.unwrap();
    let took = setting.clock.monotonic() - begun;
    let entries = journal.load(&run).await.unwrap().len() as u64;
    Came { took, lines: bench.log.lines(), entries }
}

/// What a subscriber saw: the events by index, and before which of them how many were missed.
#[derive(Debug, Default, PartialEq)]
struct Saw {
    indexes: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Saw {
    /// Reads `most` events, or to the end; rests for `pause` after each.
    async fn read(&mut self, events: &mut EventStream, most: usize, pause: Option<Duration>) {
        let mut missed = 0;
        let until = self.indexes.len().saturating_add(most);
        while self.indexes.len() < until
            && let Some(next) = events.next().await
        {
            match next {
                Next::Event(event) => {
                    if missed > 0 {
                        self.gaps.push((event.index, std::mem::take(&mut missed)));
                    }
                    self.indexes.push(event.index);
                }
                Next::Gap(events) => missed += events,
                Next::Progress(_) => {}
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Every one of `all` events came in its turn, or is counted in a gap right where it is missing.
    fn is_whole(&self, all: u64) {
        let mut next = 0;
        let mut gaps = self.gaps.iter();
        for index in &self.indexes {
            if *index != next {
                assert_eq!(gaps.next(), Some(&(*index, index - next)), "a gap that is not counted exactly");
            }
            next = index + 1;
        }
        assert_eq!((gaps.next(), next), (None, all));
    }
}

/// A subscriber, at work on its own.
fn watching(hub: &EventHub, most: usize, pause: Option<Duration>) -> tokio::task::JoinHandle<Saw> {
    let mut events = hub.subscribe();
    tokio::spawn(async move {
        let mut saw = Saw::default();
        saw.read(&mut events, most, pause).await;
        saw
    })
}

#[tokio::test(start_paused = true)]
async fn on_a_virtual_clock_no_subscriber_delays_a_run_by_a_moment() {
    let bench = Bench::new();
    let alone = deploy(&bench, bench.workflow(), bench.setting(name!("1.0.0"))).await;
    assert!(alone.took >= Duration::from_secs(60), "it bakes for a minute: {:?}", alone.took);

    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let mut idle = setting.events.subscribe();
    let gone = watching(&setting.events, 20, None);
    let prompt = watching(&setting.events, usize::MAX, None);
    let slow = watching(&setting.events, usize::MAX, Some(Duration::from_secs(1)));
    let watched = deploy(&bench, bench.workflow(), setting).await;
    assert_eq!(watched, alone);

    // The opening stands for the first entry, and every other entry is one event.
    let all = alone.entries;
    assert_eq!(gone.await.unwrap().indexes, (0..20).collect::<Vec<_>>());
    let mut never = Saw::default();
    never.read(&mut idle, usize::MAX, None).await;
    assert_eq!(never.gaps, [(all - KEPT, all - KEPT)], "what nobody read is counted, once");
    let (prompt, slow) = (prompt.await.unwrap(), slow.await.unwrap());
    for saw in [&never, &prompt, &slow] {
        saw.is_whole(all);
    }
    assert_eq!(prompt.gaps, [], "whoever keeps up misses nothing");
    assert_ne!(slow.gaps, [], "this one was slow enough to miss some");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_real_clock_a_subscriber_that_stands_still_holds_nobody_up() {
    let bench = Bench::new();
    let mut setting = bench.setting(name!("1.0.0"));
    setting.clock = Arc::new(SystemClock::new());
    let mut events = setting.events.subscribe();
    let (end, ended) = oneshot::channel::<()>();
    // It stands still until the run is over: a run that waited for it would never be.
    let standing = tokio::spawn(async move {
        let mut saw = Saw::default();
        saw.read(&mut events, 10, None).await;
        ended.await.unwrap();
        saw.read(&mut events, usize::MAX, None).await;
        saw
    });
    // Nothing in it waits: on this clock a minute would be one.
    let services = Work::step(Probe::<Services>::new(name!("services"), &bench.log));
    let deploying = deploy(&bench, Workflow { services, ..bench.workflow() }, setting);
    let came = tokio::time::timeout(Duration::from_secs(120), deploying).await.unwrap();
    end.send(()).unwrap();
    let saw = standing.await.unwrap();
    let all = came.entries;
    saw.is_whole(all);
    assert_eq!(saw.gaps, [(all - KEPT, all - KEPT - 10)]);
}

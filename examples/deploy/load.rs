//! Users: workers that send requests at a steady pace and write down what became of each.
//!
//! Nothing here knows of the deployment. A request that gets no good answer is a failure; none is sent again.

mod connection;
mod report;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(crate) use connection::{Connection, Reply};
pub(crate) use report::LoadReport;
use report::Record;

/// How many requests are sent, and what is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadPlan {
    /// Where the proxy listens.
    pub(crate) address: SocketAddr,
    /// How many users there are; each waits for its answer before it asks again.
    pub(crate) workers: u32,
    /// How many requests all of them send in a second, as long as the answers come in time.
    pub(crate) per_second: u32,
    /// The highest id of an order; all from 1 on are asked for in turn.
    pub(crate) orders: i64,
}

/// Users at work. Dropping it sends them away; [`stop`](Self::stop) tells what they met.
#[derive(Debug)]
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    /// Its end tells the workers to end.
    stop: watch::Sender<()>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends them to work.
    pub(crate) fn start(plan: LoadPlan) -> Self {
        let ledger = Arc::new(Ledger::new(plan.orders));
        let (stop, stopped) = watch::channel(());
        let each = Duration::from_secs(1).saturating_mul(plan.workers) / plan.per_second.max(1);
        let workers = (0..plan.workers)
            .map(|number| {
                // Evenly spread over one period, so that they do not all ask at the same moment.
                let first = ledger.started + each * number / plan.workers.max(1);
                let pace = Pace { first, each: each.max(Duration::from_millis(1)) };
                tokio::spawn(work(Connection::to(plan.address), pace, Arc::clone(&ledger), stopped.clone()))
            })
            .collect();
        Self { ledger, stop, workers }
    }

    /// Lets every request under way end, and reports on all of them.
    pub(crate) async fn stop(self) -> LoadReport {
        drop(self.stop);
        let mut broken = 0;
        for worker in self.workers {
            broken += u64::from(worker.await.is_err());
        }
        let took = self.ledger.started.elapsed();
        LoadReport::of(&self.ledger.records(), took, broken)
    }
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Instant,
    each: Duration,
}

async fn work(mut connection: Connection, pace: Pace, ledger: Arc<Ledger>, mut stopped: watch::Receiver<()>) {
    let mut ticks = interval_at(pace.first, pace.each);
    // After a slow answer the pace goes on; what was missed meanwhile is not made up for in a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = ticks.tick() => {}
        }
        let path = ledger.next_path();
        let start = ledger.started.elapsed();
        let reply = connection.get(&path).await;
        let end = ledger.started.elapsed();
        ledger.records().push(Record { path, start, end, reply });
    }
}

/// What all workers share.
#[derive(Debug)]
struct Ledger {
    started: Instant,
    orders: u64,
    next: AtomicU64,
    records: Mutex<Vec<Record>>,
}

impl Ledger {
    fn new(orders: i64) -> Self {
        let orders = u64::try_from(orders).unwrap_or(0).max(1);
        Self { started: Instant::now(), orders, next: AtomicU64::new(0), records: Mutex::default() }
    }

    /// Of ten requests eight are for an order, one for the total and one for the health.
    fn next_path(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (round, place) = (number / 10, number % 10);
        match place {
            8 => "/api/total".to_owned(),
            9 => "/health".to_owned(),
            _ => format!("/api/orders/{}", (round * 8 + place) % self.orders + 1),
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

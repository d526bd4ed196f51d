//! A journal store whose process kills itself with SIGKILL at a chosen append: how the suite proves that a run survives.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use flow_core::journal::{AcquireError, AppendError, JournalStore, Lease, LoadError, RawRecord, RunSummary};
use flow_core::{Name, RunId};
use flow_journal::SqliteJournal;

/// When the process dies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    append: u32,
    moment: Moment,
}

#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Before the records are written.
    Before,
    /// When they are durable, before anything acts on them.
    After,
    /// This long after that: inside the effect that they announce, or after it.
    Inside(Duration),
}

impl std::str::FromStr for Death {
    type Err = anyhow::Error;

    /// `before:N`, `after:N` or `inside:N:MILLISECONDS`, for append N counted from 0.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (moment, append) = match parts.as_slice() {
            ["before", append] => (Moment::Before, append),
            ["after", append] => (Moment::After, append),
            ["inside", append, ms] => (Moment::Inside(Duration::from_millis(ms.parse()?)), append),
            _ => bail!("`{text}` is none of `before:N`, `after:N`, `inside:N:MILLISECONDS`"),
        };
        Ok(Self { append: append.parse().with_context(|| format!("`{text}`"))?, moment })
    }
}

/// `store`, with a death or without one.
#[derive(Debug)]
pub(crate) struct DyingJournal {
    store: SqliteJournal,
    death: Option<Death>,
    appends: AtomicU32,
}

impl DyingJournal {
    pub(crate) fn new(store: SqliteJournal, death: Option<Death>) -> Self {
        Self { store, death, appends: AtomicU32::new(0) }
    }
}

fn die() {
    // There is no way to fail here that matters: the process has asked for its own end.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[async_trait]
impl JournalStore for DyingJournal {
    async fn append(&self, lease: &Lease, expected: u64, batch: &[RawRecord]) -> Result<(), AppendError> {
        let number = self.appends.fetch_add(1, Ordering::SeqCst);
        let death = self.death.filter(|death| death.append == number);
        if let Some(Death { moment: Moment::Before, .. }) = death {
            die();
        }
        self.store.append(lease, expected, batch).await?;
        match death.map(|death| death.moment) {
            Some(Moment::After) => die(),
            Some(Moment::Inside(delay)) => {
                // A thread of its own: an effect that blocks the runtime must not delay the death.
                std::thread::spawn(move || {
                    std::thread::sleep(delay);
                    die();
                });
            }
            _ => {}
        }
        Ok(())
    }

    async fn acquire(
        &self,
        run: &RunId,
        on: &[Name],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, AcquireError> {
        self.store.acquire(run, on, owner, ttl).await
    }

    async fn renew(&self, lease: &Lease) -> Result<(), AcquireError> {
        self.store.renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), AcquireError> {
        self.store.release(lease).await
    }

    async fn load(&self, run: &RunId) -> Result<Vec<RawRecord>, LoadError> {
        self.store.load(run).await
    }

    async fn close(&self, lease: &Lease) -> Result<(), AppendError> {
        self.store.close(lease).await
    }

    async fn post(&self, run: &RunId, topic: &str, body: &str) -> Result<bool, AppendError> {
        self.store.post(run, topic, body).await
    }

    async fn posted(&self, run: &RunId, topic: &str) -> Result<Option<String>, LoadError> {
        self.store.posted(run, topic).await
    }

    async fn incomplete(&self, after: Option<&RunId>, limit: u32) -> Result<Vec<RunSummary>, LoadError> {
        self.store.incomplete(after, limit).await
    }
}

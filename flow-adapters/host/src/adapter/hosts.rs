use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flow_core::port::Host;
use flow_core::{Name, Problems, StepError};
use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _};

/// The machines that a release stands on, by name. The root of each is the application's own directory there.
#[derive(Clone, Default)]
pub struct Hosts(BTreeMap<Name, Arc<dyn Host>>);

impl Hosts {
    /// No hosts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a host, or replaces the one of that name.
    #[must_use]
    pub fn and(mut self, name: Name, host: Arc<dyn Host>) -> Self {
        self.0.insert(name, host);
        self
    }

    /// The names of the hosts, in order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        problems.check(!self.0.is_empty(), "hosts", "must be at least one");
    }

    /// Asks every host, so many at a time. Where any cannot be asked, none of the answers counts.
    pub(super) async fn ask<'a, T: Send + 'a>(
        &'a self,
        at_once: usize,
        work: impl Fn(&'a Name, &'a dyn Host) -> BoxFuture<'a, Result<T, StepError>>,
    ) -> Result<BTreeMap<&'a Name, T>, StepError> {
        self.each(at_once, work).await.map_err(|failed| failed.error)
    }

    /// Changes every host, so many at a time. One that fails does not stop the others. The error is a rejection where
    /// nothing was left behind on any host.
    pub(super) async fn change<'a, T: Send + 'a>(
        &'a self,
        at_once: usize,
        work: impl Fn(&'a Name, &'a dyn Host) -> BoxFuture<'a, Result<T, StepError>>,
    ) -> Result<BTreeMap<&'a Name, T>, StepError> {
        self.each(at_once, work)
            .await
            .map_err(|failed| if failed.alone { failed.error } else { failed.error.after_effect() })
    }

    async fn each<'a, T: Send + 'a>(
        &'a self,
        at_once: usize,
        work: impl Fn(&'a Name, &'a dyn Host) -> BoxFuture<'a, Result<T, StepError>>,
    ) -> Result<BTreeMap<&'a Name, T>, Failed> {
        let mut works: Vec<BoxFuture<'a, (&'a Name, Result<T, StepError>)>> = Vec::new();
        for (name, host) in &self.0 {
            let work = work(name, &**host);
            works.push(async move { (name, work.await) }.boxed());
        }
        let ends: Vec<_> = stream::iter(works).buffer_unordered(at_once.max(1)).collect().await;
        let (mut done, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for (name, end) in ends {
            match end {
                Ok(answer) => drop(done.insert(name, answer)),
                Err(error) => drop(failed.insert(name, error)),
            }
        }
        // One in doubt says more than any that left nothing behind.
        let worst = failed.iter().find(|(_, error)| !error.kind().is_rejection()).or(failed.iter().next());
        let Some((_, worst)) = worst else { return Ok(done) };
        let error =
            StepError::new(worst.kind(), format!("{} of {} hosts failed", failed.len(), self.0.len()));
        let facts = failed.iter().map(|(name, error)| (name.to_string(), whole(error)));
        let error = facts.fold(error, |error, (name, text)| error.fact(name, text));
        Err(Failed { error, alone: done.is_empty() })
    }
}

struct Failed {
    error: StepError,
    /// Whether every host failed.
    alone: bool,
}

/// The error with its causes on one line.
fn whole(error: &StepError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

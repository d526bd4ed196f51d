//! What the fakes were asked, in order, and what they refuse beyond what production would.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::{ErrorKind, Fence, Permit, StepError};

use crate::fake::Scripts;
use crate::fault::{Effect, Fault, Faults, Moment};

/// The ledger of a world: every call of its fakes, in one order over all ports, with the faults put at them.
///
/// It is what makes the fakes stricter than production. A change is refused as a [conflict](ErrorKind::Conflict), and noted among
/// the [refusals](Self::refusals), when
/// - its fence is below one that the same resource has seen: a late owner is still at work;
/// - it repeats, within one run, an effect that must happen once, under another idempotency key.
///
/// `Debug` shows what was changed and refused and not what was read: two worlds that look alike are alike.
#[derive(Clone, Default)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    faults: Faults,
    scripts: Scripts,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("changes", &self.changes())
            .field("refusals", &self.refusals())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Book {
    calls: Vec<Called>,
    refusals: Vec<String>,
    fences: BTreeMap<String, Fence>,
    /// The last change of each resource that must happen once: by which run, what, and under which key.
    once: BTreeMap<String, (String, String, String)>,
}

/// One call that a fake was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The call, `port.method`.
    pub point: &'static str,
    /// What it was about: a service, a file, a function.
    pub about: String,
    /// The idempotency key, fence and attempt, of a call that changes something.
    pub permit: Option<(String, Fence, u32)>,
    /// How it ended; none while it has not, or where its caller died in it.
    pub ended: Option<Result<(), ErrorKind>>,
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.point, self.about)
    }
}

/// A call that changes something, as a fake describes it.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    point: &'static str,
    about: String,
    resource: String,
    once: Option<String>,
    permit: &'a Permit,
}

impl<'a> Change<'a> {
    /// The call `point` under `permit`, about `about`. The resource whose fences count is what it is about, unless named.
    pub(crate) fn new(point: &'static str, about: impl fmt::Display, permit: &'a Permit) -> Self {
        let about = about.to_string();
        let port = point.split('.').next().unwrap_or(point);
        Self { point, resource: format!("{port} {about}"), about, once: None, permit }
    }

    /// Names the resource whose fences count, where that is more than what the call is about.
    pub(crate) fn of(mut self, resource: impl fmt::Display) -> Self {
        self.resource = resource.to_string();
        self
    }

    /// Says that repeating it with the same `parameters` under another key is a second effect.
    pub(crate) fn once(mut self, parameters: impl fmt::Debug) -> Self {
        self.once = Some(format!("{} {parameters:?}", self.point));
        self
    }
}

/// The run that `permit` belongs to, as its key tells.
pub(crate) fn run_of(permit: &Permit) -> String {
    let key = permit.idempotency_key();
    key.split('/').next().unwrap_or(key).to_owned()
}

/// A call that changes nothing here, or that can be made once alone, cannot be delivered again.
fn once(fault: Fault) -> bool {
    fault != Fault::Repeated
}

impl Ledger {
    /// An empty ledger without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The faults of this world.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Every call, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Called> {
        self.book().calls.clone()
    }

    /// The calls that changed something, in order, each as its point and what it was about: `router.route web`.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let changed = |call: &&Called| call.permit.is_some() && call.ended == Some(Ok(()));
        self.book().calls.iter().filter(changed).map(ToString::to_string).collect()
    }

    /// What was refused that production might have let pass, in words. A test of deploy logic expects none.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.book().refusals.clone()
    }

    /// What the fake steps of this world did.
    pub(crate) const fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// Refuses something that production might let pass.
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> StepError {
        self.refuse_as(ErrorKind::Conflict, reason)
    }

    /// Refuses it with the kind that the port's contract names.
    pub(crate) fn refuse_as(&self, kind: ErrorKind, reason: impl Into<String>) -> StepError {
        let reason = reason.into();
        self.book().refusals.push(reason.clone());
        StepError::new(kind, reason)
    }

    /// Answers a call that only reads.
    pub(crate) async fn read<T>(
        &self,
        point: &'static str,
        about: impl fmt::Display + Send,
        look: impl FnOnce() -> Result<T, StepError> + Send,
    ) -> Result<T, StepError> {
        let about = about.to_string();
        let place = self.note(Called { point, about: about.clone(), permit: None, ended: None });
        let fault = self.faults.visit(point, &about, Effect::Reads, once);
        let answer = match self.begin(fault).await {
            Ok(()) => look(),
            Err(refused) => Err(refused),
        };
        let answer = answer.and_then(|answer| match fault {
            Some(Fault::InDoubt | Fault::HalfDone) => Err(StepError::in_doubt("the answer was lost")),
            _ => Ok(answer),
        });
        self.end(place, &answer);
        if let Some(Fault::Crash(Moment::Inside | Moment::After)) = fault {
            self.faults.crash().await
        } else {
            answer
        }
    }

    /// Lets a call through to another implementation, with the faults put at it. `refused` turns a fault into its error.
    pub(crate) async fn pass<T, E>(
        &self,
        point: &'static str,
        about: impl fmt::Display + Send,
        call: impl Future<Output = Result<T, E>> + Send,
        refused: impl Fn(StepError) -> E + Send,
    ) -> Result<T, E> {
        let about = about.to_string();
        let place = self.note(Called { point, about: about.clone(), permit: None, ended: None });
        let fault = self.faults.visit(point, &about, Effect::Reads, once);
        let answer = match self.begin(fault).await {
            Ok(()) => call.await,
            Err(error) => Err(refused(error)),
        };
        let answer = answer.and_then(|answer| match fault {
            Some(Fault::InDoubt | Fault::HalfDone) => {
                Err(refused(StepError::in_doubt("the answer was lost")))
            }
            _ => Ok(answer),
        });
        let ended = answer.as_ref().map(drop).map_err(|_| StepError::in_doubt("refused"));
        self.end(place, &ended);
        match fault {
            Some(Fault::Crash(Moment::Inside | Moment::After)) => self.faults.crash().await,
            _ => answer,
        }
    }

    /// Carries out a change of one part.
    pub(crate) async fn change<T: Send>(
        &self,
        change: Change<'_>,
        mut effect: impl FnMut() -> Result<T, StepError> + Send,
    ) -> Result<T, StepError> {
        let mut answer = None;
        self.change_in_parts(change, 1, |_| {
            answer = Some(effect()?);
            Ok(())
        })
        .await?;
        answer.ok_or_else(|| StepError::in_doubt("the effect gave no answer"))
    }

    /// Carries out a change of `parts` parts, each of which takes effect on its own.
    pub(crate) async fn change_in_parts(
        &self,
        change: Change<'_>,
        parts: usize,
        mut effect: impl FnMut(usize) -> Result<(), StepError> + Send,
    ) -> Result<(), StepError> {
        let permit = change.permit;
        let signed = (permit.idempotency_key().to_owned(), permit.fence(), permit.attempt());
        let (point, about) = (change.point, change.about.clone());
        let place = self.note(Called { point, about, permit: Some(signed), ended: None });
        let fault = self.faults.visit(change.point, &change.about, Effect::Changes, |_| true);
        let half = matches!(fault, Some(Fault::HalfDone | Fault::Crash(Moment::Inside)));
        let reach = if half && parts > 1 { parts.div_ceil(2) } else { parts };
        let times = if fault == Some(Fault::Repeated) { 2 } else { 1 };
        let mut ended = self.begin(fault).await;
        if ended.is_ok() {
            ended = self.admit(&change).and_then(|()| {
                (0..times).flat_map(|_| 0..reach).try_for_each(|part| {
                    // What an earlier part left behind is no rejection of the whole.
                    effect(part).map_err(|error| if part == 0 { error } else { error.after_effect() })
                })
            });
        }
        if ended.is_ok() && matches!(fault, Some(Fault::InDoubt | Fault::HalfDone)) {
            ended = Err(StepError::in_doubt("the connection broke before an answer came"));
        }
        if let Some(Fault::Crash(Moment::Inside | Moment::After)) = fault {
            return self.faults.crash().await;
        }
        self.end(place, &ended);
        ended
    }

    /// What goes wrong before anything happens.
    async fn begin(&self, fault: Option<Fault>) -> Result<(), StepError> {
        match fault {
            Some(Fault::Refused(kind)) => Err(StepError::new(kind, "refused by a fault of the test")),
            Some(Fault::Delayed(duration)) => {
                tokio::time::sleep(duration).await;
                Ok(())
            }
            Some(Fault::Hung) => std::future::pending().await,
            Some(Fault::Crash(Moment::Before)) => self.faults.crash().await,
            _ => Ok(()),
        }
    }

    /// Holds a change to what production cannot check.
    fn admit(&self, change: &Change<'_>) -> Result<(), StepError> {
        let (fence, key) = (change.permit.fence(), change.permit.idempotency_key());
        let mut book = self.book();
        let latest = *book.fences.entry(change.resource.clone()).or_insert(fence);
        if fence < latest {
            drop(book);
            let late = format!(
                "{} {} under fence {}, after fence {}",
                change.point, change.about, fence.0, latest.0
            );
            return Err(self.refuse(format!("a late owner changes something: {late}")));
        }
        book.fences.insert(change.resource.clone(), fence);
        let Some(effect) = &change.once else {
            book.once.remove(&change.resource);
            return Ok(());
        };
        let made = (run_of(change.permit), effect.clone(), key.to_owned());
        if let Some((run, before, under)) = book.once.get(&change.resource)
            && (run, before) == (&made.0, effect)
            && under != key
        {
            let twice = format!("`{effect}` under `{key}`, after `{under}`");
            drop(book);
            return Err(self.refuse(format!("an effect is repeated under another key: {twice}")));
        }
        book.once.insert(change.resource.clone(), made);
        Ok(())
    }

    fn note(&self, call: Called) -> usize {
        let mut book = self.book();
        book.calls.push(call);
        book.calls.len() - 1
    }

    fn end<T>(&self, place: usize, ended: &Result<T, StepError>) {
        if let Some(call) = self.book().calls.get_mut(place) {
            call.ended = Some(ended.as_ref().map(drop).map_err(StepError::kind));
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

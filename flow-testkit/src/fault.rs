//! Named faults: what goes wrong, at which call, and the proof that it did.
//!
//! Every call of a fake has a name, `port.method`: `router.route`, `migrator.apply`. A fault is put [at](At) one of its visits
//! and fires there once, whoever makes the call. A test asks [`Faults::unfired`] at its end: a fault that never fired proves
//! nothing.
//!
//! ```
//! use flow_core::ErrorKind;
//! use flow_core::port::Vault;
//! use flow_testkit::fake::MemoryVault;
//! use flow_testkit::fault::{At, Fault};
//! use flow_testkit::permit;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let vault = MemoryVault::default();
//! vault.ledger().faults().inject(At::call("vault.seal").nth(2), Fault::Refused(ErrorKind::Unavailable));
//! assert!(vault.seal(&permit(), b"first").await.is_ok());
//! assert!(vault.seal(&permit(), b"second").await.is_err());
//! assert!(vault.ledger().faults().unfired().is_empty());
//! # }
//! ```

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_core::ErrorKind;
use tokio::sync::watch;

/// What goes wrong at a call.
///
/// A call that cannot do it goes on as if it had not been put there, and the fault stays [unfired](Faults::unfired): nothing that
/// only reads, and no call of a journal store, is ever [`Repeated`](Self::Repeated). What the engine's own points can do stands at
/// [`FaultPoints`](flow_core::durable::FaultPoints).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call is refused with this kind before anything happens.
    Refused(ErrorKind),
    /// The effect happens, and the caller is told that nobody knows.
    InDoubt,
    /// Half of the effect happens, and the caller is told that nobody knows. All of one that has no halves.
    HalfDone,
    /// The call takes this much longer.
    Delayed(Duration),
    /// The call never returns, and nothing happens: whoever made it must give it up.
    Hung,
    /// The process that makes the call dies.
    Crash(Moment),
    /// The effect happens twice, as when a request is delivered again.
    Repeated,
}

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before anything happens.
    Before,
    /// When half of the effect stands; all of one that has no halves.
    Inside,
    /// When the effect stands, before the caller hears of it.
    After,
}

/// Where a fault fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// None for every call that changes something.
    point: Option<Cow<'static, str>>,
    about: Option<String>,
    first: u32,
    times: u32,
}

impl At {
    /// The next call of `point`, such as `router.route`.
    pub fn call(point: impl Into<Cow<'static, str>>) -> Self {
        Self { point: Some(point.into()), about: None, first: 1, times: 1 }
    }

    /// The next call that changes something, whichever it is.
    #[must_use]
    pub const fn any_change() -> Self {
        Self { point: None, about: None, first: 1, times: 1 }
    }

    /// Only calls about this service, file or function count.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// The `nth` such call from now on, counted from 1. There is no call 0: a fault put there alone never fires, and is told as
    /// [unfired](Faults::unfired).
    #[must_use]
    pub const fn nth(mut self, nth: u32) -> Self {
        self.first = nth;
        self
    }

    /// That call and every one after it.
    #[must_use]
    pub const fn onwards(mut self) -> Self {
        self.times = u32::MAX;
        self
    }

    fn is_of(&self, point: &str, about: &str, effect: Effect) -> bool {
        let here = self.point.as_ref().map_or(effect == Effect::Changes, |wanted| wanted == point);
        here && self.about.as_deref().is_none_or(|wanted| wanted == about)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.point {
            Some(point) => write!(f, "call {} of `{point}`", self.first)?,
            None => write!(f, "change {}", self.first)?,
        }
        self.about.as_ref().map_or(Ok(()), |about| write!(f, " about `{about}`"))
    }
}

/// What a call does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Changes,
}

/// A fault that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// The call.
    pub point: String,
    /// What the call was about.
    pub about: String,
    /// What went wrong.
    pub fault: Fault,
}

/// The faults of a world, shared by all its fakes.
#[derive(Debug, Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    deaths: Arc<watch::Sender<u32>>,
}

#[derive(Debug, Default)]
struct Plan {
    planned: Vec<Planned>,
    fired: Vec<Fired>,
}

#[derive(Debug)]
struct Planned {
    at: At,
    fault: Fault,
    visits: u32,
    fired: u32,
}

impl Faults {
    /// No faults.
    #[must_use]
    pub fn new() -> Self {
        Self { plan: Arc::default(), deaths: Arc::new(watch::Sender::new(0)) }
    }

    /// Lets `fault` happen at `at`. Calls made before do not count.
    pub fn inject(&self, at: At, fault: Fault) {
        self.plan().planned.push(Planned { at, fault, visits: 0, fired: 0 });
    }

    /// The faults that fired, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<Fired> {
        self.plan().fired.clone()
    }

    /// Where a fault was put that never fired.
    #[must_use]
    pub fn unfired(&self) -> Vec<At> {
        let plan = self.plan();
        plan.planned.iter().filter(|planned| planned.fired == 0).map(|planned| planned.at.clone()).collect()
    }

    /// Takes back the faults that never fired, and says how many they were.
    pub fn withdraw(&self) -> usize {
        let mut plan = self.plan();
        let put = plan.planned.len();
        plan.planned.retain(|planned| planned.fired > 0);
        put - plan.planned.len()
    }

    /// Drives `process` until it ends, or until a [crash](Fault::Crash) at one of its calls ends it: then it is dropped where
    /// it stands, as a killed process would be, and there is no output.
    ///
    /// A crash ends all that is driven so by the same faults at that time, as the death of their machine would: runs that are to
    /// die apart need [`Faults`] of their own.
    pub async fn survive<T>(&self, process: impl Future<Output = T>) -> Option<T> {
        let mut deaths = self.deaths.subscribe();
        tokio::select! {
            biased;
            // The sender lives in `self`, so the channel cannot close meanwhile.
            _ = deaths.changed() => None,
            ended = process => Some(ended),
        }
    }

    /// Counts a visit of `point`, and says what goes wrong there. What it cannot do does not fire.
    pub(crate) fn visit(
        &self,
        point: &str,
        about: &str,
        effect: Effect,
        can: impl Fn(Fault) -> bool,
    ) -> Option<Fault> {
        let mut plan = self.plan();
        let mut due = None;
        for planned in plan.planned.iter_mut().filter(|planned| planned.at.is_of(point, about, effect)) {
            planned.visits += 1;
            let since = planned.visits.checked_sub(planned.at.first);
            let fires = since.is_some_and(|since| since < planned.at.times);
            if fires && due.is_none() && can(planned.fault) {
                planned.fired += 1;
                due = Some(planned.fault);
            }
        }
        let fired = due.map(|fault| Fired { point: point.to_owned(), about: about.to_owned(), fault });
        plan.fired.extend(fired);
        due
    }

    /// Ends the process that makes this call: it never comes back.
    pub(crate) async fn crash<T>(&self) -> T {
        self.deaths.send_modify(|deaths| *deaths += 1);
        std::future::pending().await
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::new()
    }
}

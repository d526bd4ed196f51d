//! What happens in a run, for those who watch it.
//!
//! Stage and step events are numbered and reach every subscriber that keeps up; one that does not gets a counted gap.
//! Progress is latest-wins. Nobody who watches, slowly or not at all, ever delays a step.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use crate::journal::{End, Entry};
use crate::machine::CallKey;
use crate::plan::Plan;
use crate::stage::StageName;
use crate::{Name, RunId};

/// How many events a subscriber may lag behind before it gets a gap.
const CAPACITY: usize = 1024;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts the events of a run in this process, from 0.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum EventKind {
    /// The run was begun or taken up again; with the whole plan, so that a late reader can draw everything.
    Opened {
        /// The plan.
        plan: Arc<Plan>,
        /// How many entries the journal had already.
        replayed: u64,
    },
    /// An entry was added to the journal.
    Recorded {
        /// The entry, without the plan.
        entry: Arc<Entry>,
    },
    /// A call is waiting to be tried again.
    Retrying {
        /// The call.
        key: CallKey,
        /// The attempt that failed.
        attempt: u32,
        /// How it ended.
        end: End,
    },
}

/// How far a step has come, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage.
    pub stage: Option<StageName>,
    /// The step.
    pub step: Option<Name>,
    /// What it is doing.
    pub message: String,
}

/// Hands out events and progress of a run.
#[derive(Debug, Clone)]
pub struct EventHub {
    events: broadcast::Sender<Event>,
    progress: Arc<watch::Sender<Progress>>,
}

impl EventHub {
    /// A hub without subscribers.
    #[must_use]
    pub fn new() -> Self {
        let (events, _) = broadcast::channel(CAPACITY);
        Self { events, progress: Arc::new(watch::Sender::new(Progress::default())) }
    }

    /// Everything that happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        EventStream { events: self.events.subscribe(), progress: self.progress.subscribe() }
    }

    pub(crate) fn emit(&self, event: Event) {
        // Without subscribers there is nobody to tell, which is fine.
        let _ = self.events.send(event);
    }

    pub(crate) fn progress(&self, stage: StageName, step: &Name) -> ProgressSender {
        ProgressSender { hub: Some(self.progress.clone()), stage: Some(stage), step: Some(step.clone()) }
    }
}

impl Default for EventHub {
    fn default() -> Self {
        Self::new()
    }
}

/// A subscription to a run's events.
#[derive(Debug)]
pub struct EventStream {
    events: broadcast::Receiver<Event>,
    progress: watch::Receiver<Progress>,
}

/// What a subscription gives next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// An event.
    Event(Box<Event>),
    /// This many events were missed; the journal has them.
    Gap(u64),
    /// The latest progress.
    Progress(Progress),
}

impl EventStream {
    /// The next event, gap or progress; none when the run's hub is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Next> {
        tokio::select! {
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Some(Next::Event(Box::new(event))),
                Err(broadcast::error::RecvError::Lagged(missed)) => Some(Next::Gap(missed)),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            Ok(()) = self.progress.changed() => Some(Next::Progress(self.progress.borrow_and_update().clone())),
        }
    }
}

/// Lets a step say how far it has come.
#[derive(Debug, Clone, Default)]
pub struct ProgressSender {
    hub: Option<Arc<watch::Sender<Progress>>>,
    stage: Option<StageName>,
    step: Option<Name>,
}

impl ProgressSender {
    /// A sender that nobody listens to.
    #[must_use]
    pub fn silent() -> Self {
        Self::default()
    }

    /// Says what the step is doing.
    pub fn say(&self, message: impl Into<String>) {
        if let Some(hub) = &self.hub {
            hub.send_replace(Progress {
                stage: self.stage,
                step: self.step.clone(),
                message: message.into(),
            });
        }
    }
}

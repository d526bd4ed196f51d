use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::{Problems, StepError};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::{Notification, Notifier};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Verify, VerifyActivity};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed};

/// Tells the team what is deployed and what to know about it. Put it last: it tells of a verified release.
///
/// A message cannot be taken back, so undo sends a second one.
pub struct HandOver {
    heading: Heading,
    notifier: Arc<dyn Notifier>,
    notes: String,
}

headed!(HandOver);

impl HandOver {
    /// Sends `notes` through `notifier`: what changed, what to watch, whom to ask.
    pub fn new(notifier: Arc<dyn Notifier>, notes: impl Into<String>) -> Self {
        Self { heading: Heading::new(name!("hand-over")), notifier, notes: notes.into() }
    }
}

fn place(cx: &StepContext<Verify>) -> String {
    format!("{} {} in {}", cx.application(), cx.release(), cx.environment())
}

#[async_trait]
impl Rollback<Verify> for HandOver {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Compensate { how: "a second message says that the release was rolled back".to_owned() }
    }

    async fn capture(&self, _cx: &StepContext<Verify>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    /// Sends the second message, also where nobody knows whether the first one arrived: it is true either way.
    async fn roll_back(
        &self,
        cx: &StepContext<Verify>,
        permit: &Permit,
        _before: &Captured,
        _outcome: &Outcome<Verify>,
    ) -> Result<(), StepError> {
        let title = format!("Rolled back: {}", place(cx));
        let text = "The release is rolled back. An earlier message about it no longer holds.".to_owned();
        self.notifier.notify(permit, &Notification { title, text }).await.map(drop)
    }
}

#[async_trait]
impl Step<Verify> for HandOver {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<VerifyActivity> {
        vec![VerifyActivity::Handover]
    }

    fn definition(&self) -> Value {
        json!({ "notes": self.notes })
    }

    async fn preview(&self, _cx: &StepContext<Verify>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        problems.check(!self.notes.trim().is_empty(), "notes", "must say what the team needs to know");
        problems.into_result()?;
        Ok(Preview::new().change("messages to the team", "none of this run", "one message"))
    }

    async fn run(
        &self,
        cx: &StepContext<Verify>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        let title = format!("Deployed: {}", place(cx));
        let text = format!("{}\n\nStarted by {}.", self.notes, cx.initiator());
        let notification = Notification { title, text };
        let answer = self.notifier.notify(permit, &notification).await?.answer;
        let evidence = Evidence::new(VerifyActivity::Handover, "the team's message was taken")
            .value("title", notification.title)
            .value("answer", answer);
        Ok(Receipt::new().observed(evidence))
    }
}

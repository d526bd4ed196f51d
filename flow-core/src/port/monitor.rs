use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::Name;
use crate::permit::Permit;

/// Metric and alert rules in Prometheus' own format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// The set's name.
    pub name: Name,
    /// The rules, YAML as Prometheus reads it.
    pub rules: String,
}

/// Keeps a monitoring system's rules.
#[async_trait]
pub trait AlertRules: Send + Sync {
    /// The rules in force under `name`; none where there are none.
    ///
    /// # Errors
    /// Any kind where they cannot be read.
    async fn read(&self, name: &Name) -> Result<Option<RuleSet>, StepError>;

    /// Checks and puts rules in force, to the byte, in the place of those under the same name. Returns when the system is
    /// observed to use them.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with the position for rules that are not well-formed; any kind where they are
    /// not in force. The old ones then stand.
    async fn apply(&self, permit: &Permit, rules: &RuleSet) -> Result<(), StepError>;

    /// Removes the rules under `name`; ones that are not there are done.
    ///
    /// # Errors
    /// Any kind where they still stand.
    async fn remove(&self, permit: &Permit, name: &Name) -> Result<(), StepError>;
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// One line.
    pub title: String,
    /// The text.
    pub text: String,
}

/// Proof that a notification arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationReceipt {
    /// What the other side answered: an id or a status.
    pub answer: String,
}

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Sends a notification under the permit's idempotency key, by which the other side tells another attempt from another
    /// message. Returns when the other side has taken it. Cancel ends the wait for its answer.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where nobody could be reached, so that nothing arrived;
    /// [`TimedOut`](crate::ErrorKind::TimedOut) where no answer came and it may have arrived;
    /// [`Cancelled`](crate::ErrorKind::Cancelled); another kind where the other side refused it.
    async fn notify(
        &self,
        permit: &Permit,
        notification: &Notification,
    ) -> Result<NotificationReceipt, StepError>;
}

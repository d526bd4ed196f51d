use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Notification, NotificationReceipt, Notifier};
use flow_core::{Digest, ErrorKind, Permit, StepError};

use crate::ledger::{Change, Ledger};

/// People who are told things, in memory.
///
/// Stricter than production: the same message under another key of the same run is refused, since people would get it twice,
/// and so is another message under a key that was used already, since nobody would get it at all.
#[derive(Debug, Clone, Default)]
pub struct FakeNotifier {
    ledger: Ledger,
    people: Arc<Mutex<People>>,
}

#[derive(Debug, Default)]
struct People {
    told: BTreeMap<String, Notification>,
    webhook: Webhook,
}

/// What the other side of a [`FakeNotifier`] does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Webhook {
    /// Takes it and answers.
    #[default]
    Up,
    /// Cannot be reached.
    Down,
    /// Refuses it.
    Refusing,
    /// Takes it and gives no answer: the notifier gives up after this time.
    Silent(Duration),
}

impl FakeNotifier {
    /// A notifier that has told nobody anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A notifier that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), people: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The messages that arrived, by idempotency key.
    #[must_use]
    pub fn messages(&self) -> BTreeMap<String, Notification> {
        self.people().told.clone()
    }

    /// Lets the other side treat messages like this from now on.
    pub fn webhook(&self, webhook: Webhook) {
        self.people().webhook = webhook;
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, key: &str, notification: &Notification) -> Result<(), StepError> {
        let mut people = self.people();
        match people.told.get(key) {
            Some(told) if told != notification => {
                drop(people);
                Err(self.ledger.refuse(format!("another message is sent under `{key}`")))
            }
            Some(_) => Ok(()),
            None => {
                people.told.insert(key.to_owned(), notification.clone());
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Notifier for FakeNotifier {
    async fn notify(
        &self,
        permit: &Permit,
        notification: &Notification,
    ) -> Result<NotificationReceipt, StepError> {
        let webhook = self.people().webhook;
        let given_up = waited(webhook, permit).await;
        let key = permit.idempotency_key();
        let text = Digest::of(notification.text.as_bytes());
        let change = Change::new("notifier.notify", &notification.title, permit)
            .of(format_args!("notifier {} {}", notification.title, text.short()))
            .once(&notification.text);
        self.ledger
            .change(change, || match webhook {
                Webhook::Up => self.deliver(key, notification),
                Webhook::Down => Err(StepError::new(ErrorKind::Unavailable, "the webhook is down")),
                Webhook::Refusing => {
                    Err(StepError::new(ErrorKind::Denied, "the webhook refused the notification"))
                }
                Webhook::Silent(_) => {
                    self.deliver(key, notification)?;
                    Err(StepError::new(given_up, "the webhook gave no answer"))
                }
            })
            .await?;
        Ok(NotificationReceipt { answer: format!("taken as {}", Digest::of(key.as_bytes()).short()) })
    }
}

/// Waits for the answer of a silent webhook, and says why nobody waits any longer.
async fn waited(webhook: Webhook, permit: &Permit) -> ErrorKind {
    let Webhook::Silent(patience) = webhook else { return ErrorKind::Unknown };
    tokio::select! {
        () = tokio::time::sleep(patience) => ErrorKind::TimedOut,
        () = permit.cancel().cancelled() => ErrorKind::Cancelled,
    }
}

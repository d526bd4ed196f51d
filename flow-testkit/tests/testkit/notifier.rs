//! The notifier's suite: the fake keeps its promises, and each broken notifier breaks the one that it is paired with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Notification, NotificationReceipt, Notifier};
use flow_core::{ErrorKind, Fence, Permit, StepError};
use flow_testkit::conformance::notifier::{Arrived, NotifierFixture, OtherSide};
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::fake::{FakeNotifier, Webhook};
use flow_testkit::permit_under;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    EscapesTwice,
    CountsAttemptsInTheKey,
    SendsAllUnderOneKey,
    GivesAnEmptyReceipt,
    TakesSentForTaken,
    IsInDoubtAboutNobody,
    GivesUpForEver,
    RejectsWhatMayHaveArrived,
    IgnoresCancel,
}

struct Bench {
    notifier: FakeNotifier,
    breaks: Break,
    given_up: Arc<Mutex<bool>>,
}

fn bench(breaks: Break) -> Bench {
    Bench { notifier: FakeNotifier::new(), breaks, given_up: Arc::default() }
}

#[async_trait]
impl Notifier for Bench {
    async fn notify(
        &self,
        permit: &Permit,
        notification: &Notification,
    ) -> Result<NotificationReceipt, StepError> {
        let mut notification = notification.clone();
        let key = match self.breaks {
            Break::CountsAttemptsInTheKey => format!("{}/{}", permit.attempt(), permit.idempotency_key()),
            Break::SendsAllUnderOneKey => "run-1/notify".to_owned(),
            _ => permit.idempotency_key().to_owned(),
        };
        if self.breaks == Break::EscapesTwice {
            notification.text = notification.text.replace('\n', "\\n");
        }
        if self.breaks == Break::GivesUpForEver && *self.given_up.lock().unwrap() {
            return Err(StepError::new(ErrorKind::Unavailable, "the webhook was down once"));
        }
        let permit = match self.breaks {
            Break::IgnoresCancel => permit_under(&key, permit.fence(), permit.attempt()),
            _ => Permit::for_tests(&key, permit.fence(), permit.attempt(), permit.cancel().clone()),
        };
        match (self.breaks, self.notifier.notify(&permit, &notification).await) {
            (Break::GivesAnEmptyReceipt, Ok(_)) => Ok(NotificationReceipt { answer: String::new() }),
            (Break::TakesSentForTaken, Err(_)) => Ok(NotificationReceipt { answer: "sent".to_owned() }),
            (Break::IsInDoubtAboutNobody, Err(_)) => Err(StepError::in_doubt("nobody answered")),
            (Break::RejectsWhatMayHaveArrived, Err(_)) => {
                Err(StepError::new(ErrorKind::Unavailable, "nobody answered"))
            }
            (Break::GivesUpForEver, Err(error)) => {
                *self.given_up.lock().unwrap() = true;
                Err(error)
            }
            (_, answer) => answer,
        }
    }
}

#[async_trait]
impl NotifierFixture for Bench {
    fn notifier(&self) -> &dyn Notifier {
        self
    }

    async fn arrived(&self) -> Outside<Vec<Arrived>> {
        let messages = self.notifier.messages().into_iter();
        Ok(messages.map(|(key, notification)| Arrived { key, notification }).collect())
    }

    async fn other_side(&self, other_side: OtherSide) -> Checked {
        self.notifier.webhook(match other_side {
            OtherSide::Up => Webhook::Up,
            OtherSide::Down => Webhook::Down,
            OtherSide::Refusing => Webhook::Refusing,
            OtherSide::Silent => Webhook::Silent(Duration::from_millis(200)),
        });
        Ok(())
    }
}

mod fake {
    use super::{Bench, Break, bench};

    async fn fresh() -> Bench {
        bench(Break::Nothing)
    }

    flow_testkit::notifier_conformance!(fresh);
}

mod broken {
    use super::{Break, bench};

    flow_testkit::broken_implementations! { notifier_conformance, notifier:
        a_notification_arrives_as_it_was_written => async || bench(Break::EscapesTwice),
        every_attempt_arrives_under_the_same_key => async || bench(Break::CountsAttemptsInTheKey),
        notifications_under_different_keys_are_told_apart => async || bench(Break::SendsAllUnderOneKey),
        the_receipt_says_what_the_other_side_answered => async || bench(Break::GivesAnEmptyReceipt),
        what_the_other_side_refuses_is_an_error => async || bench(Break::TakesSentForTaken),
        an_unreachable_other_side_is_a_rejection_worth_another_attempt =>
            async || bench(Break::IsInDoubtAboutNobody),
        an_attempt_after_an_outage_arrives => async || bench(Break::GivesUpForEver),
        no_answer_is_in_doubt => async || bench(Break::RejectsWhatMayHaveArrived),
        a_cancelled_wait_for_an_answer_ends => async || bench(Break::IgnoresCancel),
    }
}

#[tokio::test]
async fn the_same_message_under_another_key_of_the_run_is_refused() {
    let notifier = FakeNotifier::new();
    let message = Notification { title: "1.1.0 is live".to_owned(), text: "all stages".to_owned() };
    let under = |key| permit_under(key, Fence(1), 1);
    notifier.notify(&under("run-1/verify/notify"), &message).await.unwrap();
    let twice = notifier.notify(&under("run-1/verify/again"), &message).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    assert_eq!(notifier.messages().len(), 1);
    assert_eq!(notifier.ledger().refusals().len(), 1, "{:?}", notifier.ledger().refusals());

    notifier.notify(&under("run-2/verify/notify"), &message).await.unwrap();
    let other = Notification { text: "other text".to_owned(), ..message };
    notifier.notify(&under("run-1/verify/notify"), &other).await.unwrap_err();
    assert_eq!(notifier.messages().len(), 2);
    assert_eq!(notifier.ledger().refusals().len(), 2, "{:?}", notifier.ledger().refusals());
}

#[tokio::test(start_paused = true)]
async fn a_silent_webhook_is_waited_for_in_virtual_time() {
    let notifier = FakeNotifier::new();
    notifier.webhook(Webhook::Silent(Duration::from_secs(30)));
    let message = Notification { title: "1.1.0 is live".to_owned(), text: "all stages".to_owned() };
    let begun = tokio::time::Instant::now();
    let error = notifier.notify(&permit_under("run-1/notify", Fence(1), 1), &message).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::TimedOut, Duration::from_secs(30)));
    assert_eq!(notifier.messages().len(), 1, "it may have arrived, and it did");
}

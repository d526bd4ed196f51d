//! What every [`Notifier`] promises, as checks.

use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Notification, Notifier};
use flow_core::{CancelToken, ErrorKind, Fence, Permit};

use super::{Checked, Outside};
use crate::conformance::refusal::refusal;
use crate::permit_under;

/// Makes one `#[tokio::test]` for every promise of [`Notifier`](flow_core::port::Notifier).
///
/// It takes an async function without arguments that gives a fresh
/// [`NotifierFixture`](crate::conformance::notifier::NotifierFixture).
///
/// ```
/// use std::time::Duration;
///
/// use async_trait::async_trait;
/// use flow_core::port::Notifier;
/// use flow_testkit::conformance::{Checked, Outside};
/// use flow_testkit::conformance::notifier::{Arrived, NotifierFixture, OtherSide};
/// use flow_testkit::fake::{FakeNotifier, Webhook};
///
/// struct InMemory(FakeNotifier);
///
/// #[async_trait]
/// impl NotifierFixture for InMemory {
///     fn notifier(&self) -> &dyn Notifier {
///         &self.0
///     }
///     async fn arrived(&self) -> Outside<Vec<Arrived>> {
///         let messages = self.0.messages().into_iter();
///         Ok(messages.map(|(key, notification)| Arrived { key, notification }).collect())
///     }
///     async fn other_side(&self, other_side: OtherSide) -> Checked {
///         self.0.webhook(match other_side {
///             OtherSide::Up => Webhook::Up,
///             OtherSide::Down => Webhook::Down,
///             OtherSide::Refusing => Webhook::Refusing,
///             OtherSide::Silent => Webhook::Silent(Duration::from_millis(200)),
///         });
///         Ok(())
///     }
/// }
///
/// async fn fresh() -> InMemory {
///     InMemory(FakeNotifier::new())
/// }
///
/// flow_testkit::notifier_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! notifier_conformance {
    ($fresh:expr) => {
        $crate::notifier_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { notifier $with
            a_notification_arrives_as_it_was_written
            every_attempt_arrives_under_the_same_key
            notifications_under_different_keys_are_told_apart
            the_receipt_says_what_the_other_side_answered
            what_the_other_side_refuses_is_an_error
            an_unreachable_other_side_is_a_rejection_worth_another_attempt
            an_attempt_after_an_outage_arrives
            no_answer_is_in_doubt
            a_cancelled_wait_for_an_answer_ends
        }
    };
}

/// A notifier, and the other side that it talks to.
#[async_trait]
pub trait NotifierFixture: Send + Sync {
    /// The notifier under test. Where it has a timeout, the suite waits for it once.
    fn notifier(&self) -> &dyn Notifier;

    /// What arrived, as the other side saw it, in the order of arrival. Repetitions under one key may be told apart or not.
    async fn arrived(&self) -> Outside<Vec<Arrived>>;

    /// Lets the other side treat messages like this from now on.
    async fn other_side(&self, other_side: OtherSide) -> Checked;
}

/// A notification on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The key that it came under.
    pub key: String,
    /// What it says.
    pub notification: Notification,
}

/// What the other side does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSide {
    /// Takes it and answers.
    Up,
    /// Cannot be reached: nothing listens there.
    Down,
    /// Answers that it will not have it.
    Refusing,
    /// Takes it and gives no answer.
    Silent,
}

/// When an end that must come counts as missed.
const PATIENCE: Duration = Duration::from_secs(60);

fn under(key: &str, attempt: u32) -> Permit {
    permit_under(key, Fence(1), attempt)
}

fn live() -> Notification {
    Notification { title: "1.1.0 is live".to_owned(), text: "all eight stages".to_owned() }
}

/// Title and text arrive to the letter: quotes, lines, tabs and every script.
pub async fn a_notification_arrives_as_it_was_written(fixture: &impl NotifierFixture) -> Checked {
    let notification = Notification {
        title: "部署 \"1.1.0\" <b>&amp;</b>".to_owned(),
        text: "line 1\nline 2\t\\ {\"json\": '$(id)'} ü 🚀".to_owned(),
    };
    fixture.notifier().notify(&under("run-1/notify", 1), &notification).await?;
    let key = "run-1/notify".to_owned();
    assert_eq!(fixture.arrived().await?, [Arrived { key, notification }]);
    Ok(())
}

/// The other side can tell a repetition from a second message.
pub async fn every_attempt_arrives_under_the_same_key(fixture: &impl NotifierFixture) -> Checked {
    for attempt in 1..=3 {
        fixture.notifier().notify(&under("run-1/notify", attempt), &live()).await?;
    }
    let mut arrived = fixture.arrived().await?;
    arrived.dedup();
    assert_eq!(arrived, [Arrived { key: "run-1/notify".to_owned(), notification: live() }]);
    Ok(())
}

/// Two messages are two, and each comes under its own key.
pub async fn notifications_under_different_keys_are_told_apart(fixture: &impl NotifierFixture) -> Checked {
    let second = Notification { title: "1.1.0 was taken back".to_owned(), ..live() };
    fixture.notifier().notify(&under("run-1/do", 1), &live()).await?;
    fixture.notifier().notify(&under("run-1/undo", 1), &second).await?;
    let mut arrived = fixture.arrived().await?;
    arrived.dedup();
    let first = Arrived { key: "run-1/do".to_owned(), notification: live() };
    let second = Arrived { key: "run-1/undo".to_owned(), notification: second };
    assert_eq!(arrived, [first, second]);
    Ok(())
}

/// The receipt is evidence that somebody took the message: it is never empty.
pub async fn the_receipt_says_what_the_other_side_answered(fixture: &impl NotifierFixture) -> Checked {
    let receipt = fixture.notifier().notify(&under("run-1/notify", 1), &live()).await?;
    assert!(!receipt.answer.trim().is_empty());
    Ok(())
}

/// Sent is not taken: an answer that says no is no success.
pub async fn what_the_other_side_refuses_is_an_error(fixture: &impl NotifierFixture) -> Checked {
    fixture.other_side(OtherSide::Refusing).await?;
    let answer = fixture.notifier().notify(&under("run-1/notify", 1), &live()).await;
    drop(refusal(answer, "a refused notification")?);
    Ok(())
}

/// Where nobody was reached, nothing arrived, and a later attempt may succeed.
pub async fn an_unreachable_other_side_is_a_rejection_worth_another_attempt(
    fixture: &impl NotifierFixture,
) -> Checked {
    fixture.other_side(OtherSide::Down).await?;
    let answer = fixture.notifier().notify(&under("run-1/notify", 1), &live()).await;
    let error = refusal(answer, "a notification to nobody")?;
    assert!(error.kind().is_rejection() && error.kind().is_retryable(), "{:?}: {error}", error.kind());
    assert_eq!(fixture.arrived().await?, []);
    Ok(())
}

/// An outage leaves nothing behind that keeps a later attempt from arriving.
pub async fn an_attempt_after_an_outage_arrives(fixture: &impl NotifierFixture) -> Checked {
    fixture.other_side(OtherSide::Down).await?;
    let answer = fixture.notifier().notify(&under("run-1/notify", 1), &live()).await;
    drop(refusal(answer, "a notification to nobody")?);
    fixture.other_side(OtherSide::Up).await?;
    fixture.notifier().notify(&under("run-1/notify", 2), &live()).await?;
    assert_eq!(fixture.arrived().await?, [Arrived { key: "run-1/notify".to_owned(), notification: live() }]);
    Ok(())
}

/// A message without an answer may have arrived: that is in doubt, and worth another attempt under the same key.
pub async fn no_answer_is_in_doubt(fixture: &impl NotifierFixture) -> Checked {
    fixture.other_side(OtherSide::Silent).await?;
    let permit = under("run-1/notify", 1);
    let answer = tokio::time::timeout(PATIENCE, fixture.notifier().notify(&permit, &live())).await?;
    let error = refusal(answer, "a notification without an answer")?;
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    Ok(())
}

/// Cancel ends the wait, and says so.
pub async fn a_cancelled_wait_for_an_answer_ends(fixture: &impl NotifierFixture) -> Checked {
    fixture.other_side(OtherSide::Silent).await?;
    let cancel = CancelToken::new();
    let permit = Permit::for_tests("run-1/notify", Fence(1), 1, cancel.clone());
    let notification = live();
    let notified = fixture.notifier().notify(&permit, &notification);
    let (answer, ()) = tokio::time::timeout(PATIENCE, async {
        tokio::join!(notified, async {
            tokio::task::yield_now().await;
            cancel.cancel();
        })
    })
    .await?;
    let error = refusal(answer, "a cancelled notification")?;
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    Ok(())
}

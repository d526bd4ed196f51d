//! Everything that can stand half-way: after each single change, and wherever the step itself waits.

use std::pin::Pin;
use std::task::{Context, Poll};

use flow_core::{Outcome, Receipt, StepError};

use super::{MOST_CHANGES, StepFixture, Trial};
use crate::conformance::Checked;

/// How often a run is let go on before it dies, at most.
const MOST_WAITS: usize = 50;

/// A change that took effect without an answer is in doubt, never a rejection and never done: the world was changed.
pub async fn a_change_without_an_answer_is_in_doubt(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    for nth in 1..MOST_CHANGES {
        let Some(ended) = broken(&trial, nth).await else { return Ok(()) };
        match ended {
            Ok(receipt) => return Err(format!("change {nth} broke, and it is done: {receipt:?}").into()),
            Err(error) => {
                assert!(!error.kind().is_rejection(), "change {nth} stands, and it is rejected: {error}");
            }
        }
        trial.restore("a broken change").await?;
    }
    Err("there is no end of changes".into())
}

/// Whatever change was the last one, the undo brings the world back.
pub async fn undone_from_every_half_way_point_the_world_is_as_before(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    for nth in 1..MOST_CHANGES {
        if broken(&trial, nth).await.is_none() {
            return Ok(());
        }
        trial.restore(&format!("change {nth} broke")).await?;
    }
    Err("there is no end of changes".into())
}

/// Whatever change was the last one, another attempt under the same captured state comes to the same end as one that never broke.
pub async fn the_next_attempt_finishes_what_broke_half_way(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    trial.run().await?;
    let done = fixture.seen().await;
    if !trial.undo(&Outcome::InDoubt(None)).await? {
        return Ok(());
    }
    for nth in 1..MOST_CHANGES {
        if broken(&trial, nth).await.is_none() {
            return Ok(());
        }
        let receipt = trial.run().await?;
        assert_eq!(fixture.seen().await, done, "the next attempt does not finish what change {nth} broke");
        // Not of the run before it: a platform may name anew what was published after an undo.
        let again = trial.run().await?;
        assert_eq!(again.facts, receipt.facts, "the attempt after change {nth} broke was not the last one");
        trial.restore(&format!("change {nth} broke and was finished")).await?;
    }
    Err("there is no end of changes".into())
}

/// An undo that broke says so, whatever change of it was the last one, and its next attempt finishes it.
pub async fn a_broken_undo_says_so_and_the_next_attempt_finishes_it(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    for nth in 1..MOST_CHANGES {
        let finished = Outcome::Finished(trial.run().await?);
        if fixture.break_at(nth).await.is_none() {
            return trial.restore("nothing could be broken").await;
        }
        let undone = trial.undo(&finished).await;
        let broke = fixture.mend().await;
        assert_eq!(undone.is_err(), broke, "change {nth} of the undo: {undone:?}");
        trial.restore(&format!("change {nth} of its undo broke")).await?;
        if !broke {
            return Ok(());
        }
    }
    Err("there is no end of changes".into())
}

/// Wherever the step waits, its process may die: the undo brings the world back from there too, and so does the next attempt.
pub async fn undone_after_it_died_where_it_waited_the_world_is_as_before(
    fixture: &impl StepFixture,
) -> Checked {
    let trial = Trial::begin(fixture).await?;
    for goes_on in 0..MOST_WAITS {
        // Boxed, so that it is gone with the one who waited for it: what is only set aside has not died.
        let died = Dying { run: Box::pin(trial.run()), goes_on }.await;
        let Some(ended) = died else {
            trial.restore(&format!("it died at its wait {goes_on}")).await?;
            continue;
        };
        ended?;
        return trial.restore("it did not die").await;
    }
    Ok(())
}

/// Runs with the `nth` change broken; none where it makes fewer, or none can be broken: then the world is as before again.
async fn broken<F: StepFixture>(
    trial: &Trial<'_, F>,
    nth: usize,
) -> Option<Result<Receipt<F::Stage>, StepError>> {
    trial.fixture.break_at(nth).await?;
    let ended = trial.run().await;
    if trial.fixture.mend().await {
        return Some(ended);
    }
    assert!(ended.is_ok(), "nothing broke, and it does not work: {ended:?}");
    let undone = trial.undo(&Outcome::InDoubt(None)).await;
    assert!(undone.is_ok(), "nothing broke, and its undo does not work: {undone:?}");
    None
}

/// A run that dies once it was woken so many times: dropped where it waits.
struct Dying<F> {
    run: F,
    goes_on: usize,
}

impl<T, F: Future<Output = T> + Unpin> Future for Dying<F> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Poll::Ready(ended) = Pin::new(&mut self.run).poll(cx) {
            return Poll::Ready(Some(ended));
        }
        match self.goes_on.checked_sub(1) {
            None => Poll::Ready(None),
            Some(left) => {
                self.goes_on = left;
                Poll::Pending
            }
        }
    }
}

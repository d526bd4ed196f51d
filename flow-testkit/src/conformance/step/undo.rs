//! The way back of a step that ran, or did not.

use flow_core::Outcome;

use super::{StepFixture, Trial, look};
use crate::conformance::Checked;

/// Told that the run finished, the undo brings the captured world back.
pub async fn undone_after_it_finished_the_world_is_as_before(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let receipt = trial.run().await?;
    if trial.undo(&Outcome::Finished(receipt)).await? {
        assert_eq!(fixture.seen().await, trial.untouched);
    }
    Ok(())
}

/// Another attempt of an undo that worked leaves the world as the first one did.
pub async fn undone_twice_is_once(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let finished = Outcome::Finished(trial.run().await?);
    for _ in 0..3 {
        if trial.undo(&finished).await? {
            assert_eq!(fixture.seen().await, trial.untouched, "undone, and undone once more");
        }
    }
    Ok(())
}

/// Told that nobody knows, the undo brings the world back as well: the run had finished, and its process died before it said so.
pub async fn undone_without_knowing_how_it_ended_the_world_is_as_before(
    fixture: &impl StepFixture,
) -> Checked {
    let trial = Trial::begin(fixture).await?;
    trial.run().await?;
    trial.restore("it finished unheard").await
}

/// Told that nobody knows where nothing ran at all, the undo changes nothing: the process died right before the effect.
pub async fn undoing_what_never_ran_changes_nothing(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let untouched = fixture.seen().await;
    trial.undo(&Outcome::InDoubt(None)).await?;
    assert_eq!(fixture.seen().await, untouched);
    trial.undo(&Outcome::InDoubt(None)).await?;
    assert_eq!(look(fixture).await.0, untouched, "and once more");
    Ok(())
}

/// Undone, the step can be done again, to the same end.
pub async fn done_again_after_its_undo_it_is_done(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let receipt = trial.run().await?;
    let done = fixture.seen().await;
    if trial.undo(&Outcome::Finished(receipt)).await? {
        trial.run().await?;
        assert_eq!(fixture.seen().await, done, "done again after its undo");
    }
    trial.restore("it was done again").await
}

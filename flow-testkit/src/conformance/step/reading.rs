//! What a step reads, and what it shows of that.

use flow_core::{Captured, Outcome, Receipt, StepError};
use serde_json::{Value, json};

use super::{StepFixture, Trial, context, look};
use crate::conformance::Checked;
use crate::conformance::step::clock::Instantly;

/// Asking what would change changes nothing, however often.
pub async fn preview_changes_nothing(fixture: &impl StepFixture) -> Checked {
    let (untouched, cx) = (look(fixture).await, context(fixture, &Instantly::default()));
    for _ in 0..2 {
        fixture.step().preview(&cx).await?;
        assert_eq!(look(fixture).await, untouched);
    }
    Ok(())
}

/// Reading the state that the way back needs changes nothing, however often.
pub async fn capture_changes_nothing(fixture: &impl StepFixture) -> Checked {
    let (untouched, cx) = (look(fixture).await, context(fixture, &Instantly::default()));
    for _ in 0..2 {
        fixture.step().capture(&cx).await?;
        assert_eq!(look(fixture).await, untouched);
    }
    Ok(())
}

/// What was captured is enough to run and to undo in a process that knows nothing else: it survives being written as text, and
/// nothing needed stays behind in the step.
pub async fn captured_state_is_enough_for_another_process(fixture: &impl StepFixture) -> Checked {
    let mut trial = Trial::begin(fixture).await?;
    trial.before = through_the_journal(&trial.before)?;
    let receipt = trial.run().await?;
    let text = serde_json::to_string(&receipt)?;
    let read: Receipt<_> = serde_json::from_str(&text)?;
    assert_eq!(read, receipt, "the receipt survives being written");
    trial.before = through_the_journal(&trial.before)?;
    if trial.undo(&Outcome::Finished(read)).await? {
        assert_eq!(fixture.seen().await, trial.untouched);
    }
    Ok(())
}

fn through_the_journal(captured: &Captured) -> Result<Captured, StepError> {
    let written = |value: Value| {
        let text = value.to_string();
        serde_json::from_str::<Value>(&text)
            .map_err(|error| StepError::in_doubt("captured state cannot be read again").because(error))
    };
    let again = Captured::of(&written(captured.get::<Value>()?)?)?;
    match captured.get_sealed::<Value>() {
        Ok(sealed) => again.sealed(&written(sealed)?),
        Err(_) => Ok(again),
    }
}

/// No secret stands in what people and journals get to see: name, definition, preview, captured state, receipt, errors.
pub async fn secrets_reach_nothing_but_the_sealed_part(fixture: &impl StepFixture) -> Checked {
    let step = fixture.step();
    let preview = step.preview(&context(fixture, &Instantly::default())).await?;
    let trial = Trial::begin(fixture).await?;
    let receipt = trial.run().await?;
    let mut shown = vec![
        ("its outline", json!([step.name(), step.definition(), step.reversibility()]).to_string()),
        ("its preview", serde_json::to_string(&preview)?),
        ("its captured state", trial.before.get::<Value>()?.to_string()),
        ("the Debug of its captured state", format!("{:?}", trial.before)),
        ("its receipt", serde_json::to_string(&receipt)?),
    ];
    trial.restore("it showed everything").await?;
    if fixture.break_at(1).await.is_some() {
        let broken = trial.run().await;
        fixture.mend().await;
        shown.extend(broken.err().map(|error| ("its error", format!("{error} {error:?}"))));
        trial.restore("it showed its error").await?;
    }
    for secret in fixture.secrets() {
        for (what, text) in &shown {
            assert!(!text.contains(&secret), "{what} shows a secret");
        }
    }
    Ok(())
}

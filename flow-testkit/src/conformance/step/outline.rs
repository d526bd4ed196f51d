//! What a step says of itself.

use std::collections::BTreeSet;

use flow_core::Reversibility;
use serde_json::Value;

use super::{StepFixture, Trial};
use crate::conformance::Checked;

/// Name, parameters, activities, way back and deadline are the same whenever and wherever the step is built.
pub async fn what_it_says_of_itself_stays_the_same(fixture: &impl StepFixture) -> Checked {
    let says = || {
        let step = fixture.step();
        let covers = format!("{:?}", step.covers());
        (step.name(), step.definition(), covers, step.reversibility(), step.deadline(), step.resources())
    };
    let first = says();
    assert_eq!(says(), first);
    let trial = Trial::begin(fixture).await?;
    trial.run().await?;
    assert_eq!(says(), first, "after it ran");
    assert!(!first.4.is_zero(), "a step without a deadline can never end in time");
    if let Reversibility::Irreversible { reason: why } | Reversibility::Compensate { how: why } = first.3 {
        assert!(!why.is_empty(), "a way back that is not exact says why, or how");
    }
    trial.restore("it said what it does").await
}

/// It does the work of at least one activity, and names none twice.
pub async fn it_covers_activities_each_of_them_once(fixture: &impl StepFixture) -> Checked {
    let covers = fixture.step().covers();
    assert!(!covers.is_empty(), "a step does the work of at least one activity");
    assert_eq!(covers.iter().collect::<BTreeSet<_>>().len(), covers.len(), "{covers:?}");
    Ok(())
}

/// State is sealed only where the step says that it seals, so that a plan without a vault can be refused.
pub async fn it_declares_whether_it_seals(fixture: &impl StepFixture) -> Checked {
    let trial = Trial::begin(fixture).await?;
    let sealed = trial.before.get_sealed::<Value>().is_ok();
    assert!(!sealed || fixture.step().seals(), "it seals state without declaring it");
    Ok(())
}

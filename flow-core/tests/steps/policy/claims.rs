//! A step that says what it will prove, and then proves what it was told to.

use std::time::Duration;

use flow_core::gate::{Figure, StandardGate};
use flow_core::policy::Proof;
use flow_core::prelude::*;
use flow_core::stage::Stage;

pub(crate) struct Claims<S: Stage> {
    pub(crate) name: Name,
    pub(crate) covers: Vec<S::Activity>,
    pub(crate) says: Vec<Proof>,
    pub(crate) proves: Vec<Proof>,
    pub(crate) measures: Vec<StandardGate>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) resources: Vec<Name>,
    pub(crate) deadline: Duration,
}

impl<S: Stage> Claims<S> {
    pub(crate) fn new(name: Name, covers: &[S::Activity]) -> Self {
        Self {
            name,
            covers: covers.to_vec(),
            says: Vec::new(),
            proves: Vec::new(),
            measures: Vec::new(),
            figures: Vec::new(),
            resources: Vec::new(),
            deadline: Duration::from_secs(60),
        }
    }
}

#[async_trait]
impl<S: Stage> Rollback<S> for Claims<S> {
    fn reversibility(&self) -> Reversibility {
        Reversibility::NothingToUndo
    }

    async fn capture(&self, _: &StepContext<S>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    async fn roll_back(
        &self,
        _: &StepContext<S>,
        _: &Permit,
        _: &Captured,
        _: &Outcome<S>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl<S: Stage> Step<S> for Claims<S> {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn covers(&self) -> Vec<S::Activity> {
        self.covers.clone()
    }

    fn proves(&self) -> Vec<Proof> {
        self.says.clone()
    }

    fn measures(&self) -> Vec<StandardGate> {
        self.measures.clone()
    }

    fn resources(&self) -> Vec<Name> {
        self.resources.clone()
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    async fn preview(&self, _: &StepContext<S>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }

    async fn run(&self, _: &StepContext<S>, _: &Permit, _: &Captured) -> Result<Receipt<S>, StepError> {
        let receipt =
            self.covers.iter().fold(Receipt::new(), |receipt, activity| receipt.evidence(*activity, "seen"));
        let receipt = self.proves.iter().copied().fold(receipt, Receipt::proved);
        Ok(self.figures.iter().cloned().fold(receipt, Receipt::figure))
    }
}

//! Gauges, security checks and an evidence store that can be told to lie.

use flow_core::gate::{Figure, StandardGate};
use flow_core::port::{EvidenceStore, Gauge, RunEvidence, SecurityAspect, SecurityCheck, SecurityFinding};
use flow_core::prelude::*;
use flow_core::{Digest, Environment};

use super::World;

/// A gauge of the world: it shows what the world has under its gate.
pub(crate) struct Dial(pub(crate) World, pub(crate) StandardGate);

#[async_trait]
impl Gauge for Dial {
    fn gate(&self) -> StandardGate {
        self.1
    }

    async fn measure(&self) -> Result<Figure, StepError> {
        let Self(world, gate) = self;
        let value = world.state().figures.get(gate).copied();
        let unseen = || StepError::new(ErrorKind::Failed, "nobody saw it");
        Ok(Figure { gate: *gate, value: value.ok_or_else(unseen)?, measured: "by a dial".to_owned() })
    }
}

/// A security check of the world: what is open stands in the world.
pub(crate) struct Guard(pub(crate) World, pub(crate) SecurityAspect);

#[async_trait]
impl SecurityCheck for Guard {
    fn name(&self) -> Name {
        match self.1 {
            SecurityAspect::Configuration => name!("firewall"),
            SecurityAspect::Permissions => name!("accounts"),
        }
    }

    fn aspect(&self) -> SecurityAspect {
        self.1
    }

    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
        let found = self.0.state().open.get(&self.1).cloned().unwrap_or_else(|| "closed".to_owned());
        let holds = found == "closed";
        Ok(vec![SecurityFinding { what: "the door".to_owned(), expected: "closed".to_owned(), found, holds }])
    }
}

/// An evidence store that answers whatever it was given, whoever asks.
pub(crate) struct Liar(pub(crate) Vec<RunEvidence>);

#[async_trait]
impl EvidenceStore for Liar {
    async fn record(&self, _: &Permit, _: &RunEvidence) -> Result<(), StepError> {
        Ok(())
    }

    async fn find(&self, _: &Name, _: Environment, _: &Digest) -> Result<Vec<RunEvidence>, StepError> {
        Ok(self.0.clone())
    }
}

/// An evidence store that cannot be read.
pub(crate) struct Unreadable;

#[async_trait]
impl EvidenceStore for Unreadable {
    async fn record(&self, _: &Permit, _: &RunEvidence) -> Result<(), StepError> {
        Ok(())
    }

    async fn find(&self, _: &Name, _: Environment, _: &Digest) -> Result<Vec<RunEvidence>, StepError> {
        Err(StepError::new(ErrorKind::Conflict, "the evidence is damaged"))
    }
}

use async_trait::async_trait;
use serde_json::Value;

use crate::error::{Problems, StepError};
use crate::gate::{Figure, StandardGate};

/// Measures one of the standard's figures, such as the slowest database query or the downtime of the run.
#[async_trait]
pub trait Gauge: Send + Sync {
    /// The figure that it measures.
    fn gate(&self) -> StandardGate;

    /// Its parameters, secrets as references, for the plan's fingerprint.
    fn definition(&self) -> Value {
        Value::Null
    }

    /// Checks its parameters, when the plan is made.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    fn check(&self) -> Result<(), Problems> {
        Ok(())
    }

    /// Measures, and says over what. It judges nothing: the environment's policy does.
    ///
    /// # Errors
    /// Any kind where there was too little to measure. A guess, or a zero for what nobody saw, is no figure.
    async fn measure(&self) -> Result<Figure, StepError>;
}

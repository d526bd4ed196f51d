//! A plan on its way to people who approve it elsewhere, and back.

use serde::Deserialize;
use serde_json::Value;

use crate::name::Digest;
use crate::plan::{Plan, PlanError, fingerprint, plan_hash};
use crate::stage::StageName;

/// The version of a plan's JSON form that this library writes and reads.
pub const PLAN_FORMAT: u32 = 1;

/// The largest JSON text of a plan that is read: 16 MiB.
const LIMIT: usize = 16 << 20;

/// A plan that is not what its digests say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Tampered {
    /// Its definition was changed.
    #[error("`fingerprint`: it says {said}, its content has {found}")]
    Fingerprint {
        /// What it says.
        said: Digest,
        /// What its content gives.
        found: Digest,
    },
    /// What it promises was changed.
    #[error("`hash`: it says {said}, its content has {found}")]
    Hash {
        /// What it says.
        said: Digest,
        /// What its content gives.
        found: Digest,
    },
    /// It does not have the eight stages in order.
    #[error("`stages`: not the eight stages in their order")]
    Stages,
    /// A part that follows from the plan, such as its rows or its estimates, is not what follows from it.
    #[error("`{0}`: does not follow from the plan")]
    Derived(String),
}

/// Why a text is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TravelError {
    /// It is too large to be one.
    #[error("{length} bytes, at most {limit} are read")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It cannot be read.
    #[error("not the JSON form of a plan: {0}")]
    Unreadable(String),
    /// It was written by a later version.
    #[error("`format`: {found}, this version reads {PLAN_FORMAT}")]
    Format {
        /// The format that it says.
        found: u64,
    },
    /// It was changed on its way.
    #[error(transparent)]
    Tampered(#[from] Tampered),
}

/// Why a plan that came back cannot be proposed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecallError {
    /// It was changed on its way.
    #[error(transparent)]
    Tampered(#[from] Tampered),
    /// It is the plan of another workflow, application, environment or release.
    #[error("it follows the definition {}, this workflow is {}", found.short(), known.short())]
    AnotherDefinition {
        /// Its fingerprint.
        found: Digest,
        /// The fingerprint of this workflow under this setting.
        known: Digest,
    },
    /// The workflow itself cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Plan {
    /// Checks that the plan is what its digests say.
    ///
    /// # Errors
    /// [`Tampered`] where anything that the hash covers is another.
    pub fn verify(&self) -> Result<(), Tampered> {
        if !self.stages.iter().map(|stage| stage.stage).eq(StageName::ALL) {
            return Err(Tampered::Stages);
        }
        let found = fingerprint(self);
        if found != self.fingerprint {
            return Err(Tampered::Fingerprint { said: self.fingerprint, found });
        }
        let found = plan_hash(self);
        if found != self.hash {
            return Err(Tampered::Hash { said: self.hash, found });
        }
        Ok(())
    }

    /// Reads a plan that [`to_json`](Self::to_json) wrote, and checks that nothing of it was changed.
    ///
    /// # Errors
    /// See [`TravelError`].
    pub fn from_json(text: &str) -> Result<Self, TravelError> {
        if text.len() > LIMIT {
            return Err(TravelError::TooLarge { length: text.len(), limit: LIMIT });
        }
        let unreadable = |error: serde_json::Error| TravelError::Unreadable(error.to_string());
        let document: Value = serde_json::from_str(text).map_err(unreadable)?;
        match document.get("format").and_then(Value::as_u64) {
            Some(format) if format == u64::from(PLAN_FORMAT) => {}
            Some(found) => return Err(TravelError::Format { found }),
            None => return Err(TravelError::Unreadable("`format`: missing".to_owned())),
        }
        let plan =
            document.get("plan").ok_or_else(|| TravelError::Unreadable("`plan`: missing".to_owned()))?;
        let plan = Self::deserialize(plan).map_err(unreadable)?;
        plan.verify()?;
        derived(&document, &plan.to_json())?;
        Ok(plan)
    }
}

/// Refuses a document in which anything is said beside the plan that does not follow from it: people read that too.
fn derived(said: &Value, written: &Value) -> Result<(), Tampered> {
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (said, written) = (fields(said), fields(written));
    let differs = |name: &&String| said.get(*name) != written.get(*name);
    match said.keys().chain(written.keys()).find(differs) {
        Some(name) => Err(Tampered::Derived(name.clone())),
        None => Ok(()),
    }
}

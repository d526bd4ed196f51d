//! One effect of a deployment.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::StepContext;
use crate::error::StepError;
use crate::gate::StandardGate;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::policy::Proof;
use crate::receipt::Receipt;
use crate::rollback::{Captured, Rollback};
use crate::stage::{Activity, Stage};

/// One effect of a deployment: does the work of one or more activities of stage `S`.
///
/// An implementor **must** hold:
/// - [`run`](Self::run) is safe to repeat under the same captured state;
/// - [`preview`](Self::preview) and [`capture`](Rollback::capture) change nothing;
/// - the receipt has evidence, observed and not commanded, for each activity in [`covers`](Self::covers);
/// - it never retries on its own (the engine does, by [`StepError::kind`]) and waits through
///   [`StepContext::clock`](crate::StepContext::clock) only.
///
/// ```
/// use std::time::Duration;
/// use flow_core::prelude::*;
/// use flow_core::stage::{Prepare, PrepareActivity};
///
/// struct Announce;
///
/// #[async_trait]
/// impl Rollback<Prepare> for Announce {
///     fn reversibility(&self) -> Reversibility {
///         Reversibility::NothingToUndo
///     }
///     async fn capture(&self, _: &StepContext<Prepare>) -> Result<Captured, StepError> {
///         Ok(Captured::nothing())
///     }
///     async fn roll_back(
///         &self, _: &StepContext<Prepare>, _: &Permit, _: &Captured, _: &Outcome<Prepare>,
///     ) -> Result<(), StepError> {
///         Ok(())
///     }
/// }
///
/// #[async_trait]
/// impl Step<Prepare> for Announce {
///     fn name(&self) -> Name {
///         name!("announce")
///     }
///     fn covers(&self) -> Vec<PrepareActivity> {
///         vec![PrepareActivity::Scope]
///     }
///     async fn preview(&self, cx: &StepContext<Prepare>) -> Result<Preview, StepError> {
///         Ok(Preview::new().change("scope", "announced", cx.release().as_str()))
///     }
///     async fn run(&self, cx: &StepContext<Prepare>, _: &Permit, _: &Captured) -> Result<Receipt<Prepare>, StepError> {
///         Ok(Receipt::new().evidence(PrepareActivity::Scope, format!("deploys {}", cx.release())))
///     }
/// }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step of stage `{S}`",
    label = "expected a `Step<{S}>` here"
)]
pub trait Step<S: Stage>: Rollback<S> {
    /// The step's name: unique in the plan and the same in every process.
    fn name(&self) -> Name;

    /// The activities whose work this step does.
    fn covers(&self) -> Vec<S::Activity>;

    /// What this step will prove, and its receipt must then say it has. What lies in the evidence for an activity (the three
    /// tests, the rollback plan) is among it unless overridden.
    ///
    /// ```
    /// use flow_core::gate::StandardGate;
    /// use flow_core::policy::Proof;
    /// use flow_core::stage::{Activity, VerifyActivity};
    ///
    /// assert_eq!(Proof::of_evidence(&VerifyActivity::Functional.name()), Some(Proof::FunctionalTest));
    /// ```
    fn proves(&self) -> Vec<Proof> {
        self.covers().into_iter().filter_map(|activity| Proof::of_evidence(&activity.name())).collect()
    }

    /// The standard's figures that this step will measure. None unless overridden.
    fn measures(&self) -> Vec<StandardGate> {
        Vec::new()
    }

    /// The step's parameters, secrets as references, for the plan's fingerprint.
    fn definition(&self) -> Value {
        Value::Null
    }

    /// How long one attempt may take, watched from outside the step. Ten minutes unless overridden.
    fn deadline(&self) -> Duration {
        Duration::from_mins(10)
    }

    /// What no other run may touch meanwhile: a database, a CDN zone. The application in its environment always is.
    fn resources(&self) -> Vec<Name> {
        Vec::new()
    }

    /// Whether [`capture`](Rollback::capture) seals state, which needs a vault.
    fn seals(&self) -> bool {
        false
    }

    /// Says what would change. Reads only, and says [`Preview::unknown`] where it cannot tell yet.
    ///
    /// # Errors
    /// Any kind: the plan is then refused, with this among its problems.
    async fn preview(&self, cx: &StepContext<S>) -> Result<Preview, StepError>;

    /// Does the work, under the state that was captured before the first attempt.
    ///
    /// Safe to repeat: the engine records an effect once but may execute it again after a crash or a retry, under the
    /// same [`Permit::idempotency_key`].
    ///
    /// # Errors
    /// A kind that [is a rejection](crate::ErrorKind::is_rejection) only where nothing was left behind.
    async fn run(
        &self,
        cx: &StepContext<S>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<S>, StepError>;
}

/// What a step would change, as far as can be known without changing it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preview {
    /// What would change.
    pub changes: Vec<Change>,
    /// Facts that must still hold when the plan is applied: part of the plan's hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stable: BTreeMap<String, Value>,
    /// The digests of what would be deployed beside the plan's artefacts, such as a directory of files: production asks for
    /// complete tests of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploys: Vec<Digest>,
    /// The digests of the scripts that would run, such as migrations: production asks that each has run before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<Digest>,
    /// What cannot be known yet, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknowns: Vec<String>,
    /// How long it may take, if that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Duration>,
}

/// One thing that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What: a file, a weight, a table.
    pub what: String,
    /// What it is now.
    pub from: String,
    /// What it would be.
    pub to: String,
}

impl Preview {
    /// A preview in which nothing changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a change.
    #[must_use]
    pub fn change(mut self, what: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.changes.push(Change { what: what.into(), from: from.into(), to: to.into() });
        self
    }

    /// Adds a fact that must still hold when the plan is applied.
    #[must_use]
    pub fn stable(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.stable.insert(name.into(), value.into());
        self
    }

    /// Adds the digest of something that would be deployed.
    #[must_use]
    pub fn deploys(mut self, digest: Digest) -> Self {
        self.deploys.push(digest);
        self
    }

    /// Adds the digest of a script that would run.
    #[must_use]
    pub fn script(mut self, digest: Digest) -> Self {
        self.scripts.push(digest);
        self
    }

    /// Adds something that cannot be known yet.
    #[must_use]
    pub fn unknown(mut self, what: impl Into<String>) -> Self {
        self.unknowns.push(what.into());
        self
    }

    /// Whether `now` promises the same: everything but the estimate.
    pub(crate) fn stands(&self, now: &Self) -> bool {
        let timeless = |preview: &Self| Self { estimate: None, ..preview.clone() };
        timeless(self) == timeless(now)
    }

    /// Says how long it may take.
    #[must_use]
    pub const fn estimate(mut self, duration: Duration) -> Self {
        self.estimate = Some(duration);
        self
    }
}

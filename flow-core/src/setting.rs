//! What a workflow is planned and run with: who deploys what where, and what the engine works with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::CancelToken;
use crate::clock::{Clock, SystemClock};
use crate::environment::Environment;
use crate::error::Problems;
use crate::event::EventHub;
use crate::name::{Actor, Digest, Name};
use crate::plan::OnFailure;
use crate::policy::Policy;
use crate::port::{EvidenceStore, Vault};

/// Who deploys what where, and what the engine works with.
///
/// ```
/// use flow_core::{Actor, Environment, Setting, name};
///
/// let setting = Setting::new(name!("shop"), Environment::Staging, name!("1.1.0"), Actor::new("ann")?);
/// assert_eq!(setting.policy.approvals, 0);
/// # Ok::<(), flow_core::InvalidActor>(())
/// ```
#[derive(Clone)]
pub struct Setting {
    /// What is deployed.
    pub application: Name,
    /// Where.
    pub environment: Environment,
    /// Which version.
    pub release: Name,
    /// The artefacts that the build must give. A production plan names them; elsewhere they may be left open.
    pub artifacts: Vec<Digest>,
    /// Who starts the run.
    pub initiator: Actor,
    /// What a failure does.
    pub on_failure: OnFailure,
    /// How long the replaced instances are kept after the run is verified.
    pub keep_warm: Duration,
    /// What the environment demands.
    pub policy: Policy,
    /// The clock that every wait goes through.
    pub clock: Arc<dyn Clock>,
    /// Who watches the run.
    pub events: EventHub,
    /// Stops the run and starts its undo, in any state.
    pub cancel: CancelToken,
    /// Keeps captured state that may hold secrets.
    pub vault: Option<Arc<dyn Vault>>,
    /// Keeps what finished runs proved.
    pub evidence: Option<Arc<dyn EvidenceStore>>,
}

impl Setting {
    /// A setting on the machine's clock, with the standard's policy for `environment`.
    #[must_use]
    pub fn new(application: Name, environment: Environment, release: Name, initiator: Actor) -> Self {
        Self {
            application,
            environment,
            release,
            artifacts: Vec::new(),
            initiator,
            on_failure: OnFailure::RollBack,
            keep_warm: Duration::ZERO,
            policy: Policy::standard(environment),
            clock: Arc::new(SystemClock::new()),
            events: EventHub::new(),
            cancel: CancelToken::new(),
            vault: None,
            evidence: None,
        }
    }
}

/// The longest time for which replaced instances may be kept: 30 days.
const KEEP_WARM_MAX: Duration = Duration::from_hours(30 * 24);

impl Setting {
    /// What is wrong with the values, for the plan to say.
    pub(crate) fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.keep_warm <= KEEP_WARM_MAX, "keep_warm", "must be at most 30 days");
        let lasts = !self.policy.evidence_lasts.is_zero();
        problems.check(lasts, "policy.evidence_lasts", "must be above 0: nothing would ever be proved");
        let distinct: std::collections::BTreeSet<&Digest> = self.artifacts.iter().collect();
        problems.check(distinct.len() == self.artifacts.len(), "artifacts", "a digest stands twice");
        problems
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("application", &self.application)
            .field("environment", &self.environment)
            .field("release", &self.release)
            .field("artifacts", &self.artifacts)
            .field("initiator", &self.initiator)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

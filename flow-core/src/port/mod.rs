//! The ports: what flow-core asks of the outside world, and what an adapter implements.
//!
//! Every method that changes something takes a [`Permit`](crate::Permit) and is safe to repeat under the same
//! idempotency key; it is done when the change was **observed**. Every method without one only reads.
//!
//! The permit's [fence](crate::Fence) tells a late owner from the present one. A side that can keep it remembers the
//! highest it has seen for each resource and refuses a lower one as a [conflict](crate::ErrorKind::Conflict), with nothing
//! changed; an equal one is the same owner. Fences of two journals cannot be compared, so a side that is changed through more
//! than one journal keeps none. The testkit's fakes keep them; where a platform cannot, the lease in the journal is what
//! keeps a late owner out.

mod assets;
mod build;
mod evidence;
mod functions;
mod gauge;
mod host;
mod metrics;
mod migrator;
mod monitor;
mod probe;
mod process;
mod router;
mod security;
mod vault;

pub use assets::{AssetFile, AssetStore, Cdn, DomainReport, Manifest};
pub use build::{Builder, Built, ConfigurationStore, ImageRegistry, Source, SourceRequest, SourceVersion};
pub use evidence::{EvidenceStore, RunEvidence};
pub use functions::{FunctionPlatform, FunctionSpec, FunctionState, Invocation};
pub use gauge::Gauge;
pub use host::{Command, CommandOutput, Host, HostPath, InvalidHostPath};
pub use metrics::{Metrics, Sample};
pub use migrator::{
    AppliedMigration, BackupProof, DataCheck, MigrationScript, MigrationState, Migrator, StatementImpact,
};
pub use monitor::{AlertRules, Notification, NotificationReceipt, Notifier, RuleSet};
pub use probe::{ProbeReply, ProbeRequest, Prober};
pub use process::{Health, HealthCheck, Instance, InstanceId, LaunchSpec, ProcessManager};
pub use router::{InFlight, Route, Router, Routing, WeightProblem, Weights};
pub use security::{SecurityAspect, SecurityCheck, SecurityFinding};
pub use vault::{Sealed, Vault};

//! The ports: what flow-core asks of the outside world, and what an adapter implements.
//!
//! Every method that changes something takes a [`Permit`](crate::Permit) and is safe to repeat under the same
//! idempotency key; it is done when the change was **observed**. Every method without one only reads.

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

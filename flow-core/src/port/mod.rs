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
//!
//! # What holds for every method
//!
//! - **Concurrency.** A port is shared: its methods are called from several tasks, runs and processes at once. Whatever needs an
//!   order keeps it by itself.
//! - **Blocking.** A method must not hold its thread for longer than a moment: the engine's clock and lease run beside it. A few
//!   small reads or one sync are a moment; longer work on files belongs on `tokio::task::spawn_blocking`.
//! - **Cancellation.** [`Permit::cancel`](crate::Permit::cancel) asks a call to stop. A call that lasts longer than a moment
//!   watches it and answers how far it came, with [`Cancelled`](crate::ErrorKind::Cancelled) where it stopped half-way. A call
//!   that is a moment's need not look: finishing is an answer too.
//! - **Being dropped.** At a deadline, when a lease is lost, or when five seconds after being asked a call has not
//!   answered, its future is dropped at whatever `await` it is at. The engine takes the effect to be in doubt. What the call had
//!   begun elsewhere, such as a blocking thread, must end as well or do no harm.
//! - **Repeating.** After a doubt the same call comes again under the same
//!   [idempotency key](crate::Permit::idempotency_key). It finishes what is half done, and makes durable what may only have
//!   been written, before it answers.
//! - **Errors.** [`ErrorKind`](crate::ErrorKind) says in a table which kind belongs to which situation.
//!
//! An adapter is tested with its port's suite: see `flow_testkit`, "Writing an adapter".

mod asset_order;
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

pub use asset_order::{AssetRank, asset_order};
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

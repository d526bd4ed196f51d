//! A production deployment as one crash-safe, typed run of eight stages, in order, none left out, each with its way back
//! known before the first change is made.
//!
//! Where to begin: a deployment is a [`Workflow`] of [`Step`]s; what they need of the outside world are the [`port`]s. Whoever
//! implements a port reads [what holds for every method](port), the port's own page, the kinds of [`ErrorKind`], and
//! "Writing an adapter" on the first page of `flow_testkit`, which holds a suite for every port.

pub mod durable;
pub mod event;
pub mod gate;
pub mod journal;
pub mod machine;
pub mod plan;
pub mod policy;
pub mod port;
pub mod receipt;
pub mod report;
pub mod stage;
pub mod steps;
pub mod strategy;

mod cancel;
mod clock;
mod context;
mod deployment;
mod engine;
mod environment;
mod error;
mod name;
mod permit;
mod plain;
mod resumed;
mod rollback;
mod run;
mod service;
mod setting;
mod step;
mod stopped;
mod work;
mod workflow;

pub use cancel::CancelToken;
pub use clock::{Clock, Entropy, SystemClock, SystemEntropy};
pub use context::StepContext;
pub use deployment::{Deployment, Failed, FailedState, StageRun};
pub use environment::{Environment, UnknownEnvironment};
pub use error::{Cause, ErrorKind, Problem, Problems, StepError};
pub use name::{Actor, Digest, InvalidActor, InvalidDigest, InvalidName, NAME_MAX, Name};
pub use permit::{Fence, Permit};
pub use port::Weights;
pub use receipt::{Artifact, Evidence, Receipt};
pub use resumed::{ParkedRun, Resumed, RollingBack};
pub use rollback::{Captured, Outcome, Reversibility, Rollback};
pub use run::RunId;
pub use service::Service;
pub use setting::Setting;
pub use step::{Change, Preview, Step};
pub use stopped::{Parked, StageError, Stopped, Undone};
pub use work::{NotApplicable, Rollout, Without, Work};
pub use workflow::{BeginError, Workflow, Works};

#[doc(no_inline)]
pub use jiff::Timestamp;

/// Everything that a custom step needs, and what every adapter needs beside its [`port`].
pub mod prelude {
    pub use async_trait::async_trait;

    pub use crate::{
        Captured, Digest, Environment, ErrorKind, Evidence, Name, Outcome, Permit, Preview, Problems,
        Receipt, Reversibility, Rollback, Step, StepContext, StepError, name,
    };
}

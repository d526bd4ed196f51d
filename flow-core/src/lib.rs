//! A production deployment as one crash-safe, typed run of eight stages, in order, none left out, each with its way back
//! known before the first change is made.

pub mod durable;
pub mod event;
pub mod gate;
pub mod journal;
pub mod machine;
pub mod plan;
pub mod port;
pub mod receipt;
pub mod stage;
pub mod strategy;

mod cancel;
mod clock;
mod context;
mod environment;
mod error;
mod name;
mod permit;
mod rollback;
mod run;
mod step;

pub use cancel::CancelToken;
pub use clock::{Clock, Entropy, SystemClock, SystemEntropy};
pub use context::StepContext;
pub use environment::{Environment, UnknownEnvironment};
pub use error::{Cause, ErrorKind, Problem, Problems, StepError};
pub use name::{Actor, Digest, InvalidActor, InvalidDigest, InvalidName, NAME_MAX, Name};
pub use permit::{Fence, Permit};
pub use port::Weights;
pub use receipt::{Artifact, Evidence, Receipt};
pub use rollback::{Captured, Outcome, Reversibility, Rollback};
pub use run::RunId;
pub use step::{Change, Preview, Step};

/// Everything that a custom step needs.
pub mod prelude {
    pub use async_trait::async_trait;

    pub use crate::{
        Captured, ErrorKind, Evidence, Name, Outcome, Permit, Preview, Receipt, Reversibility, Rollback,
        Step, StepContext, StepError, name,
    };
}

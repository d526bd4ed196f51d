//! The machine: one pure function that says which entry may follow which.
//!
//! It is used live, on replay, by the audit verifier and by the tests' model, so the types and the journal can never
//! disagree. It holds no clock and does no I/O.

mod key;
mod state;
mod transition;
mod undo;

pub use key::{CallKey, Phase};
pub use state::{CallState, EffectState, Mode, Progress, Running, State};
pub use transition::Illegal;
pub use undo::{TargetState, UndoPlan, UndoTarget};

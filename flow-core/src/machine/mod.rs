//! The machine: one pure function that says which entry may follow which.

mod key;
mod state;
mod undo;

pub use key::{CallKey, Phase};
pub use state::State;
pub use undo::UndoTarget;

//! Stage 6: the code of cloud functions, their variables, versions, triggers and tests.

mod publish;
mod release;
mod state;
mod update;

pub use publish::{FunctionTest, PublishFunction, TestFunction};
pub use release::{FunctionRelease, function};
pub use update::{FunctionCode, SetTriggers, SetVariables, UpdateFunctionCode};

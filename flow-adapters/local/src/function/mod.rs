//! Functions run as programs of this machine.
//!
//! A function's code is one file, kept by its digest. Each published version is that code with the variables of its time;
//! calling it starts the program with the event as JSON on its input and takes the JSON on its output for the answer.
//! Triggers are kept, not acted on: nothing here calls a function by itself.

mod adapter;
mod client;
mod config;
mod record;

pub use adapter::LocalFunctions;
pub use config::FunctionsConfig;

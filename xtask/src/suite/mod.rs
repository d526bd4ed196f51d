//! The whole suite, step by step.

mod run;
mod steps;
mod tally;

pub(crate) use run::run;

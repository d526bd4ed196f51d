//! The report of a run, from its journal alone.

mod model;

pub use model::Report;

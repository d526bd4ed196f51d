//! The machine against a model that knows nothing of it but the accepted entries.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod model;
mod plan;
mod sequences;

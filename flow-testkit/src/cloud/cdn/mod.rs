//! Delivery of static content: domains, what is purged and prefetched, and the edge that readers meet.

mod actions;
mod domains;
mod edge;
mod tasks;

pub(super) use actions::{Cdn, call};
pub(super) use edge::fetch;

//! The example `services`, driven from outside against real programs: PM2, nginx, and users who log every request. What was lost
//! is counted in their log and in the process table, never in what the example says of itself.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bad;
mod deploy;
mod killed;
mod rollback;
mod servers;
mod share;
mod stage;

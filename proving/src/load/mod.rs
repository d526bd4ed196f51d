//! Users that keep their pace whatever the server does, and a log of every request.
//!
//! A request's latency counts from when it was *due*, so a server that stalls is not forgiven by users that wait for it. Nothing
//! is tried again. The users run on threads of their own, so a test that blocks does not slow them.

mod client;
mod log;

pub use client::{Client, Load, UnderWay};
pub use log::{Failure, Log, Record, Seen, Summary};

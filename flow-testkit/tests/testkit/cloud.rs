//! The fake cloud, from outside: raw HTTP, signed by code that is not its own.

mod client;
mod content;
mod delivery;
mod faults;
mod functions;
mod protocol;
mod signing;

//! Rolling over instances and over machines on real programs: what was lost is counted from the users' own log, and how many
//! instances stood from the process table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what was counted is said")]

mod instances;
mod machines;
mod round;
mod watch;
mod without_colours;

//! The testkit, proved: its fakes pass the suites, and every suite catches the implementations that break its promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clock;
mod durable;
mod faults;
mod journal;
mod step;
mod world;

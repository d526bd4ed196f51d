//! Processes of this machine as the instances of a service.
//!
//! Each instance is a process group of its own. What it is stands in a state file that is written **before** the
//! process is started and again when it runs, and in the environment of the process itself, so a controller that dies at
//! any point leaves nothing that the next one does not find. Instances outlive their controller.
//!
//! An instance stays in the session of the controller that started it. It is in another process group than a
//! terminal's foreground one, so an interrupt from the keyboard does not reach it; a controller that runs
//! in a terminal should still be started by `setsid` or a service manager where instances must outlive that terminal.
//! Processes that leave their instance's group **and** replace their environment are out of reach.

mod adapter;
mod client;
mod config;
mod health;
mod record;

pub use adapter::LocalProcesses;
pub use config::{Addresses, ProcessesConfig};

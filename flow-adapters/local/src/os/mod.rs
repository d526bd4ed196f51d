//! What the adapters ask of the operating system: durable files, the process table, programs run to their end.

mod draft;
mod file;
#[cfg(test)]
mod full;
mod lock;
mod proc;
mod program;

pub(crate) use draft::Draft;
pub(crate) use file::{CancelOnDrop, go_on, make_directory, off_thread, read, refused, remove, replace};
#[cfg(test)]
pub(crate) use full::{FullDisk, Room};
pub(crate) use lock::Lock;
pub(crate) use proc::{Process, boot_id, marked, process, processes, signal, signal_group};
pub(crate) use program::{Ended, Limits, Program, check_environment, spawn, spawn_refused};

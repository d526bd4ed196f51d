//! Everything that touches the outside: programs and files.

mod artifact;
mod files;
mod git;
mod process;
mod releases;
mod scratch;
mod tree;

pub(crate) use files::{blocking, is_directory, name_of};
pub(crate) use git::{Dirty, Git, Workbench, is_object_name};
pub(crate) use process::{Call, Ended, Keep, Runner, Tail};
pub(crate) use releases::Releases;
pub(crate) use scratch::Scratch;
pub(crate) use tree::{Oddity, inspect, replace, sync};

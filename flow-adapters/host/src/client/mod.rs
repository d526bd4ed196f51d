//! What reaches outside: the files of this machine, and commands and files of hosts.

mod archive;
mod commands;
mod local;
mod releases;
mod served;
mod site;

pub(crate) use archive::archive;
pub(crate) use local::{digests, go_on, off_thread};
pub(crate) use releases::{Releases, Stands, release};
pub(crate) use served::Served;
pub(crate) use site::Site;

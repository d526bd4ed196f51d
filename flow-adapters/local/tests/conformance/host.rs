//! `LocalHost` is a `Host`.

#[path = "host/command.rs"]
mod command;
#[path = "host/file.rs"]
mod file;

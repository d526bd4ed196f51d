//! Holds `SshHost` to its contract on a real OpenSSH server, judged from outside: the process table, the file tree, the server's
//! log and the bytes on the wire.

#[cfg(test)]
#[path = "conformance/command.rs"]
mod command;
#[cfg(test)]
#[path = "conformance/connection.rs"]
mod connection;
#[cfg(test)]
#[path = "conformance/each.rs"]
mod each;
#[cfg(test)]
#[path = "conformance/file.rs"]
mod file;
#[cfg(test)]
#[path = "conformance/forward.rs"]
mod forward;
#[cfg(test)]
#[path = "conformance/machine.rs"]
mod machine;
#[cfg(test)]
#[path = "conformance/relay.rs"]
mod relay;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;

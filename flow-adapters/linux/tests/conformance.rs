//! What a machine promises, against real processes and real sockets, read directly and through a host.

#[cfg(test)]
#[path = "conformance/host.rs"]
mod host;
#[cfg(test)]
#[path = "conformance/processes.rs"]
mod processes;
#[cfg(test)]
#[path = "conformance/sockets.rs"]
mod sockets;

//! What adapters read of a Linux machine and how they signal its processes: a support crate without ports.
//!
//! A [`Machine`] is the one that the program runs on, read directly, or another one, reached through a
//! [`Host`](flow_core::port::Host) with `cat`, `ls`, `grep` and `kill` and no shell. Both answer the same.
//!
//! - **Processes**: id, parent, start, user, state, command line, one variable of the environment. A process is named by its id and its
//!   start together: ids are used again.
//! - **Unix sockets**: who listens at a path, and how many connections it has, exactly, whoever holds them.
//! - **TCP sockets**: the connections from or to an address.
//! - **Signals**: to a process that was verified to be the one that was meant, and to no other.
//!
//! # What it needs
//! Linux 5.3 or newer (`pidfd_open`) on this machine; on another one `/proc` and coreutils. It sees what `/proc` shows to its user, in its own
//! network namespace.
//!
//! # What it can undo
//! Nothing: it changes nothing but by signals, and those cannot be taken back.
//!
//! ```
//! use flow_linux::Machine;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = Machine::local();
//! let own = machine.process(std::process::id()).await?.ok_or("it runs")?;
//! assert!(machine.command_line(own.id).await?.is_some());
//! assert!(!machine.unix_sockets().await?.is_listening("/run/nobody/here.sock".as_ref()));
//! # Ok(())
//! # }
//! ```

mod client;
mod machine;
mod process;
mod socket;

pub use machine::{Machine, Signalled};
pub use process::{Process, ProcessId, ProcessState, Signal};
pub use socket::{TcpSocket, TcpSockets, TcpState, UnixSocket, UnixSockets, UnixState};

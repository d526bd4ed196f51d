//! What the tests of adapters are judged by: real servers, an application, users and the process table.
//!
//! For tests and benches alone; it knows nothing of flow. Everything that it starts is private: a temporary directory, Unix
//! sockets or loopback ports below the ephemeral range, ended by its own process id when it is dropped. What the servers
//! need is installed by `cargo xtask test`; a missing program is an error, never a skip.
//!
//! - [`server`]: nginx, HAProxy, Caddy, an SSH server, PM2's daemon, PostgreSQL, MariaDB and PgBouncer, each a private
//!   instance; [`Shared`] starts one for all tests of a binary;
//! - [`app`]: a Node application that behaves, or misbehaves, as it is told;
//! - [`load`]: users that keep their pace, and a log of every request, the only judge of what was lost;
//! - [`table`]: processes and sockets as the kernel shows them.
//!
//! ```no_run
//! use flow_proving::app::{App, Behaviour};
//! use flow_proving::load::{Client, Load};
//! use flow_proving::{Address, Directory, Outside};
//!
//! # async fn run() -> Outside<()> {
//! let directory = Directory::new()?;
//! let address = Address::Unix(directory.path().join("web.sock"));
//! let app = App::start(&directory, &address, &Behaviour::of("1.0.0")).await?;
//! let load = Load::of(address, Client::Careful).at_rate(300).start()?;
//! load.until(|log| log.requests() > 100).await?;
//! app.end()?;
//! println!("{}", load.stop().await?.summary());
//! # Ok(())
//! # }
//! ```

mod address;
pub mod app;
mod directory;
mod http;
pub mod load;
mod patience;
mod port;
mod program;
mod running;
pub mod server;
mod shared;
pub mod table;
mod tier;

pub use address::Address;
pub use directory::Directory;
pub use http::{Reply, Request, exchange};
pub use patience::{PATIENCE, until};
pub use port::Port;
pub use program::{cargo, find, kept_folder, newest_kept};
pub use running::Running;
pub use shared::{Remains, Shared};
pub use tier::is_long;

/// What was arranged or seen outside the thing under test, or why it could not be.
pub type Outside<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

//! Private instances of real servers: in a directory of their own, on sockets or loopback ports, ended by their own process
//! id with everything that they started.

mod caddy;
mod haproxy;
mod nginx;
mod pm2;
mod ready;
mod sshd;

pub use caddy::Caddy;
pub use haproxy::Haproxy;
pub use nginx::Nginx;
pub use pm2::{Pm2, Pm2Version};
pub use sshd::Sshd;

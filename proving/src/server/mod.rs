//! Private instances of real servers: in a directory of their own, on sockets or loopback ports, ended by their own process
//! id with everything that they started.

mod caddy;
mod haproxy;
mod mariadb;
mod nginx;
mod pgbouncer;
mod pm2;
mod postgres;
mod ready;
mod sshd;
mod unprivileged;

pub use caddy::Caddy;
pub use haproxy::Haproxy;
pub use mariadb::Mariadb;
pub use nginx::Nginx;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use pm2::{Pm2, Pm2Version};
pub use postgres::{Postgres, PostgresVersion};
pub use sshd::Sshd;

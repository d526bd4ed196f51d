//! What a router is told, as plain data, and checked once.

mod file;
mod socket;
mod upstream;

pub use file::FileConfig;
pub use socket::{Masking, SocketConfig};

pub(crate) use socket::socket_name;
pub use upstream::{KeepAlive, Stickiness, Timeouts};

pub(crate) use upstream::{key, key_map, log_format};

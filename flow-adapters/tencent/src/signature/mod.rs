//! How requests are signed: pure functions, nothing is sent here.

pub mod cos;
mod encode;
pub mod tc3;

mod authorization;

pub use authorization::Authorization;
pub(crate) use encode::{decoded, encoded, encoded_path, hex};

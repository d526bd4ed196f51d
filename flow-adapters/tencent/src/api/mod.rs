//! API 3.0: one signed POST per action, answered by JSON with an error inside.

mod action;
mod answer;
mod client;
mod download;

pub use action::Action;
#[cfg(feature = "tencentcloud-sdk-rs")]
pub(crate) use answer::{carried_out, response};
pub use client::{Api, ApiConfig};

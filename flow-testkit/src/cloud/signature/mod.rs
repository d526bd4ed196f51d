//! Whether a request was signed with a key that the cloud knows: both schemes, from their documentation alone.

mod cos;
mod keys;
mod tc3;

pub(super) use cos::verify as verify_cos;
pub(super) use keys::{Keys, Moments};
pub(super) use tc3::verify as verify_tc3;

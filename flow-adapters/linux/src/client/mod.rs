//! The two ways to a machine. Both give bytes; what they mean is read elsewhere.

pub(crate) mod local;
pub(crate) mod remote;

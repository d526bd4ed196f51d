//! Examples of deployments built on flow; each is a file or a folder beside this one. What the short ones share is in
//! [`shop`]; [`private`] starts real servers for those that deploy to some.

pub mod private;
pub mod shop;

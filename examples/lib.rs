//! Examples of deployments built on flow; each is a file or a folder beside this one. What the short ones share is in
//! [`shop`].

pub mod shop;

//! The ports of stage 2 over Git, commands and files.

mod builder;
mod source;

pub use builder::CommandBuilder;
pub use source::GitSource;

//! A site's static files in a directory.

mod adapter;
mod content;
mod site;
mod tree;

pub use adapter::DirectoryAssets;
pub(super) use content::digest_of;

//! The layouts of migration folders.

mod detect;
mod entry;
mod name;
mod read;
mod side;

pub use detect::Layout;
pub use entry::Entry;
pub use read::{MAX_FILES, read};

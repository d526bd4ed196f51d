//! The object storage: its XML API, every body with its MD5, every object with its CRC-64.

mod call;
mod client;
mod digest;
mod file;
mod key;
mod listing;
mod multipart;
mod object;
mod objects;
mod refusal;
mod xml;

pub use client::{Cos, CosConfig};
pub use digest::{Digester, Digests};
pub use key::ObjectKey;
pub use listing::{Listed, NotDeleted, Page};
pub use multipart::{Part, Upload};
pub use object::{Attributes, ObjectMeta, Stored};
pub use objects::Download;

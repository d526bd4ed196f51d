//! Object storage: buckets, objects in versions, multipart uploads.

mod answer;
mod bucket;
mod error;
mod listing;
mod multipart;
mod objects;
mod place;
mod storage;
mod xml;

pub(super) use answer::{answer, name, refusal};
pub(super) use error::CosError;
pub(super) use objects::Object;
pub(super) use storage::Storage;

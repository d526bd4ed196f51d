//! What talks to the outside: the files of this machine, the bucket, the CDN and the name service.

mod actions;
mod bucket;
mod domains;
mod files;
mod kept;
mod pace;
mod record;
mod tasks;
mod upload;

pub(crate) use bucket::Bucket;
pub(crate) use domains::{Domains, Findings, Names};
pub(crate) use files::{LocalFile, digests, off_thread};
pub(crate) use kept::Kept;
pub(crate) use pace::{each, go_on};
pub(crate) use record::{Contents, Record};
pub(crate) use tasks::{Kind, Tasks};

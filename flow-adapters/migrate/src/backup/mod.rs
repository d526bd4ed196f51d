//! A backup is a proof: it is read back from the disk, restored into a database of its own, and compared row by row before it
//! counts.
//!
//! - `vault` makes, keeps, drills and removes backups; `settings` is what it is told;
//! - `copier` is the seam to the engines: [`postgres`], [`mysql`] and [`sqlite`] dump one moment and restore it;
//! - `draft` is the file, sealed to recipients; `scratch` the database that a dump is restored into;
//! - `tool` runs a dump tool, and `secret` gives it the password; `certificate` is the file beside each backup.

mod certificate;
mod copier;
mod draft;
mod mysql;
mod postgres;
mod scratch;
mod secret;
mod settings;
mod sqlite;
mod tool;
mod vault;

pub use settings::{BackupSettings, Retention};
pub(crate) use sqlite::{copy, scratch, throwaway};
pub use vault::{Backup, Pruned};
pub(crate) use vault::{Vault, proof_of};

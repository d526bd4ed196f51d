//! Keeps evidence as JSON lines in one append-only file.
//!
//! The file begins with a line that names its format. [`Ledgerfile::create`] writes it once, at set-up; from then on a file
//! that is gone or empty is an error, and never taken for a store without evidence. A line that a crash cut off is recognised:
//! [`find`](flow_core::port::EvidenceStore::find) refuses with it, since it cannot know what the line said, and the next
//! [`record`](flow_core::port::EvidenceStore::record) marks it as torn and goes on behind it. Nothing is ever rewritten.
//!
//! ```
//! use flow_core::port::{EvidenceStore, RunEvidence};
//! use flow_core::{Digest, Environment, RunId, name};
//! use flow_ledgerfile::{Ledgerfile, LedgerfileConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let config = LedgerfileConfig::new(folder.path().join("evidence.jsonl"))?;
//! Ledgerfile::create(&config)?;
//!
//! let image = Digest::of(b"the image");
//! let evidence = RunEvidence {
//!     application: name!("shop"),
//!     environment: Environment::Staging,
//!     release: name!("1.4.0"),
//!     digests: vec![image],
//!     proved: vec![],
//!     run: RunId::new("run-1")?,
//!     head: Digest::of(b"the run's last journal record"),
//!     recorded: "2026-11-25T12:00:00Z".parse()?,
//!     expires: "2026-12-25T12:00:00Z".parse()?,
//! };
//! Ledgerfile::open(config.clone()).record(&flow_testkit::permit(), &evidence).await?;
//!
//! let found = Ledgerfile::open(config).find(&name!("shop"), Environment::Staging, &image).await?;
//! assert_eq!(found, [evidence]);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod client;
mod config;

pub use adapter::Ledgerfile;
pub use config::LedgerfileConfig;

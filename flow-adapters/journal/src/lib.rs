//! Journal stores on SQL databases. Today that is SQLite, the embedded default.
//!
//! [`SqliteJournal`] keeps the journals of all runs in one file beside the application that deploys: no server, no
//! set-up. What it needs is a directory on a local disk. It changes nothing but that file and the two that SQLite keeps
//! beside it (`-wal` and `-shm`), so there is nothing to undo.
//!
//! - **One fsync per append.** Write-ahead log, `synchronous=FULL`, one writer connection that stays open.
//! - **Fenced.** The fence and the expected record are checked inside the transaction that appends. A late owner, in this
//!   process or in another one on the same machine, is refused.
//! - **The store's own clock.** Leases are timed by the database, never by the caller.
//! - **Reads never wait for the writer.** They have a connection of their own, which cannot write.
//!
//! ```
//! use std::time::Duration;
//!
//! use flow_core::journal::{AcquireError, JournalStore};
//! use flow_core::{RunId, name};
//! use flow_journal::SqliteJournal;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("journal.db");
//! let journal = SqliteJournal::open(&path).await?;
//! let (first, second) = (RunId::new("release-41")?, RunId::new("release-42")?);
//! let production = [name!("shop-production")];
//!
//! let lease = journal.acquire(&first, &production, "host-a", Duration::from_secs(30)).await?;
//! // The same environment, another run: refused, whoever asks.
//! let refused = journal.acquire(&second, &production, "host-b", Duration::from_secs(30)).await;
//! assert!(matches!(refused, Err(AcquireError::Held { .. })));
//!
//! journal.release(&lease).await?;
//! let next = journal.acquire(&second, &production, "host-b", Duration::from_secs(30)).await?;
//! assert!(next.fence > lease.fence);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod client;
mod config;
mod error;

pub use adapter::SqliteJournal;
pub use config::SqliteConfig;
pub use error::OpenError;

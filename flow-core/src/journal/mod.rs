//! The journal: what is recorded of a run, and where it is kept.

mod entry;
mod memory;
mod record;
mod store;

pub use entry::{End, Ended, Entry, FORMAT, Owner, Recorded, RunOutcome, Signal, Standing};
pub use memory::MemoryJournal;
pub use record::{Corrupt, Record, chain, read, write};
pub use store::{AcquireError, AppendError, JournalStore, Lease, LoadError, RawRecord, RunSummary};

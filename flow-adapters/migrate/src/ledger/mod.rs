//! What the database records as applied: the rows, and how they compare with the scripts.

mod applied;
mod backfills;
mod history;
mod view;

pub use applied::BackfillProgress;
pub(crate) use applied::{Applied, Begun, Divergence, Progress, Reached, hex, list, port_script, refusal};
pub(crate) use history::{History, TABLES};
pub(crate) use view::View;

//! What the database records as applied: the rows, and how they compare with the scripts.

mod applied;
mod backfills;
mod history;
mod view;

pub use applied::BackfillProgress;
pub(crate) use applied::{Applied, Begun, Divergence, Progress, Reached, list, port_script, refusal};
pub(crate) use history::{History, TABLES, WHOLE};
pub(crate) use view::View;

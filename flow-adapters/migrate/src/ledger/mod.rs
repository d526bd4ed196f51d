//! What the database records as applied: the rows, and how they compare with the scripts.

mod applied;
mod history;

pub(crate) use applied::{
    Applied, Begun, Divergence, Progress, Reached, list, pending, port_script, refusal,
};
pub(crate) use history::{History, TABLES, WHOLE};

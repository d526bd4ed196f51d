//! Runs migrations: up, down, and on from where an interrupted run stands.

mod backfill;
mod conduct;
mod course;
mod down;
mod migration;
mod references;
mod resolve;
mod resume;
mod site;
mod status;
mod stepwise;
mod up;

pub(crate) use backfill::unrolled;
pub(crate) use conduct::{Control, is_stepwise};
pub use course::{Course, Direction, Finished, Goal, Retreat};
pub(crate) use down::{down, versions};
pub(crate) use migration::Running;
pub(crate) use references::Watch;
pub use resolve::Resolution;
pub(crate) use resolve::resolve;
pub(crate) use status::status;
pub use status::{MigrationStatus, Overview, Standing, Way};
pub(crate) use up::up;

//! What the short examples share: a shop in its development environment, where most stages have nothing to do.

mod artifact;
mod page;
mod release;

pub use artifact::TakeArtifact;
pub use page::WritePage;
pub use release::{approved, deploy, plain_site, setting, static_program, workflow};

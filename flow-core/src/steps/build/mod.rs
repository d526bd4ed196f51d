//! Stage 2: the code's version, the artefacts, the configuration, the image.

mod artifacts;
mod configuration;
mod image;
mod source;

pub use artifacts::BuildArtifacts;
pub use configuration::WriteConfiguration;
pub use image::PushImage;
pub use source::VerifySource;

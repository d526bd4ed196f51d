//! The ports over the bucket and the CDN.

mod assets;
mod cdn;
mod changes;

pub use assets::CosAssets;
pub use cdn::TencentCdn;

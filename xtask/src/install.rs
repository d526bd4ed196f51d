//! Installs what the suite needs beside Rust and Git.

use thiserror::Error;

use crate::args::Tier;
use crate::kept_packages::{self, KeptError};
use crate::system_packages::{self, PackageError};
use crate::tools::{self, ToolError};

/// Why something that the suite needs is missing.
#[derive(Debug, Error)]
pub(crate) enum InstallError {
    /// A Debian package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// There is nowhere to keep it.
    #[error(transparent)]
    Folder(#[from] ToolError),
    /// A package of npm or PyPI.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

/// Installs what is missing for `tier`.
pub(crate) fn install(tier: &Tier) -> Result<(), InstallError> {
    system_packages::ensure(tier)?;
    let kept = tools::kept_folder(|name| std::env::var_os(name))?;
    Ok(kept_packages::ensure(&kept, tier)?)
}

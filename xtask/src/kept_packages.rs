//! Packages of other languages' registries that the suite needs, each version in a folder of its own that outlives the
//! checkout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use crate::args::Tier;
use crate::npm_packages::NPM_PACKAGES;
use crate::pypi_packages::PYPI_PACKAGES;

/// A package, its version, and whether only the long tier runs against it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeptPackage {
    pub(crate) registry: Registry,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What stands in the same folder, by name and version.
    pub(crate) with: &'static [(&'static str, &'static str)],
    pub(crate) long_only: bool,
}

/// Where packages come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registry {
    /// The command that installs a package into a folder.
    pub(crate) install: fn(&KeptPackage, &Path) -> Command,
    /// Whether a folder holds this name in this version.
    pub(crate) is_in: fn(&Path, &str, &str) -> bool,
}

/// Why a package is missing.
#[derive(Debug, Error)]
pub(crate) enum KeptError {
    /// The program that installs could not be started.
    #[error("what installs {0} could not be started")]
    Start(String, #[source] io::Error),
    /// It refused; it has said why.
    #[error("the installation of {0} ended with {1}")]
    Ended(String, ExitStatus),
    /// A folder could not be used.
    #[error("`{}` could not be used", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// What stands there after the installation is not the package.
    #[error("`{path}` is not {wanted}", path = .0.display(), wanted = .1)]
    Wrong(PathBuf, String),
}

/// Installs what is missing for `tier` below `kept`; nothing is started when nothing is.
pub(crate) fn ensure(kept: &Path, tier: &Tier) -> Result<(), KeptError> {
    let all = NPM_PACKAGES.iter().chain(PYPI_PACKAGES);
    let mut wanted = all.filter(|package| !package.long_only || *tier != Tier::Short);
    wanted.try_for_each(|package| package.ensure(kept))
}

impl KeptPackage {
    /// Installs beside and renames, so that what stands at the package's place is whole whenever the run was killed.
    fn ensure(&self, kept: &Path) -> Result<(), KeptError> {
        let folder = self.folder();
        let place = kept.join(&folder);
        if self.is_in(&place) {
            return Ok(());
        }
        println!("installing {} {} once, into `{}`", self.name, self.version, place.display());
        let draft = kept.join(format!(".{folder}-{}", std::process::id()));
        for left in [&draft, &place] {
            remove(left)?;
        }
        let unusable = |path: &Path| {
            let path = path.to_path_buf();
            move |source| KeptError::Folder(path, source)
        };
        fs::create_dir_all(&draft).map_err(unusable(&draft))?;
        let installed = self.install(&draft);
        if installed.is_err() || !self.is_in(&draft) {
            remove(&draft)?;
            return installed.and(Err(KeptError::Wrong(draft, folder)));
        }
        fs::rename(&draft, &place).map_err(unusable(&place))
    }

    /// Names and versions of all that is in the folder.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        std::iter::once((self.name, self.version)).chain(self.with.iter().copied())
    }

    /// The name of its folder; that of an npm package may have a scope.
    fn folder(&self) -> String {
        format!("{}-{}", self.name.trim_start_matches('@').replace('/', "-"), self.version)
    }

    fn is_in(&self, folder: &Path) -> bool {
        self.all().all(|(name, version)| (self.registry.is_in)(folder, name, version))
    }

    fn install(&self, into: &Path) -> Result<(), KeptError> {
        match (self.registry.install)(self, into).stdin(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(KeptError::Ended(self.folder(), status)),
            Err(source) => Err(KeptError::Start(self.folder(), source)),
        }
    }
}

fn remove(folder: &Path) -> Result<(), KeptError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(KeptError::Folder(folder.to_path_buf(), source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(install: fn(&KeptPackage, &Path) -> Command) -> KeptPackage {
        let is_in = |folder: &Path, _: &str, version: &str| {
            fs::read_to_string(folder.join("version")).is_ok_and(|found| found.trim() == version)
        };
        let registry = Registry { install, is_in };
        KeptPackage { registry, name: "@some/one", version: "1.2.3", with: &[], long_only: false }
    }

    /// Runs a shell's script in the folder.
    fn sh(script: &str, into: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(into);
        command
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_package_is_installed_once() {
        let kept = tempfile::tempdir().unwrap();
        one(|package, into| sh(&format!("echo {} > version", package.version), into))
            .ensure(kept.path())
            .unwrap();
        assert_eq!(names_in(kept.path()), ["some-one-1.2.3"]);
        one(|_, into| sh("exit 1", into)).ensure(kept.path()).unwrap();
    }

    #[test]
    fn what_a_killed_installation_left_is_replaced() {
        let kept = tempfile::tempdir().unwrap();
        fs::create_dir_all(kept.path().join("some-one-1.2.3/half")).unwrap();
        one(|_, into| sh("echo 1.2.3 > version", into)).ensure(kept.path()).unwrap();
        assert_eq!(names_in(&kept.path().join("some-one-1.2.3")), ["version"]);
    }

    #[test]
    fn a_failed_installation_leaves_nothing() {
        let kept = tempfile::tempdir().unwrap();
        let wrong = one(|_, into| sh("echo 1.2.4 > version", into)).ensure(kept.path());
        assert!(matches!(wrong, Err(KeptError::Wrong(..))), "{wrong:?}");
        let failed = one(|_, into| sh("echo 1.2.3 > version; exit 3", into)).ensure(kept.path());
        assert!(matches!(failed, Err(KeptError::Ended(..))), "{failed:?}");
        let absent = one(|_, _| Command::new("/no/such/program")).ensure(kept.path());
        assert!(matches!(absent, Err(KeptError::Start(..))), "{absent:?}");
        assert_eq!(names_in(kept.path()), [""; 0]);
    }
}

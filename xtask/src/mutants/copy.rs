//! The copy of the checkout that is broken, below the build directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::run::MutantError;
use crate::workspace::Workspace;

/// A copy of every file that git knows or would know. It stays from run to run: only what differs is written, so that
/// cargo builds only what has changed.
#[derive(Debug)]
pub(super) struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    pub(super) fn of(workspace: &Workspace) -> Result<Self, MutantError> {
        let below = workspace.root().join("target").join("mutants");
        let copy = Self { tree: below.join("tree"), target: below.join("target") };
        let mut git = std::process::Command::new("git");
        git.current_dir(workspace.root()).stdin(Stdio::null());
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let output = git.output().map_err(|source| MutantError::Start { program: "git", source })?;
        if !output.status.success() {
            return Err(MutantError::Ended { program: "git", status: output.status });
        }
        let listed = String::from_utf8_lossy(&output.stdout);
        for file in listed.split('\0').filter(|file| !file.is_empty()) {
            let from = workspace.root().join(file);
            // A file that is deleted and not yet committed is listed all the same.
            if from.is_file() {
                let content = fs::read(&from).map_err(|source| MutantError::File { path: from, source })?;
                copy.write(file, &content)?;
            }
        }
        Ok(copy)
    }

    /// Makes `file` hold `content`; one that does already is not touched.
    pub(super) fn write(&self, file: &str, content: &[u8]) -> Result<(), MutantError> {
        let path = self.tree.join(file);
        write_if_other(&path, content).map_err(|source| MutantError::File { path, source })
    }

    pub(super) fn read(&self, file: &str) -> Result<String, MutantError> {
        let path = self.tree.join(file);
        fs::read_to_string(&path).map_err(|source| MutantError::File { path, source })
    }

    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    pub(super) fn target(&self) -> &Path {
        &self.target
    }
}

fn write_if_other(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.rs");
        write_if_other(&path, b"one").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        fs::File::open(&path).unwrap().set_modified(written - std::time::Duration::from_secs(9)).unwrap();
        write_if_other(&path, b"one").unwrap();
        assert!(fs::metadata(&path).unwrap().modified().unwrap() < written);
        write_if_other(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}

//! A site under change: staged and kept content, and the moves that put files in force or away.

use std::collections::BTreeSet;
use std::fs::File;

use flow_core::port::{AssetFile, Manifest, asset_order};
use flow_core::{CancelToken, Digest, ErrorKind, Problems, StepError};

use super::content::{copy, digest_of};
use super::tree::{Bookkeeping, RESERVED, describe, manifest};
use crate::store::blocking::go_on;
use crate::store::directory::{Directory, Readers, STAGED, failed, put_in_force};

/// A site that this call alone may change.
///
/// New content is staged whole below `.flow/staged` before any file of the site is touched, so whatever is wrong with it
/// is found while nothing has changed. Content that is about to be overwritten is kept as `.flow/kept/<sha256>`.
pub(super) struct Site {
    root: Directory,
    staged: Directory,
    kept: Directory,
    queue: Vec<Staging>,
}

/// A file that stands staged: where it goes, and under which name it waits.
struct Staging {
    path: String,
    name: String,
}

impl Site {
    /// Prepares the site below `root`, which this call holds.
    pub(super) fn open(root: Directory) -> Result<Self, StepError> {
        let flow = root.make_child(RESERVED, Readers::Owner)?;
        let kept = flow.make_child("kept", Readers::Owner)?;
        let staged = flow.make_child("staged", Readers::Owner)?;
        let site = Self { root, staged, kept, queue: Vec::new() };
        site.clear_staged()?;
        Ok(site)
    }

    /// What the site serves, read file by file.
    pub(super) fn serving(&self) -> Result<Manifest, StepError> {
        serving(&self.root)
    }

    /// Stages all that `file` holds for `path` and says what that was. The caller compares.
    pub(super) fn stage(&mut self, path: &str, file: &mut File) -> Result<AssetFile, StepError> {
        let name = self.queue.len().to_string();
        let mut staged = self.staged.stage(&name, Readers::Everyone)?;
        let copied = copy(file, staged.writer())
            .map_err(|error| failed(error, "the file cannot be copied", &self.staged.path_of(&name)))?;
        staged.keep()?;
        self.queue.push(Staging { path: path.to_owned(), name });
        Ok(copied)
    }

    /// Stages kept content for `path`; says what is wrong with it, if anything.
    pub(super) fn stage_kept(
        &mut self,
        path: &str,
        file: &AssetFile,
    ) -> Result<Option<(ErrorKind, String)>, StepError> {
        let mut kept = match self.kept.open_file(file.digest.hex()) {
            Ok(Some(kept)) => kept,
            Ok(None) => {
                let problem = format!("its content {} is not kept", file.digest);
                return Ok(Some((ErrorKind::NotFound, problem)));
            }
            Err(error) => return Ok(Some((error.kind(), describe(&error)))),
        };
        if self.stage(path, &mut kept)? != *file {
            let problem = format!("its kept content {} was changed", file.digest);
            return Ok(Some((ErrorKind::Conflict, problem)));
        }
        Ok(None)
    }

    /// Keeps the content of every file of `serving` that a staged one would overwrite.
    pub(super) fn keep_overwritten(&self, serving: &Manifest, token: &CancelToken) -> Result<(), StepError> {
        for staging in &self.queue {
            if let Some(file) = serving.get(&staging.path) {
                go_on(token)?;
                self.keep(&staging.path, &file.digest)?;
            }
        }
        Ok(())
    }

    fn keep(&self, path: &str, digest: &Digest) -> Result<(), StepError> {
        let name = digest.hex();
        if let Some(mut kept) = self.kept.open_file(&name)?
            && digest_of(&mut kept, &self.kept.path_of(&name))?.digest == *digest
        {
            return Ok(());
        }
        let changed =
            || StepError::new(ErrorKind::Conflict, "a file of the site changed meanwhile").fact("path", path);
        let (directory, file) = self.root.descend(path)?.ok_or_else(changed)?;
        let mut file = directory.open_file(file)?.ok_or_else(changed)?;
        let mut copy_of = self.kept.stage(STAGED, Readers::Owner)?;
        let copied = copy(&mut file, copy_of.writer())
            .map_err(|error| failed(error, "the file cannot be kept", &self.kept.path_of(&name)))?;
        if copied.digest != *digest {
            return Err(changed());
        }
        copy_of.settle(&self.kept, &name)
    }

    /// Puts all staged files in force, each at once and whole, in the order of [`key`].
    pub(super) fn publish(&mut self, token: &CancelToken) -> Result<(), StepError> {
        self.queue.sort_by(|left, right| asset_order(&left.path).cmp(&asset_order(&right.path)));
        for staging in std::mem::take(&mut self.queue) {
            go_on(token)?;
            let (directory, name) = self.root.make_way(&staging.path, Readers::Everyone)?;
            put_in_force(&self.staged, &staging.name, &directory, name)?;
        }
        Ok(())
    }

    /// Removes files, in the reverse order of [`key`], and then the directories that this leaves empty.
    pub(super) fn remove(&self, mut paths: Vec<&str>, token: &CancelToken) -> Result<(), StepError> {
        paths.sort_by(|left, right| asset_order(right).cmp(&asset_order(left)));
        let mut parents = BTreeSet::new();
        for path in paths {
            go_on(token)?;
            if let Some((directory, name)) = self.root.descend(path)? {
                directory.remove_file(name)?;
            }
            parents.extend(path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
        }
        // A directory sorts before what is in it, so inner ones go first from behind.
        for parent in parents.into_iter().rev() {
            if let Some((directory, name)) = self.root.descend(parent)? {
                directory.remove_if_empty(name)?;
            }
        }
        Ok(())
    }

    /// Removes what stands staged.
    pub(super) fn clear_staged(&self) -> Result<(), StepError> {
        for (name, _) in self.staged.entries()? {
            if let Some(name) = name.to_str() {
                self.staged.remove_file(name)?;
            }
        }
        Ok(())
    }
}

/// What the site below `root` serves, read file by file.
pub(super) fn serving(root: &Directory) -> Result<Manifest, StepError> {
    let (manifest, problems) = manifest(root, Bookkeeping::Ignored)?;
    conflict(problems, "the site holds what this store did not put there")?;
    Ok(manifest)
}

/// Refuses a world that is not as it must be.
pub(super) fn conflict(problems: Problems, message: &'static str) -> Result<(), StepError> {
    problems.into_result().map_err(|problems| StepError::new(ErrorKind::Conflict, message).because(problems))
}

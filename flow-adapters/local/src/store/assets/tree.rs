//! Walking a directory of files, all that is wrong with it reported at once.

use std::fs::File;
use std::path::Path;

use flow_core::port::{HostPath, Manifest};
use flow_core::{Problems, StepError};
use rustix::fs::FileType;

use super::content::digest_of;
use crate::store::directory::Directory;

/// The directory of a site's own bookkeeping. It is never part of a manifest.
pub(super) const RESERVED: &str = ".flow";

/// How deep directories may nest.
const DEPTH: usize = 64;

/// What a walk does about [`RESERVED`] at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bookkeeping {
    /// Passes over it: the directory is a site.
    Ignored,
    /// Reports it: the directory is one to be deployed, and the name is taken.
    Refused,
}

/// Reads all files below `root`.
pub(super) fn manifest(
    root: &Directory,
    bookkeeping: Bookkeeping,
) -> Result<(Manifest, Problems), StepError> {
    let mut manifest = Manifest::new();
    let problems = walk(root, bookkeeping, &mut |path, file, _| {
        let found = digest_of(file, Path::new(path))?;
        manifest.insert(path.to_owned(), found);
        Ok(())
    })?;
    Ok((manifest, problems))
}

/// Hands every regular file below `root` to `visit`, and reports every other thing there as a problem. An error that
/// `visit` returns ends the walk.
pub(super) fn walk(
    root: &Directory,
    bookkeeping: Bookkeeping,
    visit: Visit<'_>,
) -> Result<Problems, StepError> {
    let mut walk = Walk { bookkeeping, visit, problems: Problems::default() };
    walk.directory(root, "", 0)?;
    Ok(walk.problems)
}

/// What is done with each file: its path below the root, the open file, and where to report what is wrong with it.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&str, &mut File, &mut Problems) -> Result<(), StepError>;

struct Walk<'a> {
    bookkeeping: Bookkeeping,
    visit: Visit<'a>,
    problems: Problems,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Directory, prefix: &str, depth: usize) -> Result<(), StepError> {
        let entries = match directory.entries() {
            Ok(entries) => entries,
            // Without the root there is no walk at all; below it, one directory does not hide what is wrong elsewhere.
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                self.problems.add(prefix, describe(&error));
                return Ok(());
            }
        };
        for (name, kind) in entries {
            let Some(name) = name.to_str() else {
                self.problems.add(format!("{prefix}{}", name.display()), "the name is not UTF-8");
                continue;
            };
            if depth == 0 && name == RESERVED {
                if self.bookkeeping == Bookkeeping::Refused {
                    self.problems.add(RESERVED, "the name is taken for the site's own bookkeeping");
                }
                continue;
            }
            let path = format!("{prefix}{name}");
            match kind {
                _ if HostPath::new(path.as_str()).is_err() => self.problems.add(
                    path.escape_debug().to_string(),
                    "the path is over 1,024 bytes or holds a backslash or a control character",
                ),
                FileType::RegularFile => self.file(directory, name, &path)?,
                FileType::Directory if depth >= DEPTH => {
                    self.problems.add(path, format!("directories nest deeper than {DEPTH}"));
                }
                FileType::Directory => self.below(directory, name, &path, depth)?,
                FileType::Symlink => self.problems.add(path, "is a link, and links are not followed"),
                _ => self.problems.add(path, "is neither a file nor a directory"),
            }
        }
        Ok(())
    }

    fn below(
        &mut self,
        directory: &Directory,
        name: &str,
        path: &str,
        depth: usize,
    ) -> Result<(), StepError> {
        match directory.child(name) {
            Ok(Some(child)) => self.directory(&child, &format!("{path}/"), depth + 1)?,
            Ok(None) => self.problems.add(path, "vanished while it was read"),
            Err(error) => self.problems.add(path, describe(&error)),
        }
        Ok(())
    }

    fn file(&mut self, directory: &Directory, name: &str, path: &str) -> Result<(), StepError> {
        match directory.open_file(name) {
            Ok(Some(mut file)) => (self.visit)(path, &mut file, &mut self.problems)?,
            Ok(None) => self.problems.add(path, "vanished while it was read"),
            Err(error) => self.problems.add(path, describe(&error)),
        }
        Ok(())
    }
}

/// The error and its cause on one line, without the path, which the problem names already.
pub(super) fn describe(error: &StepError) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => format!("{}: {source}", error.message()),
        None => error.message().to_owned(),
    }
}

/// Refuses paths that leave the site or reach into its bookkeeping: a manifest may come from a journal.
pub(super) fn check_paths(manifest: &Manifest) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for path in manifest.keys() {
        if HostPath::new(path.as_str()).is_err() {
            problems.add(path.escape_debug().to_string(), "is not a plain relative path below the site");
        } else if path.split('/').next() == Some(RESERVED) {
            problems.add(path, "reaches into the site's own bookkeeping");
        }
    }
    problems.into_result()
}

/// Finds paths of `wanted` that would need a directory where `present` has a file, or a file where it has a directory.
pub(super) fn overlaps(wanted: &Manifest, present: &Manifest) -> Problems {
    let mut problems = Problems::default();
    for path in wanted.keys() {
        for (at, _) in path.match_indices('/') {
            if let Some(parent) = path.get(..at).filter(|parent| present.contains_key(*parent)) {
                problems.add(path, format!("the site has a file at `{parent}`"));
            }
        }
        let below = format!("{path}/");
        let first = present.range(below.clone()..).next();
        if first.is_some_and(|(other, _)| other.starts_with(&below)) {
            problems.add(path, "the site has a directory there");
        }
    }
    problems
}

//! A checked-out tree as it stands on disk.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use flow_core::StepError;

use super::files::{make_directory, refused, stands, sync_directory};
use super::scratch::Scratch;

/// Something in a tree that no commit may lay there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Oddity {
    /// A link whose target is not in the tree, or not surely so.
    EscapingLink(String),
    /// An empty directory: what Git lays for a submodule, and for nothing else.
    EmptyDirectory(String),
    /// Something that Git would take for a repository of its own.
    Repository(String),
    /// A device, pipe, socket, or a file that runs as another user.
    Special(String),
}

impl Oddity {
    /// Where it is.
    pub(crate) fn path(&self) -> &str {
        let (Self::EscapingLink(path)
        | Self::EmptyDirectory(path)
        | Self::Repository(path)
        | Self::Special(path)) = self;
        path
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EscapingLink(_) => "the commit holds a link that may leave the tree",
            Self::EmptyDirectory(_) => "the commit holds a submodule, which is not supported",
            Self::Repository(_) => "the tree holds a repository of its own",
            Self::Special(_) => "the tree holds a special file",
        })
    }
}

/// The first thing in the tree that no commit may lay there.
pub(crate) fn inspect(tree: &Path) -> Result<Option<Oddity>, StepError> {
    find_odd(tree, Path::new("")).map_err(|error| refused("the tree cannot be read", tree, error))
}

fn find_odd(tree: &Path, below: &Path) -> io::Result<Option<Oddity>> {
    for entry in fs::read_dir(tree.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let shown = || path.to_string_lossy().into_owned();
        let metadata = entry.metadata()?;
        if entry.file_name().as_bytes().eq_ignore_ascii_case(b".git") {
            return Ok(Some(Oddity::Repository(shown())));
        }
        let odd = if metadata.is_dir() {
            match fs::read_dir(entry.path())?.next() {
                None => Some(Oddity::EmptyDirectory(shown())),
                Some(_) => find_odd(tree, &path)?,
            }
        } else if metadata.is_symlink() {
            let stays = stays_inside(below, &fs::read_link(entry.path())?);
            (!stays).then(|| Oddity::EscapingLink(shown()))
        } else {
            let is_plain = metadata.is_file() && metadata.mode() & 0o7000 == 0;
            (!is_plain).then(|| Oddity::Special(shown()))
        };
        if odd.is_some() {
            return Ok(odd);
        }
    }
    Ok(None)
}

/// Whether a link that stands in directory `below` stays in the tree.
///
/// It climbs no further than to the root, and only at its beginning: `a/../b` is refused, because `a` may be a link and
/// `..` is then somewhere else. What comes after the climb goes down through directories and through links that were
/// checked the same way.
fn stays_inside(below: &Path, target: &Path) -> bool {
    let climbs = target.components().take_while(|part| *part == Component::ParentDir).count();
    let goes_down =
        target.components().skip(climbs).all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    goes_down && climbs <= below.components().count()
}

/// Makes a whole tree durable.
pub(crate) fn sync(tree: &Path) -> Result<(), StepError> {
    sync_below(tree).map_err(|error| refused("the tree cannot be made durable", tree, error))
}

fn sync_below(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_below(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(directory)
}

/// Puts `new`, which stands in `scratch`, where `path` is; what stood there goes to `scratch`.
pub(crate) fn replace(scratch: &Scratch, new: &Path, path: &Path) -> Result<(), StepError> {
    let problem = |error| refused("the path cannot be replaced", path, error);
    let parent = path.parent().unwrap_or(path);
    make_directory(parent).map_err(problem)?;
    let had_one = stands(path).map_err(problem)?;
    if had_one {
        fs::rename(path, scratch.free("old-")?).map_err(problem)?;
    }
    let put = fs::rename(new, path).and_then(|()| sync_directory(parent));
    put.map_err(|error| {
        let error = problem(error);
        if had_one { error.after_effect() } else { error }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_climb_to_the_root_and_no_further() {
        let stays = |below: &str, target: &str| stays_inside(Path::new(below), Path::new(target));
        assert!(stays("", "a/b"));
        assert!(stays("", "./a"));
        assert!(stays("a/b", "../../c"));
        assert!(stays("a", ".."));
        assert!(!stays("", ".."));
        assert!(!stays("a", "../../a"));
        assert!(!stays("a", "/etc/passwd"));
        assert!(!stays("a", "b/../../../etc"));
        assert!(!stays("a/b", "c/.."));
    }
}

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use flow_core::StepError;
use flow_core::port::HostPath;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fsync, mkdirat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::client::refused;

/// How often a resolution is tried that the kernel broke off because the tree changed under it.
const ATTEMPTS: u32 = 32;

/// A directory that no path leads out of.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

/// A directory below the root, and a name in it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) parent: OwnedFd,
    pub(super) name: &'a str,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, StepError> {
        let unusable = |error: Errno| {
            crate::os::refused("the root cannot be used", path, error.into()).fact("field", "root")
        };
        let path = std::fs::canonicalize(path).map_err(|error| {
            crate::os::refused("the root cannot be used", path, error).fact("field", "root")
        })?;
        let directory = openat(CWD, &path, DIRECTORY, Mode::empty()).map_err(unusable)?;
        Ok(Self { directory, path })
    }

    /// The root without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what `path` names below the root; the root itself without a path.
    pub(super) fn at(&self, path: Option<&str>, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = path.unwrap_or(".");
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                // No such call, or one that the sandbox forbids.
                Err(Errno::NOSYS | Errno::PERM) => return walk(self.directory.as_fd(), path, flags),
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    pub(super) fn directory(&self, path: Option<&str>) -> Result<OwnedFd, Errno> {
        self.at(path, DIRECTORY)
    }

    /// Where `path` stands; none where its directory does not exist, or a file stands in its place.
    pub(super) fn find<'a>(&self, path: &'a HostPath) -> Result<Option<Place<'a>>, StepError> {
        let (parent, name) = split(path);
        match self.directory(parent) {
            Ok(parent) => Ok(Some(Place { parent, name })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(refused("the directory cannot be opened", path, error)),
        }
    }

    /// Where `path` stands, its directory made if there is none.
    pub(super) fn make<'a>(&self, path: &'a HostPath) -> Result<Place<'a>, StepError> {
        let unusable = |error| refused("the directory cannot be made", path, error);
        let (parent, name) = split(path);
        for (end, _) in
            parent.unwrap_or_default().match_indices('/').chain(parent.map(|all| (all.len(), "/")))
        {
            let directory = parent.and_then(|all| all.get(..end)).unwrap_or_default();
            match self.directory(Some(directory)) {
                Ok(_) => {}
                Err(Errno::NOENT) => self.make_directory(directory).map_err(unusable)?,
                Err(error) => return Err(unusable(error)),
            }
        }
        Ok(Place { parent: self.directory(parent).map_err(unusable)?, name })
    }

    fn make_directory(&self, path: &str) -> Result<(), Errno> {
        let (above, name) = path.rsplit_once('/').map_or((None, path), |(above, name)| (Some(above), name));
        let above = self.directory(above)?;
        match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            // Somebody else made it meanwhile; if it is no directory, opening it will tell.
            Ok(()) | Err(Errno::EXIST) => fsync(&above),
            Err(error) => Err(error),
        }
    }
}

impl Place<'_> {
    /// Where the link at this place points to, as written in it; none where there is no link.
    pub(super) fn read_link(&self) -> Result<Option<CString>, Errno> {
        match readlinkat(&self.parent, self.name, Vec::new()) {
            Ok(target) => Ok(Some(target)),
            // `INVAL` is what stands here and is no link.
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes what was renamed or removed here outlive a loss of power.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        fsync(&self.parent)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn split(path: &HostPath) -> (Option<&str>, &str) {
    match path.as_str().rsplit_once('/') {
        Some((parent, name)) => (Some(parent), name),
        None => (None, path.as_str()),
    }
}

/// Opens `path` part by part, refusing every link: for kernels that cannot resolve below a directory.
fn walk(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (parents, last) = path.rsplit_once('/').unwrap_or(("", path));
    let mut directory = openat(root, ".", DIRECTORY, Mode::empty())?;
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        directory = match openat(&directory, part, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            // A link to a directory looks like no directory here: not to be taken for a file in the way.
            Err(Errno::NOTDIR) if is_link(&directory, part) => return Err(Errno::LOOP),
            result => result?,
        };
    }
    openat(&directory, last, flags | OFlags::NOFOLLOW, Mode::empty())
}

fn is_link(directory: impl AsFd, name: &str) -> bool {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_openat2_a_path_with_a_link_in_it_is_refused() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("inside/deep")).unwrap();
        std::fs::write(tree.path().join("inside/deep/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", tree.path().join("out")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", tree.path().join("inside/hostname")).unwrap();
        let root = Root::open(tree.path()).unwrap();
        let open = |path| walk(&root.directory, path, OFlags::RDONLY);

        assert!(open("inside/deep/file").is_ok());
        assert!(open(".").is_ok());
        assert_eq!(open("out/hostname").unwrap_err(), Errno::LOOP);
        assert_eq!(open("inside/hostname").unwrap_err(), Errno::LOOP);
    }
}

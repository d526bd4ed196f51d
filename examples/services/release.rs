//! A release: a directory of files, known by the digest of what is in it.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flow_core::prelude::*;
use flow_core::receipt::BuildFacts;
use flow_core::stage::{Activity as _, Build, BuildActivity};
use flow_core::{Artifact, Digest};
use sha2::{Digest as _, Sha256};

/// The most files and directories of a release.
const ENTRIES_MAX: usize = 200_000;

/// What stands in a release's directory.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// The directory's name.
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) digest: Digest,
}

impl Release {
    /// Reads the release in `directory`, which must have `script`.
    pub(crate) fn read(directory: &Path, script: &str) -> Result<Self> {
        let shown = || format!("`--release`: `{}`", directory.display());
        let directory = directory.canonicalize().with_context(shown)?;
        ensure!(directory.is_dir(), "{} is no directory", shown());
        ensure!(directory.join(script).is_file(), "{} has no `{script}`", shown());
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            name: name.unwrap_or_default(),
            digest: digest(&directory).with_context(shown)?,
            directory,
        })
    }

    /// What the service then runs: releases of one name differ in their content.
    pub(crate) fn version(&self) -> Result<Name> {
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.name.chars().map(plain).take(30).collect();
        let digest: String = self.digest.hex().chars().take(8).collect();
        Ok(Name::new(format!("r-{name}-{digest}"))?)
    }
}

/// A digest of all paths, contents, links and executable bits, whatever the order of the directory.
fn digest(directory: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new_with_prefix(b"release\0");
    let mut left = vec![PathBuf::new()];
    let mut entries = 0;
    while let Some(below) = left.pop() {
        let mut names: Vec<_> = fs::read_dir(directory.join(&below))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        names.sort();
        entries += names.len();
        if entries > ENTRIES_MAX {
            return Err(io::Error::other(format!("more than {ENTRIES_MAX} files")));
        }
        for name in names {
            let path = below.join(name);
            let full = directory.join(&path);
            let metadata = full.symlink_metadata()?;
            let mut enter = |kind: u8, content: &[u8]| {
                let path = path.as_os_str().as_encoded_bytes();
                hasher.update([kind]);
                for part in [path, content] {
                    hasher.update((part.len() as u64).to_be_bytes());
                    hasher.update(part);
                }
            };
            if metadata.is_dir() {
                enter(b'd', b"");
                left.push(path);
            } else if metadata.is_symlink() {
                enter(b'l', fs::read_link(&full)?.as_os_str().as_encoded_bytes());
            } else if metadata.is_file() {
                let kind = if metadata.permissions().mode() & 0o100 == 0 { b'f' } else { b'x' };
                enter(kind, &content(&full)?);
            } else {
                return Err(io::Error::other(format!("`{}` is no plain file", path.display())));
            }
        }
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// The digest of a file, which may be large.
fn content(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hasher, mut buffer) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Takes the release as it stands: it was built elsewhere.
#[derive(Debug)]
pub(crate) struct TakeRelease {
    /// What the service calls it.
    pub(crate) artifact: Name,
    pub(crate) directory: PathBuf,
    pub(crate) digest: Digest,
}

#[async_trait]
impl Rollback<Build> for TakeRelease {
    fn reversibility(&self) -> Reversibility {
        Reversibility::NothingToUndo
    }

    async fn capture(&self, _: &StepContext<Build>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    async fn roll_back(
        &self,
        _: &StepContext<Build>,
        _: &Permit,
        _: &Captured,
        _: &Outcome<Build>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl Step<Build> for TakeRelease {
    fn name(&self) -> Name {
        name!("take-release")
    }

    fn covers(&self) -> Vec<BuildActivity> {
        BuildActivity::ALL.to_vec()
    }

    fn definition(&self) -> serde_json::Value {
        serde_json::json!({ "digest": self.digest })
    }

    async fn preview(&self, _: &StepContext<Build>) -> Result<Preview, StepError> {
        Ok(Preview::new().deploys(self.digest))
    }

    async fn run(
        &self,
        _: &StepContext<Build>,
        _: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        let directory = self.directory.clone();
        let found = tokio::task::spawn_blocking(move || digest(&directory)).await;
        let unread = |error: io::Error| {
            StepError::new(ErrorKind::NotFound, "the release cannot be read").because(error)
        };
        let found = found.map_err(|error| StepError::in_doubt("the release was not read").because(error))?;
        if found.map_err(unread)? != self.digest {
            return Err(StepError::new(ErrorKind::Conflict, "the release was changed meanwhile"));
        }
        let artifact = Artifact { digest: self.digest, path: self.directory.clone() };
        let seen = format!("`{}` has the digest {}", self.directory.display(), self.digest);
        let facts =
            BuildFacts { artifacts: [(self.artifact.clone(), artifact)].into(), ..BuildFacts::default() };
        let evidence = |receipt: Receipt<Build>, activity| receipt.evidence(activity, seen.clone());
        Ok(self.covers().into_iter().fold(Receipt::new().facts(facts), evidence))
    }
}

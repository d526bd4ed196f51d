//! Kept artefacts, each at `<releases>/<sha256>/<file name>`, and the records that say which build made them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flow_core::port::{Built, HostPath};
use flow_core::{Artifact, Digest, ErrorKind, Name, StepError};
use serde::{Deserialize, Serialize};

use super::artifact::{Kind, read};
use super::files::{is_directory, make_directory, refused, remove, stands, sync_directory};
use super::scratch::Scratch;
use super::tree::replace;
use crate::config::Limits;

/// The newest format of a record that is read and written.
const FORMAT: u32 = 1;
/// The longest record that is read.
const RECORD_MAX: u64 = 1 << 20;

/// The directory that artefacts are kept in.
#[derive(Debug, Clone)]
pub(crate) struct Releases {
    pub(crate) root: PathBuf,
    pub(crate) limits: Limits,
}

/// An artefact that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    digest: Digest,
    file_name: String,
    kind: Kind,
}

/// What a build left, as its record tells it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    commit: Name,
    definition: Digest,
    artifacts: BTreeMap<Name, Kept>,
    log: String,
}

impl Releases {
    /// Copies what the build made at `path` below `out` into `scratch`, hashing it on the way.
    pub(crate) fn collect(
        &self,
        scratch: &Scratch,
        out: &Path,
        name: &Name,
        path: &HostPath,
    ) -> Result<(Kept, PathBuf), StepError> {
        let copy = scratch.free("kept-")?;
        let (digest, kind) = read(out, path, self.limits, Some(&copy)).map_err(|error| {
            StepError::new(ErrorKind::Failed, "the build left no artefact that can be kept")
                .fact("artifact", name)
                .because(error)
        })?;
        let file_name = file_name(path).to_owned();
        Ok((Kept { digest, file_name, kind }, copy))
    }

    /// Puts a collected artefact in its place. One that stands there whole is left as it is; a damaged one is replaced.
    pub(crate) fn put(&self, scratch: &Scratch, kept: &Kept, copy: &Path) -> Result<(), StepError> {
        if self.is_whole(kept)? {
            return Ok(());
        }
        let home = self.home(kept.digest);
        make_directory(&home).map_err(|error| refused("the release cannot be made", &home, error))?;
        if !is_directory(&home) {
            return Err(StepError::new(ErrorKind::Conflict, "something stands where the release must be")
                .fact("path", home.display()));
        }
        replace(scratch, copy, &home.join(&kept.file_name))
    }

    /// Whether the artefact stands in its place with the content and the kind that it had when it was kept.
    pub(crate) fn is_whole(&self, kept: &Kept) -> Result<bool, StepError> {
        let home = self.home(kept.digest);
        let Ok(path) = HostPath::new(kept.file_name.clone()) else { return Ok(false) };
        match read(&home, &path, self.limits, None) {
            Ok(found) => Ok(found == (kept.digest, kept.kind)),
            // Not readable for us says nothing about whether it is whole.
            Err(error) if error.kind() == ErrorKind::Denied => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// What an earlier build of `commit` under `definition` left, if all of `expected` stands whole.
    pub(crate) fn find(
        &self,
        commit: &Name,
        definition: Digest,
        expected: &BTreeMap<Name, HostPath>,
    ) -> Result<Option<Built>, StepError> {
        let Some(record) = self.read_record(commit, definition)? else { return Ok(None) };
        let mut artifacts = BTreeMap::new();
        for (name, path) in expected {
            let Some(kept) = record.artifacts.get(name) else { return Ok(None) };
            // The record may be damaged: only a name that the definition gives is ever joined to a path.
            if kept.file_name != file_name(path) || !self.is_whole(kept)? {
                return Ok(None);
            }
            let path = self.home(kept.digest).join(&kept.file_name);
            artifacts.insert(name.clone(), Artifact { digest: kept.digest, path });
        }
        Ok(Some(Built { artifacts, log: record.log }))
    }

    /// Records what a build left.
    pub(crate) fn record(
        &self,
        scratch: &Scratch,
        commit: &Name,
        definition: Digest,
        artifacts: BTreeMap<Name, Kept>,
        log: String,
    ) -> Result<(), StepError> {
        let path = self.record_path(commit, definition);
        let record = Record { format: FORMAT, commit: commit.clone(), definition, artifacts, log };
        let beside = scratch.free("record-")?;
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(&record)?;
            text.push(b'\n');
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            let parent = path.parent().unwrap_or(&self.root);
            make_directory(parent)?;
            fs::rename(&beside, &path)?;
            sync_directory(parent)
        };
        write().map_err(|error| refused("the build's record cannot be written", &path, error))
    }

    /// Forgets the build of `commit` under `definition`, and removes the artefacts that no other record names. The record
    /// goes last: until then a discard that was interrupted can be repeated.
    pub(crate) fn discard(&self, commit: &Name, definition: Digest) -> Result<(), StepError> {
        let Some(record) = self.read_record(commit, definition)? else { return Ok(()) };
        let shared = self.digests_beside(&record)?;
        let scratch = Scratch::make(&self.root)?;
        let own: BTreeSet<Digest> = record.artifacts.values().map(|kept| kept.digest).collect();
        for digest in own.difference(&shared) {
            self.remove(&scratch, *digest).map_err(StepError::after_effect)?;
        }
        let path = self.record_path(commit, definition);
        let removed =
            fs::remove_file(&path).and_then(|()| sync_directory(path.parent().unwrap_or(&self.root)));
        removed.map_err(|error| refused("the build's record cannot be removed", &path, error).after_effect())
    }

    /// What the records of all other builds name. One that cannot be understood may name anything, so it is an error.
    fn digests_beside(&self, record: &Record) -> Result<BTreeSet<Digest>, StepError> {
        let own = self.record_path(&record.commit, record.definition);
        let directory = own.parent().unwrap_or(&self.root);
        let unreadable = |error| refused("the records of builds cannot be listed", directory, error);
        let mut digests = BTreeSet::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path == own {
                continue;
            }
            match self.record_at(&path)? {
                Some(other) => digests.extend(other.artifacts.values().map(|kept| kept.digest)),
                None if !stands(&path).map_err(unreadable)? => {}
                None => {
                    let message = "a build's record is damaged or of another format";
                    return Err(StepError::new(ErrorKind::Conflict, message).fact("path", path.display()));
                }
            }
        }
        Ok(digests)
    }

    /// Removes what is kept under `digest`. It is gone at once, and then deleted.
    fn remove(&self, scratch: &Scratch, digest: Digest) -> Result<(), StepError> {
        let home = self.home(digest);
        let problem = |error| refused("the release cannot be removed", &home, error);
        if !stands(&home).map_err(problem)? {
            return Ok(());
        }
        let away = scratch.free("discarded-")?;
        fs::rename(&home, &away).map_err(problem)?;
        let removed = sync_directory(&self.root).and_then(|()| remove(&away));
        removed.map_err(|error| problem(error).after_effect())
    }

    fn home(&self, digest: Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    fn record_path(&self, commit: &Name, definition: Digest) -> PathBuf {
        self.root.join(".flow/builds").join(format!("{commit}-{}.json", definition.hex()))
    }

    /// The record, unless it is missing, damaged, of another format, or another build's.
    fn read_record(&self, commit: &Name, definition: Digest) -> Result<Option<Record>, StepError> {
        let record = self.record_at(&self.record_path(commit, definition))?;
        Ok(record.filter(|record| record.commit == *commit && record.definition == definition))
    }

    /// The record in a file, unless that is missing, damaged, or of another format.
    fn record_at(&self, path: &Path) -> Result<Option<Record>, StepError> {
        let mut text = Vec::new();
        let file = fs::File::open(path).and_then(|file| file.take(RECORD_MAX).read_to_end(&mut text));
        match file {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused("the build's record cannot be read", path, error)),
        }
        let record: Option<Record> = serde_json::from_slice(&text).ok();
        Ok(record.filter(|record| record.format == FORMAT))
    }
}

fn file_name(path: &HostPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or(path.as_str())
}

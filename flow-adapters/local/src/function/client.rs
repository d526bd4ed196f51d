use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flow_core::{Digest, ErrorKind, Name, StepError};
use sha2::{Digest as _, Sha256};

use super::config::{CODE, FunctionsConfig};
use super::record::Record;
use crate::os::{make_directory, read, refused, remove, replace};

/// The code and the state files of one platform.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) config: FunctionsConfig,
}

impl Client {
    pub(super) fn open(config: FunctionsConfig) -> Result<Self, StepError> {
        config.check()?;
        for part in ["code", "functions"] {
            make_directory(&config.root.join(part))?;
        }
        Ok(Self { config })
    }

    /// One lock for all: code is shared between functions, and no change takes long.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.config.root.join(".lock")
    }

    fn state_path(&self, function: &Name) -> PathBuf {
        self.config.root.join("functions").join(format!("{function}.json"))
    }

    pub(super) fn code_path(&self, digest: &Digest) -> PathBuf {
        self.config.root.join("code").join(digest.hex())
    }

    pub(super) fn find(&self, function: &Name) -> Result<Option<Record>, StepError> {
        self.read_record(&self.state_path(function))
    }

    fn read_record(&self, path: &Path) -> Result<Option<Record>, StepError> {
        let Some(content) = read(path)? else { return Ok(None) };
        let record = Record::parse(&content).map_err(|error| error.fact("path", path.display()))?;
        if self.state_path(&record.function) != path {
            return Err(StepError::new(ErrorKind::Conflict, "the state file is another function's")
                .fact("path", path.display()));
        }
        Ok(Some(record))
    }

    /// Writes a function's state and reads it back.
    pub(super) fn write(&self, record: &Record) -> Result<(), StepError> {
        replace(&self.state_path(&record.function), &record.to_bytes()?)?;
        if self.find(&record.function).map_err(StepError::after_effect)?.as_ref() == Some(record) {
            Ok(())
        } else {
            Err(StepError::in_doubt("the function's state is not what was written")
                .fact("function", &record.function))
        }
    }

    pub(super) fn forget(&self, function: &Name) -> Result<(), StepError> {
        remove(&self.state_path(function))
    }

    // --- code

    /// Keeps the code at `from` under `digest`, hashed while it is copied.
    pub(super) fn keep(&self, from: &Path, digest: &Digest) -> Result<(), StepError> {
        let source = File::open(from).map_err(|error| refused("the code cannot be read", from, error))?;
        let path = self.code_path(digest);
        let beside = path.with_added_extension("new");
        let kept = copy(source, &beside).map_err(|error| refused("the code cannot be kept", &beside, error));
        let kept = kept.and_then(|found| {
            if found == *digest {
                return fs::rename(&beside, &path)
                    .map_err(|error| refused("the code cannot be kept", &path, error));
            }
            Err(StepError::new(ErrorKind::Conflict, "the code is not what its digest says")
                .fact("path", from.display())
                .fact("wanted", digest)
                .fact("found", found))
        });
        if let Err(error) = kept {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        let directory = self.config.root.join("code");
        File::open(&directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| refused("the code cannot be made durable", &directory, error).after_effect())
    }

    /// Finds out whether the code of `digest` stands whole.
    pub(super) fn verify(&self, digest: &Digest) -> Result<(), StepError> {
        let path = self.code_path(digest);
        let file = File::open(&path).map_err(|error| refused("the code cannot be read", &path, error))?;
        let found =
            hash(file, |_| Ok(())).map_err(|error| refused("the code cannot be read", &path, error))?;
        if found == *digest {
            return Ok(());
        }
        Err(StepError::new(ErrorKind::Conflict, "the kept code was changed")
            .fact("path", path.display())
            .fact("found", found))
    }

    /// Removes code that its function has given up, unless another one needs it. Other code stays: a function that is
    /// yet to be brought back may need it.
    pub(super) fn sweep(&self, mut given_up: BTreeSet<Digest>) -> Result<(), StepError> {
        for path in entries(&self.config.root.join("functions"))? {
            if path.extension().is_some_and(|extension| extension == "json") {
                let needed = self.read_record(&path)?.map(|record| record.needs()).unwrap_or_default();
                given_up.retain(|digest| !needed.contains(digest));
            }
        }
        given_up.iter().try_for_each(|digest| remove(&self.code_path(digest)))
    }

    /// The program and the arguments that run `code`.
    pub(super) fn argv(&self, code: &Path) -> Result<(PathBuf, Vec<String>), StepError> {
        let code = code.to_str().ok_or_else(|| {
            StepError::new(ErrorKind::Invalid, "the path of the code is no text").fact("path", code.display())
        })?;
        let mut parts = self.config.command.iter().map(|part| part.replace(CODE, code));
        let program = parts.next().unwrap_or_default();
        Ok((PathBuf::from(program), parts.collect()))
    }
}

/// Copies a file beside and makes it durable; returns the digest of what was copied.
fn copy(source: File, beside: &Path) -> io::Result<Digest> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o500).open(beside)?;
    let digest = hash(source, |chunk| copy.write_all(chunk))?;
    copy.sync_all()?;
    Ok(digest)
}

fn hash(mut source: File, mut seen: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = source.read(&mut buffer)?;
        let chunk = buffer.get(..length).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(chunk);
        seen(chunk)?;
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, StepError> {
    let unreadable = |error| refused("the directory cannot be read", directory, error);
    fs::read_dir(directory)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}

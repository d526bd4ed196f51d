//! Files of any size, brought to the machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::{Command, HostPath};
use flow_core::{CancelToken, Digest, ErrorKind, StepError};
use futures::stream::{FuturesUnordered, StreamExt};
use russh_sftp::protocol::OpenFlags;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::command::{Ended, execute};
use super::connection::Connection;
use super::files::{Place, broken};
use super::sftp::{CHUNK, Found, Kind, Open, Sftp, UNDER_WAY, failed};

/// How much is read of the local file between two looks at whether to stop.
const STRIDE: usize = 1 << 20;
/// What a machine reads of its own disk in a second, at least, when it makes a digest.
const DIGESTED: u64 = 4 << 20;

/// One copy of a local file to a place below the root.
///
/// It arrives under a name that is the same for every copy to that place. What an earlier one left there is gone on from if the machine
/// finds the same digest in it as the file has so far; otherwise it goes.
pub(crate) struct Copying<'a> {
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) sftp: &'a Sftp,
    pub(crate) from: &'a Path,
    pub(crate) to: &'a HostPath,
    pub(crate) token: &'a CancelToken,
}

/// The file to copy, as it was when the copy began.
struct Source {
    file: fs::File,
    size: u64,
    executable: bool,
}

impl Copying<'_> {
    pub(crate) async fn copy(self) -> Result<(), StepError> {
        self.go_on()?;
        let source = open(self.from).await?;
        // One at a time to each place, in this process: whoever was given up may still be writing.
        let digest = Digest::of(self.to.as_str().as_bytes());
        let places = &self.connection.places;
        let turn = usize::from(digest.as_bytes().first().copied().unwrap_or_default()) % places.len();
        let _turn = match places.get(turn) {
            Some(place) => Some(place.lock().await),
            None => None,
        };
        self.go_on()?;
        let place = self.sftp.make(self.to).await?;
        let old = self.sftp.replaceable(&place, self.to).await?;
        let name = format!(".flow-{}.part", digest.short());
        let part = place.beside(&name);
        let brought = async {
            let mode = self.bring(&source, &place, &name).await?;
            let file = self.sftp.open(&part, OpenFlags::WRITE).await.map_err(|error| self.broken(error))?;
            let made = async {
                self.sftp.set_mode(&file, executable(old.unwrap_or(mode), source.executable)).await?;
                self.sftp.sync(&file).await
            };
            let made = made.await;
            self.sftp.close(file).await.map_err(|error| self.broken(error))?;
            made.map_err(|error| self.broken(error))?;
            self.sftp.rename(&part, &place.path()).await.map_err(|error| self.broken(error))
        };
        if let Err(error) = brought.await {
            // What is in doubt, or was cancelled, is left for the next one to go on from.
            if error.kind().is_rejection() && self.sftp.sweep(&part).await.is_err() {
                return Err(error.after_effect());
            }
            return Err(error);
        }
        let lasting =
            |error| failed("the copy cannot be made durable", self.to.as_str(), error).after_effect();
        self.sftp.sync_directory(place.directory()).await.map_err(lasting)?;
        match self.sftp.look(&place.path()).await.map_err(lasting)? {
            Some(Found { kind: Kind::File, size, .. }) if size == source.size => Ok(()),
            _ => {
                Err(StepError::in_doubt("somebody else replaced the file at the same time")
                    .fact("path", self.to))
            }
        }
    }

    /// Brings all of the file into the part, and compares what has arrived with it. Says what mode the part has.
    async fn bring(&self, source: &Source, place: &Place, name: &str) -> Result<u32, StepError> {
        let part = place.beside(name);
        let found = self.sftp.look(&part).await.map_err(|error| self.broken(error))?;
        let stands = found.filter(|found| found.kind == Kind::File && found.size <= source.size);
        let (so_far, meant) = self.digests(source, stands.map_or(0, |found| found.size)).await?;
        let right = match stands {
            Some(found) if found.size > 0 && self.remote_digest(place, name, found.size).await? == so_far => {
                found.size
            }
            _ => 0,
        };
        let file = if right > 0 {
            self.sftp.open(&part, OpenFlags::WRITE).await
        } else {
            self.sftp.sweep(&part).await.map_err(|error| self.broken(error))?;
            self.sftp.create(&part, 0o644).await
        };
        let file = file.map_err(|error| self.broken(error))?;
        let sent = self.send(source, &file, right).await;
        let synced = self.sftp.sync(&file).await;
        self.sftp.close(file).await.map_err(|error| self.broken(error))?;
        sent?;
        synced.map_err(|error| self.broken(error))?;
        self.go_on()?;
        if self.remote_digest(place, name, source.size).await? != meant {
            let message = "what arrived is not what the file held when the copy began";
            return Err(StepError::new(ErrorKind::Conflict, message)
                .fact("path", self.from.display())
                .fact("digest", meant));
        }
        let found = self.sftp.look(&part).await.map_err(|error| self.broken(error))?;
        Ok(found.map_or(0o644, |found| found.mode))
    }

    /// Sends what is behind the first `right` bytes, many requests at a time.
    async fn send(&self, source: &Source, file: &Open, right: u64) -> Result<(), StepError> {
        let mut reader = source.file.try_clone().map_err(|error| unreadable(self.from, error))?;
        reader.seek(SeekFrom::Start(right)).map_err(|error| unreadable(self.from, error))?;
        let mut reader = File::from_std(reader).take(source.size.saturating_sub(right));
        let (mut at, mut under_way) = (right, FuturesUnordered::new());
        loop {
            self.go_on()?;
            let mut chunk = Vec::with_capacity(CHUNK as usize);
            let read = (&mut reader).take(u64::from(CHUNK)).read_to_end(&mut chunk).await;
            let length = read.map_err(|error| unreadable(self.from, error))?;
            if length > 0 {
                under_way.push(self.sftp.write_chunk(file, at, chunk));
                at += length as u64;
            }
            while length == 0 || under_way.len() >= UNDER_WAY {
                match under_way.next().await {
                    Some(written) => written.map_err(|error| self.broken(error))?,
                    None => return Ok(()),
                }
            }
        }
    }

    /// The digests of the first bytes of the file and of all of it.
    async fn digests(&self, source: &Source, first: u64) -> Result<(Digest, Digest), StepError> {
        let unreadable = |error| unreadable(self.from, error);
        let mut file = source.file.try_clone().map_err(unreadable)?;
        let (size, token) = (source.size, self.token.clone());
        let digested = tokio::task::spawn_blocking(move || {
            file.seek(SeekFrom::Start(0))?;
            let mut hasher = Sha256::new();
            let mut so_far = Sha256::new();
            let mut done = 0;
            let mut buffer = Vec::new();
            loop {
                // Never over the border between what has arrived and what has not.
                let left = if done < first { first - done } else { size - done };
                buffer.clear();
                (&mut file).take(left.min(STRIDE as u64)).read_to_end(&mut buffer)?;
                if buffer.is_empty() || token.is_cancelled() {
                    let digest = |hasher: Sha256| Digest::from_bytes(hasher.finalize().into());
                    return Ok((digest(so_far), digest(hasher)));
                }
                hasher.update(&buffer);
                done += buffer.len() as u64;
                if done <= first {
                    so_far = hasher.clone();
                }
            }
        });
        let digests = digested.await.map_err(|error| {
            StepError::new(ErrorKind::Unavailable, "reading the file ended early").because(error)
        })?;
        self.go_on()?;
        digests.map_err(unreadable)
    }

    /// What the machine itself finds in the part.
    async fn remote_digest(&self, place: &Place, name: &str, size: u64) -> Result<Digest, StepError> {
        let timeout = Duration::from_secs(60 + size / DIGESTED);
        let command = Command::new("sha256sum", ["--", name]).timeout(timeout);
        let failed = |message| StepError::new(ErrorKind::Failed, message).fact("path", self.to);
        match execute(self.connection, &command, place.directory(), Some(self.token)).await? {
            Ended::ByItself(output) if output.succeeded() => {
                let hex =
                    output.stdout.get(..64).and_then(|hex| str::from_utf8(hex).ok()).unwrap_or_default();
                Digest::try_from(format!("sha256:{hex}"))
                    .map_err(|error| failed("`sha256sum` answers with no digest").because(error))
            }
            Ended::ByItself(output) => Err(failed("`sha256sum` cannot read what arrived")
                .fact("stderr", String::from_utf8_lossy(&output.stderr).trim())),
            Ended::TimedOut => Err(StepError::new(ErrorKind::TimedOut, "the digest did not come in time")),
            Ended::Cancelled => Err(cancelled()),
        }
    }

    fn go_on(&self) -> Result<(), StepError> {
        if self.token.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    fn broken(&self, error: russh_sftp::client::error::Error) -> StepError {
        broken("the file cannot be copied", self.to, error)
    }
}

fn cancelled() -> StepError {
    StepError::new(ErrorKind::Cancelled, "the copy was cancelled")
}

fn unreadable(path: &Path, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Invalid,
    };
    StepError::new(kind, "the file to copy cannot be read").fact("path", path.display()).because(error)
}

async fn open(path: &Path) -> Result<Source, StepError> {
    let path = path.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || {
        let unreadable = |error| unreadable(&path, error);
        // Not blocking: a pipe that nobody writes to must not hold the caller up before it is seen to be one.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(StepError::new(ErrorKind::Invalid, "what is to be copied is no file")
                .fact("path", path.display()));
        }
        Ok(Source { file, size: about.len(), executable: about.permissions().mode() & 0o100 != 0 })
    });
    opened.await.unwrap_or_else(|error| {
        Err(StepError::new(ErrorKind::Unavailable, "opening the file ended early").because(error))
    })
}

/// Who may read the file stays as it was; who may read it may execute it where the one that is copied may be.
const fn executable(mode: u32, executable: bool) -> u32 {
    if executable { mode | (mode & 0o444) >> 2 } else { mode & !0o111 }
}

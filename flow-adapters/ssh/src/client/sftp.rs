//! Requests about files: SFTP 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions (its PROTOCOL, 4).

use flow_core::{ErrorKind, StepError};
use futures::stream::{self, StreamExt, TryStreamExt};
use russh::Channel;
use russh::client::Msg;
use russh_sftp::client::error::Error;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::protocol::{FileAttributes, FileMode, OpenFlags, Packet, StatusCode};

use super::connection_error::ConnectionError;
use crate::config::SshConfig;

/// How much one request reads or writes: what every server takes (its packets hold 34,000 bytes at least).
pub(super) const CHUNK: u32 = 32 * 1024;
/// How many requests are under way at once, so that a long way does not slow a transfer down.
pub(super) const UNDER_WAY: usize = 32;
/// The most names that a directory may have.
const NAMES_MAX: usize = 65_536;
/// What a server must be able to do, and the version of it.
const EXTENSIONS: [(&str, &str); 2] = [("posix-rename@openssh.com", "1"), ("fsync@openssh.com", "1")];

/// A session of requests about files, below one root.
pub(crate) struct Sftp {
    raw: RawSftpSession,
    root: String,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// Who may do what with it.
    pub(crate) mode: u32,
}

/// What kind of thing stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// A file that is open on the machine.
#[derive(Debug, Clone)]
pub(crate) struct Open(String);

impl Sftp {
    /// Begins a session and finds the root.
    pub(super) async fn begin(channel: Channel<Msg>, config: &SshConfig) -> Result<Self, StepError> {
        let refused = |error| {
            StepError::new(ErrorKind::Unavailable, "the server offers no files over SFTP 3").because(error)
        };
        channel
            .request_subsystem(true, "sftp")
            .await
            .map_err(|_| StepError::from(ConnectionError::Vanished))?;
        let settings =
            Config { request_timeout_secs: config.patience.answer.as_secs().max(1), ..Config::default() };
        let raw = RawSftpSession::new_with_config(channel.into_stream(), settings);
        let version = raw.init().await.map_err(refused)?;
        for (name, version_of) in EXTENSIONS {
            if version.extensions.get(name).map(String::as_str) != Some(version_of) {
                return Err(StepError::new(ErrorKind::Unavailable, "the server's SFTP lacks an extension")
                    .fact("extension", name));
            }
        }
        let sftp = Self { raw, root: String::new() };
        let unusable =
            |kind, message| StepError::new(kind, message).fact("field", "root").fact("root", &config.root);
        let root = sftp
            .real(&config.root)
            .await
            .map_err(|error| failed("the root cannot be found", &config.root, error))?;
        match sftp.follow(&root).await {
            Ok(Some(Found { kind: Kind::Directory, .. })) => Ok(Self { root, ..sftp }),
            Ok(Some(_)) => Err(unusable(ErrorKind::Conflict, "the root is no directory")),
            Ok(None) => Err(unusable(ErrorKind::NotFound, "the root does not exist")),
            Err(error) => Err(failed("the root cannot be used", &config.root, error)),
        }
    }

    /// The root without links.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The path without links. The last part need not exist.
    pub(crate) async fn real(&self, path: &str) -> Result<String, Error> {
        one_name(self.raw.realpath(path).await?.files.into_iter().map(|file| file.filename))
    }

    /// What stands at `path`, links not followed; none where there is nothing.
    pub(crate) async fn look(&self, path: &str) -> Result<Option<Found>, Error> {
        found(self.raw.lstat(path).await.map(|found| found.attrs))
    }

    /// What `path` leads to; none where that is nothing.
    pub(crate) async fn follow(&self, path: &str) -> Result<Option<Found>, Error> {
        found(self.raw.stat(path).await.map(|found| found.attrs))
    }

    /// Opens a file that exists.
    pub(crate) async fn open(&self, path: &str, flags: OpenFlags) -> Result<Open, Error> {
        Ok(Open(self.raw.open(path, flags, FileAttributes::empty()).await?.handle))
    }

    /// Makes a new file, in no place where anything stands.
    pub(crate) async fn create(&self, path: &str, mode: u32) -> Result<Open, Error> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        Ok(Open(self.raw.open(path, flags, with_mode(mode)).await?.handle))
    }

    pub(crate) async fn set_mode(&self, file: &Open, mode: u32) -> Result<(), Error> {
        self.raw.fsetstat(&file.0, with_mode(mode)).await.map(drop)
    }

    pub(crate) async fn close(&self, file: Open) -> Result<(), Error> {
        self.raw.close(file.0).await.map(drop)
    }

    /// Reads from the beginning: all of a file, or what is the most and one byte more.
    pub(crate) async fn read(&self, file: &Open, most: u64) -> Result<Vec<u8>, Error> {
        let chunks = (0..=most).step_by(CHUNK as usize);
        let mut chunks = stream::iter(chunks).map(|offset| self.chunk(file, offset)).buffered(UNDER_WAY);
        let mut content = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            content.extend_from_slice(&chunk);
            if chunk.len() < CHUNK as usize {
                break;
            }
        }
        Ok(content)
    }

    /// One chunk, whole but at the end of the file: a server may answer with less than it was asked for.
    async fn chunk(&self, file: &Open, offset: u64) -> Result<Vec<u8>, Error> {
        let mut chunk = Vec::new();
        while let wanted @ 1.. = CHUNK.saturating_sub(u32::try_from(chunk.len()).unwrap_or(CHUNK)) {
            match self.raw.read(&file.0, offset + chunk.len() as u64, wanted).await {
                Ok(data) if data.data.is_empty() => break,
                Ok(data) => chunk.extend_from_slice(&data.data),
                Err(Error::Status(status)) if status.status_code == StatusCode::Eof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// Writes `content` at `offset`.
    pub(crate) async fn write(&self, file: &Open, offset: u64, content: &[u8]) -> Result<(), Error> {
        let chunks = content.chunks(CHUNK as usize).map(<[u8]>::to_vec);
        stream::iter(chunks.zip((offset..).step_by(CHUNK as usize)))
            .map(|(chunk, at)| self.write_chunk(file, at, chunk))
            .buffer_unordered(UNDER_WAY)
            .try_for_each(|()| async { Ok(()) })
            .await
    }

    /// Writes what one request takes.
    pub(super) async fn write_chunk(&self, file: &Open, at: u64, chunk: Vec<u8>) -> Result<(), Error> {
        self.raw.write(&file.0, at, chunk).await.map(drop)
    }

    /// Makes what was written outlive a loss of power.
    pub(crate) async fn sync(&self, file: &Open) -> Result<(), Error> {
        self.raw.fsync(&file.0).await.map(drop)
    }

    /// Makes what was renamed or removed in a directory outlive a loss of power.
    pub(crate) async fn sync_directory(&self, path: &str) -> Result<(), Error> {
        let directory = self.open(path, OpenFlags::READ).await?;
        let synced = self.sync(&directory).await;
        self.close(directory).await?;
        synced
    }

    /// Renames at once over whatever stands there.
    pub(crate) async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut paths = Vec::new();
        for path in [from, to] {
            paths.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_be_bytes());
            paths.extend_from_slice(path.as_bytes());
        }
        match self.raw.extended("posix-rename@openssh.com", paths).await? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(status.into()),
            _ => Err(Error::UnexpectedPacket),
        }
    }

    pub(crate) async fn remove(&self, path: &str) -> Result<(), Error> {
        self.raw.remove(path).await.map(drop)
    }

    pub(crate) async fn make_directory(&self, path: &str) -> Result<(), Error> {
        self.raw.mkdir(path, with_mode(0o755)).await.map(drop)
    }

    /// Where a link points to, as written in it.
    pub(crate) async fn read_link(&self, path: &str) -> Result<String, Error> {
        one_name(self.raw.readlink(path).await?.files.into_iter().map(|file| file.filename))
    }

    /// Makes a link. OpenSSH takes the target first, unlike the draft (its PROTOCOL, 4.1).
    pub(crate) async fn link(&self, path: &str, target: &str) -> Result<(), Error> {
        self.raw.symlink(target, path).await.map(drop)
    }

    /// The names in a directory, but `.` and `..`.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let directory = self.raw.opendir(path).await?.handle;
        let mut names = Vec::new();
        let listed = loop {
            match self.raw.readdir(&directory).await {
                Ok(some) => names.extend(some.files.into_iter().map(|file| file.filename)),
                Err(Error::Status(status)) if status.status_code == StatusCode::Eof => break Ok(()),
                Err(error) => break Err(error),
            }
            if names.len() > NAMES_MAX {
                break Err(Error::Limited(format!("more than {NAMES_MAX} names")));
            }
        };
        self.raw.close(directory).await?;
        listed?;
        names.retain(|name| !matches!(name.as_str(), "." | ".."));
        Ok(names)
    }
}

fn with_mode(mode: u32) -> FileAttributes {
    FileAttributes { permissions: Some(mode), ..FileAttributes::empty() }
}

fn one_name(mut names: impl Iterator<Item = String>) -> Result<String, Error> {
    names.next().ok_or(Error::UnexpectedPacket)
}

fn found(answer: Result<FileAttributes, Error>) -> Result<Option<Found>, Error> {
    let about = match answer {
        Ok(about) => about,
        Err(Error::Status(status)) if status.status_code == StatusCode::NoSuchFile => return Ok(None),
        Err(error) => return Err(error),
    };
    let mode = about.permissions.unwrap_or_default();
    let kind = match FileMode::from_bits_truncate(mode & 0o170_000) {
        FileMode::REG => Kind::File,
        FileMode::DIR => Kind::Directory,
        FileMode::LNK => Kind::Link,
        _ => Kind::Other,
    };
    Ok(Some(Found { kind, size: about.size.unwrap_or_default(), mode: mode & 0o7777 }))
}

/// Whether the server said so itself, so that it is known what came of the request.
pub(crate) fn answered(error: &Error) -> bool {
    matches!(error, Error::Status(_) | Error::Limited(_))
}

/// The error for a request that failed before anything was changed.
pub(crate) fn failed(message: &'static str, path: &str, error: Error) -> StepError {
    let kind = match &error {
        Error::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => ErrorKind::NotFound,
            StatusCode::PermissionDenied => ErrorKind::Denied,
            StatusCode::BadMessage => ErrorKind::Invalid,
            // All else that a file system can refuse, a full disk too, is one code.
            _ => ErrorKind::Unknown,
        },
        Error::Limited(_) => ErrorKind::Invalid,
        Error::Timeout => ErrorKind::TimedOut,
        _ => return StepError::from(ConnectionError::Vanished).fact("path", path),
    };
    StepError::new(kind, message).fact("path", path).because(error)
}

//! Files and links below the root.
//!
//! SFTP has no call that resolves a path below a directory and opens it at once. So a path is resolved first, every link in it
//! followed by the machine itself; what lies outside of the root is refused; and then the path without links is used. Between
//! the two somebody who may write below the root could put a link in the place of a directory.

use flow_core::port::HostPath;
use flow_core::{Digest, ErrorKind, Permit, StepError};
use russh_sftp::client::error::Error;
use russh_sftp::protocol::OpenFlags;

use super::sftp::{Found, Kind, Open, Sftp, answered, failed};

/// The largest file that is read.
const READ_MAX: u64 = 8 * 1024 * 1024;

/// A directory below the root, without links, and a name in it.
#[derive(Debug)]
pub(crate) struct Place {
    directory: String,
    name: String,
}

impl Place {
    /// The path of a name in the same directory.
    pub(crate) fn beside(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    pub(crate) fn path(&self) -> String {
        self.beside(&self.name)
    }

    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }
}

/// The name beside which a call writes: the same on its next attempt, which sweeps what an attempt left that died.
pub(crate) fn beside(permit: &Permit, path: &HostPath) -> String {
    let of = format!("{}\n{path}", permit.idempotency_key());
    format!(".flow-{}.new", Digest::of(of.as_bytes()).short())
}

/// The error for a request that failed after the first one that changes something: only an answer says that it did not.
pub(super) fn broken(message: &'static str, path: &HostPath, error: Error) -> StepError {
    let answered = answered(&error);
    let error = failed(message, path.as_str(), error);
    if answered { error } else { error.after_effect() }
}

fn refusal(kind: ErrorKind, message: &'static str, path: &HostPath) -> StepError {
    StepError::new(kind, message).fact("path", path)
}

impl Sftp {
    /// The path below the root without links; none where a part of it, other than the last, does not exist.
    async fn resolve(&self, path: &HostPath, part: Option<&str>) -> Result<Option<String>, StepError> {
        let Some(part) = part else { return Ok(Some(self.root().to_owned())) };
        let real = match self.real(&format!("{}/{part}", self.root())).await {
            Ok(real) => real,
            Err(error) => {
                let error = failed("the path cannot be resolved", path.as_str(), error);
                return if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        let below = real
            .strip_prefix(self.root())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.root() == "/");
        if below {
            Ok(Some(real))
        } else {
            Err(refusal(ErrorKind::Invalid, "the path leaves its root", path))
        }
    }

    /// The directory at `part` of a path, without links; none where there is nothing.
    async fn directory(&self, path: &HostPath, part: Option<&str>) -> Result<Option<String>, StepError> {
        let Some(real) = self.resolve(path, part).await? else { return Ok(None) };
        let found = self.follow(&real).await;
        match found.map_err(|error| failed("the directory cannot be used", path.as_str(), error))? {
            Some(Found { kind: Kind::Directory, .. }) => Ok(Some(real)),
            Some(_) => Err(refusal(ErrorKind::Conflict, "what stands there is no directory", path)),
            None => Ok(None),
        }
    }

    /// The working directory of a command, without links.
    pub(crate) async fn working_directory(&self, path: Option<&HostPath>) -> Result<String, StepError> {
        let Some(path) = path else { return Ok(self.root().to_owned()) };
        self.directory(path, Some(path.as_str()))
            .await?
            .ok_or_else(|| refusal(ErrorKind::NotFound, "the working directory does not exist", path))
    }

    /// Where `path` stands; none where its directory does not exist, or a file stands in its place.
    async fn find(&self, path: &HostPath) -> Result<Option<Place>, StepError> {
        let (parent, name) = split(path);
        match self.directory(path, parent).await {
            Ok(directory) => Ok(directory.map(|directory| Place { directory, name: name.to_owned() })),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where `path` stands, its directories made if there are none.
    pub(crate) async fn make(&self, path: &HostPath) -> Result<Place, StepError> {
        let (parent, name) = split(path);
        let place = |directory| Place { directory, name: name.to_owned() };
        if let Some(directory) = self.directory(path, parent).await? {
            return Ok(place(directory));
        }
        let mut directory = self.root().to_owned();
        let parent = parent.unwrap_or_default();
        for (end, _) in parent.match_indices('/').chain([(parent.len(), "")]) {
            let part = parent.get(..end).unwrap_or_default();
            directory = match self.directory(path, Some(part)).await? {
                Some(there) => there,
                None => {
                    let (_, last) = part.rsplit_once('/').unwrap_or(("", part));
                    self.make_one(path, &directory, last).await?
                }
            };
        }
        Ok(place(directory))
    }

    async fn make_one(&self, path: &HostPath, above: &str, name: &str) -> Result<String, StepError> {
        let unmade = |error| broken("the directory cannot be made", path, error);
        let made = format!("{above}/{name}");
        let refused = self.make_directory(&made).await.err();
        match (self.look(&made).await.map_err(unmade)?, refused) {
            // Somebody else may have made it meanwhile.
            (Some(Found { kind: Kind::Directory, .. }), _) => {
                self.sync_directory(above).await.map_err(unmade)?;
                Ok(made)
            }
            (Some(_), _) => Err(refusal(ErrorKind::Invalid, "a link in the path leads nowhere", path)),
            (None, Some(error)) => Err(unmade(error)),
            (None, None) => {
                Err(StepError::in_doubt("a directory vanished as it was made").fact("path", path))
            }
        }
    }

    pub(crate) async fn read_file(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        let unreadable = |error| failed("the file cannot be read", path.as_str(), error);
        let Some(real) = self.resolve(path, Some(path.as_str())).await? else { return Ok(None) };
        // Looked at before it is opened: a pipe that nobody writes to would hold the whole session up.
        let size = match self.follow(&real).await.map_err(unreadable)? {
            Some(Found { kind: Kind::File, size, .. }) => size,
            Some(_) => return Err(refusal(ErrorKind::Invalid, "what stands there is no file", path)),
            None => return Ok(None),
        };
        let too_large =
            || refusal(ErrorKind::Invalid, "the file is too large", path).fact("largest", READ_MAX);
        if size > READ_MAX {
            return Err(too_large());
        }
        let file = match self.open(&real, OpenFlags::READ).await {
            Ok(file) => file,
            Err(error) => {
                let error = unreadable(error);
                return if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        let content = self.read(&file, READ_MAX).await;
        self.close(file).await.map_err(unreadable)?;
        let content = content.map_err(unreadable)?;
        if content.len() as u64 > READ_MAX { Err(too_large()) } else { Ok(Some(content)) }
    }

    pub(crate) async fn write_file(
        &self,
        beside: &str,
        path: &HostPath,
        content: &[u8],
    ) -> Result<(), StepError> {
        let place = self.make(path).await?;
        let old = self.replaceable(&place, path).await?;
        let unwritten = |error| broken("the file cannot be written", path, error);
        let draft = place.beside(beside);
        let written = async {
            self.sweep(&draft).await?;
            let file = self.create(&draft, 0o644).await?;
            let filled = self.fill(&file, content, old).await;
            self.close(file).await?;
            filled?;
            self.rename(&draft, &place.path()).await
        };
        if let Err(error) = written.await {
            let swept = self.sweep(&draft).await;
            let error = unwritten(error);
            return Err(if swept.is_ok() { error } else { error.after_effect() });
        }
        let lasting = |error| failed("the file cannot be made durable", path.as_str(), error).after_effect();
        self.sync_directory(place.directory()).await.map_err(lasting)?;
        match self.read_back(&place.path(), content.len() as u64).await.map_err(lasting)? {
            Some(found) if found == content => Ok(()),
            _ => {
                Err(StepError::in_doubt("somebody else replaced the file at the same time")
                    .fact("path", path))
            }
        }
    }

    /// What a new file may replace: nothing, a link or a file, whose mode it then gets.
    pub(crate) async fn replaceable(&self, place: &Place, path: &HostPath) -> Result<Option<u32>, StepError> {
        let found = self.look(&place.path()).await;
        match found.map_err(|error| failed("the file cannot be looked at", path.as_str(), error))? {
            Some(Found { kind: Kind::Directory, .. }) => {
                Err(refusal(ErrorKind::Conflict, "a directory stands there", path))
            }
            // Who may read the file stays as it was.
            Some(Found { kind: Kind::File, mode, .. }) => Ok(Some(mode)),
            _ => Ok(None),
        }
    }

    async fn fill(&self, file: &Open, content: &[u8], mode: Option<u32>) -> Result<(), Error> {
        if let Some(mode) = mode {
            self.set_mode(file, mode).await?;
        }
        self.write(file, 0, content).await?;
        self.sync(file).await
    }

    async fn read_back(&self, path: &str, size: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.look(path).await? {
            Some(Found { kind: Kind::File, size: found, .. }) if found == size => {}
            _ => return Ok(None),
        }
        let file = self.open(path, OpenFlags::READ).await?;
        let content = self.read(&file, size).await;
        self.close(file).await?;
        content.map(Some)
    }

    /// Removes what a dead attempt left.
    pub(crate) async fn sweep(&self, draft: &str) -> Result<(), Error> {
        match self.look(draft).await? {
            Some(_) => self.remove(draft).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn remove_file(&self, path: &HostPath) -> Result<(), StepError> {
        let Some(place) = self.find(path).await? else { return Ok(()) };
        let unremoved = |error| broken("the file cannot be removed", path, error);
        match self.look(&place.path()).await.map_err(unremoved)? {
            None => return Ok(()),
            Some(Found { kind: Kind::Directory, .. }) => {
                return Err(refusal(ErrorKind::Conflict, "a directory stands there", path));
            }
            Some(_) => {}
        }
        match self.remove(&place.path()).await.map_err(unremoved) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        self.sync_directory(place.directory()).await.map_err(|error| {
            failed("the removal cannot be made durable", path.as_str(), error).after_effect()
        })
    }

    pub(crate) async fn read_link_at(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        let unreadable = |error| failed("the link cannot be read", path.as_str(), error);
        let Some(place) = self.find(path).await? else { return Ok(None) };
        if !self.look(&place.path()).await.map_err(unreadable)?.is_some_and(|found| found.kind == Kind::Link)
        {
            return Ok(None);
        }
        let target = self.read_link(&place.path()).await.map_err(unreadable)?;
        readable(&target, path)?;
        Ok(Some(from_root(path, &target).unwrap_or(target)))
    }

    pub(crate) async fn link_at(
        &self,
        beside: &str,
        path: &HostPath,
        target: &HostPath,
    ) -> Result<(), StepError> {
        let place = self.make(path).await?;
        let unwritten = |error| broken("the link cannot be written", path, error);
        match self.look(&place.path()).await.map_err(unwritten)? {
            None | Some(Found { kind: Kind::Link, .. }) => {}
            // What it holds would be lost.
            Some(_) => {
                return Err(refusal(ErrorKind::Conflict, "something that is no link stands there", path));
            }
        }
        let (draft, written) = (place.beside(beside), from_link(path, target));
        let renamed = async {
            self.sweep(&draft).await?;
            self.link(&draft, &written).await?;
            self.rename(&draft, &place.path()).await
        };
        if let Err(error) = renamed.await {
            let swept = self.sweep(&draft).await;
            let error = unwritten(error);
            return Err(if swept.is_ok() { error } else { error.after_effect() });
        }
        let lasting = |error| failed("the link cannot be made durable", path.as_str(), error).after_effect();
        self.sync_directory(place.directory()).await.map_err(lasting)?;
        if self.read_link(&place.path()).await.map_err(lasting)? == written {
            Ok(())
        } else {
            Err(StepError::in_doubt("somebody else replaced the link at the same time").fact("path", path))
        }
    }

    pub(crate) async fn list_directory(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        let Some(directory) = self.directory(path, Some(path.as_str())).await? else { return Ok(Vec::new()) };
        let listed = self.list(&directory).await;
        let mut names =
            listed.map_err(|error| failed("the directory cannot be read", path.as_str(), error))?;
        for name in &names {
            readable(name, path)?;
        }
        names.sort();
        Ok(names)
    }
}

/// Refuses a name that was no text: the library has put a replacement character where it could not be read.
fn readable(name: &str, path: &HostPath) -> Result<(), StepError> {
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Err(refusal(ErrorKind::Invalid, "a name there is no text", path));
    }
    Ok(())
}

fn split(path: &HostPath) -> (Option<&str>, &str) {
    match path.as_str().rsplit_once('/') {
        Some((parent, name)) => (Some(parent), name),
        None => (None, path.as_str()),
    }
}

/// What to write into the link at `path` so that it leads to `target`, both seen from the root.
fn from_link(path: &HostPath, target: &HostPath) -> String {
    let depth = path.as_str().matches('/').count();
    format!("{}{target}", "../".repeat(depth))
}

/// Where a link at `path` leads, seen from the root; none where that is not below it.
fn from_root(path: &HostPath, written: &str) -> Option<String> {
    if written.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = path.as_str().split('/').collect();
    parts.pop();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    HostPath::new(parts.join("/")).ok().map(String::from)
}

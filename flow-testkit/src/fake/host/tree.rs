use std::collections::BTreeMap;

use flow_core::port::HostPath;
use flow_core::{ErrorKind, StepError};

/// The largest file that is read.
const READ_MAX: usize = 8 << 20;
/// How many links a path may lead through.
const LINKS: u32 = 40;

/// What stands somewhere in a host's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostNode {
    /// A directory.
    Directory,
    /// A file and what it holds.
    File(Vec<u8>),
    /// A file that may be executed, and what it holds.
    Program(Vec<u8>),
    /// A link and where it leads, as written in it: seen from its own directory.
    Link(String),
}

impl HostNode {
    /// What it holds, of a file.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        match self {
            Self::File(content) | Self::Program(content) => Some(content),
            Self::Directory | Self::Link(_) => None,
        }
    }
}

/// A file tree. Every directory stands in it, the root itself aside.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree(BTreeMap<String, HostNode>);

impl Tree {
    pub(super) const fn nodes(&self) -> &BTreeMap<String, HostNode> {
        &self.0
    }

    /// Puts `node` where `path` leads; only a file or a link is replaced. Directories are made on the way.
    pub(super) fn put(&mut self, path: &HostPath, node: HostNode) -> Result<(), StepError> {
        let place = self.make_way(path)?;
        match self.0.get(&place) {
            Some(HostNode::Directory) if node != HostNode::Directory => {
                Err(refused("a directory stands there", path))
            }
            _ => {
                self.0.insert(place, node);
                Ok(())
            }
        }
    }

    pub(super) fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        let place = self.resolve(path.as_str(), path)?;
        match place.and_then(|place| self.0.get(&place)).map(HostNode::content) {
            None => Ok(None),
            Some(Some(content)) if content.len() > READ_MAX => Err(invalid("the file is too large", path)),
            Some(Some(content)) => Ok(Some(content.to_vec())),
            Some(None) => Err(invalid("what stands there is no file", path)),
        }
    }

    /// Takes half of what is still missing of a copy to `path`, beside it, after as much of an earlier half as is right. Says
    /// how many bytes that were.
    pub(super) fn copy_half(&mut self, path: &HostPath, content: &[u8]) -> Result<usize, StepError> {
        if self.place(path)?.is_some_and(|place| self.0.get(&place) == Some(&HostNode::Directory)) {
            return Err(refused("a directory stands there", path));
        }
        let beside = beside(path)?;
        let stands = self.place(&beside)?.and_then(|place| self.0.get(&place)?.content().map(<[u8]>::to_vec));
        let right = common(&stands.unwrap_or_default(), content);
        let reach = right + (content.len() - right) / 2;
        self.put(&beside, HostNode::File(content.get(..reach).unwrap_or_default().to_vec()))?;
        Ok(reach - right)
    }

    /// Takes the rest of a copy and puts it in force.
    pub(super) fn copy_rest(&mut self, path: &HostPath, node: HostNode) -> Result<usize, StepError> {
        let beside = beside(path)?;
        let stands = self.place(&beside)?.and_then(|place| self.0.remove(&place));
        let sent = |node: &HostNode| node.content().map_or(0, <[u8]>::len);
        let rest = sent(&node).saturating_sub(stands.as_ref().map_or(0, sent));
        self.put(path, node)?;
        Ok(rest)
    }

    pub(super) fn remove(&mut self, path: &HostPath) -> Result<(), StepError> {
        let Some(place) = self.place(path)? else { return Ok(()) };
        match self.0.get(&place) {
            Some(HostNode::Directory) => Err(refused("a directory stands there", path)),
            _ => {
                self.0.remove(&place);
                Ok(())
            }
        }
    }

    /// Removes whatever stands at `path` itself, and all that is below it.
    pub(super) fn prune(&mut self, path: &HostPath) {
        let below = format!("{path}/");
        self.0.retain(|place, _| place != path.as_str() && !place.starts_with(&below));
    }

    pub(super) fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        let Some(place) = self.place(path)? else { return Ok(None) };
        match self.0.get(&place) {
            Some(HostNode::Link(written)) => {
                Ok(Some(from_directory(parent(path.as_str()), written).unwrap_or_else(|| written.clone())))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn link(&mut self, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        let place = self.make_way(path)?;
        match self.0.get(&place) {
            None | Some(HostNode::Link(_)) => {
                let up = "../".repeat(path.as_str().matches('/').count());
                self.0.insert(place, HostNode::Link(format!("{up}{target}")));
                Ok(())
            }
            Some(_) => Err(refused("what stands there is no link", path)),
        }
    }

    pub(super) fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        let Some(place) = self.resolve(path.as_str(), path)? else { return Ok(Vec::new()) };
        if self.is_directory(&place) {
            let below = prefix(&place);
            let names = self.0.keys().filter_map(|place| place.strip_prefix(&below));
            return Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect());
        }
        match self.0.get(&place) {
            None => Ok(Vec::new()),
            Some(_) => Err(refused("what stands there is no directory", path)),
        }
    }

    /// Checks that a command can run in `path`.
    pub(super) fn directory(&self, path: &HostPath) -> Result<(), StepError> {
        let missing = || StepError::new(ErrorKind::NotFound, "the working directory does not exist");
        match self.resolve(path.as_str(), path)? {
            Some(place) if self.is_directory(&place) => Ok(()),
            Some(place) if self.0.contains_key(&place) => {
                Err(refused("what stands there is no directory", path))
            }
            _ => Err(missing().fact("path", path)),
        }
    }

    /// Where `path` stands, its last part not followed; none where its directory does not exist.
    fn place(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let Some(above) = self.resolve(above, path)? else { return Ok(None) };
        Ok(self.is_directory(&above).then(|| format!("{}{name}", prefix(&above))))
    }

    fn is_directory(&self, place: &str) -> bool {
        place.is_empty() || self.0.get(place) == Some(&HostNode::Directory)
    }

    /// Where `path` stands, its directories made where they are missing.
    fn make_way(&mut self, path: &HostPath) -> Result<String, StepError> {
        for (end, _) in path.as_str().match_indices('/') {
            let above = path.as_str().get(..end).unwrap_or_default();
            let place =
                self.resolve(above, path)?.ok_or_else(|| refused("no directory stands there", path))?;
            if self.is_directory(&place) {
                continue;
            }
            // What stands under its own name is a file, or a link that leads nowhere.
            if self.0.contains_key(&place) || self.0.contains_key(above) {
                return Err(refused("what stands there is no directory", path));
            }
            self.0.insert(place, HostNode::Directory);
        }
        self.place(path)?.ok_or_else(|| refused("no directory stands there", path))
    }

    /// Where `path` leads, links followed; nothing need stand there. None where it leads below a file or what is missing.
    fn resolve(&self, path: &str, asked: &HostPath) -> Result<Option<String>, StepError> {
        let mut at = String::new();
        let mut left: Vec<String> = parts(path);
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                at = if at.is_empty() { return Err(leaves(asked)) } else { parent(&at).to_owned() };
                continue;
            }
            let next = format!("{}{part}", prefix(&at));
            match self.0.get(&next) {
                Some(HostNode::Link(written)) => {
                    links += 1;
                    if written.starts_with('/') || links > LINKS {
                        return Err(leaves(asked));
                    }
                    left.extend(parts(written));
                }
                Some(HostNode::Directory) => at = next,
                _ if left.is_empty() => return Ok(Some(next)),
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

/// How far both hold the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    const PART: usize = 1 << 16;
    let parts = || one.chunks(PART).zip(other.chunks(PART));
    let whole = parts().take_while(|(one, other)| one == other).map(|(one, _)| one.len()).sum();
    let rest = one.iter().skip(whole).zip(other.iter().skip(whole)).take(PART);
    whole + rest.take_while(|(one, other)| one == other).count()
}

/// Where a copy to `path` arrives before it is in force.
fn beside(path: &HostPath) -> Result<HostPath, StepError> {
    let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    Ok(HostPath::new(format!("{}.{name}.part", prefix(above)))?)
}

/// The parts of a path, the first one last.
fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).rev().map(str::to_owned).collect()
}

/// What the places in a directory begin with.
fn prefix(directory: &str) -> String {
    if directory.is_empty() { String::new() } else { format!("{directory}/") }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

/// Where a link in `directory` leads, seen from the root; none where that is not below it.
fn from_directory(directory: &str, written: &str) -> Option<String> {
    if written.starts_with('/') {
        return None;
    }
    let mut at: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in written.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            at.pop()?;
        } else {
            at.push(part);
        }
    }
    HostPath::new(at.join("/")).ok().map(String::from)
}

fn leaves(path: &HostPath) -> StepError {
    invalid("the path leaves its root", path)
}

fn invalid(message: &'static str, path: &HostPath) -> StepError {
    StepError::new(ErrorKind::Invalid, message).fact("path", path)
}

fn refused(message: &'static str, path: &HostPath) -> StepError {
    StepError::new(ErrorKind::Conflict, message).fact("path", path)
}

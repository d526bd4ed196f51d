use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Command, Host, HostPath};
use flow_core::{CancelToken, ErrorKind, Fence, Permit, SystemClock};
use flow_local::host::{HostConfig, LocalHost};
use flow_testkit::conformance::host::{Behaviour, HostFixture, HostNode};
use flow_testkit::conformance::{Checked, Outside};
use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

use crate::outside::runs;

/// A host whose root stands beside a directory that nothing may reach, and one where commands that hang leave their ids.
struct Machine {
    host: LocalHost,
    environment: BTreeMap<String, String>,
    directory: TempDir,
    local: PathBuf,
}

impl Machine {
    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn shell(script: &str, args: &[&str]) -> Command {
    Command::new("sh", [&["-c", script, "sh"], args].concat())
}

const FLOOD: &str = "flood() { head -c 3145728 /dev/zero | tr '\\0' x; printf end; }; flood; flood >&2";

/// Ids come into files by renaming, so that whoever counts never reads half of one.
const HANG: &str = "trap '' TERM
    sh -c 'trap \"\" TERM; echo $$ > \"$1/child.new\"; mv \"$1/child.new\" \"$1/child\"; while :; do sleep 0.05; done' sh \"$1\" &
    echo $$ > \"$1/self.new\"; mv \"$1/self.new\" \"$1/self\"; while :; do sleep 0.05; done";

#[async_trait]
impl HostFixture for Machine {
    fn host(&self) -> &dyn Host {
        &self.host
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    async fn tree(&self) -> Outside<BTreeMap<String, HostNode>> {
        nodes(&self.at("root"))
    }

    async fn put(&self, path: &str, node: HostNode) -> Checked {
        let path = self.at("root").join(path);
        fs::create_dir_all(path.parent().unwrap())?;
        match node {
            HostNode::Directory => fs::create_dir_all(path)?,
            HostNode::File(content) => fs::write(path, content)?,
            HostNode::Program(content) => {
                fs::write(&path, content)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
            }
            HostNode::Link(target) => symlink(target, path)?,
        }
        Ok(())
    }

    async fn outside(&self) -> Outside<BTreeMap<String, HostNode>> {
        nodes(&self.at("outside"))
    }

    async fn command(&self, behaviour: Behaviour) -> Outside<Command> {
        Ok(match behaviour {
            Behaviour::Arguments(args) => Command::new("printf", [vec!["%s\\0".to_owned()], args].concat()),
            Behaviour::Environment => Command::new("env", [""; 0]),
            Behaviour::Ends(code) => {
                shell("printf out; printf err >&2; exit \"$1\"", &[code.to_string().as_str()])
            }
            Behaviour::Floods => shell(FLOOD, &[]),
            Behaviour::Writes => shell("printf made > made", &[]),
            Behaviour::Hangs => shell(HANG, &[self.at("ids").to_str().unwrap()]),
        })
    }

    async fn running(&self) -> Outside<usize> {
        let id = |name| fs::read_to_string(self.at("ids").join(name)).ok()?.trim().parse::<u32>().ok();
        Ok(["self", "child"].into_iter().filter_map(id).filter(|id| runs(*id)).count())
    }

    fn local(&self) -> &Path {
        &self.local
    }

    /// Cancels a copy while its file grows beside. Whatever blocks of zeros it has by then are given back to the disk, which
    /// changes no byte: those that the file has in the end were written afterwards.
    async fn break_off(&self, from: &Path, to: &HostPath) -> Checked {
        let parent = self.at("root").join(to.as_str()).parent().unwrap().to_owned();
        let (before, whole) = (nodes(&parent)?, from.metadata()?.len());
        let old = fs::read(self.at("root").join(to.as_str()))?;
        let part = || {
            let entries = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap());
            entries
                .filter(|entry| !before.contains_key(entry.file_name().to_str().unwrap()))
                .map(|entry| entry.path())
                .next()
        };
        // A copy that was through before anybody looked is tried again.
        for _ in 0..50 {
            let cancel = CancelToken::new();
            let permit = Permit::for_tests("test/broken-off", Fence(1), 1, cancel.clone());
            let watch = async {
                while part().is_none_or(|part| fs::metadata(part).is_ok_and(|part| part.len() < whole / 4)) {
                    tokio::task::yield_now().await;
                }
                cancel.cancel();
                std::future::pending::<()>().await;
            };
            let copied = tokio::select! {
                copied = self.host.copy(&permit, from, to) => copied,
                () = watch => unreachable!(),
            };
            match copied {
                Ok(()) => fs::write(self.at("root").join(to.as_str()), &old)?,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                    return give_back_zeros(&part().ok_or("nothing of the copy was kept")?);
                }
            }
        }
        Err("no copy was ever cancelled in time".into())
    }

    async fn arrived(&self, path: &str) -> Outside<u64> {
        Ok(fs::metadata(self.at("root").join(path))?.blocks() * 512)
    }
}

fn give_back_zeros(path: &Path) -> Checked {
    const BLOCK: usize = 64 << 10;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK];
    for offset in (0..file.metadata()?.len()).step_by(BLOCK) {
        let count = file.read_at(&mut block, offset)?;
        if block[..count].iter().all(|byte| *byte == 0) {
            fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, count as u64)?;
        }
    }
    Ok(())
}

fn nodes(directory: &Path) -> Outside<BTreeMap<String, HostNode>> {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            let node = if kind.is_symlink() {
                HostNode::Link(fs::read_link(&path)?.display().to_string())
            } else if kind.is_dir() {
                left.push(path.clone());
                HostNode::Directory
            } else if path.metadata()?.mode() & 0o111 != 0 {
                HostNode::Program(fs::read(&path)?)
            } else {
                HostNode::File(fs::read(&path)?)
            };
            found.insert(path.strip_prefix(directory)?.display().to_string(), node);
        }
    }
    Ok(found)
}

async fn fresh() -> Machine {
    let directory = tempfile::tempdir().unwrap();
    for name in ["root", "outside", "ids", "local"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("outside/secret"), "secret").unwrap();
    let config =
        HostConfig { grace: Duration::from_millis(100), ..HostConfig::new(directory.path().join("root")) };
    let config = config.env("LANG", "C").env("TZ", "UTC");
    let environment = config.env.clone();
    let host = LocalHost::open(config, Arc::new(SystemClock::new())).unwrap();
    let local = directory.path().join("local");
    Machine { host, environment, directory, local }
}

flow_testkit::host_conformance!(fresh);

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::SystemClock;
use flow_core::port::{Command, Host};
use flow_local::host::{HostConfig, LocalHost};
use flow_testkit::conformance::host::{Behaviour, HostFixture, HostNode};
use flow_testkit::conformance::{Checked, Outside};
use tempfile::TempDir;

use crate::outside::runs;

/// A host whose root stands beside a directory that nothing may reach, and one where commands that hang leave their ids.
struct Machine {
    host: LocalHost,
    environment: BTreeMap<String, String>,
    directory: TempDir,
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
    for name in ["root", "outside", "ids"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("outside/secret"), "secret").unwrap();
    let config =
        HostConfig { grace: Duration::from_millis(100), ..HostConfig::new(directory.path().join("root")) };
    let config = config.env("LANG", "C").env("TZ", "UTC");
    let environment = config.env.clone();
    let host = LocalHost::open(config, Arc::new(SystemClock::new())).unwrap();
    Machine { host, environment, directory }
}

flow_testkit::host_conformance!(fresh);

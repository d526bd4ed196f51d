//! `SshHost` is a `Host`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::port::{Command, Host, HostPath};
use flow_proving::table::Process;
use flow_testkit::conformance::host::{Behaviour, HostFixture, HostNode};
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::permit;

use super::machine::Machine;

/// A machine, and where its files to copy stand.
struct Fixture {
    machine: Machine,
    local: PathBuf,
}

fn script(script: &str, args: &[&str]) -> Command {
    Command::new("sh", [&["-c", script, "sh"], args].concat())
}

const FLOOD: &str = "flood() { head -c 3145728 /dev/zero | tr '\\0' x; printf end; }; flood; flood >&2";

/// Ids come into files by renaming, so that whoever counts never reads half of one.
const HANG: &str = "trap '' TERM
    sh -c 'trap \"\" TERM; echo $$ > \"$1/child.new\"; mv \"$1/child.new\" \"$1/child\"; while :; do sleep 0.05; done' sh \"$1\" &
    echo $$ > \"$1/self.new\"; mv \"$1/self.new\" \"$1/self\"; while :; do sleep 0.05; done";

#[async_trait]
impl HostFixture for Fixture {
    fn host(&self) -> &dyn Host {
        &self.machine.host
    }

    fn environment(&self) -> BTreeMap<String, String> {
        self.machine.config.env.clone()
    }

    async fn tree(&self) -> Outside<BTreeMap<String, HostNode>> {
        nodes(&self.machine.at("root"))
    }

    async fn put(&self, path: &str, node: HostNode) -> Checked {
        let path = self.machine.root(path);
        fs::create_dir_all(path.parent().unwrap())?;
        match node {
            HostNode::Directory => fs::create_dir_all(path)?,
            HostNode::File(content) => fs::write(path, content)?,
            HostNode::Program(content) => {
                fs::write(&path, content)?;
                fs::set_permissions(path, Permissions::from_mode(0o755))?;
            }
            HostNode::Link(target) => symlink(target, path)?,
        }
        Ok(())
    }

    async fn outside(&self) -> Outside<BTreeMap<String, HostNode>> {
        nodes(&self.machine.at("outside"))
    }

    async fn command(&self, behaviour: Behaviour) -> Outside<Command> {
        let ids = self.machine.at("ids").display().to_string();
        Ok(match behaviour {
            Behaviour::Arguments(args) => Command::new("printf", [vec!["%s\\0".to_owned()], args].concat()),
            Behaviour::Environment => Command::new("env", [""; 0]),
            Behaviour::Ends(code) => script("printf out; printf err >&2; exit \"$1\"", &[&code.to_string()]),
            Behaviour::Floods => script(FLOOD, &[]),
            Behaviour::Writes => script("printf made > made", &[]),
            Behaviour::Hangs => script(HANG, &[&ids]),
        })
    }

    async fn running(&self) -> Outside<usize> {
        let id = |name| fs::read_to_string(self.machine.at("ids").join(name)).ok()?.trim().parse().ok();
        Ok(["self", "child"].into_iter().filter_map(id).filter_map(Process::of).count())
    }

    fn local(&self) -> &Path {
        &self.local
    }

    /// Cuts the wire when a third of the file has gone over it: what is under way then is lost, and a quarter has arrived.
    async fn break_off(&self, from: &Path, to: &HostPath) -> Checked {
        let enough = self.machine.relay.sent() + from.metadata()?.len() / 3;
        let permit = permit();
        let cutting = async {
            while self.machine.relay.sent() < enough {
                tokio::task::yield_now().await;
            }
            self.machine.relay.cut();
            std::future::pending::<()>().await;
        };
        let copied = tokio::select! {
            copied = self.machine.host.copy(&permit, from, to) => copied,
            () = cutting => unreachable!(),
        };
        let error = copied.err().ok_or("the copy was through before its wire was cut")?;
        assert!(!error.kind().is_rejection(), "what has arrived is denied: {error}");
        Ok(())
    }

    async fn arrived(&self, _path: &str) -> Outside<u64> {
        Ok(self.machine.relay.sent())
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
            } else if path.metadata()?.permissions().mode() & 0o111 != 0 {
                HostNode::Program(fs::read(&path)?)
            } else {
                HostNode::File(fs::read(&path)?)
            };
            found.insert(path.strip_prefix(directory)?.display().to_string(), node);
        }
    }
    Ok(found)
}

async fn fresh() -> Fixture {
    let machine = Machine::with(|config| config.env("LANG", "C").env("TZ", "UTC")).await;
    Fixture { local: machine.at("local"), machine }
}

flow_testkit::host_conformance!(fresh);

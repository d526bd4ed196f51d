use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::{CancelToken, ErrorKind, Permit, Problems, StepError};

use super::script::Script;
use super::tree::{HostNode, Tree};
use crate::ledger::{Change, Ledger};

/// A machine in memory: a file tree, links, and commands that do what they were [scripted](Self::script) to.
///
/// Stricter than production: a command of a known program with arguments that nobody scripted is refused, and so is a query
/// that would change something. A program that no script is about does not exist.
///
/// Commands take virtual time under a paused clock. One that is ended before its time, by its timeout or by a cancel, leaves
/// half of its effects.
///
/// ```
/// use flow_core::port::{Command, Host};
/// use flow_testkit::fake::{FakeHost, Script};
/// use flow_testkit::permit;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let host = FakeHost::new();
/// host.script(["npm", "ci"], Script::ends(1).stderr("npm ERR! missing"));
/// let output = host.run(&permit(), &Command::new("npm", ["ci"])).await?;
/// assert_eq!(output.code, Some(1));
/// assert!(host.run(&permit(), &Command::new("npm", ["install"])).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct FakeHost {
    ledger: Ledger,
    machine: Arc<Mutex<Machine>>,
}

#[derive(Debug, Default)]
struct Machine {
    tree: Tree,
    env: BTreeMap<String, String>,
    scripts: BTreeMap<Vec<String>, Script>,
    running: usize,
    copied: usize,
}

impl FakeHost {
    /// An empty machine, on which no program exists.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty machine that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), machine: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets the program with exactly these arguments do this from now on.
    pub fn script<A: Into<String>>(&self, argv: impl IntoIterator<Item = A>, script: Script) {
        self.machine().scripts.insert(argv.into_iter().map(Into::into).collect(), script);
    }

    /// Gives every command this variable: the machine's allow-list.
    pub fn allow(&self, name: impl Into<String>, value: impl Into<String>) {
        self.machine().env.insert(name.into(), value.into());
    }

    /// Puts a file, a link or a directory into the tree, as somebody else would.
    ///
    /// # Errors
    /// As [`Host::write`]: where a directory stands already, or the path leaves the root.
    pub fn put(&self, path: &HostPath, node: HostNode) -> Result<(), StepError> {
        self.machine().tree.put(path, node)
    }

    /// Removes whatever stands at `path`, with all that is below it, as somebody else would.
    pub fn clear(&self, path: &HostPath) {
        self.machine().tree.prune(path);
    }

    /// All that stands below the root.
    #[must_use]
    pub fn tree(&self) -> BTreeMap<String, HostNode> {
        self.machine().tree.nodes().clone()
    }

    /// The content of a file; none where no file stands.
    #[must_use]
    pub fn file(&self, path: &HostPath) -> Option<Vec<u8>> {
        self.machine().tree.nodes().get(path.as_str())?.content().map(<[u8]>::to_vec)
    }

    /// How many bytes of copied files it has been sent, those of copies that broke off included.
    #[must_use]
    pub fn copied(&self) -> usize {
        self.machine().copied
    }

    /// How many processes of commands run at this moment.
    #[must_use]
    pub fn running(&self) -> usize {
        self.machine().running
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The script of a command that could be started.
    fn find(&self, command: &Command) -> Result<Script, StepError> {
        check(command)?;
        let argv: Vec<String> = std::iter::once(&command.program).chain(&command.args).cloned().collect();
        let machine = self.machine();
        if let Some(directory) = &command.directory {
            machine.tree.directory(directory)?;
        }
        if let Some(script) = machine.scripts.get(&argv) {
            return Ok(script.clone());
        }
        let known = machine.scripts.keys().any(|scripted| scripted.first() == argv.first());
        drop(machine);
        if known {
            Err(self.ledger.refuse(format!("nobody scripted `{}`", line(command))))
        } else {
            Err(StepError::new(ErrorKind::NotFound, "the program does not exist")
                .fact("program", &command.program))
        }
    }

    /// Runs a command; the error is why it was not started, in which case there is no script, or was ended.
    async fn start(&self, permit: &Permit, command: &Command) -> (Option<Script>, Option<StepError>) {
        match self.find(command) {
            Ok(_) if permit.cancel().is_cancelled() => {
                let cancelled =
                    StepError::new(ErrorKind::Cancelled, "cancelled before the command was started");
                (None, Some(cancelled.fact("program", &command.program)))
            }
            Ok(script) => {
                let ended = self.pass(&script, command, Some(permit.cancel())).await.err();
                (Some(script), ended)
            }
            Err(refused) => (None, Some(refused)),
        }
    }

    /// Lets a command run until it ends, or is ended.
    async fn pass(
        &self,
        script: &Script,
        command: &Command,
        cancel: Option<&CancelToken>,
    ) -> Result<(), StepError> {
        let _running = Running::start(self, script.family());
        let ends = async {
            match script.duration() {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let cancelled = async {
            match cancel {
                Some(cancel) => cancel.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancelled => Err(StepError::new(ErrorKind::Cancelled, "the command was cancelled")
                .fact("program", &command.program)),
            () = ends => Ok(()),
            () = tokio::time::sleep(command.timeout) => {
                Err(StepError::new(ErrorKind::TimedOut, "the command did not end in time")
                    .fact("program", &command.program)
                    .fact("timeout", format_args!("{:?}", command.timeout)))
            }
        }
    }

    fn output(&self, script: &Script, command: &Command) -> CommandOutput {
        script.output(command, &self.machine().env)
    }
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine();
        f.debug_struct("FakeHost")
            .field("tree", &machine.tree.nodes().keys())
            .field("running", &machine.running)
            .finish_non_exhaustive()
    }
}

/// Processes that run until this is dropped.
struct Running<'a> {
    host: &'a FakeHost,
    count: usize,
}

impl<'a> Running<'a> {
    fn start(host: &'a FakeHost, count: usize) -> Self {
        host.machine().running += count;
        Self { host, count }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.host.machine().running -= self.count;
    }
}

/// A file of the machine that the test runs on.
fn local(from: &Path) -> Result<HostNode, StepError> {
    let refused = |kind, message| StepError::new(kind, message).fact("path", from.display());
    let unreadable = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Unknown,
        };
        refused(kind, "the file to copy cannot be read").because(error)
    };
    let metadata = std::fs::metadata(from).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refused(ErrorKind::Invalid, "what is to be copied is no file"));
    }
    let content = std::fs::read(from).map_err(unreadable)?;
    let executable = metadata.permissions().mode() & 0o100 != 0;
    Ok(if executable { HostNode::Program(content) } else { HostNode::File(content) })
}

fn line(command: &Command) -> String {
    std::iter::once(&command.program).chain(&command.args).cloned().collect::<Vec<_>>().join(" ")
}

fn check(command: &Command) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let program = &command.program;
    let plain = !program.contains('/') || program.starts_with('/');
    problems.check(
        !program.is_empty() && !program.contains('\0') && plain,
        "program",
        "must be a plain name or an absolute path",
    );
    for (index, _) in command.args.iter().enumerate().filter(|(_, arg)| arg.contains('\0')) {
        problems.add(format!("args.{index}"), "holds a zero byte");
    }
    for (name, value) in &command.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add(format!("env.{name}"), "is no name of an environment variable");
        }
        if value.contains('\0') {
            problems.add(format!("env.{name}"), "holds a zero byte");
        }
    }
    problems.check(!command.timeout.is_zero(), "timeout", "must be longer than nothing");
    problems.into_result()
}

#[async_trait]
impl Host for FakeHost {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        let passed = match self.find(command) {
            Ok(script) if script.parts() > 0 => {
                Err(self.ledger.refuse(format!("a query changes something: `{}`", line(command))))
            }
            Ok(script) => self.pass(&script, command, None).await.map(|()| script),
            refused => refused,
        };
        self.ledger.read("host.query", line(command), || Ok(self.output(&passed?, command))).await
    }

    async fn run(&self, permit: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        let (script, mut ended) = self.start(permit, command).await;
        let parts = script.as_ref().map_or(1, Script::parts).max(1);
        let reach = if ended.is_some() { parts / 2 } else { parts };
        let directory = command.directory.as_ref();
        let names: Vec<&String> = command.env.keys().collect();
        let change = Change::new("host.run", line(command), permit)
            .of(format_args!("host {}", directory.map_or(".", HostPath::as_str)))
            .once((line(command), names));
        self.ledger
            .change_in_parts(change, parts, |part| match &script {
                Some(script) if part < reach => script.carry_out(part, &mut self.machine().tree, directory),
                _ => ended.take().map_or(Ok(()), Err),
            })
            .await?;
        script.map(|script| self.output(&script, command)).ok_or_else(|| {
            StepError::in_doubt("the command gave no answer").fact("program", &command.program)
        })
    }

    async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        self.ledger.read("host.read", path, || self.machine().tree.read(path)).await
    }

    async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
        let write = || self.machine().tree.put(path, HostNode::File(content.to_vec()));
        self.ledger.change(Change::new("host.write", path, permit), write).await
    }

    /// The file is one of the machine that the test runs on.
    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError> {
        let node = if permit.cancel().is_cancelled() {
            Err(StepError::new(ErrorKind::Cancelled, "cancelled before the file was copied").fact("path", to))
        } else {
            local(from)
        };
        // A refused copy is in the ledger like any other: its first part ends it.
        let mut node = node.map_err(Some);
        let copy = |part| {
            let whole = match &mut node {
                Ok(whole) => whole,
                Err(refused) => return refused.take().map_or(Ok(()), Err),
            };
            let mut machine = self.machine();
            machine.copied += if part == 0 {
                machine.tree.copy_half(to, whole.content().unwrap_or_default())?
            } else {
                machine.tree.copy_rest(to, whole.clone())?
            };
            Ok(())
        };
        self.ledger.change_in_parts(Change::new("host.copy", to, permit), 2, copy).await
    }

    async fn remove(&self, permit: &Permit, path: &HostPath) -> Result<(), StepError> {
        let remove = || self.machine().tree.remove(path);
        self.ledger.change(Change::new("host.remove", path, permit), remove).await
    }

    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        self.ledger.read("host.read_link", path, || self.machine().tree.read_link(path)).await
    }

    async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        let link = || self.machine().tree.link(path, target);
        self.ledger.change(Change::new("host.link", path, permit), link).await
    }

    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        self.ledger.read("host.list", path, || self.machine().tree.list(path)).await
    }
}

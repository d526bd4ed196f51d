use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::{CancelToken, Clock, ErrorKind, Permit, StepError};
use tokio::sync::RwLock;

use super::client;
use super::config::{self, HostConfig};
use super::copy::copy;
use super::root::Root;
use crate::os::{CancelOnDrop, Ended, Limits, Program, go_on, off_thread};

/// How long a copy waits for another one to the same place: one that was given up ends within a moment.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// This machine, below one directory.
///
/// A link is answered as [`link`](Host::link) takes it, seen from the root, wherever it stands; one that leads out of the
/// root is answered as it is written.
#[derive(Debug, Clone)]
pub struct LocalHost {
    root: Arc<Root>,
    config: HostConfig,
    clock: Arc<dyn Clock>,
    calls: Arc<Calls>,
}

/// The calls whose work on files has not ended.
///
/// A thread that blocks cannot be stopped from outside. Of a call that is given up, what waits for a thread never begins, and
/// what a thread is at ends before any later call begins: it would change what an undo has restored by then.
#[derive(Debug, Default)]
struct Calls {
    at_work: Arc<RwLock<()>>,
    given_up: AtomicBool,
}

impl Calls {
    /// Waits until what was given up has ended.
    async fn settle(&self) {
        if self.given_up.load(Ordering::SeqCst) {
            let _quiet = self.at_work.write().await;
            self.given_up.store(false, Ordering::SeqCst);
        }
    }
}

/// A call that somebody waits for, until it is dropped without an answer.
struct Call<'a> {
    calls: &'a Calls,
    token: CancelToken,
    answered: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.token.cancel();
            self.calls.given_up.store(true, Ordering::SeqCst);
        }
    }
}

impl LocalHost {
    /// A host below the root that `config` names.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a bad configuration, [`ErrorKind::NotFound`] or [`ErrorKind::Denied`] for a root that
    /// cannot be used.
    pub fn open(config: HostConfig, clock: Arc<dyn Clock>) -> Result<Self, StepError> {
        config.check()?;
        Ok(Self { root: Arc::new(Root::open(&config.root)?), config, clock, calls: Arc::default() })
    }

    async fn on_root<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let token = CancelToken::new();
        let mut call = Call { calls: &self.calls, token: token.clone(), answered: false };
        self.calls.settle().await;
        let (root, at_work) = (Arc::clone(&self.root), Arc::clone(&self.calls.at_work).read_owned().await);
        let answer = off_thread(move || {
            let _at_work = at_work;
            go_on(&token)?;
            work(&root)
        });
        let answer = answer.await;
        call.answered = true;
        answer
    }

    async fn execute(
        &self,
        command: &Command,
        cancel: Option<&CancelToken>,
    ) -> Result<CommandOutput, StepError> {
        config::check(command)?;
        self.calls.settle().await;
        let search = self.config.env.get("PATH").map_or("", String::as_str);
        let file = client::find_program(&command.program, search)?;
        let (_open, directory) = client::working_directory(&self.root, command.directory.as_ref())?;
        let mut env = self.config.env.clone();
        env.extend(command.env.clone());
        let program =
            Program { path: &file, args: &command.args, env: &env, directory: &directory, input: None };
        let limits = Limits { timeout: command.timeout, grace: self.config.grace, cancel };
        match program.run(&*self.clock, limits).await? {
            Ended::ByItself(output) => Ok(output),
            Ended::TimedOut => Err(StepError::new(ErrorKind::TimedOut, "the command did not end in time")
                .fact("program", &command.program)
                .fact("timeout", format!("{:?}", command.timeout))),
            Ended::Cancelled => Err(StepError::new(ErrorKind::Cancelled, "the command was cancelled")
                .fact("program", &command.program)),
        }
    }
}

#[async_trait]
impl Host for LocalHost {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        self.execute(command, None).await
    }

    async fn run(&self, permit: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        if permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled before the command was started")
                .fact("program", &command.program));
        }
        self.execute(command, Some(permit.cancel())).await
    }

    async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        let path = path.clone();
        self.on_root(move |root| client::read(root, &path)).await
    }

    async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
        let (beside, path, content) = (client::beside(permit, path), path.clone(), content.to_vec());
        self.on_root(move |root| client::write(root, &beside, &path, &content)).await
    }

    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError> {
        let token = permit.cancel().child();
        let _abandoned = CancelOnDrop(token.clone());
        let begun = self.clock.monotonic();
        loop {
            let (from, to, token) = (from.to_path_buf(), to.clone(), token.clone());
            if self.on_root(move |root| copy(root, &from, &to, &token)).await?.is_some() {
                return Ok(());
            }
            if self.clock.monotonic().saturating_sub(begun) >= PATIENCE {
                break;
            }
            self.clock.sleep(POLL).await;
        }
        Err(StepError::new(ErrorKind::Unavailable, "somebody else copies to the same place").fact("path", to))
    }

    async fn remove(&self, _permit: &Permit, path: &HostPath) -> Result<(), StepError> {
        let path = path.clone();
        self.on_root(move |root| client::remove(root, &path)).await
    }

    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        let path = path.clone();
        self.on_root(move |root| client::read_link(root, &path)).await
    }

    async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        let (beside, path, target) = (client::beside(permit, path), path.clone(), target.clone());
        self.on_root(move |root| client::link(root, &beside, &path, &target)).await
    }

    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        let path = path.clone();
        self.on_root(move |root| client::list(root, &path)).await
    }
}

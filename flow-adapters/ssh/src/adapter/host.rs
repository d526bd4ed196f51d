use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::{CancelToken, Clock, ErrorKind, Permit, StepError};
use futures::future::BoxFuture;

use crate::client::{self, Connection, ConnectionError, Copying, Ended, Forward, Sftp};
use crate::config::{self, SshConfig};

/// Another machine, below one directory, over one SSH connection.
///
/// The connection is made with the first call and anew after it was lost; clones share it. A link is answered as
/// [`link`](Host::link) takes it, seen from the root; one that leads out of the root is answered as it is written.
///
/// A call that fails because there was no connection is a rejection: nothing was asked of the machine. One that loses the
/// connection on its way is in doubt where it changes something. [`ConnectionError::of`] tells why.
#[derive(Clone)]
pub struct SshHost {
    connection: Arc<Connection>,
}

impl SshHost {
    /// The machine that `config` names. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a bad configuration, with all its problems.
    pub fn new(config: SshConfig, clock: Arc<dyn Clock>) -> Result<Self, StepError> {
        config.check()?;
        Ok(Self { connection: Arc::new(Connection::new(config, clock)) })
    }

    /// Makes sure that the machine lets us in and that its root is there: what a plan should know before anything runs.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] where it cannot be reached, [`ErrorKind::Denied`] for a key of either side that the
    /// other does not trust, [`ErrorKind::NotFound`] or [`ErrorKind::Conflict`] without its root, and what
    /// is wrong with the files that the configuration names.
    pub async fn reach(&self) -> Result<(), StepError> {
        self.on_files(|_| Box::pin(async { Ok(()) })).await
    }

    /// Forwards a Unix socket of the machine, which may lie anywhere on it, to one of this machine: so that a client dials a path.
    ///
    /// One connection to the socket is made and closed, to see that somebody answers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a path that no socket can have, [`ErrorKind::NotFound`] without the socket,
    /// [`ErrorKind::Conflict`] for what is none, [`ErrorKind::Unavailable`] where nobody answers or the server forbids it.
    pub async fn forward(&self, socket: &str) -> Result<Forward, StepError> {
        Forward::open(Arc::clone(&self.connection), socket).await
    }

    /// Works on the machine's files to the end, whether or not somebody still waits for it.
    async fn on_files<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a Sftp) -> BoxFuture<'a, Result<T, StepError>> + Send + 'static,
    ) -> Result<T, StepError> {
        let connection = Arc::clone(&self.connection);
        let working = tokio::spawn(async move {
            let live = connection.live().await?;
            let done = match connection.sftp(&live).await {
                Ok(sftp) => work(sftp).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &done
                && (error.kind() == ErrorKind::TimedOut || ConnectionError::of(error).is_some())
            {
                live.give_up();
            }
            done
        });
        working
            .await
            .unwrap_or_else(|error| Err(StepError::in_doubt("the work on files ended early").because(error)))
    }

    async fn execute(
        &self,
        command: &Command,
        cancel: Option<&CancelToken>,
    ) -> Result<CommandOutput, StepError> {
        config::check(command)?;
        let directory = command.directory.clone();
        let directory = self
            .on_files(|sftp| Box::pin(async move { sftp.working_directory(directory.as_ref()).await }))
            .await?;
        let stopped = |kind, message| StepError::new(kind, message).fact("program", &command.program);
        match client::execute(&self.connection, command, &directory, cancel).await? {
            Ended::ByItself(output) => Ok(output),
            Ended::TimedOut => Err(stopped(ErrorKind::TimedOut, "the command did not end in time")
                .fact("timeout", format!("{:?}", command.timeout))),
            Ended::Cancelled => Err(stopped(ErrorKind::Cancelled, "the command was cancelled")),
        }
    }
}

impl fmt::Debug for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshHost").field("config", &self.connection.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Host for SshHost {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        self.execute(command, None).await.map_err(|error| match ConnectionError::of(&error) {
            // It changes nothing, so nothing is in doubt.
            Some(ConnectionError::Vanished) => ConnectionError::Vanished.into(),
            _ => error,
        })
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
        self.on_files(|sftp| Box::pin(async move { sftp.read_file(&path).await })).await
    }

    async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
        let (beside, path, content) = (client::beside(permit, path), path.clone(), content.to_vec());
        self.on_files(|sftp| Box::pin(async move { sftp.write_file(&beside, &path, &content).await })).await
    }

    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError> {
        let token = permit.cancel().child();
        let _abandoned = CancelOnDrop(token.clone());
        let (connection, from, to) = (Arc::clone(&self.connection), from.to_path_buf(), to.clone());
        self.on_files(move |sftp| {
            Box::pin(async move {
                Copying { connection: &connection, sftp, from: &from, to: &to, token: &token }.copy().await
            })
        })
        .await
    }

    async fn remove(&self, _permit: &Permit, path: &HostPath) -> Result<(), StepError> {
        let path = path.clone();
        self.on_files(|sftp| Box::pin(async move { sftp.remove_file(&path).await })).await
    }

    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        let path = path.clone();
        self.on_files(|sftp| Box::pin(async move { sftp.read_link_at(&path).await })).await
    }

    async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        let (beside, path, target) = (client::beside(permit, path), path.clone(), target.clone());
        self.on_files(|sftp| Box::pin(async move { sftp.link_at(&beside, &path, &target).await })).await
    }

    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        let path = path.clone();
        self.on_files(|sftp| Box::pin(async move { sftp.list_directory(&path).await })).await
    }
}

/// Cancels what works for a future when that is dropped.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

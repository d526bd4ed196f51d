use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Clock, ErrorKind, StepError};
use tokio::process::{Child, Command};

use super::config::RouterConfig;
use super::error::ProxyError;
use super::link::Link;
use super::process::ProxyProcess;
use super::protocol::{Answer, Request, Response};
use super::state::StateDir;
use crate::os;

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a proxy may take for ending beyond its drain timeout.
const ENDING: Duration = Duration::from_secs(5);

/// Starts and stops the proxy process of one state directory.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) config: &'a RouterConfig,
    pub(super) state: &'a StateDir,
    pub(super) link: &'a Link,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) cancel: &'a CancelToken,
}

impl Launch<'_> {
    /// The proxy that answers: the one that runs, else one started now.
    pub(super) async fn start(&self) -> Result<ProxyProcess, StepError> {
        self.state.create()?;
        let deadline = self.clock.monotonic() + self.config.start_timeout;
        loop {
            if let Some(process) = self.running().await? {
                return Ok(process);
            }
            // One that has the lock and does not answer yet is starting or ending.
            if !self.state.is_locked()? {
                break;
            }
            if self.clock.monotonic() >= deadline {
                return Err(self.told(ErrorKind::Conflict, "a proxy has the lock and does not answer"));
            }
            self.look_later().await?;
        }
        self.state.write_config(&self.config.proxy)?;
        let mut child = self.spawn().await?;
        let answered = self.await_answer(&mut child, deadline).await;
        if !answered.as_ref().is_ok_and(|process| child.id() == Some(process.pid)) {
            // Neither a start that came to nothing nor one that lost against another controller's leaves a process.
            // That it has ended already is no error.
            let _ = child.start_kill();
            let _ = child.wait().await;
        }
        answered
    }

    /// Asks the proxy to end and waits until it is gone. One that does not run is done.
    pub(super) async fn stop(&self) -> Result<(), StepError> {
        // Where none answers, the lock alone tells whether one runs.
        let process = match self.link.ask(&Request::Ping {}).await {
            Ok(Response { answer: Answer::Running { process, .. }, .. }) => Some(process),
            _ => None,
        };
        if self.is_gone(process.as_ref())? {
            return Ok(());
        }
        // A proxy without requests under way can be gone before its answer is written; what counts is seen below.
        if let Err(error) = self.link.ask(&Request::Stop {}).await {
            tracing::debug!(%error, "the proxy was asked to stop and did not answer");
        }
        let deadline = self.clock.monotonic() + self.config.proxy.limits.drain_timeout + ENDING;
        while !self.is_gone(process.as_ref())? {
            if self.clock.monotonic() >= deadline {
                return Err(self
                    .told(ErrorKind::TimedOut, "the proxy has not ended in time")
                    .fact("process", self.state.process().display()));
            }
            self.look_later().await?;
        }
        Ok(())
    }

    /// The proxy that answers now, if it is the one that is meant.
    async fn running(&self) -> Result<Option<ProxyProcess>, StepError> {
        let response = match self.link.ask(&Request::Ping {}).await {
            Ok(response) => response,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Ok(None),
            Err(error) => return Err(error),
        };
        let Answer::Running { service, listen, process } = response.answer else {
            return Err(StepError::new(
                ErrorKind::Conflict,
                "the proxy answers something else than was asked",
            ));
        };
        let wanted = &self.config.proxy;
        if service != wanted.service || listen != wanted.listen {
            let error = StepError::new(ErrorKind::Conflict, "another proxy runs on this state directory");
            return Err(error.fact("service", service).fact("listen", listen).fact("pid", process.pid));
        }
        Ok(Some(process))
    }

    async fn spawn(&self) -> Result<Child, StepError> {
        let path = self.state.log();
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let log = log.map_err(ProxyError::io(&path))?;
        let errors = log.try_clone().map_err(ProxyError::io(&path))?;
        let mut command = Command::new(&self.config.program);
        command
            .args(&self.config.args)
            .arg(self.state.path())
            .env_clear()
            .envs(&self.config.env)
            .current_dir(self.state.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Out of the controller's group: what ends the controller at its terminal does not end the proxy.
            .process_group(0);
        let spawned = os::spawn(self.clock.as_ref(), &mut command).await;
        spawned.map_err(|error| os::spawn_refused(&self.config.program, error))
    }

    async fn await_answer(&self, child: &mut Child, deadline: Duration) -> Result<ProxyProcess, StepError> {
        let pid = child.id().unwrap_or_default();
        loop {
            // Looked at before asking: another controller's proxy may have won the lock, and then it answers.
            let ended = child.try_wait().map_err(|error| {
                StepError::in_doubt("the proxy's process cannot be looked at").because(error)
            })?;
            if let Some(process) = self.running().await? {
                return Ok(process);
            }
            if let Some(status) = ended {
                return Err(match self.state.failure_of(pid) {
                    Some(cause) => self.told(cause.kind, "the proxy did not start").because(cause),
                    None => self.told(ErrorKind::Failed, "the proxy ended at once").fact("status", status),
                });
            }
            if self.clock.monotonic() >= deadline {
                return Err(self.told(ErrorKind::Unavailable, "the proxy did not answer in time"));
            }
            self.look_later().await?;
        }
    }

    fn is_gone(&self, process: Option<&ProxyProcess>) -> Result<bool, StepError> {
        if self.state.is_locked()? {
            return Ok(false);
        }
        process.map_or(Ok(true), ProxyProcess::is_gone)
    }

    async fn look_later(&self) -> Result<(), StepError> {
        tokio::select! {
            () = self.clock.sleep(LOOK_EVERY) => Ok(()),
            () = self.cancel.cancelled() => Err(self.told(ErrorKind::Cancelled, "cancelled while waiting for the proxy")),
        }
    }

    fn told(&self, kind: ErrorKind, message: &'static str) -> StepError {
        StepError::new(kind, message)
            .fact("listen", self.config.proxy.listen)
            .fact("log", self.state.log().display())
    }
}

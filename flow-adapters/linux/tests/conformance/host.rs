//! A host that runs commands on this machine, as one at the end of a connection would.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::{ErrorKind, Permit, StepError};
use flow_linux::Machine;

struct Commands;

/// The machine by both ways, each with its name.
pub(crate) fn both() -> [(&'static str, Machine); 2] {
    [("local", Machine::local()), ("remote", Machine::remote(Arc::new(Commands)))]
}

fn not_asked<T>() -> Result<T, StepError> {
    Err(StepError::new(ErrorKind::Invalid, "a machine is read by commands alone"))
}

#[async_trait]
impl Host for Commands {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        let mut program = tokio::process::Command::new(&command.program);
        program.args(&command.args).env_clear().env("PATH", "/usr/bin:/bin").envs(&command.env);
        let output = program.output().await;
        let output = output.map_err(|error| StepError::in_doubt("not started").because(error))?;
        Ok(CommandOutput { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    async fn run(&self, _: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        self.query(command).await
    }

    async fn read(&self, _: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        not_asked()
    }

    async fn write(&self, _: &Permit, _: &HostPath, _: &[u8]) -> Result<(), StepError> {
        not_asked()
    }

    async fn copy(&self, _: &Permit, _: &Path, _: &HostPath) -> Result<(), StepError> {
        not_asked()
    }

    async fn remove(&self, _: &Permit, _: &HostPath) -> Result<(), StepError> {
        not_asked()
    }

    async fn read_link(&self, _: &HostPath) -> Result<Option<String>, StepError> {
        not_asked()
    }

    async fn link(&self, _: &Permit, _: &HostPath, _: &HostPath) -> Result<(), StepError> {
        not_asked()
    }

    async fn list(&self, _: &HostPath) -> Result<Vec<String>, StepError> {
        not_asked()
    }
}

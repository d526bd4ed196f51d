use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;

/// The id of an instance, given by whoever launches it: the same id launched twice is one instance.
pub type InstanceId = Name;

/// One process of a service: what to start. `Debug` shows the names of its environment and never the values, which may
/// be secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchSpec {
    /// The service that the instance belongs to.
    pub service: Name,
    /// The instance's id.
    pub instance: InstanceId,
    /// The version that it runs.
    pub version: Name,
    /// The digest of the artefact that it runs: how it is found again.
    pub digest: Digest,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// The arguments. `{address}` in one becomes the instance's address.
    pub args: Vec<String>,
    /// The environment: all of it, nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub directory: PathBuf,
    /// How its health is asked.
    pub health: HealthCheck,
}

impl fmt::Debug for LaunchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field is named, so that a new one must be thought of here.
        let Self { service, instance, version, digest, program, args, env, directory, health } = self;
        f.debug_struct("LaunchSpec")
            .field("service", service)
            .field("instance", instance)
            .field("version", version)
            .field("digest", digest)
            .field("program", program)
            .field("args", args)
            .field("env", &env.keys())
            .field("directory", directory)
            .field("health", health)
            .finish()
    }
}

/// How an instance's health is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The path asked by HTTP GET; a status from 200 to 299 is healthy.
    pub path: String,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// One process of a service, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The version that it runs.
    pub version: Name,
    /// The digest of the artefact that it runs.
    pub digest: Digest,
    /// Where it listens, as `host:port` or `unix:PATH`, or in the notation of a platform that has neither.
    pub address: String,
    /// Its process id, where the platform has one.
    pub pid: Option<u32>,
}

/// An instance's health, observed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "health")]
pub enum Health {
    /// It answered as it should.
    Healthy,
    /// It runs and answers otherwise, or not in time.
    Unhealthy {
        /// What it answered.
        reason: String,
    },
    /// It is not running.
    Gone,
}

impl Health {
    /// Whether the instance is proved healthy.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

/// Starts, finds and stops the processes of a service.
///
/// Services do not see each other's instances: the same id under two services is two instances. An implementor proves
/// itself by `flow_testkit::process_conformance!`.
#[async_trait]
pub trait ProcessManager: Send + Sync {
    /// Starts an instance at an address that no other instance has. Where one with this id and digest runs already, it is
    /// that one; one with this id and another digest is refused; what is left of one that has ended makes room. Returns
    /// when the process runs, not when it is healthy. A refused launch leaves nothing behind.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a bad specification, with every problem by its field's name,
    /// [`Conflict`](crate::ErrorKind::Conflict) for a taken id or address, [`NotFound`](crate::ErrorKind::NotFound) without the
    /// program. A process that ends at once is [`Failed`](crate::ErrorKind::Failed) where that is noticed, and otherwise soon
    /// [`Gone`](Health::Gone).
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError>;

    /// The running instances of `service`, ordered by id, whoever started them under this manager.
    ///
    /// # Errors
    /// Any kind where the process table cannot be read.
    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError>;

    /// What `instance` of `service` was launched with, exactly, as long as it runs: what it takes to launch it again.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) without such an instance.
    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError>;

    /// Asks `instance` of `service` for its health, now. One that was never launched is [`Gone`](Health::Gone).
    ///
    /// # Errors
    /// Only where it could not be asked; a bad answer is a [`Health`].
    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError>;

    /// Stops `instance` of `service`: asks it to end, and after `grace` makes it. Returns when it is observed gone;
    /// one that is not there is done. Cancelling the permit ends the wait: the instance may still be ending then, and
    /// stopping it again finishes that.
    ///
    /// # Errors
    /// [`Cancelled`](crate::ErrorKind::Cancelled) where that ended the wait, any kind where it still stands.
    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name;

    #[test]
    fn a_launch_shows_the_names_of_its_environment_and_no_value() {
        let spec = LaunchSpec {
            service: name!("web"),
            instance: name!("web-1"),
            version: name!("v1"),
            digest: Digest::of(b"web"),
            program: "/bin/web".into(),
            args: vec!["--listen".to_owned()],
            env: [("DATABASE_PASSWORD".to_owned(), "hunter2".to_owned())].into(),
            directory: "/srv".into(),
            health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(1) },
        };
        for shown in [format!("{spec:?}"), format!("{spec:#?}")] {
            assert!(shown.contains("DATABASE_PASSWORD") && shown.contains("--listen"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

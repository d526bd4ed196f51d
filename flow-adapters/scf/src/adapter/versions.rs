use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{ErrorKind, Name, Permit, Problems, StepError};
use serde_json::Value;

use super::code::Package;
use super::functions::{ScfFunctions, answer, check_variables};
use crate::address::address;
use crate::client::{Platform, Row, named};
use crate::launched::{DESCRIPTION_MAX, Launched};

/// The longest reason that is told of an unhealthy version, in characters.
const REASON_MAX: usize = 1000;

/// Runs a service's instances as versions of a function, so that a rollout replaces a function as it does a service.
///
/// The service is the function, its artefact the zip, its environment the variables; each instance is a version, described by what it was
/// launched with. A service has one instance per release, for an alias divides calls among two versions: `size` is 1. Arguments, directory
/// and health path are kept and mean nothing here. What is not published changes with each launch and is not put back.
///
/// The calls of an instance are sent to it by the alias: a rollout uses it together with [`ScfAlias`](crate::ScfAlias). The alias leads to
/// nothing else: where it does, a launch is refused, for no rollout could lead callers back to what it did not launch.
#[derive(Debug, Clone)]
pub struct ScfVersions {
    platform: Platform,
    smoke: Option<Value>,
}

impl ScfVersions {
    pub(super) const fn over(platform: Platform) -> Self {
        Self { platform, smoke: None }
    }

    /// Counts a version as healthy only if it answers `event` without an error. The event must be safe to repeat: it is sent at every look.
    #[must_use]
    pub fn smoke(mut self, event: Value) -> Self {
        self.smoke = Some(event);
        self
    }

    /// The version that runs an instance.
    async fn find(
        platform: &Platform,
        function: &str,
        instance: &InstanceId,
    ) -> Result<Option<(Row, Launched)>, StepError> {
        Ok(Self::all(platform, function)
            .await?
            .into_iter()
            .find(|(_, launched)| launched.instance == *instance))
    }

    /// Refuses a function whose callers are on what was not launched here: no rollout could lead them back to it.
    async fn check_alias(
        platform: &Platform,
        function: &str,
        all: &[(Row, Launched)],
    ) -> Result<(), StepError> {
        let name = &platform.config.alias;
        let Some(alias) = platform.alias(function, name).await? else { return Ok(()) };
        let additional = alias.additional().iter().map(|one| &one.version);
        let strange = std::iter::once(&alias.function_version)
            .chain(additional)
            .find(|version| !all.iter().any(|(row, _)| row.version == **version));
        strange.map_or(Ok(()), |version| {
            let problem = "the alias leads to a version that no rollout launched: give the rollouts an alias of their own";
            Err(StepError::new(ErrorKind::Conflict, problem)
                .fact("function", function)
                .fact("alias", name)
                .fact("version", version))
        })
    }

    /// All versions that are instances, published or not.
    async fn all(platform: &Platform, function: &str) -> Result<Vec<(Row, Launched)>, StepError> {
        let rows = match platform.versions(function).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            rows => rows?,
        };
        let marked = |row: Row| Launched::parse(row.description()).map(|launched| (row, launched));
        Ok(rows.into_iter().filter_map(marked).collect())
    }
}

fn instance(function: &str, row: &Row, launched: Launched) -> Instance {
    let Launched { instance: id, version, digest, .. } = launched;
    Instance { id, version, digest, address: address(function, &row.version), pid: None }
}

/// What a function answered, as far as it is kept as a reason: it may have megabytes.
fn cut(output: &Value) -> String {
    output.to_string().chars().take(REASON_MAX).collect()
}

/// # Errors
/// Everything that is wrong with it.
fn check(spec: &LaunchSpec, description: &str) -> Result<(), Problems> {
    let mut problems = check_variables(&spec.env).err().unwrap_or_default();
    problems.check(spec.program.is_absolute(), "program", "must be an absolute path");
    if description.len() > DESCRIPTION_MAX {
        let problem =
            format!("are described by {} bytes, at most {DESCRIPTION_MAX} are kept", description.len());
        problems.add("program, args, directory and health", problem);
    }
    problems.into_result()
}

#[async_trait]
impl ProcessManager for ScfVersions {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let (platform, function) = (self.platform.under(permit), named(&spec.service)?);
        let launched = Launched::of(spec);
        let description = launched.to_string();
        check(spec, &description)?;
        let all = Self::all(&platform, function).await?;
        Self::check_alias(&platform, function, &all).await?;
        if let Some((row, found)) = all.into_iter().find(|(_, launched)| launched.instance == spec.instance) {
            if row.has_failed() {
                platform.delete_version(function, &row.version).await?;
            } else if found.digest == spec.digest {
                return Ok(instance(function, &row, found));
            } else {
                return Err(StepError::new(ErrorKind::Conflict, "the instance runs another artefact")
                    .fact("instance", &spec.instance)
                    .fact("digest", found.digest));
            }
        }
        let package = Package::read(&spec.program, spec.digest).await?;
        ScfFunctions::put_package(&platform, permit, function, package).await?;
        let open = StepError::after_effect;
        ScfFunctions::put_variables(&platform, function, &spec.env).await.map_err(open)?;
        platform.publish(function, &description).await.map_err(open)?;
        let found = Self::find(&platform, function, &spec.instance).await.map_err(open)?;
        let (row, launched) =
            found.ok_or_else(|| StepError::in_doubt("the version is gone").fact("function", function))?;
        Ok(instance(function, &row, launched))
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        let function = named(service)?;
        let all = Self::all(&self.platform, function).await?.into_iter().filter(|(row, _)| !row.has_failed());
        let mut instances: Vec<_> = all.map(|(row, launched)| instance(function, &row, launched)).collect();
        instances.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(instances)
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        let function = named(service)?;
        let missing =
            || StepError::new(ErrorKind::NotFound, "there is no such instance").fact("instance", instance);
        let (row, launched) = Self::find(&self.platform, function, instance).await?.ok_or_else(missing)?;
        let found = self.platform.function(function, Some(&row.version)).await?.ok_or_else(missing)?;
        Ok(launched.spec(service.clone(), found.variables()))
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let function = named(service)?;
        let Some((row, _)) = Self::find(&self.platform, function, instance).await? else {
            return Ok(Health::Gone);
        };
        let Some(found) = self.platform.function(function, Some(&row.version)).await? else {
            return Ok(Health::Gone);
        };
        if !found.is_active() {
            return Ok(Health::Unhealthy { reason: format!("the version is {}", found.status) });
        }
        let Some(event) = &self.smoke else { return Ok(Health::Healthy) };
        let (succeeded, output) = answer(self.platform.invoke(function, &row.version, event).await?);
        Ok(if succeeded { Health::Healthy } else { Health::Unhealthy { reason: cut(&output) } })
    }

    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        _grace: Duration,
    ) -> Result<(), StepError> {
        let (platform, function) = (self.platform.under(permit), named(service)?);
        let Some((row, _)) = Self::find(&platform, function, instance).await? else { return Ok(()) };
        if platform.aliases(function).await?.iter().any(|alias| alias.leads_to(&row.version)) {
            return Err(StepError::new(ErrorKind::Conflict, "an alias leads to the version")
                .fact("function", function)
                .fact("version", row.version));
        }
        platform.withdraw(function, &row.version).await?;
        platform.delete_version(function, &row.version).await.map_err(StepError::after_effect)
    }
}

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState, Invocation};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError};
use flow_tencent::Credentials;
use serde_json::{Value, json};

use super::alias::ScfAlias;
use super::code::Package;
use super::versions::ScfVersions;
use crate::client::{Function, LATEST, Outcome, Platform, named, number};
use crate::config::ScfConfig;
use crate::mark::Mark;

/// What the variables of a function may come to, names and values together, in bytes.
const VARIABLES_MAX: usize = 4096;

/// The functions of one region and namespace. Clones share connections.
#[derive(Debug, Clone)]
pub struct ScfFunctions {
    pub(super) platform: Platform,
}

impl ScfFunctions {
    /// Functions as `config` says. Nothing is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with everything that is wrong with the configuration.
    pub fn new(
        config: ScfConfig,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StepError> {
        Ok(Self { platform: Platform::open(config, credentials, clock)? })
    }

    /// The router over the alias of these functions.
    #[must_use]
    pub fn alias(&self) -> ScfAlias {
        ScfAlias::over(self.platform.clone())
    }

    /// The versions of these functions as instances of services.
    #[must_use]
    pub fn versions(&self) -> ScfVersions {
        ScfVersions::over(self.platform.clone())
    }

    /// Replaces the variables of the next version, if they are others.
    pub(super) async fn put_variables(
        platform: &Platform,
        function: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let found = Self::standing(platform, function).await?;
        if found.variables() == *variables {
            return Ok(());
        }
        let kept = Self::hold_callers(platform, function, &found).await?;
        platform.put_variables(function, variables).await.map_err(kept.tells())
    }

    /// The function at rest, ready to be changed.
    pub(super) async fn standing(platform: &Platform, function: &str) -> Result<Function, StepError> {
        match platform.settled(function).await?.filter(|found| !found.was_never_made()) {
            Some(found) => Ok(found),
            None => Err(platform.missing(function).await),
        }
    }

    /// The newest version with this mark and these variables that can be called.
    pub(super) async fn published(
        platform: &Platform,
        function: &str,
        mark: &Mark,
        variables: &BTreeMap<String, String>,
    ) -> Result<Option<String>, StepError> {
        let mark = mark.to_string();
        let rows = platform.versions(function).await?;
        for row in rows.iter().filter(|row| row.description() == mark && !row.has_failed()) {
            let found = platform.function(function, Some(&row.version)).await?;
            if found.is_some_and(|found| found.variables() == *variables) {
                return Ok(Some(row.version.clone()));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl FunctionPlatform for ScfFunctions {
    async fn state(&self, function: &Name) -> Result<FunctionState, StepError> {
        let (platform, function) = (&self.platform, named(function)?);
        let found = platform.function(function, None).await?.filter(|found| !found.was_never_made());
        let Some(found) = found else { return Ok(FunctionState::default()) };
        let alias = platform.alias(function, &platform.config.alias).await?;
        let live = alias.map(|alias| alias.function_version).filter(|version| version != LATEST);
        Ok(FunctionState {
            digest: Some(platform.code(function, LATEST).await?),
            triggers: self.triggers_as_they_are(function).await?,
            variables: found.variables(),
            live,
        })
    }

    async fn update_code(&self, permit: &Permit, spec: &FunctionSpec) -> Result<(), StepError> {
        let function = named(&spec.name)?;
        let package = Package::read(&spec.code, spec.digest).await?;
        let platform = self.platform.under(permit);
        Self::put_package(&platform, permit, function, package).await
    }

    async fn set_triggers(
        &self,
        permit: &Permit,
        function: &Name,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError> {
        Self::replace_triggers(&self.platform.under(permit), named(function)?, triggers).await
    }

    async fn set_variables(
        &self,
        permit: &Permit,
        function: &Name,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let function = named(function)?;
        check_variables(variables)?;
        Self::put_variables(&self.platform.under(permit), function, variables).await
    }

    async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError> {
        let (platform, function) = (self.platform.under(permit), named(function)?);
        let found = Self::standing(&platform, function).await?;
        let mark = Mark::released(permit, platform.code(function, LATEST).await?);
        match Self::published(&platform, function, &mark, &found.variables()).await? {
            Some(version) => Ok(version),
            None => platform.publish(function, &mark.to_string()).await,
        }
    }

    async fn make_live(&self, permit: &Permit, function: &Name, version: &str) -> Result<(), StepError> {
        Self::lead_to(&self.platform.under(permit), named(function)?, version).await
    }

    async fn invoke(&self, function: &Name, version: &str, event: &Value) -> Result<Invocation, StepError> {
        let function = named(function)?;
        if number(version).is_none() {
            return Err(no_version(function, version));
        }
        let outcome = self.platform.invoke(function, version, event).await?;
        let (succeeded, output) = answer(outcome);
        Ok(Invocation { succeeded, output, version: version.to_owned() })
    }

    async fn restore(
        &self,
        permit: &Permit,
        function: &Name,
        before: &FunctionState,
    ) -> Result<(), StepError> {
        let (platform, function) = (self.platform.under(permit), named(function)?);
        if *before == FunctionState::default() {
            return Self::remove(&platform, function).await;
        }
        let found = Self::standing(&platform, function).await?;
        // Callers come first: a version that was live before is still what it was.
        if let Some(live) = &before.live {
            Self::lead_back(&platform, function, live).await?;
        }
        if let Some(digest) = before.digest {
            Self::put_back(&platform, function, digest, &found).await.map_err(StepError::after_effect)?;
        }
        let open = StepError::after_effect;
        if found.variables() != before.variables {
            platform.put_variables(function, &before.variables).await.map_err(open)?;
        }
        Self::replace_triggers(&platform, function, &before.triggers).await.map_err(open)?;
        if before.live.is_none() {
            Self::lead_nowhere(&platform, function).await.map_err(open)?;
        }
        Self::ready_again(&platform, function, before.live.as_deref()).await.map_err(open)
    }
}

/// What a call answered, or why it failed. The platform's own word on that is no longer kept up, so the error's text counts too.
pub(super) fn answer(outcome: Outcome) -> (bool, Value) {
    let returned = outcome.ret_msg.unwrap_or_default();
    let returned = serde_json::from_str(&returned).unwrap_or(Value::String(returned));
    let error = outcome.err_msg.unwrap_or_default();
    if error.is_empty() && outcome.invoke_result.unwrap_or(0) == 0 {
        return (true, returned);
    }
    (false, json!({ "error": error, "returned": returned }))
}

pub(super) fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (name, value) in variables {
        let word = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let field = format!("variables.{}", name.escape_debug());
        problems.check(word, &field, "must be named by letters, digits and `_`, not beginning with a digit");
        problems.check(!value.contains('\0'), &field, "must not hold a zero byte");
    }
    let size: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > VARIABLES_MAX {
        problems.add(
            "variables",
            format!("have {size} bytes with their names, at most {VARIABLES_MAX} are allowed"),
        );
    }
    problems.into_result()
}

pub(super) fn no_version(function: &str, version: impl fmt::Display) -> StepError {
    StepError::new(ErrorKind::NotFound, "the function has no such version")
        .fact("function", function)
        .fact("version", version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ret: &str, err: &str, result: Option<i64>) -> Outcome {
        Outcome { ret_msg: Some(ret.into()), err_msg: Some(err.into()), invoke_result: result }
    }

    #[test]
    fn a_call_has_failed_by_its_error_or_by_its_result() {
        assert_eq!(answer(outcome(r#"{"a":1}"#, "", Some(0))), (true, json!({ "a": 1 })));
        assert_eq!(answer(outcome("plain", "", None)), (true, json!("plain")));
        assert!(!answer(outcome("1", "boom", Some(0))).0);
        assert!(!answer(outcome("1", "", Some(-1))).0);
    }

    #[test]
    fn all_that_is_wrong_with_variables_is_said_without_their_values() {
        let variables = BTreeMap::from([
            ("9A".to_owned(), "s3cret".to_owned()),
            ("B".to_owned(), format!("s3cret\0{}", "x".repeat(4096))),
        ]);
        let problems = check_variables(&variables).unwrap_err();
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["variables.9A", "variables.B", "variables"]);
        assert!(!problems.to_string().contains("s3cret"), "{problems}");
    }
}

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StepError;
use crate::name::{Digest, Name};
use crate::permit::Permit;

/// A cloud function as it should be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// Its name.
    pub name: Name,
    /// Its code.
    pub code: PathBuf,
    /// The digest of its code.
    pub digest: Digest,
    /// Its triggers: each a name and the platform's own description.
    pub triggers: BTreeMap<Name, String>,
    /// Its environment variables. Values may be secret and are never shown.
    pub variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for FunctionSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variables: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("FunctionSpec")
            .field("name", &self.name)
            .field("code", &self.code)
            .field("digest", &self.digest)
            .field("triggers", &self.triggers)
            .field("variables", &variables)
            .finish()
    }
}

/// A cloud function as it is. Hold it as [sealed](crate::Captured::sealed) state: its variables may be secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionState {
    /// The digest of the code that new versions are published from; none where the function does not exist.
    pub digest: Option<Digest>,
    /// Its triggers.
    pub triggers: BTreeMap<Name, String>,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// The version that callers reach; none where nothing is published.
    pub live: Option<String>,
}

impl std::fmt::Debug for FunctionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variables: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("FunctionState")
            .field("digest", &self.digest)
            .field("triggers", &self.triggers)
            .field("variables", &variables)
            .field("live", &self.live)
            .finish()
    }
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invocation {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// What it returned, or its error.
    pub output: Value,
    /// The version that answered.
    pub version: String,
}

/// Runs functions in versions. A published version never changes: neither its code nor its variables.
///
/// Every change of a function that does not exist is [`NotFound`](crate::ErrorKind::NotFound), except
/// [`update_code`](Self::update_code), which makes it, and [`restore`](Self::restore) to its absence. An implementation proves
/// itself with `flow_testkit::functions_conformance!`.
#[async_trait]
pub trait FunctionPlatform: Send + Sync {
    /// The function as it is.
    ///
    /// # Errors
    /// Any kind where the platform cannot be asked; a function that does not exist is a state.
    async fn state(&self, function: &Name) -> Result<FunctionState, StepError>;

    /// Puts code in place for the next version; callers do not reach it yet. Returns when the platform is done with it.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) when the code's digest is another; the function stays as it is.
    async fn update_code(&self, permit: &Permit, spec: &FunctionSpec) -> Result<(), StepError>;

    /// Replaces all triggers.
    ///
    /// # Errors
    /// Any kind; the old ones then stand.
    async fn set_triggers(
        &self,
        permit: &Permit,
        function: &Name,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError>;

    /// Replaces all environment variables of the next version.
    ///
    /// # Errors
    /// Any kind; the old ones then stand.
    async fn set_variables(
        &self,
        permit: &Permit,
        function: &Name,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError>;

    /// Publishes a version from what stands in place and returns its name. Repeated under the same key it is the same
    /// version, unless that was taken back in between. Callers do not reach it yet.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) without the function or its code.
    async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError>;

    /// Makes callers reach `version`. Returns when they do.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a version; callers reach the old one then.
    async fn make_live(&self, permit: &Permit, function: &Name, version: &str) -> Result<(), StepError>;

    /// Calls `version` of the function with `event`. A test event: it must be safe to repeat.
    ///
    /// # Errors
    /// Any kind where it could not be called; a failing function is an answer.
    async fn invoke(&self, function: &Name, version: &str, event: &Value) -> Result<Invocation, StepError>;

    /// Brings the function back to `before`: code, triggers, variables, live version; removes it where it did not exist.
    ///
    /// # Errors
    /// Any kind where it is not as it was.
    async fn restore(
        &self,
        permit: &Permit,
        function: &Name,
        before: &FunctionState,
    ) -> Result<(), StepError>;
}

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::publish::{FunctionTest, PublishFunction, TestFunction};
use super::update::{FunctionCode, SetTriggers, SetVariables, UpdateFunctionCode};
use crate::name::Name;
use crate::port::FunctionPlatform;
use crate::stage::Functions;
use crate::work::Work;

/// A cloud function as a release wants it.
#[derive(Clone)]
pub struct FunctionRelease {
    /// Its name.
    pub name: Name,
    /// Its code.
    pub code: FunctionCode,
    /// All of its triggers: each a name and the platform's own description.
    pub triggers: BTreeMap<Name, String>,
    /// All of its environment variables. Values may be secret and are never shown.
    pub variables: BTreeMap<String, String>,
    /// How it is tested, before callers reach it and after.
    pub test: FunctionTest,
}

impl fmt::Debug for FunctionRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("FunctionRelease")
            .field("name", &self.name)
            .field("code", &self.code)
            .field("triggers", &self.triggers)
            .field("variables", &variables)
            .field("test", &self.test)
            .finish()
    }
}

/// The whole stage for one function: code, variables, a published and tested version, triggers, a last test.
///
/// Triggers come after the version is live: they call what is live, and would otherwise start the old one.
pub fn function(platform: Arc<dyn FunctionPlatform>, release: FunctionRelease) -> Work<Functions> {
    let FunctionRelease { name, code, triggers, variables, test } = release;
    Work::step(UpdateFunctionCode::new(platform.clone(), name.clone(), code))
        .then(SetVariables::new(platform.clone(), name.clone(), variables))
        .then(PublishFunction::new(platform.clone(), name.clone(), test.clone()))
        .then(SetTriggers::new(platform.clone(), name.clone(), triggers))
        .then(TestFunction::new(platform, name, test))
}

use std::collections::BTreeMap;

use flow_core::Digest;
use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState, Invocation};
use flow_core::prelude::*;
use serde_json::{Value, json};

use super::World;

/// A function and its published versions: the key each was published under, and its code.
#[derive(Debug, Clone, Default)]
pub(crate) struct Function {
    pub(crate) state: FunctionState,
    pub(crate) versions: Vec<(String, Digest)>,
}

impl World {
    fn on_function(
        &self,
        what: &str,
        function: &Name,
        change: impl FnOnce(&mut Function),
    ) -> Result<(), StepError> {
        if !self.state().functions.contains_key(function) {
            return Err(StepError::new(ErrorKind::NotFound, "there is no such function"));
        }
        self.change(format!("{what} {function}"), |state| {
            change(state.functions.entry(function.clone()).or_default());
        })
    }

    fn versions(&self, function: &Name) -> Vec<(String, Digest)> {
        self.state().functions.get(function).map(|function| function.versions.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl FunctionPlatform for World {
    async fn state(&self, function: &Name) -> Result<FunctionState, StepError> {
        Ok(World::state(self).functions.get(function).map(|found| found.state.clone()).unwrap_or_default())
    }

    async fn update_code(&self, _: &Permit, spec: &FunctionSpec) -> Result<(), StepError> {
        self.change(format!("update {}", spec.name), |state| {
            state.functions.entry(spec.name.clone()).or_default().state.digest = Some(spec.digest);
        })
    }

    async fn set_triggers(
        &self,
        _: &Permit,
        function: &Name,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError> {
        self.on_function("set triggers of", function, |found| found.state.triggers = triggers.clone())
    }

    async fn set_variables(
        &self,
        _: &Permit,
        function: &Name,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        self.on_function("set variables of", function, |found| found.state.variables = variables.clone())
    }

    async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError> {
        let key = permit.idempotency_key().to_owned();
        let known = self.versions(function).iter().position(|(published, _)| *published == key);
        if let Some(index) = known {
            return Ok((index + 1).to_string());
        }
        self.on_function("publish", function, |found| {
            found.versions.push((key, found.state.digest.unwrap()));
        })?;
        Ok(self.versions(function).len().to_string())
    }

    async fn make_live(&self, _: &Permit, function: &Name, version: &str) -> Result<(), StepError> {
        let index: usize = version.parse().unwrap();
        if index > self.versions(function).len() {
            return Err(StepError::new(ErrorKind::NotFound, "there is no such version"));
        }
        self.on_function("make live", function, |found| found.state.live = Some(version.to_owned()))
    }

    async fn invoke(&self, function: &Name, version: &str, _event: &Value) -> Result<Invocation, StepError> {
        let (index, version) = (version.parse::<usize>().unwrap() - 1, version.to_owned());
        let (_, code) = self.versions(function)[index].clone();
        Ok(match World::state(self).answers.get(&code) {
            Some(answer) => Invocation { succeeded: true, output: answer.clone(), version },
            None => Invocation { succeeded: false, output: json!("boom"), version },
        })
    }

    async fn restore(&self, _: &Permit, function: &Name, before: &FunctionState) -> Result<(), StepError> {
        self.change(format!("restore {function}"), |state| {
            if *before == FunctionState::default() {
                state.functions.remove(function);
            } else if let Some(found) = state.functions.get_mut(function) {
                // Versions beyond the restored one are swept, as far as nobody reaches them.
                let live = before.live.as_ref().map_or(0, |live| live.parse().unwrap());
                found.versions.truncate(live);
                found.state = before.clone();
            }
        })
    }
}

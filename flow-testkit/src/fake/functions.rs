use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState, Invocation};
use flow_core::{Digest, ErrorKind, Name, Permit, StepError};
use serde_json::{Value, json};

use crate::ledger::{Change, Ledger};

/// A platform of cloud functions in memory: code, versions that never change, and the one that callers reach.
///
/// What code does is [declared](Self::program) by its digest. A `restore` is several changes on real platforms, and so here:
/// [half of](crate::fault::Fault::HalfDone) it is half of them. Stricter than production: whoever publishes what was never
/// updated, or lets callers reach a version that is not there, is among the [refusals](Ledger::refusals).
#[derive(Clone)]
pub struct FakeFunctions {
    ledger: Ledger,
    state: Arc<Mutex<State>>,
}

/// What code answers to an event, with the variables of its version: an output or an error.
type Program = Arc<dyn Fn(&Value, &BTreeMap<String, String>) -> Result<Value, Value> + Send + Sync>;

#[derive(Default)]
struct State {
    code: BTreeMap<PathBuf, Digest>,
    programs: BTreeMap<Digest, Program>,
    functions: BTreeMap<Name, Function>,
}

#[derive(Clone, Default)]
struct Function {
    state: FunctionState,
    versions: BTreeMap<u64, Version>,
    /// The last number that was given: a number is given once.
    last: u64,
}

#[derive(Clone)]
struct Version {
    digest: Digest,
    variables: BTreeMap<String, String>,
    key: String,
}

impl Default for FakeFunctions {
    fn default() -> Self {
        Self::in_ledger(&Ledger::new())
    }
}

/// Variables may be secret, so none is shown.
impl fmt::Debug for FakeFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<Name> = self.state().functions.keys().cloned().collect();
        f.debug_struct("FakeFunctions").field("functions", &functions).finish_non_exhaustive()
    }
}

impl FakeFunctions {
    /// A platform without functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A platform without functions that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), state: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lays code of this content at `path`, to be put in place from there.
    pub fn lay_out(&self, path: impl Into<PathBuf>, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        self.state().code.insert(path.into(), digest);
        digest
    }

    /// Says what the code of `digest` answers to an event, with the variables of its version. Other code fails.
    pub fn program(
        &self,
        digest: Digest,
        answer: impl Fn(&Value, &BTreeMap<String, String>) -> Result<Value, Value> + Send + Sync + 'static,
    ) {
        self.state().programs.insert(digest, Arc::new(answer));
    }

    /// Lets the code of `digest` answer every event with `output`.
    pub fn answer(&self, digest: Digest, output: Value) {
        self.program(digest, move |_, _| Ok(output.clone()));
    }

    /// Removes `function` behind everybody's back.
    pub fn lose(&self, function: &Name) {
        self.state().functions.remove(function);
    }

    /// The version that callers reach; none where there is none.
    #[must_use]
    pub fn live(&self, function: &Name) -> Option<String> {
        self.state().functions.get(function)?.state.live.clone()
    }

    /// Calls `function` as its callers do, who reach the live version; none where nobody answers.
    #[must_use]
    pub fn call(&self, function: &Name, event: &Value) -> Option<Value> {
        let (program, variables) = {
            let state = self.state();
            let found = state.functions.get(function)?;
            state.program(found.version(found.state.live.as_ref()?)?.1)
        };
        program?(event, &variables).ok()
    }

    /// The published versions of `function`, oldest first, each with the digest of its code.
    #[must_use]
    pub fn versions(&self, function: &Name) -> Vec<(String, Digest)> {
        let state = self.state();
        let versions = state.functions.get(function).map(|found| &found.versions).into_iter().flatten();
        versions.map(|(number, version)| (number.to_string(), version.digest)).collect()
    }

    /// All that an undo must bring back, as text to compare. Versions stand for what they hold, since a number is given once;
    /// variables are digests.
    #[must_use]
    pub fn seen(&self) -> String {
        let state = self.state();
        let hidden = |variables: &BTreeMap<String, String>| Digest::of(format!("{variables:?}").as_bytes());
        let mut seen = String::new();
        for (name, Function { state, versions, .. }) in &state.functions {
            let held = |version: &Version| (version.digest, hidden(&version.variables));
            let live = state.live.as_ref().and_then(|live| versions.get(&live.parse().ok()?)).map(held);
            let versions: Vec<_> = versions.values().map(held).collect();
            let (code, triggers, variables) = (state.digest, &state.triggers, hidden(&state.variables));
            seen += &format!("{name}: {code:?} {triggers:?} {variables} live {live:?} of {versions:?}\n");
        }
        seen
    }

    fn missing(function: &Name) -> StepError {
        StepError::new(ErrorKind::NotFound, "there is no such function").fact("function", function)
    }

    async fn on_function<T: Send>(
        &self,
        change: Change<'_>,
        function: &Name,
        mut effect: impl FnMut(&mut Function) -> Result<T, StepError> + Send,
    ) -> Result<T, StepError> {
        self.ledger
            .change(change, || {
                let mut state = self.state();
                effect(state.functions.get_mut(function).ok_or_else(|| Self::missing(function))?)
            })
            .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a version runs, out of the lock that a program must not be called under.
    fn program(&self, version: &Version) -> (Option<Program>, BTreeMap<String, String>) {
        (self.programs.get(&version.digest).cloned(), version.variables.clone())
    }
}

impl Function {
    /// A published version by its name.
    fn version(&self, name: &str) -> Option<(u64, &Version)> {
        let number: u64 = name.parse().ok()?;
        (number.to_string() == name).then_some(())?;
        Some((number, self.versions.get(&number)?))
    }

    fn publish(&mut self, key: &str) -> Option<u64> {
        if let Some((number, _)) = self.versions.iter().find(|(_, version)| version.key == key) {
            return Some(*number);
        }
        let (digest, variables) = (self.state.digest?, self.state.variables.clone());
        self.last += 1;
        self.versions.insert(self.last, Version { digest, variables, key: key.to_owned() });
        Some(self.last)
    }

    /// One of the [`RESTORED`] parts of bringing `before` back.
    fn restore(&mut self, part: usize, before: &FunctionState, live: Option<u64>) {
        match part {
            0 => self.state.live.clone_from(&before.live),
            1 => self.state.digest = before.digest,
            2 => self.state.variables.clone_from(&before.variables),
            _ => {
                self.state.triggers.clone_from(&before.triggers);
                self.versions.retain(|number, _| live.is_some_and(|live| *number <= live));
            }
        }
    }
}

/// Of how many parts bringing a function back consists.
const RESTORED: usize = 4;

fn no_version(function: &Name, version: &str) -> StepError {
    StepError::new(ErrorKind::NotFound, "the function has no such version")
        .fact("function", function)
        .fact("version", version)
}

#[async_trait]
impl FunctionPlatform for FakeFunctions {
    async fn state(&self, function: &Name) -> Result<FunctionState, StepError> {
        self.ledger
            .read("functions.state", function, || {
                Ok(self.state().functions.get(function).map(|found| found.state.clone()).unwrap_or_default())
            })
            .await
    }

    async fn update_code(&self, permit: &Permit, spec: &FunctionSpec) -> Result<(), StepError> {
        self.ledger
            .change(Change::new("functions.update_code", &spec.name, permit), || {
                let mut state = self.state();
                let refused = |kind, message: &'static str| {
                    StepError::new(kind, message).fact("path", spec.code.display())
                };
                match state.code.get(&spec.code) {
                    None => return Err(refused(ErrorKind::NotFound, "the code is missing")),
                    Some(found) if *found != spec.digest => {
                        return Err(refused(ErrorKind::Conflict, "the code is not what its digest says"));
                    }
                    Some(_) => {}
                }
                state.functions.entry(spec.name.clone()).or_default().state.digest = Some(spec.digest);
                Ok(())
            })
            .await
    }

    async fn set_triggers(
        &self,
        permit: &Permit,
        function: &Name,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError> {
        let change = Change::new("functions.set_triggers", function, permit);
        self.on_function(change, function, |found| {
            found.state.triggers.clone_from(triggers);
            Ok(())
        })
        .await
    }

    async fn set_variables(
        &self,
        permit: &Permit,
        function: &Name,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let change = Change::new("functions.set_variables", function, permit);
        self.on_function(change, function, |found| {
            found.state.variables.clone_from(variables);
            Ok(())
        })
        .await
    }

    async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError> {
        let change = Change::new("functions.publish", function, permit).once(());
        self.on_function(change, function, |found| {
            let nothing = || {
                let reason = format!("`{function}` is published, and no code was put in place");
                self.ledger.refuse_as(ErrorKind::NotFound, reason)
            };
            found.publish(permit.idempotency_key()).map(|number| number.to_string()).ok_or_else(nothing)
        })
        .await
    }

    async fn make_live(&self, permit: &Permit, function: &Name, version: &str) -> Result<(), StepError> {
        let change = Change::new("functions.make_live", function, permit);
        self.on_function(change, function, |found| {
            if found.version(version).is_none() {
                let reason =
                    format!("callers of `{function}` would reach version {version:?}, and there is none");
                return Err(self.ledger.refuse_as(ErrorKind::NotFound, reason));
            }
            found.state.live = Some(version.to_owned());
            Ok(())
        })
        .await
    }

    async fn invoke(&self, function: &Name, version: &str, event: &Value) -> Result<Invocation, StepError> {
        self.ledger
            .read("functions.invoke", function, || {
                let (program, variables) = {
                    let state = self.state();
                    let found = state.functions.get(function).ok_or_else(|| Self::missing(function))?;
                    let (_, found) = found.version(version).ok_or_else(|| no_version(function, version))?;
                    state.program(found)
                };
                let failed = || Err(json!({ "error": "the function failed" }));
                let answer = program.map_or_else(failed, |program| program(event, &variables));
                let succeeded = answer.is_ok();
                let (Ok(output) | Err(output)) = answer;
                Ok(Invocation { succeeded, output, version: version.to_owned() })
            })
            .await
    }

    async fn restore(
        &self,
        permit: &Permit,
        function: &Name,
        before: &FunctionState,
    ) -> Result<(), StepError> {
        let gone = *before == FunctionState::default();
        let parts = if gone { 1 } else { RESTORED };
        self.ledger
            .change_in_parts(Change::new("functions.restore", function, permit), parts, |part| {
                let mut state = self.state();
                if gone {
                    state.functions.remove(function);
                    return Ok(());
                }
                let found = state.functions.get_mut(function).ok_or_else(|| Self::missing(function))?;
                let live = match &before.live {
                    None => None,
                    Some(live) => Some(found.version(live).ok_or_else(|| no_version(function, live))?.0),
                };
                found.restore(part, before, live);
                Ok(())
            })
            .await
    }
}

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::{Cloud, World};
use super::function::no_version;
use super::requests::Ran;

/// The largest event that is waited for, and the largest that is not.
const EVENTS: (usize, usize) = (6 * 1024 * 1024, 128 * 1024);

/// A call of a function, as its code meets it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// The version that runs: a number or `$LATEST`.
    pub version: String,
    /// What it was called with.
    pub event: Value,
    /// The version's variables.
    pub variables: BTreeMap<String, String>,
}

/// The local code of a function.
#[derive(Clone)]
pub(in super::super) struct Program(Arc<Code>);

type Code = dyn Fn(&Invocation) -> Result<Value, String> + Send + Sync;

impl Program {
    pub(in super::super) fn new(
        code: impl Fn(&Invocation) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(code))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program(..)")
    }
}

/// What is to run.
struct Run {
    invocation: Invocation,
    sha256: String,
    memory: i64,
    fails: bool,
    id: String,
    started: Timestamp,
}

/// Calls a function. Its code runs while nothing of the cloud is held.
pub(in super::super) fn invoke(cloud: &Cloud, action: &str, params: &Params<'_>) -> Answer {
    let waits = match params.text("InvocationType") {
        None | Some("RequestResponse") => true,
        Some("Event") => false,
        Some(other) => {
            let message = format!("`{other}` is neither RequestResponse nor Event");
            return Err(ApiError::new("InvalidParameterValue.InvocationType", message));
        }
    };
    let (field, usual) =
        if action == "Invoke" { ("ClientContext", "$LATEST") } else { ("Event", "$DEFAULT") };
    let event = event(params.text(field).unwrap_or("{}"), if waits { EVENTS.0 } else { EVENTS.1 })?;
    let qualifier = params.text("Qualifier").unwrap_or(usual);
    let run = cloud.with(|world| prepare(world, params, qualifier, event))?;
    let outcome = if run.fails {
        Err("the function failed because a fault was asked for".to_owned())
    } else {
        match cloud.program(&run.sha256) {
            Some(program) => (program.0)(&run.invocation),
            None => {
                let Invocation { version, event, .. } = &run.invocation;
                Ok(json!({ "version": version, "sha256": run.sha256, "event": event }))
            }
        }
    };
    let failed = outcome.is_err();
    let (answer, error) = match outcome {
        Ok(value) => (value.to_string(), String::new()),
        Err(error) => (json!({ "errorCode": 1, "errorMessage": error }).to_string(), error),
    };
    let told = if waits { told(&run, &answer, &error) } else { told(&run, "", "") };
    let ran = Ran { id: run.id, started: run.started, answer, failed, memory: run.memory };
    // It may have been deleted meanwhile.
    let _ = cloud.with(|world| world.functions.find(params).map(|function| function.remember(ran)));
    Ok(json!({ "Result": told }))
}

fn event(text: &str, most: usize) -> Result<Value, ApiError> {
    if text.len() > most {
        let message = format!("the event has {} bytes, at most {most}", text.len());
        return Err(ApiError::new("InvalidParameter.Payload", message));
    }
    serde_json::from_str(text)
        .map_err(|error| ApiError::new("InvalidParameter.Payload", format!("the event is not JSON: {error}")))
}

fn prepare(world: &mut World, params: &Params<'_>, qualifier: &str, event: Value) -> Result<Run, ApiError> {
    let function = world.functions.find(params)?;
    let version = match function.aliases.get(qualifier) {
        Some(alias) => alias.choose(&mut world.chance).to_owned(),
        None => qualifier.to_owned(),
    };
    let (snapshot, status) = function.version(&version).ok_or_else(|| no_version(&version))?;
    // While it is updated, and when that failed, the old code goes on to answer.
    let callable = match version.as_str() {
        "$LATEST" => !matches!(status, "Creating" | "CreateFailed"),
        _ => status == "Active",
    };
    if !callable {
        let message = format!("the version `{version}` is {status}");
        return Err(ApiError::new("FailedOperation.FunctionStatusError", message));
    }
    let invocation = Invocation {
        function: function.name.clone(),
        version: version.clone(),
        event,
        variables: snapshot.variables.clone(),
    };
    Ok(Run {
        invocation,
        sha256: snapshot.sha256.clone(),
        memory: snapshot.memory,
        fails: world.faults.fails_invoke(&function.name, &version),
        id: world.chance.uuid(),
        started: world.now,
    })
}

fn told(run: &Run, answer: &str, error: &str) -> Value {
    let memory = run.memory.saturating_mul(1024 * 1024);
    json!({
        "Log": "",
        "RetMsg": answer,
        "ErrMsg": error,
        "MemUsage": memory,
        "Duration": 1.5,
        "BillDuration": 2,
        "FunctionRequestId": run.id,
        "InvokeResult": i32::from(!error.is_empty()),
    })
}

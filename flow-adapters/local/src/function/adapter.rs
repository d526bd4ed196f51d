use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{CommandOutput, FunctionPlatform, FunctionSpec, FunctionState, Invocation};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError};
use serde_json::{Value, json};

use super::client::Client;
use super::config::FunctionsConfig;
use super::record::{Record, Version};
use crate::os::{Ended, Limits, Lock, Program, check_environment, off_thread};

/// How long a function may take to end once its time is over.
const GRACE: Duration = Duration::from_secs(1);
/// What an invocation shows of a failing function's standard error, in bytes.
const ERROR_TAIL: usize = 2048;

/// Runs functions as programs of this machine.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use flow_core::{SystemClock, name};
/// use flow_local::function::{FunctionsConfig, LocalFunctions};
///
/// # async fn call() -> Result<(), flow_core::StepError> {
/// let config = FunctionsConfig::new("/srv/app/functions");
/// let functions = LocalFunctions::open(config, Arc::new(SystemClock::new()))?;
/// let answer = functions.call(&name!("thumbnail"), &serde_json::json!({ "image": "cat.png" })).await?;
/// assert!(answer.succeeded);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LocalFunctions {
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
}

impl LocalFunctions {
    /// A platform over the root that `config` names, which is made where it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a bad configuration, [`ErrorKind::Denied`] or [`ErrorKind::Conflict`] for a root that
    /// cannot be used.
    pub fn open(config: FunctionsConfig, clock: Arc<dyn Clock>) -> Result<Self, StepError> {
        Ok(Self { client: Arc::new(Client::open(config)?), clock })
    }

    /// Calls the live version of a function: what its callers do.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where no version is live, and as [`invoke`](FunctionPlatform::invoke).
    pub async fn call(&self, function: &Name, event: &Value) -> Result<Invocation, StepError> {
        let record = self.existing(function).await?;
        let live = record.live.ok_or_else(|| {
            StepError::new(ErrorKind::NotFound, "no version of the function is live")
                .fact("function", function)
        })?;
        self.invoke(function, &live.to_string(), event).await
    }

    async fn on_client<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Client) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let client = Arc::clone(&self.client);
        off_thread(move || work(&client)).await
    }

    /// Changes the store while nobody else does.
    async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Client) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let lock = Lock::take(&*self.clock, self.client.lock_path()).await?;
        // The lock goes along: dropped with this future, it would end before the work does.
        self.on_client(move |client| {
            let result = work(client);
            drop(lock);
            result
        })
        .await
    }

    /// Changes an existing function.
    async fn change<T: Send + 'static>(
        &self,
        function: &Name,
        change: impl FnOnce(&mut Record) -> Result<T, StepError> + Send + 'static,
    ) -> Result<T, StepError> {
        let function = function.clone();
        self.alone(move |client| {
            let mut record = client.find(&function)?.ok_or_else(|| missing(&function))?;
            let before = record.clone();
            let result = change(&mut record)?;
            if record != before {
                client.write(&record)?;
            }
            Ok(result)
        })
        .await
    }

    async fn existing(&self, function: &Name) -> Result<Record, StepError> {
        let name = function.clone();
        self.on_client(move |client| client.find(&name)?.ok_or_else(|| missing(&name))).await
    }

    async fn run(&self, version: &Version, event: &Value) -> Result<Result<Value, Value>, StepError> {
        let digest = version.digest;
        self.on_client(move |client| client.verify(&digest)).await?;
        let (path, args) = self.client.argv(&self.client.code_path(&digest))?;
        let input = serde_json::to_vec(event).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the event has no JSON form").because(error)
        })?;
        let program = Program {
            path: &path,
            args: &args,
            env: &version.variables,
            directory: Path::new("/"),
            input: Some(input),
        };
        let timeout = self.client.config.timeout;
        match program.run(&*self.clock, Limits { timeout, grace: GRACE, cancel: None }).await? {
            Ended::ByItself(output) => Ok(answer(&output)),
            Ended::TimedOut | Ended::Cancelled => {
                Ok(Err(json!({ "error": format!("the function did not answer within {timeout:?}") })))
            }
        }
    }
}

#[async_trait]
impl FunctionPlatform for LocalFunctions {
    async fn state(&self, function: &Name) -> Result<FunctionState, StepError> {
        let function = function.clone();
        self.on_client(move |client| {
            Ok(client.find(&function)?.map_or_else(FunctionState::default, |record| record.state()))
        })
        .await
    }

    async fn update_code(&self, _permit: &Permit, spec: &FunctionSpec) -> Result<(), StepError> {
        let spec = spec.clone();
        self.alone(move |client| {
            let record = client.find(&spec.name)?;
            client.keep(&spec.code, &spec.digest)?;
            let mut record = record.unwrap_or_else(|| Record::new(spec.name.clone()));
            record.digest = Some(spec.digest);
            client.write(&record).map_err(StepError::after_effect)
        })
        .await
    }

    async fn set_triggers(
        &self,
        _permit: &Permit,
        function: &Name,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError> {
        let triggers = triggers.clone();
        self.change(function, |record| {
            record.triggers = triggers;
            Ok(())
        })
        .await
    }

    async fn set_variables(
        &self,
        _permit: &Permit,
        function: &Name,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let mut problems = Problems::default();
        check_environment(&mut problems, "variables", variables);
        problems.into_result()?;
        let variables = variables.clone();
        self.change(function, |record| {
            record.variables = variables;
            Ok(())
        })
        .await
    }

    async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError> {
        let key = permit.idempotency_key().to_owned();
        let function = function.clone();
        self.alone(move |client| {
            let mut record = client.find(&function)?.ok_or_else(|| missing(&function))?;
            let before = record.clone();
            let number = record.publish(&key)?;
            client.verify(&record.version(&number.to_string())?.1.digest)?;
            if record != before {
                client.write(&record)?;
            }
            Ok(number.to_string())
        })
        .await
    }

    async fn make_live(&self, _permit: &Permit, function: &Name, version: &str) -> Result<(), StepError> {
        let version = version.to_owned();
        self.change(function, move |record| {
            record.live = Some(record.version(&version)?.0);
            Ok(())
        })
        .await
    }

    async fn invoke(&self, function: &Name, version: &str, event: &Value) -> Result<Invocation, StepError> {
        let record = self.existing(function).await?;
        let (_, found) = record.version(version)?;
        let (succeeded, output) = match self.run(found, event).await? {
            Ok(output) => (true, output),
            Err(error) => (false, error),
        };
        Ok(Invocation { succeeded, output, version: version.to_owned() })
    }

    async fn restore(
        &self,
        _permit: &Permit,
        function: &Name,
        before: &FunctionState,
    ) -> Result<(), StepError> {
        let (function, before) = (function.clone(), before.clone());
        self.alone(move |client| {
            let found = client.find(&function)?;
            let given_up = found.as_ref().map(Record::needs).unwrap_or_default();
            match found {
                _ if before == FunctionState::default() => client.forget(&function)?,
                None => return Err(missing(&function)),
                Some(mut record) => {
                    record.restore(&before)?;
                    for digest in record.needs() {
                        client.verify(&digest)?;
                    }
                    client.write(&record)?;
                }
            }
            client.sweep(given_up).map_err(StepError::after_effect)
        })
        .await
    }
}

fn missing(function: &Name) -> StepError {
    StepError::new(ErrorKind::NotFound, "there is no such function").fact("function", function)
}

/// What a function that came to its end answered, or why it failed.
fn answer(output: &CommandOutput) -> Result<Value, Value> {
    let from = output.stderr.len().saturating_sub(ERROR_TAIL);
    let stderr = String::from_utf8_lossy(output.stderr.get(from..).unwrap_or_default());
    let failed = |error: String| json!({ "error": error, "stderr": stderr.trim() });
    match output.code {
        Some(0) => serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("the answer is not JSON: {error}"))),
        Some(code) => Err(failed(format!("the function ended with {code}"))),
        None => Err(failed("the function was ended by a signal".to_owned())),
    }
}

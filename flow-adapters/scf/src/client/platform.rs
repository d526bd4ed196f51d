use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flow_core::{CancelToken, Clock, Digest, ErrorKind, Name, Permit, Problems, StepError, Timestamp};
use flow_tencent::{Action, Api, ApiConfig, ApiError, Cos, Credentials, Failure, Nature};
use serde_json::Value;

use super::actions::{
    GetAlias, GetFunction, GetFunctionAddress, GetProvisionedConcurrencyConfig, Invoke, ListAliases,
    ListTriggers, ListVersionByFunction,
};
use super::model::{Alias, Allocated, Function, Outcome, Row, TriggerRow};
use crate::config::{ScfConfig, check_function};
use crate::mark::digest;

/// What a list gives at a time.
const PAGE: u32 = 100;

/// More pages than any list has.
const PAGES_MAX: u32 = 100;

/// One region and namespace of the platform.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    pub(super) api: Api,
    pub(crate) cos: Option<Cos>,
    clock: Arc<dyn Clock>,
    cancel: CancelToken,
    pub(crate) config: Arc<ScfConfig>,
}

impl Platform {
    pub(crate) fn open(
        config: ScfConfig,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let mut problems = config.check().err().unwrap_or_default();
        let mut gather = |prefix: &str, found: &Problems| {
            for problem in found.as_slice() {
                let field = format!("{prefix}{}", problem.field);
                if !problems.as_slice().iter().any(|known| known.field == field) {
                    problems.add(field, problem.problem.as_str());
                }
            }
        };
        let api = ApiConfig {
            service: "scf".to_owned(),
            version: "2018-04-16".to_owned(),
            region: Some(config.region.clone()),
            endpoint: config.endpoint.clone(),
        };
        let api = Api::new(api, Arc::clone(&credentials), Arc::clone(&clock));
        let api = api.map_err(|found| gather("", &found)).ok();
        let bucket = config.code_bucket.as_ref().map(|bucket| bucket.cos(&config.region));
        let cos = bucket.map(|bucket| Cos::new(&bucket, credentials, Arc::clone(&clock)));
        let cos = cos.and_then(|cos| cos.map_err(|found| gather("code_bucket.", &found)).ok());
        let Some(api) = api.filter(|_| problems.as_slice().is_empty()) else { return Err(problems) };
        Ok(Self { api, cos, clock, cancel: CancelToken::new(), config: Arc::new(config) })
    }

    /// The same platform, whose calls stop when the permit's call is asked to.
    pub(crate) fn under(&self, permit: &Permit) -> Self {
        let cancel = permit.cancel();
        Self {
            api: self.api.until(cancel),
            cos: self.cos.as_ref().map(|cos| cos.until(cancel)),
            cancel: cancel.clone(),
            ..self.clone()
        }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.config.namespace
    }

    /// The platform's own time.
    pub(crate) fn now(&self) -> Timestamp {
        self.api.now()
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Waits.
    pub(super) async fn pause(&self, duration: Duration) -> Result<(), StepError> {
        let slept = self.clock.sleep(duration);
        tokio::select! {
            () = self.cancel.cancelled() => Err(StepError::new(ErrorKind::Cancelled, "it was asked to stop")),
            () = slept => Ok(()),
        }
    }

    async fn read<A: Action>(&self, function: &str, action: &A) -> Result<A::Answer, StepError> {
        self.api.call(action, Nature::Reads).await.map_err(|error| told(error, function))
    }

    /// What `action` answers; none where what it names does not exist.
    async fn found<A: Action>(&self, function: &str, action: &A) -> Result<Option<A::Answer>, StepError> {
        match self.api.call(action, Nature::Reads).await {
            Ok(answer) => Ok(Some(answer)),
            // Only the platform's own code tells so: a page of some gateway between is no evidence.
            Err(error) if error.failure() == Failure::NotFound && error.code().is_some() => Ok(None),
            Err(error) => Err(told(error, function)),
        }
    }

    /// The function or a version of it; none where there is no such function or version.
    pub(crate) async fn function(
        &self,
        function: &str,
        qualifier: Option<&str>,
    ) -> Result<Option<Function>, StepError> {
        self.found(function, &GetFunction { function_name: function, namespace: self.namespace(), qualifier })
            .await
    }

    /// Why there is no such function: the platform's own word, with its code and request id.
    pub(crate) async fn missing(&self, function: &str) -> StepError {
        let action = GetFunction { function_name: function, namespace: self.namespace(), qualifier: None };
        let never_made =
            || StepError::new(ErrorKind::NotFound, "the function could not be made, nothing stands there");
        self.read(function, &action).await.err().unwrap_or_else(|| never_made().fact("function", function))
    }

    /// The digest of the code of a version.
    pub(crate) async fn code(&self, function: &str, qualifier: &str) -> Result<Digest, StepError> {
        let address = GetFunctionAddress { function_name: function, namespace: self.namespace(), qualifier };
        let told = self.read(function, &address).await?.code_sha256;
        digest(&told).ok_or_else(|| {
            StepError::in_doubt("the platform tells no digest of the code")
                .fact("function", function)
                .fact("told", told)
        })
    }

    /// The package of a version, of at most `max` bytes.
    pub(crate) async fn package(
        &self,
        function: &str,
        qualifier: &str,
        max: usize,
    ) -> Result<Bytes, StepError> {
        let address = GetFunctionAddress { function_name: function, namespace: self.namespace(), qualifier };
        let url = self.read(function, &address).await?.url;
        self.api.download(&url, max).await.map_err(|error| told(error, function))
    }

    /// The published versions.
    pub(crate) async fn versions(&self, function: &str) -> Result<Vec<Row>, StepError> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let (namespace, offset) = (self.namespace(), offset(&all));
            let action = ListVersionByFunction { function_name: function, namespace, offset, limit: PAGE };
            let rows = self.read(function, &action).await?.versions;
            if rows.is_empty() {
                break;
            }
            all.extend(rows);
        }
        all.retain(|row| row.number().is_some());
        // The newest first, in whatever order they came.
        all.sort_by_key(|row| std::cmp::Reverse(row.number()));
        all.dedup_by(|one, other| one.version == other.version);
        Ok(all)
    }

    /// An alias; none where there is no such alias, or no such function.
    pub(crate) async fn alias(&self, function: &str, name: &str) -> Result<Option<Alias>, StepError> {
        self.found(function, &GetAlias { function_name: function, namespace: self.namespace(), name }).await
    }

    pub(crate) async fn aliases(&self, function: &str) -> Result<Vec<Alias>, StepError> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let (offset, limit) = (offset(&all).to_string(), PAGE.to_string());
            let action = ListAliases { function_name: function, namespace: self.namespace(), offset, limit };
            let aliases = self.read(function, &action).await?.aliases;
            if aliases.is_empty() {
                break;
            }
            all.extend(aliases);
        }
        Ok(all)
    }

    pub(crate) async fn triggers(&self, function: &str) -> Result<Vec<TriggerRow>, StepError> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let (namespace, offset) = (self.namespace(), offset(&all));
            let action = ListTriggers { function_name: function, namespace, offset, limit: PAGE };
            let rows = self.read(function, &action).await?.triggers;
            if rows.is_empty() {
                break;
            }
            all.extend(rows);
        }
        Ok(all)
    }

    /// The versions of which instances stand ready.
    pub(crate) async fn provisioned(&self, function: &str) -> Result<Vec<Allocated>, StepError> {
        let action = GetProvisionedConcurrencyConfig { function_name: function, namespace: self.namespace() };
        Ok(self.read(function, &action).await?.allocated)
    }

    /// Calls a version. A test event is safe to repeat.
    pub(crate) async fn invoke(
        &self,
        function: &str,
        qualifier: &str,
        event: &Value,
    ) -> Result<Outcome, StepError> {
        let action = Invoke {
            function_name: function,
            namespace: self.namespace(),
            qualifier,
            invocation_type: "RequestResponse",
            client_context: event.to_string(),
        };
        Ok(self.read(function, &action).await?.result)
    }
}

/// Where the next page begins, also where the platform gave fewer at a time than it was asked for.
fn offset<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

/// The function's name as the platform takes it.
pub(crate) fn named(function: &Name) -> Result<&str, Problems> {
    check_function(function.as_str()).map(|()| function.as_str())
}

/// An error of the platform, with the function that it is about.
pub(super) fn told(error: ApiError, function: &str) -> StepError {
    StepError::from(error).fact("function", function)
}

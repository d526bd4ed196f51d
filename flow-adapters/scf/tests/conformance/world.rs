//! A fake cloud on a thread of its own, functions deployed to it, and their callers.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::port::{FunctionPlatform, FunctionSpec};
use flow_core::{Artifact, Digest, Fence, Name, Permit, StepError, name};
use flow_scf::{CodeBucket, NewFunction, ScfConfig, ScfFunctions};
use flow_tencent::{Action, Api, ApiConfig, Credential, Failure, Nature};
use flow_testkit::cloud::{
    FakeCloud, FakeCloudConfig, Fault, Invocation, Logged, SECRET_ID, SECRET_KEY, Target,
};
use flow_testkit::permit_under;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub(crate) const SHOP: Name = name!("shop");

/// The variable that every function tells.
pub(crate) const GREETING: &str = flow_testkit::conformance::functions::GREETING;

/// A call that a function keeps open: who it is told to, and what ends it.
type Open = (Sender<()>, Receiver<()>);

pub(crate) struct World {
    pub(crate) cloud: FakeCloud,
    pub(crate) functions: ScfFunctions,
    pub(crate) api: Api,
    directory: TempDir,
    calls: AtomicU32,
    held: Arc<Mutex<HashMap<String, Open>>>,
    /// The cloud's own threads: a function that waits blocks one of them, not the test's.
    runtime: Option<Runtime>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    pub(crate) async fn with(change: impl FnOnce(ScfConfig) -> ScfConfig) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let started = runtime.spawn(async {
            let config =
                FakeCloudConfig { buckets: vec!["code-1250000000".to_owned()], ..FakeCloudConfig::default() };
            FakeCloud::start(&config).await
        });
        let cloud = started.await.unwrap().unwrap();
        let functions = open(&cloud, change);
        let api = ApiConfig {
            service: "scf".into(),
            version: "2018-04-16".into(),
            region: Some("ap-guangzhou".into()),
            endpoint: Some(cloud.url()),
        };
        let api = Api::new(api, credential(), Arc::new(cloud.clock())).unwrap();
        Self {
            cloud,
            functions,
            api,
            directory: tempfile::tempdir().unwrap(),
            calls: AtomicU32::new(0),
            held: Arc::default(),
            runtime: Some(runtime),
        }
    }

    /// The same functions, as another controller would open them.
    pub(crate) fn opened(&self, change: impl FnOnce(ScfConfig) -> ScfConfig) -> ScfFunctions {
        open(&self.cloud, change)
    }

    /// A permit that no other call has.
    pub(crate) fn permit(&self) -> Permit {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        permit_under(&format!("run/{number}"), Fence(1), 1)
    }

    /// Writes a package, and lets the cloud do this when it runs.
    pub(crate) fn package<F>(&self, content: &str, runs: F) -> Artifact
    where
        F: Fn(&Invocation) -> Result<Value, String> + Send + Sync + 'static,
    {
        let bytes = [b"PK\x03\x04", content.as_bytes()].concat();
        let digest = Digest::of(&bytes);
        let path = self.directory.path().join(format!("{}.zip", digest.hex()));
        std::fs::write(&path, &bytes).unwrap();
        self.cloud.register(&bytes, runs);
        Artifact { digest, path }
    }

    /// A package that tells its marker, the version that runs, and the greeting; it keeps a call open that asks for it.
    pub(crate) fn telling(&self, marker: &str) -> Artifact {
        let (told, held) = (marker.to_owned(), Arc::clone(&self.held));
        self.package(marker, move |call| {
            if let Some(id) = call.event.get("hold").and_then(Value::as_str) {
                let open = held.lock().unwrap().remove(id);
                let (arrived, end) = open.ok_or("nobody holds this call")?;
                arrived.send(()).map_err(|error| error.to_string())?;
                // The thread that answers other calls must not wait along.
                let ended = tokio::task::block_in_place(|| end.recv_timeout(Duration::from_secs(60)));
                ended.map_err(|error| error.to_string())?;
            }
            let greeting = call.variables.get(GREETING).cloned().unwrap_or_default();
            let address = format!("scf:{}/{}", call.function, call.version);
            Ok(json!({ "code": told, "event": call.event, "greeting": greeting, "address": address }))
        })
    }

    pub(crate) async fn update(&self, function: &Name, artifact: &Artifact) -> Result<(), StepError> {
        let spec = spec(function, artifact);
        self.functions.update_code(&self.permit(), &spec).await
    }

    /// Puts code in place and publishes it; gives the version.
    pub(crate) async fn publish(&self, function: &Name, marker: &str) -> String {
        self.update(function, &self.telling(marker)).await.unwrap();
        self.functions.publish(&self.permit(), function).await.unwrap()
    }

    /// Puts code in place, publishes it and makes it live; gives the version.
    pub(crate) async fn release(&self, function: &Name, marker: &str) -> String {
        let version = self.publish(function, marker).await;
        self.functions.make_live(&self.permit(), function, &version).await.unwrap();
        version
    }

    /// Calls a function as its callers do. None where nobody answers, or not well.
    pub(crate) async fn call(&self, function: &Name, event: &Value) -> Option<Value> {
        call(&self.api, function, "live", event).await
    }

    /// Which code answers callers.
    pub(crate) async fn answers(&self) -> Option<String> {
        self.call(&SHOP, &json!({})).await?.get("code")?.as_str().map(str::to_owned)
    }

    /// A call that its function keeps open, once it has arrived there.
    pub(crate) async fn hold(&self, function: &Name) -> (tokio::task::JoinHandle<Option<Value>>, Sender<()>) {
        let id = self.calls.fetch_add(1, Ordering::SeqCst).to_string();
        let ((arrives, arrived), (ends, end)) = (mpsc::channel(), mpsc::channel());
        self.held.lock().unwrap().insert(id.clone(), (arrives, end));
        let (api, function) = (self.api.clone(), function.clone());
        let calling =
            tokio::spawn(async move { call(&api, &function, "live", &json!({ "hold": id })).await });
        let arrived = tokio::task::spawn_blocking(move || arrived.recv_timeout(Duration::from_secs(60)));
        arrived.await.unwrap().unwrap();
        (calling, ends)
    }

    /// What the cloud was asked of this action, by result.
    pub(crate) fn asked(&self, action: &str) -> Vec<Logged> {
        self.cloud
            .log()
            .into_iter()
            .filter(|logged| logged.service == "scf" && logged.action == action)
            .collect()
    }

    /// How often the cloud carried this action out.
    pub(crate) fn carried_out(&self, action: &str) -> usize {
        self.asked(action).iter().filter(|logged| logged.result == "ok").count()
    }

    /// Asks the cloud past the adapter.
    pub(crate) async fn ask<A: Action>(&self, action: &A) -> A::Answer {
        self.api.call(action, Nature::Writes).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn spec(function: &Name, artifact: &Artifact) -> FunctionSpec {
    FunctionSpec {
        name: function.clone(),
        code: artifact.path.clone(),
        digest: artifact.digest,
        triggers: BTreeMap::new(),
        variables: BTreeMap::new(),
    }
}

fn open(cloud: &FakeCloud, change: impl FnOnce(ScfConfig) -> ScfConfig) -> ScfFunctions {
    let config = ScfConfig {
        endpoint: Some(cloud.url()),
        new_functions: Some(NewFunction {
            timeout_seconds: 1,
            ..NewFunction::new("Nodejs18.15", "index.main")
        }),
        ..ScfConfig::new("ap-guangzhou")
    };
    ScfFunctions::new(change(config), credential(), Arc::new(cloud.clock())).unwrap()
}

pub(crate) fn bucket(cloud_url: String) -> CodeBucket {
    CodeBucket {
        bucket: "code".into(),
        appid: "1250000000".into(),
        prefix: "packages/".into(),
        endpoint: Some(cloud_url),
    }
}

pub(crate) fn credential() -> Arc<Credential> {
    Arc::new(Credential::new(SECRET_ID, SECRET_KEY, None).unwrap())
}

/// An action of SCF, struck so often.
pub(crate) fn target(action: &str, times: u32) -> Target {
    Target { service: Some("scf".into()), action: Some(action.into()), times }
}

pub(crate) fn refuses(action: &str, code: &str, times: u32) -> Fault {
    Fault::Error { target: target(action, times), code: code.into(), message: None, status: None }
}

/// A call of a function by one of its names.
pub(crate) async fn call(api: &Api, function: &Name, qualifier: &str, event: &Value) -> Option<Value> {
    let action = Invoke {
        function_name: function.to_string(),
        invocation_type: "RequestResponse",
        qualifier: qualifier.to_owned(),
        client_context: event.to_string(),
    };
    match api.call(&action, Nature::Reads).await {
        Ok(answer) if answer.result.err_msg.is_empty() => serde_json::from_str(&answer.result.ret_msg).ok(),
        Ok(_) => None,
        Err(error) if error.failure() == Failure::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Invoke {
    function_name: String,
    invocation_type: &'static str,
    qualifier: String,
    client_context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Invoked {
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    ret_msg: String,
    err_msg: String,
}

impl Action for Invoke {
    const NAME: &'static str = "Invoke";
    type Answer = Invoked;
}

/// Declares an action that a test asks past the adapter.
macro_rules! outside {
    ($name:ident { $($field:ident),* }) => {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        pub(crate) struct $name {
            pub(crate) function_name: &'static str,
            $(pub(crate) $field: &'static str,)*
        }

        impl Action for $name {
            const NAME: &'static str = stringify!($name);
            type Answer = Value;
        }
    };
}

outside!(CreateTrigger { trigger_name, r#type, trigger_desc });

outside!(CreateAlias { name, function_version });

outside!(GetProvisionedConcurrencyConfig {});

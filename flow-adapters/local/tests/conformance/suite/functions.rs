use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::FunctionPlatform;
use flow_core::{Artifact, Digest, ErrorKind, Name, SystemClock};
use flow_local::function::{FunctionsConfig, LocalFunctions};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::functions::{Behaviour, FunctionsFixture};
use serde_json::Value;
use tempfile::TempDir;

struct Fixture {
    directory: TempDir,
    functions: LocalFunctions,
}

async fn fresh() -> Fixture {
    let directory = TempDir::new().unwrap();
    let config = FunctionsConfig::new(directory.path().join("root"));
    let functions = LocalFunctions::open(config, Arc::new(SystemClock::new())).unwrap();
    Fixture { directory, functions }
}

#[async_trait]
impl FunctionsFixture for Fixture {
    fn platform(&self) -> &dyn FunctionPlatform {
        &self.functions
    }

    async fn code(&self, behaviour: Behaviour) -> Outside<Artifact> {
        let program = match behaviour {
            Behaviour::Fails => "exit 7".to_owned(),
            Behaviour::Answers(marker) => format!(
                "printf '{{\"code\": \"{marker}\", \"event\": %s, \"greeting\": \"%s\"}}' \"$(/bin/cat)\" \"$GREETING\""
            ),
        };
        let text = format!("#!/bin/sh\n{program}\n");
        let digest = Digest::of(text.as_bytes());
        let path = self.directory.path().join(digest.hex());
        fs::write(&path, text)?;
        Ok(Artifact { digest, path })
    }

    fn triggers(&self) -> [String; 2] {
        ["0 3 * * *".to_owned(), "0 4 * * *".to_owned()]
    }

    async fn call(&self, function: &Name, event: &Value) -> Outside<Option<Value>> {
        match self.functions.call(function, event).await {
            Ok(answer) => Ok(answer.succeeded.then_some(answer.output)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

flow_testkit::functions_conformance!(fresh);

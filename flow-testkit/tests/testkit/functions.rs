use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState, Invocation};
use flow_core::{Artifact, Digest, ErrorKind, Fence, Name, Permit, StepError, name};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::functions::{Behaviour, FunctionsFixture, GREETING};
use flow_testkit::fake::FakeFunctions;
use flow_testkit::{permit, permit_under};
use serde_json::{Value, json};

/// How a platform breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    OverlooksMissing,
    ForgetsTriggers,
    MergesVariables,
    PublishesLive,
    RunsTheLatest,
    PublishesAnew,
    TakesAnyCode,
    TakesAnyVersion,
    ErrsOnFailure,
    LivesWhatItTests,
    KeepsTriggers,
    RemovesNothing,
    RemembersGoneVersions,
    RestoresAll,
}

/// A fake and its world, with one mistake.
struct World {
    fake: FakeFunctions,
    how: How,
    published: Mutex<BTreeMap<String, String>>,
}

async fn broken(how: How) -> World {
    World { fake: FakeFunctions::new(), how, published: Mutex::default() }
}

async fn fresh() -> World {
    broken(How::Not).await
}

#[async_trait]
impl FunctionsFixture for World {
    fn platform(&self) -> &dyn FunctionPlatform {
        self
    }

    /// The code of a fake is its path.
    async fn code(&self, behaviour: Behaviour) -> Outside<Artifact> {
        let text = format!("{behaviour:?}");
        let digest = self.fake.lay_out(&text, text.as_bytes());
        if let Behaviour::Answers(marker) = behaviour {
            self.fake.program(digest, move |event, variables| {
                let greeting = variables.get(GREETING).cloned().unwrap_or_default();
                Ok(json!({ "code": marker, "event": event, "greeting": greeting }))
            });
        }
        Ok(Artifact { digest, path: text.into() })
    }

    fn triggers(&self) -> [String; 2] {
        ["0 3 * * *".to_owned(), "0 4 * * *".to_owned()]
    }

    async fn call(&self, function: &Name, event: &Value) -> Outside<Option<Value>> {
        Ok(self.fake.call(function, event))
    }
}

#[async_trait]
impl FunctionPlatform for World {
    async fn state(&self, function: &Name) -> Result<FunctionState, StepError> {
        let mut state = self.fake.state(function).await?;
        if self.how == How::ForgetsTriggers {
            state.triggers.clear();
        }
        Ok(state)
    }

    async fn update_code(&self, permit: &Permit, spec: &FunctionSpec) -> Result<(), StepError> {
        let mut spec = spec.clone();
        if self.how == How::TakesAnyCode {
            spec.digest = Digest::of(spec.code.as_os_str().as_encoded_bytes());
        }
        self.fake.update_code(permit, &spec).await
    }

    async fn set_triggers(
        &self,
        permit: &Permit,
        function: &Name,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError> {
        match self.fake.set_triggers(permit, function, triggers).await {
            Err(_) if self.how == How::OverlooksMissing => Ok(()),
            ended => ended,
        }
    }

    async fn set_variables(
        &self,
        permit: &Permit,
        function: &Name,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StepError> {
        let mut variables = variables.clone();
        if self.how == How::MergesVariables {
            let old = self.fake.state(function).await?.variables;
            variables = old.into_iter().chain(variables).collect();
        }
        self.fake.set_variables(permit, function, &variables).await
    }

    async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError> {
        let key = permit.idempotency_key();
        match self.how {
            How::PublishesAnew => {
                let anew = format!("{key}/{}", permit.attempt());
                return self.fake.publish(&permit_under(&anew, permit.fence(), 1), function).await;
            }
            How::RemembersGoneVersions => {
                if let Some(version) = self.published.lock().unwrap().get(key) {
                    return Ok(version.clone());
                }
            }
            _ => {}
        }
        let version = self.fake.publish(permit, function).await?;
        self.published.lock().unwrap().insert(key.to_owned(), version.clone());
        if self.how == How::PublishesLive {
            self.fake.make_live(permit, function, &version).await?;
        }
        Ok(version)
    }

    async fn make_live(&self, permit: &Permit, function: &Name, version: &str) -> Result<(), StepError> {
        match self.fake.make_live(permit, function, version).await {
            Err(_) if self.how == How::TakesAnyVersion => Ok(()),
            ended => ended,
        }
    }

    async fn invoke(&self, function: &Name, version: &str, event: &Value) -> Result<Invocation, StepError> {
        let mut called = version.to_owned();
        if self.how == How::RunsTheLatest {
            called = self.fake.versions(function).pop().unwrap().0;
        }
        let answer = self.fake.invoke(function, &called, event).await?;
        if self.how == How::LivesWhatItTests {
            self.fake.make_live(&permit(), function, version).await?;
        }
        if self.how == How::ErrsOnFailure && !answer.succeeded {
            return Err(StepError::new(ErrorKind::Failed, "the function failed"));
        }
        Ok(Invocation { version: version.to_owned(), ..answer })
    }

    async fn restore(
        &self,
        permit: &Permit,
        function: &Name,
        before: &FunctionState,
    ) -> Result<(), StepError> {
        let mut before = before.clone();
        match self.how {
            How::RemovesNothing if before == FunctionState::default() => return Ok(()),
            How::KeepsTriggers => before.triggers = self.fake.state(function).await?.triggers,
            How::RestoresAll => self.fake.lose(&name!("conformance-thumb")),
            _ => {}
        }
        self.fake.restore(permit, function, &before).await
    }
}

mod fake {
    use super::fresh;

    flow_testkit::functions_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { functions_conformance, functions:
        a_function_that_does_not_exist_is_a_state_and_cannot_be_changed => || broken(How::OverlooksMissing),
        what_was_set_is_what_the_state_says => || broken(How::ForgetsTriggers),
        triggers_and_variables_are_replaced_whole => || broken(How::MergesVariables),
        new_code_reaches_nobody_before_its_version_is_live => || broken(How::PublishesLive),
        a_version_keeps_the_code_and_the_variables_of_its_time => || broken(How::RunsTheLatest),
        publishing_twice_under_one_key_is_one_version => || broken(How::PublishesAnew),
        code_of_another_digest_is_a_conflict_that_changes_nothing => || broken(How::TakesAnyCode),
        an_unknown_version_never_becomes_live => || broken(How::TakesAnyVersion),
        a_failing_function_is_an_answer => || broken(How::ErrsOnFailure),
        asking_and_invoking_change_nothing => || broken(How::LivesWhatItTests),
        a_restored_function_is_as_it_was => || broken(How::KeepsTriggers),
        a_function_that_did_not_exist_is_removed => || broken(How::RemovesNothing),
        a_restored_function_can_be_released_again => || broken(How::RemembersGoneVersions),
        functions_do_not_disturb_each_other => || broken(How::RestoresAll),
    }
}

#[tokio::test]
async fn a_second_version_of_the_same_state_in_one_run_is_a_second_effect() {
    let functions = FakeFunctions::new();
    let digest = functions.lay_out("code", b"code");
    let spec = FunctionSpec {
        name: name!("resize"),
        code: "code".into(),
        digest,
        triggers: BTreeMap::new(),
        variables: BTreeMap::new(),
    };
    let under = |key: &str| permit_under(key, Fence(1), 1);
    functions.update_code(&under("run/code"), &spec).await.unwrap();
    functions.publish(&under("run/publish"), &spec.name).await.unwrap();
    let error = functions.publish(&under("run/another"), &spec.name).await.unwrap_err();
    assert_eq!((error.kind(), functions.ledger().refusals().len()), (ErrorKind::Conflict, 1));
    assert_eq!(functions.versions(&spec.name).len(), 1);
}

#[tokio::test]
async fn a_wrong_callers_mistakes_are_among_the_refusals() {
    let functions = FakeFunctions::new();
    let digest = functions.lay_out("code", b"code");
    let spec = FunctionSpec {
        name: name!("resize"),
        code: "code".into(),
        digest,
        triggers: BTreeMap::new(),
        variables: BTreeMap::new(),
    };
    functions.update_code(&permit(), &spec).await.unwrap();
    functions.make_live(&permit(), &spec.name, "7").await.unwrap_err();
    assert_eq!(functions.ledger().refusals().len(), 1);
}

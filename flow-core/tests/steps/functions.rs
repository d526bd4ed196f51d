use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState};
use flow_core::prelude::*;
use flow_core::receipt::BuildFacts;
use flow_core::stage::{Build, Functions};
use flow_core::steps::{
    FunctionCode, FunctionTest, PublishFunction, SetTriggers, SetVariables, TestFunction, UpdateFunctionCode,
};
use flow_core::{Artifact, Digest, Fence, NAME_MAX};
use flow_testkit::{context, permit_under};
use serde_json::json;

use crate::contract::{obeys, run};
use crate::world::World;

const NAME: Name = name!("resize");

fn code(content: &str) -> Artifact {
    Artifact { digest: Digest::of(content.as_bytes()), path: format!("/code/{content}").into() }
}

/// A function whose version 1 is live; its code answers 1, and the new code answers 2.
async fn platform() -> World {
    let world = World::new();
    world.state().answers = [(code("old").digest, json!(1)), (code("new").digest, json!(2))].into();
    let Artifact { digest, path } = code("old");
    let spec = FunctionSpec {
        name: NAME,
        code: path,
        digest,
        triggers: BTreeMap::new(),
        variables: BTreeMap::new(),
    };
    let permit = permit_under("an earlier run", Fence(1), 1);
    world.update_code(&permit, &spec).await.unwrap();
    let variables = [("TOKEN".to_owned(), "old s3cret".to_owned())].into();
    world.set_variables(&permit, &NAME, &variables).await.unwrap();
    let version = world.publish(&permit, &NAME).await.unwrap();
    world.make_live(&permit, &NAME, &version).await.unwrap();
    world
}

fn port(world: &World) -> Arc<World> {
    Arc::new(world.clone())
}

async fn state(world: &World) -> FunctionState {
    FunctionPlatform::state(world, &NAME).await.unwrap()
}

fn update(world: &World) -> UpdateFunctionCode {
    UpdateFunctionCode::new(port(world), NAME, FunctionCode::Pinned(code("new")))
}

fn publish(world: &World) -> PublishFunction {
    PublishFunction::new(port(world), NAME, FunctionTest::new(json!({})).returning(json!(2)))
}

#[tokio::test]
async fn new_code_is_in_place_for_the_next_version_alone() {
    let world = platform().await;
    let step = update(&world);
    assert_eq!(step.preview(&context()).await.unwrap().deploys, [code("new").digest]);
    obeys(&world, &step, &context()).await;
    assert_eq!(state(&world).await.digest, Some(code("new").digest));
    assert_eq!(state(&world).await.live.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_function_that_did_not_exist_is_gone_after_the_undo() {
    let world = World::new();
    obeys(&world, &update(&world), &context()).await;
    assert_eq!(state(&world).await.digest, Some(code("new").digest));
}

#[tokio::test]
async fn code_can_be_what_the_build_gave() {
    let world = platform().await;
    let step = UpdateFunctionCode::new(port(&world), NAME, FunctionCode::Artifact(name!("resize")));
    assert_eq!(run(&step, &context()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!step.preview(&context()).await.unwrap().unknowns.is_empty());
    let artifacts = [(name!("resize"), code("new"))].into();
    let built = Receipt::<Build>::new().facts(BuildFacts { artifacts, ..BuildFacts::default() });
    run(&step, &context::<Functions>().after(name!("build"), &built).unwrap()).await.unwrap();
    assert_eq!(state(&world).await.digest, Some(code("new").digest));
}

#[tokio::test]
async fn triggers_are_replaced_and_restored() {
    let world = platform().await;
    let triggers = [(name!("nightly"), "0 3 * * *".to_owned())].into();
    obeys(&world, &SetTriggers::new(port(&world), NAME, triggers), &context()).await;
    assert_eq!(state(&world).await.triggers[&name!("nightly")], "0 3 * * *");
}

#[tokio::test]
async fn variables_are_replaced_restored_and_shown_nowhere() {
    let world = platform().await;
    let variables =
        [("TOKEN".to_owned(), "new s3cret".to_owned()), ("SIZE".to_owned(), "9 s3cret".to_owned())].into();
    let step = SetVariables::new(port(&world), NAME, variables);
    let preview = step.preview(&context()).await.unwrap();
    assert_eq!(preview.changes.len(), 2);
    let receipt = obeys(&world, &step, &context()).await;
    assert_eq!(state(&world).await.variables["TOKEN"], "new s3cret");

    assert!(step.seals());
    let captured = step.capture(&context()).await.unwrap();
    let open = captured.get::<serde_json::Value>().unwrap();
    let shown = [
        format!("{preview:?}"),
        format!("{receipt:?}"),
        step.definition().to_string(),
        open.to_string(),
        format!("{captured:?}"),
    ];
    for shown in shown {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test]
async fn a_published_version_is_tested_before_callers_reach_it() {
    let world = platform().await;
    run(&update(&world), &context()).await.unwrap();
    let receipt = obeys(&world, &publish(&world), &context()).await;
    assert_eq!(receipt.facts.versions[&NAME], "2");
    assert_eq!(state(&world).await.live.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_version_that_fails_its_test_is_never_live() {
    for answer in [None, Some(json!(3))] {
        let world = platform().await;
        world.state().answers.remove(&code("new").digest);
        if let Some(answer) = answer {
            world.state().answers.insert(code("new").digest, answer);
        }
        run(&update(&world), &context()).await.unwrap();
        let error = run(&publish(&world), &context()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "a version stands, so it is no rejection");
        assert_eq!(state(&world).await.live.as_deref(), Some("1"));
        assert!(!world.changes()[4..].iter().any(|change| change.starts_with("make live")));
    }
}

#[tokio::test]
async fn the_live_version_is_tested_and_its_failure_is_a_failed_check() {
    let world = platform().await;
    let expecting =
        |value| TestFunction::new(port(&world), NAME, FunctionTest::new(json!({})).returning(value));
    let receipt = obeys(&world, &expecting(json!(1)), &context()).await;
    assert_eq!(receipt.evidence[0].observed["version"], json!("1"));
    assert_eq!(run(&expecting(json!(2)), &context()).await.unwrap_err().kind(), ErrorKind::Failed);
    world.state().functions.clear();
    assert_eq!(run(&expecting(json!(1)), &context()).await.unwrap_err().kind(), ErrorKind::Failed);
}

#[tokio::test]
async fn the_steps_of_a_function_are_named_after_it() {
    let world = World::new();
    let long = Name::new("f".repeat(NAME_MAX)).unwrap();
    let step = PublishFunction::new(port(&world), long, FunctionTest::new(json!({})));
    assert!(step.name().as_str().ends_with("f.publish"));
    assert_eq!(update(&world).name(), name!("resize.code"));
    assert_eq!(update(&world).named(name!("other")).name(), name!("other"));
}

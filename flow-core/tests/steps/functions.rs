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
use flow_testkit::fake::FakeFunctions;
use flow_testkit::{context, permit_under};
use serde_json::json;

use crate::contract::{obeys, run};
use crate::whole::Shop;
use crate::world::World;

const NAME: Name = name!("resize");

fn code(content: &str) -> Artifact {
    Artifact { digest: Digest::of(content.as_bytes()), path: format!("/code/{content}").into() }
}

/// A platform without functions, and code that answers 1 and 2.
fn empty() -> World {
    let world = World::new();
    for (content, output) in [("old", 1), ("new", 2)] {
        let digest = world.functions.lay_out(code(content).path, content.as_bytes());
        world.functions.answer(digest, json!(output));
    }
    world
}

/// A function whose version 1 is live; its code answers 1, and the new code answers 2.
async fn platform() -> World {
    let world = empty();
    let Artifact { digest, path } = code("old");
    let spec = FunctionSpec {
        name: NAME,
        code: path,
        digest,
        triggers: BTreeMap::new(),
        variables: BTreeMap::new(),
    };
    let permit = permit_under("an earlier run", Fence(1), 1);
    world.functions.update_code(&permit, &spec).await.unwrap();
    let variables = [("TOKEN".to_owned(), "old s3cret".to_owned())].into();
    world.functions.set_variables(&permit, &NAME, &variables).await.unwrap();
    let version = world.functions.publish(&permit, &NAME).await.unwrap();
    world.functions.make_live(&permit, &NAME, &version).await.unwrap();
    world
}

fn port(world: &World) -> Arc<FakeFunctions> {
    Arc::new(world.functions.clone())
}

async fn state(world: &World) -> FunctionState {
    world.functions.state(&NAME).await.unwrap()
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
    let step = Arc::new(update(&world));
    assert_eq!(step.preview(&context()).await.unwrap().deploys, [code("new").digest]);
    obeys(&world, &step, &context()).await;
    assert_eq!(state(&world).await.digest, Some(code("new").digest));
    assert_eq!(state(&world).await.live.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_function_that_did_not_exist_is_gone_after_the_undo() {
    let world = empty();
    obeys(&world, &Arc::new(update(&world)), &context()).await;
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
    obeys(&world, &Arc::new(SetTriggers::new(port(&world), NAME, triggers)), &context()).await;
    assert_eq!(state(&world).await.triggers[&name!("nightly")], "0 3 * * *");
}

#[tokio::test]
async fn variables_are_replaced_restored_and_shown_nowhere() {
    let world = platform().await;
    let variables =
        [("TOKEN".to_owned(), "new s3cret".to_owned()), ("SIZE".to_owned(), "9 s3cret".to_owned())].into();
    let step = Arc::new(SetVariables::new(port(&world), NAME, variables));
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
    let receipt = obeys(&world, &Arc::new(publish(&world)), &context()).await;
    let (version, code_of) = world.functions.versions(&NAME).pop().unwrap();
    assert_eq!((&receipt.facts.versions[&NAME], code_of), (&version, code("new").digest));
    assert_eq!(world.functions.live(&NAME), Some(version));
}

#[tokio::test]
async fn a_version_that_fails_its_test_is_never_live() {
    for answer in [Err(json!("boom")), Ok(json!(3))] {
        let world = platform().await;
        world.functions.program(code("new").digest, move |_, _| answer.clone());
        run(&update(&world), &context()).await.unwrap();
        let error = run(&publish(&world), &context()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "a version stands, so it is no rejection");
        assert_eq!(state(&world).await.live.as_deref(), Some("1"));
        assert!(!world.changes()[4..].iter().any(|change| change.starts_with("functions.make_live")));
    }
}

#[tokio::test]
async fn the_live_version_is_tested_and_its_failure_is_a_failed_check() {
    let world = platform().await;
    let expecting =
        |value| TestFunction::new(port(&world), NAME, FunctionTest::new(json!({})).returning(value));
    let receipt = obeys(&world, &Arc::new(expecting(json!(1))), &context()).await;
    assert_eq!(receipt.evidence[0].observed["version"], json!("1"));
    assert_eq!(run(&expecting(json!(2)), &context()).await.unwrap_err().kind(), ErrorKind::Failed);
    world.functions.lose(&NAME);
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

#[tokio::test(start_paused = true)]
async fn a_function_that_was_lost_meanwhile_is_not_called_restored() {
    let world = platform().await;
    let step = SetTriggers::new(port(&world), NAME, [(name!("nightly"), "0 3 * * *".to_owned())].into());
    let before = step.capture(&context()).await.unwrap();
    let permit = permit_under("test/do", Fence(1), 1);
    let receipt = step.run(&context(), &permit, &before).await.unwrap();
    world.functions.lose(&NAME);
    let outcome = Outcome::Finished(receipt);
    let error = step.roll_back(&context(), &permit, &before, &outcome).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // In this plan another step gives the function its code, and answers for it.
    let planned = context().planned(Shop::new().plan().await);
    step.roll_back(&planned, &permit, &before, &outcome).await.unwrap();
}

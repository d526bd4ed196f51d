use std::sync::Arc;

use flow_core::prelude::*;
use flow_core::stage::Build;
use flow_core::steps::{BuildArtifacts, PushImage, VerifySource, WriteConfiguration};
use flow_core::{Digest, Outcome};
use flow_testkit::fake::FakeSource;
use flow_testkit::{context, permit};
use serde_json::json;

use crate::contract::{obeys, run};
use crate::world::World;

fn tagged() -> World {
    let world = World::new();
    world.source.tag("v1.0.0", "c0ffee");
    world.builder.yields([(name!("web"), "web"), (name!("site"), "site")]);
    world
}

fn source(world: &World) -> Arc<FakeSource> {
    Arc::new(world.source.clone())
}

fn artifacts(world: &World) -> BuildArtifacts {
    BuildArtifacts::new(source(world), Arc::new(world.builder.clone()), "v{release}")
}

#[tokio::test]
async fn the_tag_of_the_release_gives_the_commit() {
    let world = tagged();
    let step = Arc::new(VerifySource::new(source(&world), "v{release}"));
    let receipt = obeys(&world, &step, &context()).await;
    assert_eq!(receipt.facts.commit.as_deref(), Some("c0ffee"));
    assert_eq!(step.preview(&context()).await.unwrap().stable["commit"], json!("c0ffee"));
}

#[tokio::test]
async fn a_missing_tag_and_an_unknown_placeholder_are_refused_by_the_plan() {
    let world = tagged();
    let missing = VerifySource::new(source(&world), "{release}-final");
    assert_eq!(missing.preview(&context()).await.unwrap_err().kind(), ErrorKind::NotFound);
    for template in ["v{version}", "v{release", "{}"] {
        let odd = VerifySource::new(source(&world), template);
        assert_eq!(odd.preview(&context()).await.unwrap_err().kind(), ErrorKind::Invalid, "{template}");
    }
}

#[tokio::test]
async fn a_build_is_kept_and_its_undo_discards_it() {
    let world = tagged();
    let receipt = obeys(&world, &Arc::new(artifacts(&world)), &context()).await;
    assert_eq!(receipt.facts.commit.as_deref(), Some("c0ffee"));
    assert_eq!(receipt.facts.artifacts[&name!("web")].digest, Digest::of(b"web"));
    assert_eq!(world.builder.kept().len(), 2);
}

#[tokio::test]
async fn artefacts_of_an_earlier_build_are_found_and_outlive_the_undo() {
    let world = tagged();
    run(&artifacts(&world), &context()).await.unwrap();
    let built = world.seen();
    let changes = world.changes().len();
    let receipt = obeys(&world, &Arc::new(artifacts(&world)), &context()).await;
    assert_eq!((world.seen(), world.changes().len()), (built, changes), "neither built nor discarded");
    assert!(receipt.evidence[0].summary.contains("earlier build"));
}

#[tokio::test]
async fn undo_spares_what_the_build_of_another_commit_gave_as_well() {
    let world = tagged();
    run(&artifacts(&world), &context()).await.unwrap();
    let earlier = world.seen();
    world.source.tag("v1.0.0", "decade");
    world.builder.yields([(name!("web"), "web"), (name!("site"), "new site")]);
    let step = artifacts(&world);
    let before = step.capture(&context()).await.unwrap();
    let receipt = step.run(&context(), &permit(), &before).await.unwrap();
    assert_eq!(world.builder.kept().len(), 3, "the same bytes are kept once");
    step.roll_back(&context(), &permit(), &before, &Outcome::Finished(receipt)).await.unwrap();
    assert_eq!(world.seen(), earlier);
}

#[tokio::test]
async fn a_digest_that_the_plan_does_not_name_is_a_conflict_and_leaves_nothing_behind() {
    let world = tagged();
    let cx = context::<Build>().naming(vec![Digest::of(b"web")]);
    let untouched = world.seen();
    let error = run(&artifacts(&world), &cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.facts().collect::<Vec<_>>(), [("site", Digest::of(b"site").to_string().as_str())]);
    assert_eq!(world.seen(), untouched, "a rejection claims that nothing was left behind");

    run(&artifacts(&world), &context()).await.unwrap();
    let error = artifacts(&world).preview(&cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "where it is known already, the plan is refused");
    let both = context().naming(vec![Digest::of(b"web"), Digest::of(b"site")]);
    run(&artifacts(&world), &both).await.unwrap();
}

#[tokio::test]
async fn a_tag_that_moves_after_the_capture_is_refused() {
    let world = tagged();
    let step = artifacts(&world);
    let before = step.capture(&context()).await.unwrap();
    world.source.tag("v1.0.0", "decade");
    let error = step.run(&context(), &permit(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(world.builder.built().is_empty());
}

#[tokio::test]
async fn a_build_that_gives_nothing_is_no_build() {
    let world = tagged();
    world.builder.yields::<&str>([]);
    assert_eq!(run(&artifacts(&world), &context()).await.unwrap_err().kind(), ErrorKind::Failed);
}

#[tokio::test]
async fn a_configuration_replaces_the_old_one_and_its_undo_brings_it_back() {
    for old in [None, Some(b"colour = \"red\"".to_vec()), Some(vec![0, 255, 7])] {
        let world = World::new();
        if let Some(old) = old {
            world.state().documents.insert(name!("shop.toml"), old);
        }
        let step = Arc::new(WriteConfiguration::new(
            Arc::new(world.clone()),
            name!("shop.toml"),
            "token = \"s3cret\"",
        ));
        obeys(&world, &step, &context()).await;
        assert_eq!(world.state().documents[&name!("shop.toml")], b"token = \"s3cret\"");
    }
}

#[tokio::test]
async fn a_configurations_content_is_sealed_and_shown_nowhere() {
    let world = World::new();
    world.state().documents.insert(name!("shop.toml"), b"old s3cret".to_vec());
    let step = WriteConfiguration::new(Arc::new(world.clone()), name!("shop.toml"), "new s3cret");
    assert!(step.seals());
    let before = step.capture(&context()).await.unwrap();
    assert_eq!(before.get::<String>().unwrap(), Digest::of(b"old s3cret").to_string());
    assert!(before.get_sealed::<serde_json::Value>().is_ok());
    let preview = step.preview(&context()).await.unwrap();
    let receipt = step.run(&context(), &permit(), &before).await.unwrap();
    for shown in
        [format!("{preview:?}"), format!("{receipt:?}"), step.definition().to_string(), format!("{step:?}")]
    {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    assert!(step.preview(&context()).await.unwrap().changes.is_empty(), "it is in place by now");
}

fn image(world: &World) -> PushImage {
    let registry = Arc::new(world.images.clone());
    PushImage::new(registry, source(world), "v{release}", "registry.test/{application}:{release}")
}

const REFERENCE: &str = "registry.test/shop:1.0.0";
const PUSHED: [&str; 2] = ["source.check_out c0ffee", "images.push registry.test/shop:1.0.0"];

#[tokio::test]
async fn an_image_is_pushed_once_and_stays_after_the_undo() {
    let world = tagged();
    let step = image(&world);
    assert!(matches!(step.reversibility(), Reversibility::Compensate { .. }));
    let before = step.capture(&context()).await.unwrap();
    step.preview(&context()).await.unwrap();
    assert!(world.changes().is_empty());
    let receipt = step.run(&context(), &permit(), &before).await.unwrap();
    let again = step.run(&context(), &permit(), &before).await.unwrap();
    assert_eq!(receipt, again);
    assert_eq!(world.changes(), PUSHED);
    step.roll_back(&context(), &permit(), &before, &Outcome::Finished(receipt)).await.unwrap();
    step.roll_back(&context(), &permit(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(world.images.all()[REFERENCE], Digest::of(b"c0ffee"));
}

#[tokio::test]
async fn a_push_that_broke_is_in_doubt_and_found_by_the_next_attempt() {
    let world = tagged();
    let step = image(&world);
    let before = step.capture(&context()).await.unwrap();
    world.doubt("images.push");
    let error = step.run(&context(), &permit(), &before).await.unwrap_err();
    assert!(world.ledger.faults().unfired().is_empty() && !error.kind().is_rejection());
    step.run(&context(), &permit(), &before).await.unwrap();
    assert_eq!(world.changes(), ["source.check_out c0ffee"], "the push that broke is not made twice");
    assert_eq!(world.images.all()[REFERENCE], Digest::of(b"c0ffee"));
}

#[tokio::test]
async fn an_image_that_the_plan_does_not_name_is_refused() {
    let world = tagged();
    world.images.have(REFERENCE, Digest::of(b"somebody else's"));
    let cx = context().naming(vec![Digest::of(b"c0ffee")]);
    assert_eq!(image(&world).preview(&cx).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(run(&image(&world), &cx).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(world.changes().is_empty());
}

use std::sync::Arc;

use flow_core::gate::StandardGate;
use flow_core::policy::Proof;
use flow_core::port::Gauge;
use flow_core::prelude::*;
use flow_core::receipt::{BuildFacts, MigrateFacts};
use flow_core::stage::{Build, BuildActivity, Migrate, Verify};
use flow_core::steps::{
    CheckFunctions, CheckJourney, Expectation, HandOver, MeasureFigures, MeasurePerformance, WriteDocuments,
};
use flow_core::{Artifact, CancelToken, Digest, Fence, Outcome};
use flow_testkit::fault::Fault;
use flow_testkit::{context, permit};

use crate::contract::{obeys, run};
use crate::world::{Dial, World};

const API: &str = "https://app.test/api?token=s3cret";

fn port(world: &World) -> Arc<World> {
    Arc::new(world.clone())
}

#[tokio::test]
async fn every_function_is_asked_and_everything_wrong_is_said_at_once() {
    let world = World::new();
    world.page(API, 200, "version 1.0.0", 5);
    world.page("https://app.test/old", 410, "", 5);
    let good = || {
        [Expectation::of(API).containing("1.0.0"), Expectation::of("https://app.test/old").with_status(410)]
    };
    obeys(&world, &Arc::new(CheckFunctions::new(port(&world), good())), &context()).await;

    let bad = [
        Expectation::of(API).containing("1.1.0"),
        Expectation::of("https://app.test/old"),
        Expectation::of("https://gone.test/"),
    ];
    let error = run(&CheckFunctions::new(port(&world), bad), &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let facts: Vec<(&str, &str)> = error.facts().collect();
    assert_eq!(facts[0], ("https://app.test/api", "the body does not contain `1.1.0`"));
    assert_eq!(facts[1], ("https://app.test/old", "status 410, expected 200"));
    assert_eq!(facts[2], ("https://gone.test/", "no answer: nothing listens there"));
    assert!(!error.to_string().contains("s3cret"));
}

#[tokio::test]
async fn no_check_is_no_pass() {
    let world = World::new();
    for error in [
        CheckFunctions::new(port(&world), []).preview(&context()).await.unwrap_err(),
        CheckJourney::new(port(&world), []).preview(&context()).await.unwrap_err(),
        CheckFunctions::new(port(&world), [Expectation::of("ftp://x")])
            .preview(&context())
            .await
            .unwrap_err(),
        CheckFunctions::new(port(&world), [Expectation::of(API).containing("")])
            .preview(&context())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(
        run(&CheckFunctions::new(port(&world), []), &context()).await.unwrap_err().kind(),
        ErrorKind::Failed
    );
    assert_eq!(
        run(&CheckJourney::new(port(&world), []), &context()).await.unwrap_err().kind(),
        ErrorKind::Failed
    );
}

#[tokio::test]
async fn the_query_of_a_url_is_shown_nowhere_and_still_counts() {
    let world = World::new();
    let step = |url: &str| CheckFunctions::new(port(&world), [Expectation::of(url)]);
    assert!(!step(API).definition().to_string().contains("s3cret"));
    assert_ne!(step(API).definition(), step("https://app.test/api?token=other").definition());
    let user = step("https://ann:s3cret@app.test/a").definition().to_string();
    assert!(user.contains("https://app.test/a") && !user.contains("s3cret"));
}

#[tokio::test]
async fn a_journey_is_walked_in_order_and_gives_its_slowest_page() {
    let world = World::new();
    for (page, ms) in [("cart", 80), ("home", 10), ("pay", 30)] {
        world.page(&format!("https://app.test/{page}"), 200, "", ms);
    }
    let pages = ["home", "cart", "pay"].map(|page| Expectation::of(format!("https://app.test/{page}")));
    let step = Arc::new(CheckJourney::new(port(&world), pages));
    let receipt = run(&*step, &context()).await.unwrap();
    assert_eq!(
        world.state().asked,
        ["https://app.test/home", "https://app.test/cart", "https://app.test/pay"]
    );
    assert_eq!((receipt.figures[0].gate, receipt.figures[0].value), (StandardGate::KeyFunction, 80.0));
    obeys(&world, &step, &context()).await;
}

#[tokio::test]
async fn a_journey_ends_at_its_first_broken_page_and_fails_when_a_page_is_slow() {
    let world = World::new();
    world.page("https://app.test/home", 500, "", 10);
    world.page("https://app.test/pay", 200, "", 1000);
    let pages = ["home", "pay"].map(|page| Expectation::of(format!("https://app.test/{page}")));
    let error = run(&CheckJourney::new(port(&world), pages.clone()), &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(world.state().asked, ["https://app.test/home"]);
    let [_, slow] = pages;
    let error = run(&CheckJourney::new(port(&world), [slow]), &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.facts().next(), Some(("slowest", "1000.0 ms")));
}

fn performance(world: &World) -> MeasurePerformance {
    MeasurePerformance::new(port(world), Expectation::of(API)).requests(200).concurrency(7)
}

#[tokio::test]
async fn performance_is_measured_over_all_requests() {
    let world = World::new();
    // 1 to 200 ms, one answer each: the 198th is the 99th percentile by nearest rank.
    world.pages(API, (1..=200).map(|ms| (200, "", ms)));
    let receipt = run(&performance(&world), &context()).await.unwrap();
    assert_eq!(world.state().asked.len(), 200);
    let figures: Vec<_> = receipt.figures.iter().map(|figure| (figure.gate, figure.value)).collect();
    assert_eq!(
        figures,
        [
            (StandardGate::Availability, 100.0),
            (StandardGate::ErrorRate, 0.0),
            (StandardGate::ApiLatency, 198.0),
        ]
    );
    obeys(&world, &Arc::new(performance(&world)), &context()).await;
}

#[tokio::test]
async fn a_gate_that_breaks_fails_and_says_which() {
    let slow = World::new();
    slow.page(API, 200, "", 500);
    let error = run(&performance(&slow), &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.facts().next(), Some(("API response", "500.000 ms, limit 500 ms")));

    let failing = World::new();
    failing.pages(API, [(500, "", 5), (200, "", 5)]);
    let error = run(&performance(&failing), &context()).await.unwrap_err();
    let facts: Vec<_> = error.facts().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(facts, ["availability", "error rate", "requests", "answered_well", "first_problem"]);
}

#[tokio::test]
async fn too_few_good_answers_and_a_clock_that_stands_still_are_no_measurement() {
    let down = World::new();
    let error = run(&performance(&down), &context()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Failed, "too few good answers to measure anything")
    );
    let frozen = World::new();
    frozen.page(API, 200, "", 0);
    assert_eq!(run(&performance(&frozen), &context()).await.unwrap_err().kind(), ErrorKind::Failed);
    let few = performance(&frozen).requests(99);
    assert_eq!(few.preview(&context()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_cancelled_measurement_stops() {
    let world = World::new();
    world.page(API, 200, "", 5);
    let cancel = CancelToken::new();
    cancel.cancel();
    let permit = Permit::for_tests("do", Fence(1), 1, cancel);
    let error = performance(&world).run(&context(), &permit, &Captured::nothing()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(world.state().asked.is_empty());
}

#[tokio::test]
async fn the_change_record_tells_what_was_deployed_and_seen() {
    let world = World::new();
    world.state().documents.insert(name!("change.md"), b"an older record".to_vec());
    let artifact = Artifact { digest: Digest::of(b"web"), path: "/releases/1".into() };
    let build = Receipt::<Build>::new().evidence(BuildActivity::BuildScripts, "built\nin two lines").facts(
        BuildFacts {
            commit: Some("c0ffee".to_owned()),
            artifacts: [(name!("web"), artifact)].into(),
            ..BuildFacts::default()
        },
    );
    let migrate = Receipt::<Migrate>::new().facts(MigrateFacts {
        applied: vec!["2".to_owned()],
        schema: Some(Digest::of(b"schema")),
        ..MigrateFacts::default()
    });
    let cx = context::<Verify>()
        .after(name!("build"), &build)
        .unwrap()
        .after(name!("apply"), &migrate)
        .unwrap()
        .following(
            name!("checks"),
            &Receipt::new().evidence(flow_core::stage::VerifyActivity::Functional, "all well"),
        )
        .unwrap();
    let receipt = obeys(&world, &Arc::new(WriteDocuments::new(port(&world), name!("change.md"))), &cx).await;
    assert_eq!(receipt.facts.documents, [std::path::PathBuf::from("change.md")]);
    let record = String::from_utf8(world.state().documents[&name!("change.md")].clone()).unwrap();
    for part in [
        "# shop 1.0.0 in testing",
        "- Started by: tester",
        "- Commit: `c0ffee`",
        &format!("- Artefact `web`: `{}`", Digest::of(b"web")),
        "- Migration: `2`",
        "- Build.BuildScripts (`build`): built in two lines",
        "- Verify.Functional (`checks`): all well",
        "### 6. Functions\n\nNothing.",
    ] {
        assert!(record.contains(part), "{part}\n{record}");
    }
}

#[tokio::test]
async fn a_handover_is_told_and_its_undo_tells_that_it_no_longer_holds() {
    let world = World::new();
    let step = Arc::new(HandOver::new(port(&world), "Watch the queue."));
    obeys(&world, &step, &context()).await;
    let told = world.state().messages.clone();
    assert_eq!(told["test/do"].title, "Deployed: shop 1.0.0 in testing");
    assert!(told["test/do"].text.contains("Watch the queue."));
    assert_eq!(told["test/undo"].title, "Rolled back: shop 1.0.0 in testing");
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn an_undo_of_a_handover_that_nobody_hears_is_an_error() {
    let world = World::new();
    let step = HandOver::new(port(&world), "Watch the queue.");
    world.break_after(1, Fault::InDoubt);
    let undone = step.roll_back(&context(), &permit(), &Captured::nothing(), &Outcome::InDoubt(None)).await;
    assert!(undone.is_err() && world.mend());
    let silent = HandOver::new(port(&world), "\n");
    assert_eq!(silent.preview(&context()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn figures_are_a_performance_test_only_with_all_that_one_measures() {
    use StandardGate::{ApiLatency, Availability, DatabaseQuery, ErrorRate, ResourceUse};
    let proves = |gates: &[StandardGate]| {
        let dial = |gate: &StandardGate| Arc::new(Dial(World::new(), *gate)) as Arc<dyn Gauge>;
        MeasureFigures::new(gates.iter().map(dial)).proves()
    };
    assert_eq!(proves(&[DatabaseQuery]), []);
    assert_eq!(proves(&[Availability, ErrorRate, ResourceUse]), []);
    let whole = [Proof::PerformanceTest];
    assert_eq!(proves(&[ResourceUse, ApiLatency, ErrorRate, Availability]), whole);
    assert_eq!(performance(&World::new()).proves(), whole);
}

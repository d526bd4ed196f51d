//! What the fake step refuses that a real one might let pass.

mod suite;

use std::time::Duration;

use flow_core::prelude::*;
use flow_core::stage::Migrate;
use flow_core::{CancelToken, Clock as _, Fence};
use flow_testkit::fake::{FakeStep, Told, VirtualClock};
use flow_testkit::fault::{At, Fault};
use flow_testkit::{Ledger, context, permit_under};

fn step() -> FakeStep<Migrate> {
    FakeStep::new(name!("migrate"))
}

fn forward() -> Permit {
    permit_under("test/do", Fence(1), 1)
}

fn back() -> Permit {
    permit_under("test/undo", Fence(1), 1)
}

/// Holds where it was refused, noted, and nothing was changed.
fn refused<T: std::fmt::Debug>(
    step: &FakeStep<Migrate>,
    result: Result<T, StepError>,
    because: &str,
    stands: Option<&str>,
) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Conflict);
    let refusals = step.ledger().refusals();
    assert!(refusals.last().unwrap().contains(because), "{refusals:?}");
    assert_eq!(step.stands().as_deref(), stands);
}

#[tokio::test]
async fn a_run_without_the_state_that_it_captured_is_refused() {
    let (step, cx) = (step(), context());
    for foreign in [Captured::nothing(), Captured::of(&"something").unwrap()] {
        refused(&step, step.run(&cx, &forward(), &foreign).await, "without the state", None);
        refused(
            &step,
            step.roll_back(&cx, &back(), &foreign, &Outcome::InDoubt(None)).await,
            "without the state",
            None,
        );
    }
    let other = FakeStep::<Migrate>::new(name!("other")).capture(&cx).await.unwrap();
    refused(&step, step.run(&cx, &forward(), &other).await, "another step captured", None);
    // As it would look if it had been captured in another process that this world never had.
    let elsewhere = FakeStep::<Migrate>::new(name!("migrate")).capture(&cx).await.unwrap();
    refused(&step, step.run(&cx, &forward(), &elsewhere).await, "never gave in this run", None);
}

#[tokio::test]
async fn a_capture_of_a_half_changed_world_is_refused() {
    let (step, cx) = (step(), context());
    let before = step.capture(&cx).await.unwrap();
    step.capture(&cx).await.unwrap();
    step.ledger().faults().inject(At::call("step.run"), Fault::HalfDone);
    step.run(&cx, &forward(), &before).await.unwrap_err();
    refused(&step, step.capture(&cx).await, "captured after its run had begun", Some("half of 1.0.0"));
}

#[tokio::test]
async fn an_attempt_under_another_key_or_another_capture_is_refused_even_after_its_undo() {
    let (step, cx) = (step(), context());
    let before = step.capture(&cx).await.unwrap();
    let again = step.capture(&cx).await.unwrap();
    step.run(&cx, &forward(), &before).await.unwrap();
    step.run(&cx, &forward(), &before).await.unwrap();
    refused(&step, step.run(&cx, &forward(), &again).await, "another captured state", Some("1.0.0"));
    let other = permit_under("test/do-again", Fence(1), 1);
    refused(&step, step.run(&cx, &other, &before).await, "after it ran under", Some("1.0.0"));
    step.roll_back(&cx, &back(), &before, &Outcome::InDoubt(None)).await.unwrap();
    refused(&step, step.run(&cx, &other, &before).await, "after it ran under", None);
}

#[tokio::test]
async fn an_undo_that_is_told_what_never_was_is_refused() {
    let (step, cx) = (step(), context());
    let before = step.capture(&cx).await.unwrap();
    step.ledger().faults().inject(At::call("step.run"), Fault::HalfDone);
    step.run(&cx, &forward(), &before).await.unwrap_err();
    let finished = Outcome::Finished(Receipt::new());
    refused(
        &step,
        step.roll_back(&cx, &back(), &before, &finished).await,
        "receipt that it never gave",
        Some("half of 1.0.0"),
    );
    let same_key = step.roll_back(&cx, &forward(), &before, &Outcome::InDoubt(None)).await;
    refused(&step, same_key, "under the key of its run", Some("half of 1.0.0"));
    step.roll_back(&cx, &back(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!((step.stands(), step.told()), (None, Some(Told::InDoubt)));
    let reason = "mail is sent".to_owned();
    let sent = FakeStep::<Migrate>::new(name!("mail")).declaring(Reversibility::Irreversible { reason });
    let before = sent.capture(&cx).await.unwrap();
    sent.run(&cx, &forward(), &before).await.unwrap();
    refused(
        &sent,
        sent.roll_back(&cx, &back(), &before, &Outcome::InDoubt(None)).await,
        "irreversible",
        Some("1.0.0"),
    );
}

#[tokio::test]
async fn a_sealed_part_that_does_not_come_back_whole_is_refused() {
    let (step, cx) = (step().sealing("s3cret"), context());
    let before = step.capture(&cx).await.unwrap();
    assert!(!format!("{before:?} {step:?}").contains("s3cret"), "{before:?} {step:?}");
    let open = Captured::of(&before.get::<serde_json::Value>().unwrap()).unwrap();
    refused(&step, step.run(&cx, &forward(), &open).await, "sealed part", None);
    let wrong = open.sealed(&"guess").unwrap();
    refused(&step, step.run(&cx, &forward(), &wrong).await, "sealed part", None);
    step.run(&cx, &forward(), &before).await.unwrap();
}

#[tokio::test]
async fn a_late_owner_is_refused_and_a_step_built_again_remembers() {
    let (ledger, cx) = (Ledger::new(), context());
    let first = FakeStep::<Migrate>::in_ledger(name!("migrate"), &ledger);
    let before = first.capture(&cx).await.unwrap();
    first.run(&cx, &permit_under("test/do", Fence(2), 1), &before).await.unwrap();
    let again = FakeStep::<Migrate>::in_ledger(name!("migrate"), &ledger);
    assert_eq!(again.stands().as_deref(), Some("1.0.0"));
    again.run(&cx, &permit_under("test/do", Fence(3), 2), &before).await.unwrap();
    refused(&first, first.run(&cx, &forward(), &before).await, "a late owner", Some("1.0.0"));
}

#[tokio::test(start_paused = true)]
async fn it_waits_by_the_clock_and_stops_when_cancelled() {
    let clock = VirtualClock::new();
    let cx = StepContext::for_tests(std::sync::Arc::new(clock.clone()));
    let step = step().taking(Duration::from_secs(90));
    let before = step.capture(&cx).await.unwrap();
    let cancel = CancelToken::new();
    let permit = Permit::for_tests("test/do", Fence(1), 1, cancel.clone());
    let (stopped, ()) = tokio::join!(step.run(&cx, &permit, &before), async {
        clock.sleep(Duration::from_secs(30)).await;
        cancel.cancel();
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((clock.monotonic(), step.stands()), (Duration::from_secs(30), None));
    step.run(&cx, &forward(), &before).await.unwrap();
    assert_eq!(clock.monotonic(), Duration::from_secs(120));
}

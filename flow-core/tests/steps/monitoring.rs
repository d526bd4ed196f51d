use std::sync::Arc;

use flow_core::port::RuleSet;
use flow_core::prelude::*;
use flow_core::steps::{ApplyAlertRules, TestNotification};
use flow_testkit::context;

use crate::contract::{obeys, run};
use crate::world::World;

fn rules(text: &str) -> RuleSet {
    RuleSet { name: name!("shop"), rules: text.to_owned() }
}

fn step(world: &World, text: &str) -> ApplyAlertRules {
    ApplyAlertRules::new(Arc::new(world.clone()), rules(text))
}

#[tokio::test]
async fn rules_are_put_in_force_and_the_old_ones_or_none_come_back() {
    for old in [None, Some(rules("groups: [old]"))] {
        let world = World::new();
        world.state().rules.extend(old.map(|old| (name!("shop"), old)));
        obeys(&world, &Arc::new(step(&world, "groups: [new]")), &context()).await;
        assert_eq!(world.state().rules[&name!("shop")], rules("groups: [new]"));
        let preview = step(&world, "groups: [new]").preview(&context()).await.unwrap();
        assert!(preview.changes.is_empty(), "they are in force by now");
    }
}

#[tokio::test]
async fn rules_that_the_monitor_refuses_leave_the_old_ones_in_force() {
    let world = World::new();
    let error = run(&step(&world, "nonsense"), &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(world.changes().is_empty());
}

#[tokio::test]
async fn a_test_message_says_that_it_is_one_and_is_sent_once() {
    let world = World::new();
    let step = Arc::new(TestNotification::new(Arc::new(world.clone()), "the pager"));
    assert!(
        matches!(step.reversibility(), Reversibility::Compensate { how } if how.contains("cannot be taken back"))
    );
    obeys(&world, &step, &context()).await;
    let state = world.state();
    assert_eq!(state.messages.len(), 1, "every attempt has the same key");
    assert_eq!(state.messages["test/do"].title, "Test: shop 1.0.0 in testing");
}

#[tokio::test]
async fn a_message_without_a_way_is_refused_by_the_plan() {
    let step = TestNotification::new(Arc::new(World::new()), "");
    assert_eq!(step.preview(&context()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

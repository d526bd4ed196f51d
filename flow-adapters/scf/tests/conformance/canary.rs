//! Calls divided by an alias, counted at who answers them.

use std::collections::BTreeMap;

use flow_core::port::{FunctionPlatform, Route, Router, Routing};
use flow_core::{Name, name};
use serde_json::json;

use crate::world::{SHOP, World};

const OLD: Name = name!("1.0.0");
const NEW: Name = name!("1.1.0");

/// How many of `count` calls each code answers.
async fn answers(world: &World, count: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let told = world.call(&SHOP, &json!({})).await.unwrap();
        *answers.entry(told["code"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    answers
}

fn routing(old: u8, new: u8) -> Routing {
    let route = |weight, version: &str| Route { weight, addresses: vec![format!("scf:shop/{version}")] };
    let mut routes = BTreeMap::from([(OLD, route(old, "1")), (NEW, route(new, "2"))]);
    routes.retain(|_, route| route.weight > 0);
    Routing(routes)
}

#[tokio::test]
async fn a_tenth_of_all_calls_reaches_a_canary_of_ten_percent_and_none_the_old_version_after_it() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    world.publish(&SHOP, "two").await;
    let router = world.functions.alias();
    router.route(&world.permit(), &SHOP, &routing(90, 10)).await.unwrap();
    // Three standard deviations: 30 calls of 10,000, 13.4 of 2,000.
    let (calls, expected, within) =
        if std::env::var_os("FLOW_LONG").is_some() { (10_000, 1_000, 90) } else { (2_000, 200, 40) };
    let answered = answers(&world, calls).await;
    let new = answered["two"];
    assert!(new.abs_diff(expected) <= within, "{new} of {calls} calls");
    assert_eq!(answered["one"] + new, calls);
    world.functions.make_live(&world.permit(), &SHOP, "1").await.unwrap();
    assert_eq!(answers(&world, 200).await, BTreeMap::from([("one".to_owned(), 200)]), "taken back");
    router.route(&world.permit(), &SHOP, &routing(90, 10)).await.unwrap();
    router.route(&world.permit(), &SHOP, &routing(0, 100)).await.unwrap();
    assert_eq!(answers(&world, 1_000).await, BTreeMap::from([("two".to_owned(), 1_000)]));
    assert_eq!(router.routing(&SHOP).await.unwrap(), routing(0, 100));
}

#[tokio::test]
async fn a_version_that_lost_its_traffic_counts_as_busy_until_its_longest_call_is_over() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    world.release(&SHOP, "two").await;
    // Another controller, which has seen no switch, tells the same.
    let router = world.opened(|config| config).alias();
    let busy = async || router.in_flight(&SHOP).await.unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(busy().await, ["scf:shop/1", "scf:shop/2"]);
    world.cloud.clock().advance(std::time::Duration::from_secs(4));
    assert_eq!(busy().await, ["scf:shop/2"]);
}

//! What releases leave alone, what they keep, and what they put back.

use std::collections::BTreeMap;

use base64::Engine as _;
use flow_core::port::FunctionPlatform;
use flow_core::{Digest, ErrorKind, name};
use flow_scf::{ScfConfig, Trigger};
use flow_tencent::Action;
use flow_testkit::cloud::{Fault, Outcome};
use serde::Serialize;
use serde_json::{Value, json};

use crate::world::{CreateTrigger, GREETING, SHOP, World, bucket, call, refuses};

/// Makes the function as somebody else would.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateFunction {
    function_name: &'static str,
    handler: &'static str,
    runtime: &'static str,
    code: Value,
}

impl Action for CreateFunction {
    const NAME: &'static str = "CreateFunction";
    type Answer = Value;
}

/// A function that was made by others, with this code.
async fn made_by_others(world: &World, marker: &str) {
    let zip = std::fs::read(world.telling(marker).path).unwrap();
    let zip = base64::engine::general_purpose::STANDARD.encode(zip);
    let (handler, runtime, code) = ("index.main", "Nodejs18.15", json!({ "ZipFile": zip }));
    world.ask(&CreateFunction { function_name: "shop", handler, runtime, code }).await;
    world.cloud.clock().advance(std::time::Duration::from_secs(5));
}

async fn code(world: &World, qualifier: &str) -> Option<String> {
    let told = call(&world.api, &SHOP, qualifier, &json!({})).await?;
    told["code"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_package_that_is_in_place_is_not_sent_again_unless_the_last_change_failed() {
    let world = World::new().await;
    let (one, two) = (world.telling("one"), world.telling("two"));
    world.release(&SHOP, "one").await;
    world.update(&SHOP, &one).await.unwrap();
    assert_eq!((world.carried_out("CreateFunction"), world.carried_out("UpdateFunctionCode")), (1, 0));
    world.cloud.fault(Fault::ScfStatus { subject: ("shop".into(),), outcome: Outcome::Fail, times: 1 });
    world.update(&SHOP, &two).await.unwrap_err();
    world.update(&SHOP, &one).await.unwrap();
    assert_eq!(world.carried_out("UpdateFunctionCode"), 2);
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("one"));
}

#[tokio::test]
async fn a_package_that_is_too_large_for_a_request_goes_through_the_bucket_and_is_put_back_from_it() {
    let mut world = World::new().await;
    let url = world.cloud.url();
    world.functions = world.opened(|config| ScfConfig { code_bucket: Some(bucket(url)), ..config });
    let large = world.package(&"x".repeat(7_000_001), |_| Ok(json!({ "code": "large" })));
    world.update(&SHOP, &large).await.unwrap();
    let key = format!("packages/shop/{}.zip", large.digest.hex());
    let objects = world.cloud.objects("code-1250000000");
    assert_eq!(objects.keys().collect::<Vec<_>>(), [&key]);
    assert_eq!(Digest::of(&objects[&key]), large.digest);
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("large"));
    let before = world.functions.state(&SHOP).await.unwrap();
    world.update(&SHOP, &world.telling("two")).await.unwrap();
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("two"));
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("large"));
}

#[tokio::test]
async fn code_that_nobody_published_is_kept_before_it_is_overwritten_and_can_be_put_back() {
    let world = World::new().await;
    made_by_others(&world, "theirs").await;
    let before = world.functions.state(&SHOP).await.unwrap();
    world.release(&SHOP, "ours").await;
    assert_eq!(
        (code(&world, "$LATEST").await.as_deref(), world.answers().await.as_deref()),
        (Some("ours"), Some("ours"))
    );
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("theirs"));
    assert_eq!(world.functions.state(&SHOP).await.unwrap(), before);
}

#[tokio::test]
async fn callers_of_what_was_never_published_keep_what_they_have_until_a_version_is_live() {
    let mut world = World::new().await;
    world.functions = world.opened(|config| ScfConfig { alias: "$DEFAULT".into(), ..config });
    made_by_others(&world, "theirs").await;
    let before = world.functions.state(&SHOP).await.unwrap();
    assert_eq!(before.live, None);
    let called = async || code(&world, "$DEFAULT").await;
    let version = world.publish(&SHOP, "ours").await;
    let variables = BTreeMap::from([(GREETING.to_owned(), "hello".to_owned())]);
    world.functions.set_variables(&world.permit(), &SHOP, &variables).await.unwrap();
    assert_eq!(
        (called().await.as_deref(), code(&world, &version).await.as_deref()),
        (Some("theirs"), Some("ours"))
    );
    world.functions.make_live(&world.permit(), &SHOP, &version).await.unwrap();
    assert_eq!(called().await.as_deref(), Some("ours"));
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(
        (called().await.as_deref(), world.functions.state(&SHOP).await.unwrap()),
        (Some("theirs"), before)
    );
}

#[tokio::test]
async fn a_trigger_that_calls_past_the_alias_is_reported() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    let bound = BTreeMap::from([(name!("nightly"), Trigger::timer("0 0 3 * * * *").to_string())]);
    world.functions.set_triggers(&world.permit(), &SHOP, &bound).await.unwrap();
    assert_eq!(world.functions.bypasses(&SHOP).await.unwrap(), []);
    let (function_name, trigger_name, r#type) = ("shop", "theirs", "timer");
    world.ask(&CreateTrigger { function_name, trigger_name, r#type, trigger_desc: "0 0 5 * * * *" }).await;
    let found = world.functions.bypasses(&SHOP).await.unwrap();
    assert_eq!((found.len(), &*found[0].trigger, &*found[0].qualifier), (1, "theirs", "$LATEST"));
    let told = &world.functions.state(&SHOP).await.unwrap().triggers[&name!("theirs")];
    assert_eq!(told, r#"{"type":"timer","desc":"0 0 5 * * * *","qualifier":"$LATEST"}"#);
}

#[tokio::test]
async fn triggers_that_cannot_all_be_set_leave_the_old_ones() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    let timers = |cron: &str, names: &[&str]| -> BTreeMap<_, _> {
        names
            .iter()
            .map(|name| (flow_core::Name::new(*name).unwrap(), Trigger::timer(cron).to_string()))
            .collect()
    };
    let old = timers("0 0 3 * * * *", &["a", "b"]);
    world.functions.set_triggers(&world.permit(), &SHOP, &old).await.unwrap();
    world.cloud.fault(refuses("CreateTrigger", "LimitExceeded.Trigger", 1));
    let new = timers("0 0 4 * * * *", &["a", "c"]);
    let error = world.functions.set_triggers(&world.permit(), &SHOP, &new).await.unwrap_err();
    assert!(error.facts().any(|fact| fact == ("code", "LimitExceeded.Trigger")), "{error}");
    assert_eq!(world.functions.state(&SHOP).await.unwrap().triggers, old);
    world.functions.set_triggers(&world.permit(), &SHOP, &new).await.unwrap();
    assert_eq!(world.functions.state(&SHOP).await.unwrap().triggers, new);
}

#[tokio::test]
async fn pruning_leaves_the_newest_versions_and_every_one_that_an_alias_leads_to() {
    let world = World::with(|config| ScfConfig { kept_versions: 2, ..config }).await;
    world.release(&SHOP, "1").await;
    for marker in ["2", "3", "4", "5"] {
        world.publish(&SHOP, marker).await;
    }
    assert_eq!(world.functions.prune(&world.permit(), &SHOP).await.unwrap(), ["2", "3"]);
    assert_eq!(world.functions.prune(&world.permit(), &SHOP).await.unwrap(), [""; 0]);
    for (version, there) in [("1", true), ("2", false), ("3", false), ("4", true), ("5", true)] {
        assert_eq!(code(&world, version).await.is_some(), there, "{version}");
    }
    assert_eq!(world.answers().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn instances_stand_ready_before_callers_come_and_go_after_they_have_left() {
    let world = World::with(|config| ScfConfig { provisioned: Some(3), ..config }).await;
    world.release(&SHOP, "one").await;
    let second = world.publish(&SHOP, "two").await;
    let before = world.cloud.log().len();
    world.functions.make_live(&world.permit(), &SHOP, &second).await.unwrap();
    let log = world.cloud.log().split_off(before);
    let at = |action: &str| log.iter().position(|logged| logged.action == action).unwrap();
    let (put, switch) = (at("PutProvisionedConcurrencyConfig"), at("UpdateAlias"));
    assert!(put < switch && switch < at("DeleteProvisionedConcurrencyConfig"), "{log:?}");
    let asked = log[put..switch].iter().filter(|logged| logged.action == "GetProvisionedConcurrencyConfig");
    assert!(asked.count() >= 2, "it was not waited for: {log:?}");
}

#[tokio::test]
async fn a_function_that_could_not_be_made_is_made_anew_only_where_we_made_it() {
    let world = World::new().await;
    let fails = || Fault::ScfStatus { subject: ("shop".into(),), outcome: Outcome::Fail, times: 1 };
    world.cloud.fault(fails());
    world.update(&SHOP, &world.telling("one")).await.unwrap_err();
    world.update(&SHOP, &world.telling("one")).await.unwrap();
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("one"));
    assert_eq!((world.carried_out("CreateFunction"), world.carried_out("DeleteFunction")), (2, 1));

    let world = World::new().await;
    world.cloud.fault(fails());
    made_by_others(&world, "theirs").await;
    let error = world.update(&SHOP, &world.telling("one")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(world.asked("DeleteFunction").is_empty());
}

#[tokio::test]
async fn code_that_stands_nowhere_any_more_is_said_to_be_lost_and_nothing_is_put_in_its_place() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    let mut before = world.functions.state(&SHOP).await.unwrap();
    before.digest = Some(Digest::of(b"never deployed"));
    let error = world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap_err();
    assert!(error.to_string().contains("kept nowhere"), "{error}");
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("one"));
}

#[tokio::test]
async fn a_publication_is_found_again_by_its_key_only_while_it_is_what_stands_in_place() {
    let world = World::new().await;
    world.update(&SHOP, &world.telling("one")).await.unwrap();
    let permit = world.permit();
    assert_eq!(world.functions.publish(&permit, &SHOP).await.unwrap(), "1");
    assert_eq!(world.functions.publish(&permit, &SHOP).await.unwrap(), "1");
    let variables = BTreeMap::from([(GREETING.to_owned(), "hello".to_owned())]);
    world.functions.set_variables(&world.permit(), &SHOP, &variables).await.unwrap();
    assert_eq!(world.functions.publish(&permit, &SHOP).await.unwrap(), "2");
    world.update(&SHOP, &world.telling("two")).await.unwrap();
    assert_eq!(world.functions.publish(&permit, &SHOP).await.unwrap(), "3");
    assert_eq!(code(&world, "3").await.as_deref(), Some("two"));
    assert_eq!(world.functions.publish(&world.permit(), &SHOP).await.unwrap(), "4", "under another key");
}

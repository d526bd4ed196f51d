//! What releases leave alone, what they keep, and what they put back.

use std::collections::BTreeMap;

use base64::Engine as _;
use flow_core::port::{FunctionPlatform, FunctionState};
use flow_core::{Digest, ErrorKind, name};
use flow_scf::{ScfConfig, Trigger};
use flow_tencent::Action;
use flow_testkit::cloud::{Fault, Outcome};
use serde::Serialize;
use serde_json::{Value, json};

use crate::world::{CreateAlias, CreateTrigger, GREETING, SHOP, World, bucket, call, refuses, target};

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

#[tokio::test]
async fn a_function_whose_update_failed_is_put_back_though_the_request_is_lost_on_its_way() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    let before = world.functions.state(&SHOP).await.unwrap();
    world.cloud.fault(Fault::ScfStatus { subject: ("shop".into(),), outcome: Outcome::Fail, times: 1 });
    world.update(&SHOP, &world.telling("two")).await.unwrap_err();
    world.cloud.fault(Fault::Drop(target("UpdateFunctionCode", 1)));
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(world.carried_out("UpdateFunctionCode"), 2);
    world.publish(&SHOP, "three").await;
}

#[tokio::test]
async fn an_alias_that_others_made_is_not_taken_from_their_callers() {
    let world = World::new().await;
    made_by_others(&world, "theirs").await;
    let (function_name, name, function_version) = ("shop", "live", "$LATEST");
    world.ask(&CreateAlias { function_name, name, function_version }).await;
    let before = world.functions.state(&SHOP).await.unwrap();
    world.release(&SHOP, "ours").await;
    assert_eq!(world.answers().await.as_deref(), Some("ours"));
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(world.answers().await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_function_that_others_made_meanwhile_is_not_removed() {
    let world = World::new().await;
    made_by_others(&world, "theirs").await;
    let absent = FunctionState::default();
    let error = world.functions.restore(&world.permit(), &SHOP, &absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn callers_are_led_back_though_no_instances_can_be_made_ready() {
    let world = World::with(|config| ScfConfig { provisioned: Some(3), ..config }).await;
    world.release(&SHOP, "one").await;
    let before = world.functions.state(&SHOP).await.unwrap();
    world.release(&SHOP, "two").await;
    let exceeded = "FailedOperation.ProvisionedExceedAvailable";
    world.cloud.fault(refuses("PutProvisionedConcurrencyConfig", exceeded, 1));
    let error = world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    assert!(error.facts().any(|fact| fact == ("code", exceeded)), "{error}");
    assert_eq!(world.answers().await.as_deref(), Some("one"));
    assert_eq!(ready(&world).await, [""; 0], "the quota is held by a version that nobody calls");
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(ready(&world).await, ["1"]);
}

#[tokio::test]
async fn no_instances_stand_ready_where_no_version_is_live_again() {
    let world = World::with(|config| ScfConfig { provisioned: Some(3), ..config }).await;
    let version = world.publish(&SHOP, "one").await;
    let before = world.functions.state(&SHOP).await.unwrap();
    world.functions.make_live(&world.permit(), &SHOP, &version).await.unwrap();
    assert_eq!(ready(&world).await, ["1"]);
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!((ready(&world).await, world.answers().await), (Vec::new(), None));
}

#[tokio::test]
async fn pruning_leaves_a_version_that_a_trigger_calls_and_claims_no_rejection_after_the_first_is_gone() {
    let world = World::with(|config| ScfConfig { kept_versions: 2, ..config }).await;
    for marker in ["1", "2", "3", "4"] {
        world.publish(&SHOP, marker).await;
    }
    world.release(&SHOP, "5").await;
    let trigger = Trigger::timer("0 0 3 * * * *").bound_to("2").to_string();
    let bound = BTreeMap::from([(name!("nightly"), trigger)]);
    world.functions.set_triggers(&world.permit(), &SHOP, &bound).await.unwrap();
    // One version is gone by the time that the next one is refused.
    world.cloud.fault(Fault::DropAfter(target("DeleteFunctionVersion", 1)));
    world.cloud.fault(refuses("DeleteFunctionVersion", "UnauthorizedOperation.CAM", 1));
    let error = world.functions.prune(&world.permit(), &SHOP).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    assert_eq!((code(&world, "1").await, code(&world, "2").await.as_deref()), (None, Some("2")));
    assert_eq!(world.functions.prune(&world.permit(), &SHOP).await.unwrap(), ["3"]);
    assert_eq!(code(&world, "2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_page_of_a_gateway_is_no_evidence_that_a_function_is_absent() {
    let world = World::new().await;
    world.release(&SHOP, "one").await;
    world.cloud.fault(Fault::Http { target: target("GetFunction", 1), status: 404 });
    let error = world.functions.state(&SHOP).await.unwrap_err();
    assert!(error.facts().any(|fact| fact == ("status", "404")), "{error}");
}

#[tokio::test]
async fn code_that_a_version_holds_is_put_back_though_the_bucket_cannot_be_asked() {
    let mut world = World::new().await;
    world.release(&SHOP, "one").await;
    let before = world.functions.state(&SHOP).await.unwrap();
    world.update(&SHOP, &world.telling("two")).await.unwrap();
    let elsewhere = flow_scf::CodeBucket { bucket: "nobodys".into(), ..bucket(world.cloud.url()) };
    world.functions = world.opened(|config| ScfConfig { code_bucket: Some(elsewhere), ..config });
    let denied = flow_testkit::cloud::Target { service: Some("cos".into()), action: None, times: 9 };
    let code_told = "AccessDenied".to_owned();
    world.cloud.fault(Fault::Error { target: denied, code: code_told, message: None, status: None });
    world.functions.restore(&world.permit(), &SHOP, &before).await.unwrap();
    assert_eq!(code(&world, "$LATEST").await.as_deref(), Some("one"));
}

/// The versions of which instances stand ready.
async fn ready(world: &World) -> Vec<String> {
    let told = world.ask(&crate::world::GetProvisionedConcurrencyConfig { function_name: "shop" }).await;
    let all = told["Allocated"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|one| one["Qualifier"].as_str().map(str::to_owned)).collect()
}

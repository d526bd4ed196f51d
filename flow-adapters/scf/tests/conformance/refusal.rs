//! Bad input: typed errors that name what is wrong, with the platform's code and request id where it was asked.

use std::sync::Arc;

use flow_core::port::{FunctionPlatform, FunctionState, Route, Router, Routing};
use flow_core::{Digest, ErrorKind, Name, StepError, name};
use flow_scf::{ScfConfig, ScfFunctions};
use flow_tencent::Credential;
use serde_json::json;

use crate::world::{SHOP, World, credential, spec};

/// An error with its causes.
fn whole(error: &StepError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

fn has(error: &StepError, name: &str, value: &str) -> bool {
    error.facts().any(|(known, told)| known == name && told.starts_with(value))
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_all_its_problems_before_anything_is_sent() {
    let world = World::new().await;
    let bucket = crate::world::bucket("http://example.com".into());
    let config = ScfConfig {
        alias: "9".into(),
        endpoint: Some("ftp://127.0.0.1".into()),
        code_bucket: Some(bucket),
        ..ScfConfig::new("Guangzhou!")
    };
    let error = ScfFunctions::new(config, credential(), Arc::new(world.cloud.clock())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for field in ["`region`", "`alias`", "`endpoint`", "`code_bucket.endpoint`"] {
        assert!(whole(&error).contains(field), "{field} is not in: {}", whole(&error));
    }
    assert!(world.cloud.log().is_empty());
}

#[tokio::test]
async fn missing_and_wrong_credentials_are_refused() {
    let missing = Credential::new("", "", None).unwrap_err();
    assert_eq!(missing.to_string(), "`secret id`: is missing; `secret key`: is missing");
    let world = World::new().await;
    let wrong = Arc::new(Credential::new("AKIDNOBODY", "secret", None).unwrap());
    let config = ScfConfig { endpoint: Some(world.cloud.url()), ..ScfConfig::new("ap-guangzhou") };
    let functions = ScfFunctions::new(config, wrong, Arc::new(world.cloud.clock())).unwrap();
    let error = functions.state(&SHOP).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(has(&error, "code", "AuthFailure.") && has(&error, "request id", ""), "{error}");
    assert!(!whole(&error).contains("secret"), "{}", whole(&error));
}

#[tokio::test]
async fn a_region_without_the_functions_is_told_with_code_and_request_id() {
    let world = World::new().await;
    let elsewhere = world.opened(|config| ScfConfig { region: "ap-beijing".into(), ..config });
    let error = elsewhere.state(&SHOP).await.unwrap_err();
    assert!(has(&error, "code", "UnsupportedRegion") && has(&error, "request id", ""), "{error}");
}

#[tokio::test]
async fn a_name_that_the_platform_does_not_take_is_refused_before_anything_is_sent() {
    let world = World::new().await;
    let artifact = world.telling("one");
    for name in [name!("a"), name!("shop.eu"), Name::new("a".repeat(61)).unwrap()] {
        let ended = [
            world.update(&name, &artifact).await,
            world.functions.state(&name).await.map(drop),
            world.functions.restore(&world.permit(), &name, &FunctionState::default()).await,
            world.functions.alias().route(&world.permit(), &name, &Routing::default()).await,
        ];
        for ended in ended {
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(whole(&error).contains("`function`"), "{}", whole(&error));
        }
    }
    assert!(world.cloud.log().is_empty());
}

#[tokio::test]
async fn an_unknown_function_is_not_found_and_made_only_where_that_is_configured() {
    let world = World::with(|config| ScfConfig { new_functions: None, ..config }).await;
    let error = world.update(&SHOP, &world.telling("one")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(has(&error, "configure", "new_functions"), "{error}");
    assert!(has(&error, "code", "ResourceNotFound.Function") && has(&error, "request id", ""), "{error}");
    let error = world.functions.publish(&world.permit(), &SHOP).await.unwrap_err();
    assert!(has(&error, "code", "ResourceNotFound.Function") && has(&error, "request id", ""), "{error}");
    let router = world.functions.alias();
    assert_eq!(router.routing(&SHOP).await.unwrap(), Routing::default());
    let route = Route { weight: 100, addresses: vec!["scf:shop/1".to_owned()] };
    let routing = Routing([(name!("1.0.0"), route)].into());
    let error = router.route(&world.permit(), &SHOP, &routing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = world.functions.invoke(&SHOP, "1", &json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(world.asked("CreateFunction").is_empty());
}

#[tokio::test]
async fn a_package_that_is_too_large_for_a_request_is_refused_without_a_bucket() {
    let world = World::new().await;
    let artifact = world.package(&"x".repeat(7_000_001), |_| Ok(json!(1)));
    let error = world.functions.update_code(&world.permit(), &spec(&SHOP, &artifact)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(whole(&error).contains("`code_bucket` must be configured"), "{}", whole(&error));
    assert!(world.asked("CreateFunction").is_empty());
}

#[tokio::test]
async fn a_package_that_is_no_zip_is_refused_before_anything_is_sent() {
    let world = World::new().await;
    let mut spec = spec(&SHOP, &world.telling("one"));
    std::fs::write(&spec.code, "#!/bin/sh").unwrap();
    spec.digest = Digest::of(b"#!/bin/sh");
    let error = world.functions.update_code(&world.permit(), &spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(whole(&error).contains("is no zip"), "{}", whole(&error));
    assert!(world.cloud.log().is_empty());
}

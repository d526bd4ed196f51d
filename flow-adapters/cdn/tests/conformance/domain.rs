//! What is found of a domain.

use std::time::Duration;

use flow_cdn::CdnConfig;
use flow_core::Clock as _;
use flow_core::port::{Cdn as _, DomainReport};
use flow_tencent::{Action, Api, ApiConfig, Nature};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::world::{BUCKET, DOMAIN, World, credential};

#[derive(Serialize)]
#[serde(transparent)]
struct UpdateDomainConfig(Value);

#[derive(Deserialize)]
struct Nothing {}

impl Action for UpdateDomainConfig {
    const NAME: &'static str = "UpdateDomainConfig";
    type Answer = Nothing;
}

fn config(scheme: &str) -> CdnConfig {
    CdnConfig {
        zone: Some("example.com".into()),
        origin: Some(format!("{BUCKET}.cos.ap-guangzhou.myqcloud.com")),
        ..CdnConfig::new(format!("{scheme}://{DOMAIN}"))
    }
}

async fn report(world: &World, config: CdnConfig) -> DomainReport {
    let report = world.cdn_of(config).domain().await.unwrap();
    assert_eq!(report.domain, DOMAIN);
    report
}

fn points(world: &World) {
    world.cloud.add_record("example.com", "www", "CNAME", &format!("{DOMAIN}.cdn.dnsv1.com"));
}

async fn certify(world: &World, https: Value) {
    let config = ApiConfig {
        service: "cdn".into(),
        version: "2018-06-06".into(),
        region: None,
        endpoint: Some(world.cloud.url()),
    };
    let api = Api::new(config, Arc::new(credential()), Arc::new(world.cloud.clock())).unwrap();
    let update = UpdateDomainConfig(json!({ "Domain": DOMAIN, "Https": https }));
    api.call(&update, Nature::Writes).await.unwrap();
    world.cloud.clock().advance(Duration::from_secs(10));
}

/// A certificate that is good for another so many days.
async fn certified(world: &World, days: u64) {
    let ends = world.cloud.clock().now() + Duration::from_hours(24 * days + 9);
    let ends = ends.strftime("%Y-%m-%d %H:%M:%S").to_string();
    certify(world, json!({ "Switch": "on", "CertInfo": { "ExpireTime": ends } })).await;
}

#[tokio::test]
async fn a_domain_that_is_as_it_must_be_holds_and_tells_what_was_seen() {
    let world = World::new().await;
    points(&world);
    certified(&world, 30).await;
    let report = report(&world, config("https")).await;
    assert!(report.holds, "{report:?}");
    for seen in ["online", "cos.ap-guangzhou", "cdn.dnsv1.com", "certificate ends"] {
        assert!(report.found.contains(seen), "{report:?}");
    }
}

#[tokio::test]
async fn a_name_without_a_record_or_with_another_does_not_hold() {
    let world = World::new().await;
    let found = report(&world, config("http")).await;
    assert!(!found.holds && found.found.contains("no CNAME record `www`"), "{found:?}");
    world.cloud.add_record("example.com", "www", "CNAME", "elsewhere.example.net");
    let found = report(&world, config("http")).await;
    assert!(!found.holds && found.found.contains("elsewhere.example.net"), "{found:?}");
    let other = CdnConfig { zone: None, ..config("http") };
    assert!(report(&world, other).await.holds, "records that are kept elsewhere are not looked at");
}

#[tokio::test]
async fn another_origin_does_not_hold() {
    let world = World::new().await;
    points(&world);
    let config =
        CdnConfig { origin: Some("other-1250000000.cos.ap-guangzhou.myqcloud.com".into()), ..config("http") };
    let found = report(&world, config).await;
    assert!(!found.holds && found.found.contains(BUCKET), "{found:?}");
}

#[tokio::test]
async fn a_certificate_that_ends_soon_or_is_not_there_does_not_hold() {
    let world = World::new().await;
    points(&world);
    let found = report(&world, config("https")).await;
    assert!(!found.holds && found.found.contains("HTTPS is off"), "{found:?}");
    certify(&world, json!({ "Switch": "on" })).await;
    assert!(!report(&world, config("https")).await.holds);
    certified(&world, 13).await;
    let found = report(&world, config("https")).await;
    assert!(!found.holds && found.found.contains("certificate ends"), "{found:?}");
    certified(&world, 15).await;
    assert!(report(&world, config("https")).await.holds);
}

#[tokio::test]
async fn a_domain_that_the_account_does_not_have_or_that_is_offline_does_not_hold() {
    let world = World::new().await;
    points(&world);
    let other = world.cdn_of(CdnConfig::new("http://other.example.com")).domain().await.unwrap();
    assert!(!other.holds && other.found.contains("no such domain"), "{other:?}");
    for status in ["offline", "processing", "rejected"] {
        assert!(world.cloud.domain_becomes(DOMAIN, status));
        let found = report(&world, config("http")).await;
        assert!(!found.holds && found.found.contains(status), "{found:?}");
    }
}

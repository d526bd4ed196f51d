//! Every action that changes something, with everything that may go wrong on its way.

use flow_cdn::{CdnConfig, OverQuota, Prefetch, SiteConfig};
use flow_core::port::{AssetStore as _, Cdn as _};
use flow_core::{CancelToken, Cause, ErrorKind, Fence, Permit, StepError};
use flow_testkit::cloud::{FakeCloudConfig, Fault, Quotas, Target};
use flow_testkit::conformance::assets::Files;
use flow_testkit::permit;

use crate::world::{Asked, URL, World, files};

/// What strikes, twice where there is more than one such request.
const FAULTS: [&str; 6] = ["throttled", "502", "dropped before", "dropped after", "slow", "truncated"];

fn fault(kind: &str, service: &str, action: &str, times: u32) -> Fault {
    let target = Target { service: Some(service.to_owned()), action: Some(action.to_owned()), times };
    match kind {
        "throttled" => {
            let code = if service == "cos" { "SlowDown" } else { "RequestLimitExceeded" };
            Fault::Error { target, code: code.into(), message: None, status: None }
        }
        "502" => Fault::Http { target, status: 502 },
        "dropped before" => Fault::Drop(target),
        "dropped after" => Fault::DropAfter(target),
        "slow" => Fault::Delay { target, seconds: 0.2 },
        "truncated" => Fault::Truncate(target),
        other => unreachable!("{other}"),
    }
}

/// A site whose next release overwrites a page, brings a new file and maybe one in parts, and drops one.
fn first() -> Files {
    files(&[("old.js", "old"), ("site.css", "1"), ("index.html", "first")])
}

fn second(in_parts: bool) -> Files {
    let mut files = files(&[("new.3f2a9c1b.js", "new"), ("site.css", "1"), ("index.html", "second")]);
    if in_parts {
        // Two of them: one has 2 MiB.
        files.insert("film.mp4".to_owned(), (0..525_000_u32).flat_map(u32::to_le_bytes).collect());
    }
    files
}

/// No object and no part was written or removed twice.
fn nothing_twice(asked: &Asked, fault: &str) {
    for action in ["PUT object", "PUT copy", "DELETE object", "POST uploads", "POST upload"] {
        let mut done = asked.of(action);
        // The record is written before the release, and again where it brought what no record could know.
        done.retain(|key| key != ".flow/manifest.json");
        done.sort();
        let all = done.len();
        done.dedup();
        assert_eq!(done.len(), all, "{fault}: {action} twice: {asked:?}");
    }
    assert!(asked.of("PUT part").len() <= 2, "{fault}: parts: {asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_once_with_a_change_of_the_bucket_the_site_is_right_and_nothing_is_done_twice() {
    for action in ["PUT object", "PUT copy", "DELETE object", "POST uploads", "PUT part", "POST upload"] {
        let second = second(!["PUT object", "PUT copy", "DELETE object"].contains(&action));
        for kind in FAULTS {
            let fault_is = format!("{kind} {action}");
            let world = World::new().await;
            let store = world.store_of(SiteConfig { keep_releases: 1, ..SiteConfig::new() });
            world.put(&store, &first()).await;
            let (directory, manifest) = world.release(&store, &second).await;
            let begun = world.asked();
            // The first of several is the record's, or a kept file's.
            world.cloud.fault(fault(kind, "cos", action, if action == "POST uploads" { 1 } else { 2 }));
            if let Err(error) = store.put(&permit(), &directory, &manifest).await {
                // An upload in parts cannot be found by what began it: the next attempt does.
                assert_eq!(action, "POST uploads", "{fault_is}: {error}");
                assert!(!error.kind().is_rejection(), "{fault_is}: {error}");
                store.put(&permit(), &directory, &manifest).await.unwrap();
            }
            let asked = world.since(begun);
            assert!(asked.0.iter().any(|entry| !entry.fault.is_empty()), "{fault_is} did not strike");
            assert!(world.files("") == second, "{fault_is}: {:?}", world.files("").keys());
            nothing_twice(&asked, &fault_is);
        }
    }
}

#[tokio::test]
async fn whatever_goes_wrong_once_while_a_site_is_taken_back_it_is_what_it_was() {
    for action in ["PUT object", "PUT copy", "DELETE object"] {
        for kind in FAULTS {
            let fault_is = format!("{kind} {action}");
            let world = World::new().await;
            let store = world.store();
            let before = world.put(&store, &first()).await;
            let mut next = first();
            next.insert("index.html".into(), b"second".to_vec());
            next.insert("new.js".into(), b"new".to_vec());
            world.put(&store, &next).await;
            let begun = world.asked();
            world.cloud.fault(fault(kind, "cos", action, 1));
            store.restore(&permit(), &before).await.unwrap();
            let asked = world.since(begun);
            assert!(asked.0.iter().any(|entry| !entry.fault.is_empty()), "{fault_is} did not strike");
            assert_eq!(world.files(""), first(), "{fault_is}");
            assert_eq!(asked.of_files("PUT copy"), ["index.html"], "{fault_is}");
            assert_eq!(asked.of("DELETE object"), ["new.js"], "{fault_is}");
        }
    }
}

#[tokio::test]
async fn whatever_goes_wrong_once_with_a_purge_or_prefetch_it_is_carried_out_once() {
    for action in ["PurgeUrlsCache", "PushUrlsCache", "PurgePathCache"] {
        for kind in FAULTS {
            let fault_is = format!("{kind} {action}");
            let url_day = if action == "PurgePathCache" { 0 } else { 100 };
            let quotas = Quotas { url_day, ..Quotas::default() };
            let world = World::with(FakeCloudConfig { quotas, ..FakeCloudConfig::default() }).await;
            let config = CdnConfig {
                prefetch: Prefetch::Purged,
                over_quota: OverQuota::PurgeSite,
                ..CdnConfig::new(URL)
            };
            world.cloud.fault(fault(kind, "cdn", action, 1));
            world.cdn_of(config).purge(&permit(), &["a.html".to_owned()]).await.unwrap();
            let asked = world.since(0);
            assert!(asked.0.iter().any(|entry| !entry.fault.is_empty()), "{fault_is} did not strike");
            assert_eq!(asked.of(action).len(), 1, "{fault_is}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn a_purge_in_doubt_that_cannot_be_looked_for_stays_in_doubt_and_is_not_sent_again() {
    let world = World::new().await;
    world.cloud.fault(fault("dropped after", "cdn", "PurgeUrlsCache", 1));
    let target = Target { service: None, action: Some("DescribePurgeTasks".into()), times: 1 };
    let code = "UnauthorizedOperation";
    world.cloud.fault(Fault::Error { target, code: code.into(), message: None, status: None });
    let error = world.cdn().purge(&permit(), &["a.html".to_owned()]).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    assert_eq!(world.since(0).count("PurgeUrlsCache"), 1);
}

#[tokio::test]
async fn throttled_twice_and_then_fine_is_exactly_three_requests() {
    let world = World::new().await;
    world.cloud.fault(fault("throttled", "cdn", "PurgeUrlsCache", 2));
    world.cloud.fault(fault("throttled", "cos", "PUT object", 2));
    world.cdn().purge(&permit(), &["a.html".to_owned()]).await.unwrap();
    world
        .cos()
        .put(&flow_tencent::ObjectKey::new("x").unwrap(), "x".into(), &Default::default())
        .await
        .unwrap();
    assert_eq!(world.since(0).count("PurgeUrlsCache"), 3);
    assert_eq!(world.since(0).count("PUT object"), 3);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_request_id() {
    for action in ["PUT object", "PUT copy", "DELETE object", "GET bucket"] {
        let world = World::new().await;
        let store = world.store_of(SiteConfig { keep_releases: 1, ..SiteConfig::new() });
        world.put(&store, &first()).await;
        let (directory, manifest) = world.release(&store, &files(&[("index.html", "2")])).await;
        let begun = world.asked();
        let target = Target { service: None, action: Some(action.into()), times: 1 };
        world.cloud.fault(Fault::Error { target, code: "AccessDenied".into(), message: None, status: None });
        let error = store.put(&permit(), &directory, &manifest).await.unwrap_err();
        tells(&error, "AccessDenied", &world.since(begun));
    }
    let world = World::new().await;
    let target = Target { service: None, action: Some("PurgeUrlsCache".into()), times: 1 };
    let code = "ResourceNotFound.CdnHostNotExists";
    world.cloud.fault(Fault::Error { target, code: code.into(), message: None, status: None });
    let error = world.cdn().purge(&permit(), &["a.html".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    tells(&error, code, &world.since(0));
}

fn tells(error: &StepError, code: &str, asked: &Asked) {
    let text = Cause::from(error).to_string();
    let id = &asked.0.iter().find(|entry| !entry.fault.is_empty()).unwrap().id;
    assert!(text.contains(code) && text.contains(id), "{code} {id}: {text}");
}

/// A request that nobody answers: the call ends when it is asked to, and leaves open what came of it.
#[tokio::test]
async fn a_put_that_is_stuck_stops_when_it_is_cancelled() {
    let world = World::new().await;
    let store = world.store();
    let (directory, manifest) = world.release(&store, &first()).await;
    let target = Target { service: None, action: Some("PUT object".into()), times: u32::MAX };
    world.cloud.fault(Fault::Delay { target, seconds: 3600.0 });
    let token = CancelToken::new();
    let stuck = Permit::for_tests("run/put", Fence(1), 1, token.clone());
    let put = store.put(&stuck, &directory, &manifest);
    let cancel = async {
        // Once the record is on its way.
        while world.asked() < 2 {
            tokio::task::yield_now().await;
        }
        token.cancel();
    };
    let (ended, ()) = tokio::join!(put, cancel);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
}

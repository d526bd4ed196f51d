//! Purges and prefetches, by the CDN's own tasks and the cloud's log.

use std::sync::Arc;
use std::time::Duration;

use flow_cdn::{Area, CdnConfig, OverQuota, Prefetch};
use flow_core::port::Cdn as _;
use flow_core::{CancelToken, ErrorKind, Fence, Permit};
use flow_tencent::{Action, Api, ApiConfig, Nature};
use flow_testkit::cloud::{FakeCloudConfig, Fault, Quotas, Target};
use flow_testkit::permit;
use serde::{Deserialize, Serialize};

use crate::world::{BUCKET, URL, World, credential, get};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribePurgeTasks {
    start_time: &'static str,
    end_time: &'static str,
    limit: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tasks {
    purge_logs: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    url: String,
    status: String,
}

impl Action for DescribePurgeTasks {
    const NAME: &'static str = "DescribePurgeTasks";
    type Answer = Tasks;
}

/// Every URL that was ever purged, and what became of it, as the CDN tells it.
pub(crate) async fn rows(world: &World) -> Vec<(String, String)> {
    let config = ApiConfig {
        service: "cdn".into(),
        version: "2018-06-06".into(),
        region: None,
        endpoint: Some(world.cloud.url()),
    };
    let api = Api::new(config, Arc::new(credential()), Arc::new(world.cloud.clock())).unwrap();
    let ever = DescribePurgeTasks {
        start_time: "2000-01-01 00:00:00",
        end_time: "2999-01-01 00:00:00",
        limit: 1000,
    };
    let tasks = api.call(&ever, Nature::Reads).await.unwrap();
    tasks.purge_logs.into_iter().map(|task| (task.url, task.status)).collect()
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("page{number:03}.html")).collect()
}

async fn with_quotas(quotas: Quotas) -> World {
    World::with(FakeCloudConfig { quotas, ..FakeCloudConfig::default() }).await
}

#[tokio::test]
async fn a_purge_goes_in_as_many_requests_as_the_quota_says_and_ends_when_every_page_of_them_is_done() {
    let world = with_quotas(Quotas { url_batch: 130, ..Quotas::default() }).await;
    world.cloud.changes_take(Duration::ZERO);
    world.cdn().purge(&permit(), &paths(290)).await.unwrap();
    let asked = world.since(0);
    // A page has a hundred: two, two, and one for the last thirty.
    assert_eq!(asked.count("DescribePurgeTasks"), 5);
    assert_eq!(asked.count("PurgeUrlsCache"), 3);
    assert_eq!(asked.count("DescribePurgeQuota"), 1);
    let rows = rows(&world).await;
    assert_eq!(rows.len(), 290);
    assert!(rows.iter().all(|(_, status)| status == "done"), "it ended before all was done");
}

#[tokio::test]
async fn only_the_changed_urls_and_the_forms_of_their_directories_are_purged() {
    let world = World::new().await;
    let changed = ["index.html", "a b/index.html", "xindex.html", "a/index.htm"].map(str::to_owned);
    world.cdn().purge(&permit(), &changed).await.unwrap();
    let mut urls: Vec<String> = rows(&world).await.into_iter().map(|(url, _)| url).collect();
    urls.sort();
    let expected = ["/", "/a%20b/", "/a%20b/index.html", "/a/index.htm", "/index.html", "/xindex.html"];
    assert_eq!(urls, expected.map(|path| format!("{URL}{path}")));
    // A reader who came by the directory meets the new page, too.
    world.cloud.change_object(BUCKET, "docs/index.html", Some(b"old"));
    let docs = format!("{URL}/docs/");
    assert_eq!(get(world.cloud.address(), &docs).await.body, b"old");
    world.cloud.change_object(BUCKET, "docs/index.html", Some(b"new"));
    world.cdn().purge(&permit(), &["docs/index.html".to_owned()]).await.unwrap();
    assert_eq!(get(world.cloud.address(), &docs).await.body, b"new");
}

#[tokio::test]
async fn a_reader_whose_link_encodes_no_more_than_it_must_meets_the_new_file_too() {
    let world = World::new().await;
    let path = "a b/@x+y(1),100%21.js";
    let forms = ["a%20b/@x+y(1),100%2521.js", "a%20b/%40x%2By%281%29%2C100%2521.js"];
    for content in ["old", "new"] {
        world.cloud.change_object(BUCKET, path, Some(content.as_bytes()));
        world.cdn().purge(&permit(), &[path.to_owned()]).await.unwrap();
        for form in forms {
            let body = get(world.cloud.address(), &format!("{URL}/{form}")).await.body;
            assert_eq!(body, content.as_bytes(), "{form}");
        }
    }
}

#[tokio::test]
async fn a_url_that_could_not_be_purged_is_named_whichever_page_tells_it() {
    let world = World::new().await;
    world.cloud.fault(Fault::CdnTask { subject: ("url".into(),), times: 1 });
    let error = world.cdn().purge(&permit(), &paths(130)).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    let failed: Vec<_> = rows(&world).await.into_iter().filter(|(_, status)| status == "fail").collect();
    assert!(!failed.is_empty());
    assert!(failed.iter().all(|(url, _)| error.to_string().contains(url)), "{failed:?}: {error}");
}

#[tokio::test]
async fn a_purge_that_never_ends_is_given_up_in_doubt_with_its_urls() {
    let world = World::new().await;
    world.cloud.changes_take(Duration::from_hours(24));
    let error = world.cdn().purge(&permit(), &["a.html".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains(&format!("{URL}/a.html")), "{error}");
    assert_eq!(world.since(0).count("PurgeUrlsCache"), 1);
}

#[tokio::test]
async fn a_cancelled_purge_stops_and_does_not_say_that_nothing_happened() {
    let world = World::new().await;
    let token = CancelToken::new();
    token.cancel();
    let cancelled = Permit::for_tests("run/purge", Fence(1), 1, token);
    let error = world.cdn().purge(&cancelled, &["a.html".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_eq!(rows(&world).await, []);
}

#[tokio::test]
async fn over_quota_nothing_is_purged_unless_the_site_may_be_purged_by_its_path() {
    let world = with_quotas(Quotas { url_day: 10, ..Quotas::default() }).await;
    let error = world.cdn().purge(&permit(), &paths(11)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    assert_eq!(rows(&world).await, []);
    let config = CdnConfig { over_quota: OverQuota::PurgeSite, ..CdnConfig::new(format!("{URL}/shop")) };
    world.cdn_of(config).purge(&permit(), &paths(11)).await.unwrap();
    assert_eq!(rows(&world).await, [(format!("{URL}/shop/"), "done".to_owned())]);
}

#[tokio::test]
async fn over_both_quotas_a_purge_is_throttled() {
    let world = with_quotas(Quotas { url_day: 10, path_day: 0, ..Quotas::default() }).await;
    let config = CdnConfig { over_quota: OverQuota::PurgeSite, ..CdnConfig::new(URL) };
    let error = world.cdn_of(config).purge(&permit(), &paths(11)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    assert_eq!(rows(&world).await, []);
}

#[tokio::test]
async fn only_the_quota_of_the_domains_area_counts() {
    let world = with_quotas(Quotas { url_day: 10, ..Quotas::default() }).await;
    let mainland = CdnConfig { area: Some(Area::Mainland), ..CdnConfig::new(URL) };
    world.cdn_of(mainland.clone()).purge(&permit(), &paths(10)).await.unwrap();
    let error = world.cdn_of(mainland).purge(&permit(), &paths(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    let overseas = CdnConfig { area: Some(Area::Overseas), ..CdnConfig::new(URL) };
    world.cdn_of(overseas).purge(&permit(), &paths(10)).await.unwrap();
}

#[tokio::test]
async fn a_quota_that_another_used_up_meanwhile_is_throttled_with_code_and_request_id() {
    let world = World::new().await;
    world.cloud.fault(Fault::Error {
        target: target("PurgeUrlsCache", 1),
        code: "LimitExceeded.CdnPurgeUrlExceedDayLimit".into(),
        message: None,
        status: None,
    });
    let error = world.cdn().purge(&permit(), &paths(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    let text = flow_core::Cause::from(&error).to_string();
    let id = world.since(0).0.into_iter().find(|entry| entry.fault == "error").unwrap().id;
    assert!(text.contains("LimitExceeded.CdnPurgeUrlExceedDayLimit") && text.contains(&id), "{text}");
}

#[tokio::test]
async fn what_was_purged_is_prefetched_and_waited_for() {
    let world = with_quotas(Quotas { push_batch: 2, push_day: 3, ..Quotas::default() }).await;
    let config = CdnConfig { prefetch: Prefetch::Purged, ..CdnConfig::new(URL) };
    let cdn = world.cdn_of(config);
    cdn.purge(&permit(), &paths(4)).await.unwrap();
    let asked = world.since(0);
    assert_eq!(asked.count("PushUrlsCache"), 2, "three of the four, two in a request");
    let looks = asked.count("DescribePushTasks");
    assert!((3..10).contains(&looks), "it looks until all is done, and not longer: {looks} looks");
    let last = asked.0.iter().rposition(|entry| entry.action == "PushUrlsCache").unwrap();
    let purge = asked.0.iter().position(|entry| entry.action == "PurgeUrlsCache").unwrap();
    assert!(purge < last);
}

#[tokio::test]
async fn a_prefetch_that_fails_is_no_failure_of_the_purge() {
    let world = World::new().await;
    world.cloud.fault(Fault::CdnTask { subject: ("push".into(),), times: 1 });
    let config = CdnConfig { prefetch: Prefetch::Purged, ..CdnConfig::new(URL) };
    world.cdn_of(config).purge(&permit(), &paths(2)).await.unwrap();
    assert_eq!(rows(&world).await.len(), 2);
}

#[tokio::test]
async fn a_purge_whose_answer_is_lost_is_found_again_and_never_taken_for_an_earlier_one() {
    let world = World::new().await;
    let cdn = world.cdn();
    // All within the second that the service tells of its time.
    world.cloud.changes_take(Duration::ZERO);
    for _ in 0..9 {
        cdn.purge(&permit(), &paths(2)).await.unwrap();
    }
    world.cloud.fault(Fault::DropAfter(target("PurgeUrlsCache", 1)));
    world.cloud.changes_take(Duration::from_hours(24));
    let error = cdn.purge(&permit(), &paths(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "it waited for another one, which is done: {error}");
    assert_eq!(world.since(0).count("PurgeUrlsCache"), 10);
}

fn target(action: &str, times: u32) -> Target {
    Target { service: None, action: Some(action.to_owned()), times }
}

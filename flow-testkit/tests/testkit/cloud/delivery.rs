use flow_testkit::cloud::{FakeCloud, FakeCloudConfig, Strictness};
use serde_json::json;

use super::client::{Answer, BUCKET, cloud, ok, refused, send, settle};

async fn read(cloud: &FakeCloud, path: &str) -> Answer {
    let head = format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n");
    send(cloud.address(), &head, b"").await.unwrap()
}

#[tokio::test]
async fn readers_meet_the_old_page_until_its_purge_is_done() {
    let cloud = cloud().await;
    cloud.serve_domain("www.example.com", BUCKET);
    cloud.change_object(BUCKET, "index.html", Some(b"old"));
    assert_eq!(read(&cloud, "/").await.text(), "old");
    cloud.change_object(BUCKET, "index.html", Some(b"new"));
    assert_eq!(read(&cloud, "/").await.text(), "old");
    let purge = json!({ "Urls": ["https://www.example.com/"] });
    let task = ok(&cloud, "cdn", "PurgeUrlsCache", purge.clone()).await["TaskId"].clone();
    assert_eq!(read(&cloud, "/").await.text(), "old");
    settle(&cloud);
    assert_eq!(read(&cloud, "/").await.text(), "new");
    let told = ok(&cloud, "cdn", "DescribePurgeTasks", json!({ "TaskId": task })).await;
    assert_eq!(told["PurgeLogs"][0]["Status"], "done");
    cloud.fault(serde_json::from_value(json!({ "kind": "cdn_task", "subject": ["url"] })).unwrap());
    cloud.change_object(BUCKET, "index.html", Some(b"newer"));
    let task = ok(&cloud, "cdn", "PurgeUrlsCache", purge).await["TaskId"].clone();
    settle(&cloud);
    let told = ok(&cloud, "cdn", "DescribePurgeTasks", json!({ "TaskId": task })).await;
    assert_eq!(told["PurgeLogs"][0]["Status"], "fail");
    assert_eq!(read(&cloud, "/").await.text(), "new");
    assert!(cloud.domain_becomes("www.example.com", "offline"));
    assert_eq!(read(&cloud, "/").await.status, 514);
}

#[tokio::test]
async fn a_purge_takes_its_url_alone_or_all_below_its_path() {
    let cloud = cloud().await;
    cloud.serve_domain("www.example.com", BUCKET);
    let paths = ["/a", "/ab", "/d/1", "/d/2"];
    let change = |text: &str| {
        for path in paths {
            cloud.change_object(BUCKET, path.trim_start_matches('/'), Some(text.as_bytes()));
        }
    };
    let served = async || {
        let mut all = Vec::new();
        for path in paths {
            all.push(read(&cloud, path).await.text());
        }
        all
    };
    change("old");
    served().await;
    change("new");
    ok(&cloud, "cdn", "PurgeUrlsCache", json!({ "Urls": ["https://www.example.com/a"] })).await;
    settle(&cloud);
    assert_eq!(served().await, ["new", "old", "old", "old"]);
    let below = json!({ "Paths": ["https://www.example.com/d/"], "FlushType": "delete" });
    ok(&cloud, "cdn", "PurgePathCache", below).await;
    settle(&cloud);
    assert_eq!(served().await, ["new", "old", "new", "new"]);
}

#[tokio::test]
async fn both_areas_pay_and_a_done_prefetch_is_spelled_as_in_the_official_example() {
    let cloud = cloud().await;
    cloud.serve_domain("www.example.com", BUCKET);
    let push = json!({ "Urls": ["https://www.example.com/a"] });
    let task = ok(&cloud, "cdn", "PushUrlsCache", push).await["TaskId"].clone();
    let quota = ok(&cloud, "cdn", "DescribePushQuota", json!({})).await;
    for area in 0..2 {
        assert_eq!(quota["UrlPush"][area]["Available"], 999);
    }
    settle(&cloud);
    let told = ok(&cloud, "cdn", "DescribePushTasks", json!({ "TaskId": task })).await;
    assert_eq!(told["PushLogs"][0]["Status"], "Done");
}

#[tokio::test]
async fn what_is_prefetched_is_at_the_edge_and_nothing_that_is_there_is_replaced() {
    let cloud = cloud().await;
    cloud.serve_domain("www.example.com", BUCKET);
    let change = |text: &str| {
        cloud.change_object(BUCKET, "a", Some(text.as_bytes()));
        cloud.change_object(BUCKET, "d/index.html", Some(text.as_bytes()));
    };
    let push = json!({ "Urls": ["https://www.example.com/a", "http://www.example.com/d/"] });
    change("old");
    for prefetched in ["old", "older"] {
        ok(&cloud, "cdn", "PushUrlsCache", push.clone()).await;
        settle(&cloud);
        change(&format!("not {prefetched}"));
    }
    for path in ["/a", "/d/"] {
        let met = read(&cloud, path).await;
        assert_eq!((met.text().as_str(), met.header("x-cache-lookup")), ("old", "Cache Hit"), "{path}");
    }
}

#[tokio::test]
async fn hosts_that_are_no_domain_of_the_account_are_refused_unless_the_cloud_is_lenient_and_has_none() {
    let url = |host: &str| json!({ "Urls": [format!("https://{host}/")] });
    let lenient = FakeCloudConfig { strictness: Strictness::Lenient, ..FakeCloudConfig::default() };
    let lenient = FakeCloud::start(&lenient).await.unwrap();
    for action in ["PurgeUrlsCache", "PushUrlsCache"] {
        ok(&lenient, "cdn", action, url("a.example.com")).await;
        let refusal = refused(&cloud().await, "cdn", action, url("a.example.com")).await;
        assert_eq!(refusal, "ResourceNotFound.CdnHostNotExists");
    }
    lenient.serve_domain("b.example.com", BUCKET);
    ok(&lenient, "cdn", "PurgeUrlsCache", url("b.example.com")).await;
    let refusal = refused(&lenient, "cdn", "PurgeUrlsCache", url("a.example.com")).await;
    assert_eq!(refusal, "ResourceNotFound.CdnHostNotExists");
    ok(&lenient, "cdn", "StopCdnDomain", json!({ "Domain": "b.example.com" })).await;
    settle(&lenient);
    ok(&lenient, "cdn", "DeleteCdnDomain", json!({ "Domain": "b.example.com" })).await;
    let refusal = refused(&lenient, "cdn", "PurgeUrlsCache", url("a.example.com")).await;
    assert_eq!(refusal, "ResourceNotFound.CdnHostNotExists");
}

#[tokio::test]
async fn every_action_answers_as_the_api_describes_it() {
    let cloud = cloud().await;
    cloud.add_record("example.com", "www", "CNAME", "www.example.com.cdn.dnsv1.com");
    let domain = json!({ "Domain": "www.example.com" });
    let added = json!({ "Domain": "www.example.com", "ServiceType": "web",
        "Origin": { "Origins": [format!("{BUCKET}.cos.ap-beijing.myqcloud.com")], "OriginType": "cos" } });
    let record = json!({ "Domain": "example.com", "SubDomain": "m", "RecordType": "A", "RecordLine": "默认", "Value": "127.0.0.1" });
    let urls = json!({ "Urls": ["https://www.example.com/a.js"] });
    let started = json!({ "StartTime": "2020-01-01 00:00:00" });
    for (service, action, given) in [
        ("cdn", "AddCdnDomain", added),
        ("cdn", "PurgeUrlsCache", urls.clone()),
        ("cdn", "PurgePathCache", json!({ "Paths": ["https://www.example.com/"], "FlushType": "flush" })),
        ("cdn", "PushUrlsCache", urls),
        ("cdn", "DescribePurgeTasks", started.clone()),
        ("cdn", "DescribePushTasks", started),
        ("cdn", "DescribePurgeQuota", json!({})),
        ("cdn", "DescribePushQuota", json!({})),
        (
            "cdn",
            "DescribeDomains",
            json!({ "Filters": [{ "Name": "domain", "Value": ["www.example.com"] }] }),
        ),
        ("cdn", "DescribeDomainsConfig", json!({})),
        ("cdn", "UpdateDomainConfig", json!({ "Domain": "www.example.com", "Https": { "Switch": "on" } })),
        ("cdn", "StopCdnDomain", domain.clone()),
        ("cdn", "StartCdnDomain", domain.clone()),
        ("cdn", "StopCdnDomain", domain.clone()),
        ("cdn", "DeleteCdnDomain", domain),
        ("dnspod", "DescribeRecordList", json!({ "Domain": "example.com" })),
        ("dnspod", "DescribeDomain", json!({ "Domain": "example.com" })),
        ("dnspod", "CreateRecord", record.clone()),
    ] {
        ok(&cloud, service, action, given).await;
        settle(&cloud);
    }
    let listed =
        ok(&cloud, "dnspod", "DescribeRecordList", json!({ "Domain": "example.com", "SubDomain": "m" }))
            .await;
    let id = &listed["RecordList"][0]["RecordId"];
    let mut changed = record;
    changed["RecordId"] = id.clone();
    changed["Value"] = json!("127.0.0.2");
    ok(&cloud, "dnspod", "ModifyRecord", changed).await;
    ok(&cloud, "dnspod", "DeleteRecord", json!({ "Domain": "example.com", "RecordId": id })).await;
}

use flow_testkit::cloud::FakeCloud;
use serde_json::{Value, json};

use super::client::{BUCKET, call, cloud, content, function, ok};

fn fault(cloud: &FakeCloud, fault: Value) {
    cloud.fault(serde_json::from_value(fault).unwrap());
}

/// What was answered to one action.
fn results(cloud: &FakeCloud, action: &str) -> Vec<String> {
    cloud.log().into_iter().filter(|row| row.action == action).map(|row| row.result).collect()
}

async fn exists(cloud: &FakeCloud, alias: &str) -> bool {
    let given = json!({ "FunctionName": "shop", "Name": alias });
    call(cloud, "scf", "GetAlias", &given).await.unwrap().code().is_empty()
}

fn alias(name: &str) -> Value {
    json!({ "FunctionName": "shop", "Name": name, "FunctionVersion": "$LATEST" })
}

#[tokio::test]
async fn a_connection_that_ends_before_leaves_nothing_and_one_that_ends_after_leaves_all() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"PK\x03\x04code").await;
    fault(&cloud, json!({ "kind": "drop", "service": "scf", "action": "CreateAlias", "times": 1 }));
    assert!(call(&cloud, "scf", "CreateAlias", &alias("before")).await.is_err());
    assert!(!exists(&cloud, "before").await);
    fault(&cloud, json!({ "kind": "drop_after", "service": "scf", "action": "CreateAlias", "times": 1 }));
    assert!(call(&cloud, "scf", "CreateAlias", &alias("after")).await.is_err());
    assert!(exists(&cloud, "after").await);
    assert_eq!(results(&cloud, "CreateAlias"), ["drop", "ok"]);
}

#[tokio::test]
async fn a_page_of_html_or_an_error_stands_for_the_action_so_many_times() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"PK\x03\x04code").await;
    fault(
        &cloud,
        json!({ "kind": "http", "service": "scf", "action": "CreateAlias", "status": 502, "times": 1 }),
    );
    let page = call(&cloud, "scf", "CreateAlias", &alias("a")).await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (502, "text/html"));
    fault(
        &cloud,
        json!({ "kind": "error", "service": "scf", "action": "CreateAlias", "code": "RequestLimitExceeded", "times": 2 }),
    );
    for _ in 0..2 {
        let answer = call(&cloud, "scf", "CreateAlias", &alias("a")).await.unwrap();
        assert_eq!(answer.code(), "RequestLimitExceeded");
    }
    assert!(!exists(&cloud, "a").await);
    ok(&cloud, "scf", "CreateAlias", alias("a")).await;
    let limited = "RequestLimitExceeded";
    assert_eq!(results(&cloud, "CreateAlias"), ["http 502", limited, limited, "ok"]);
}

#[tokio::test]
async fn a_truncated_answer_says_more_than_it_has() {
    let cloud = cloud().await;
    fault(&cloud, json!({ "kind": "truncate", "service": "cos", "action": "GET object", "times": 1 }));
    content(&cloud, "PUT", "/a", &[], b"hello world").await.unwrap();
    let cut = content(&cloud, "GET", "/a", &[], b"").await;
    assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(content(&cloud, "GET", "/a", &[], b"").await.unwrap().text(), "hello world");
    for (method, action) in [("PUT", "PUT object"), ("HEAD", "HEAD object"), ("DELETE", "DELETE object")] {
        fault(&cloud, json!({ "kind": "truncate", "service": "cos", "action": action, "times": 1 }));
        assert!(content(&cloud, method, "/a", &[], b"").await.is_err(), "{action} has no body to cut");
    }
    assert!(cloud.objects(BUCKET).is_empty(), "all were carried out");
}

#[tokio::test]
async fn storage_has_its_own_errors_also_within_an_answer_that_is_ok() {
    let cloud = cloud().await;
    fault(
        &cloud,
        json!({ "kind": "error", "service": "cos", "action": "PUT object", "code": "SlowDown", "times": 1 }),
    );
    let slow = content(&cloud, "PUT", "/a", &[], b"x").await.unwrap();
    assert_eq!((slow.status, slow.code().as_str()), (503, "SlowDown"));
    fault(
        &cloud,
        json!({ "kind": "error", "action": "PUT copy", "code": "InternalError", "status": 200, "times": 1 }),
    );
    let source = format!("{BUCKET}.cos.ap-beijing.myqcloud.com/a");
    let inner = content(&cloud, "PUT", "/b", &[("x-cos-copy-source", &source)], b"").await.unwrap();
    assert_eq!((inner.status, inner.code().as_str()), (200, "InternalError"));
    assert!(cloud.objects(BUCKET).is_empty());
}

#[tokio::test]
async fn a_delayed_action_is_carried_out_later() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"PK\x03\x04code").await;
    fault(
        &cloud,
        json!({ "kind": "delay", "service": "scf", "action": "CreateAlias", "seconds": 0.2, "times": 1 }),
    );
    let begun = std::time::Instant::now();
    ok(&cloud, "scf", "CreateAlias", alias("a")).await;
    assert!(begun.elapsed().as_millis() >= 200);
    assert_eq!(cloud.log().last().unwrap().fault, "delay");
}

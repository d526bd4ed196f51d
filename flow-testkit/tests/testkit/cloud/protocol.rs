use flow_testkit::cloud::{FakeCloud, FakeCloudConfig, SECRET_ID, SECRET_KEY, StartError};
use serde_json::json;

use super::client::{BUCKET, call, cloud, content, control, function, head_of_call, now, ok, refused, send};
use super::signing;

const KEY: (&str, &str) = (SECRET_ID, SECRET_KEY);

const LIST: (&str, &str) = ("scf", "ListFunctions");

#[tokio::test]
async fn a_request_is_refused_for_its_signature_its_key_its_time_and_its_token() {
    let cloud = cloud().await;
    let host = cloud.address().to_string();
    let second = now();
    let code = async |signed: String, more: &str| {
        let head = head_of_call(LIST, "/", &host, &format!("{signed}{more}"), second, 2);
        send(cloud.address(), &head, b"{}").await.unwrap().code()
    };
    let signed = |key| signing::tc3(key, "scf", &host, "application/json", second, b"{}");
    let temporary = ("AKIDTEMPTEMPTEMPTEMP00000000000002", "fakeSecretKey000000000000000002");
    assert_eq!(code(signed(KEY), "").await, "");
    assert_eq!(code(signed((SECRET_ID, "another")), "").await, "AuthFailure.SignatureFailure");
    assert_eq!(code(signed(("AKIDNOBODY", SECRET_KEY)), "").await, "AuthFailure.SecretIdNotFound");
    assert_eq!(code("Basic abc".to_owned(), "").await, "AuthFailure.InvalidAuthorization");
    assert_eq!(code(signed(temporary), "").await, "AuthFailure.TokenFailure");
    assert_eq!(code(signed(temporary), "\r\nX-TC-Token: fake-session-token").await, "");
}

#[tokio::test]
async fn an_old_signature_is_expired() {
    let cloud = cloud().await;
    let host = cloud.address().to_string();
    let old = now() - 301;
    let signed = signing::tc3(KEY, "scf", &host, "application/json", old, b"{}");
    let head = head_of_call(LIST, "/", &host, &signed, old, 2);
    let answer = send(cloud.address(), &head, b"{}").await.unwrap();
    assert_eq!(answer.code(), "AuthFailure.SignatureExpire");
    assert!(!answer.header("date").is_empty());
}

#[tokio::test]
async fn the_clients_own_ways_to_write_host_and_target_are_taken() {
    let cloud = cloud().await;
    let address = cloud.address();
    let [here, bare, odd] = [address.to_string(), address.ip().to_string(), format!("http://{address}")];
    let real = "scf.tencentcloudapi.com";
    for (target, host, signed_host) in [
        ("/", here.as_str(), bare.as_str()),
        ("/", &odd, &odd),
        (&format!("http://{address}/"), &here, &here),
        ("http://scf.tencentcloudapi.com/", real, real),
        ("http://scf.tencentcloudapi.com/", "127.0.0.1", real),
    ] {
        let second = now();
        let signed = signing::tc3(KEY, "scf", signed_host, "application/json", second, b"{}");
        let head = head_of_call(LIST, target, host, &signed, second, 2);
        let answer = send(address, &head, b"{}").await.unwrap();
        assert_eq!(answer.response()["TotalCount"], 0, "{target} {host}");
    }
}

#[tokio::test]
async fn answers_tell_the_clouds_own_time() {
    let cloud = cloud().await;
    cloud.clock().advance(std::time::Duration::from_secs(86_400));
    let answer = control(&cloud, "log", json!({})).await;
    let told = jiff::fmt::rfc2822::parse(answer.header("date")).unwrap().timestamp().as_second();
    assert!((86_390..=86_400).contains(&(told - now())), "{told}");
}

#[tokio::test]
async fn a_call_of_another_region_day_form_or_size_is_refused() {
    let cloud = cloud().await;
    let (host, second) = (cloud.address().to_string(), now());
    let json = "application/json";
    let code = async |from: &str, to: &str| {
        let kind = if from == json { to } else { json };
        let signed = signing::tc3(KEY, "scf", &host, kind, second, b"{}");
        let head = head_of_call(LIST, "/", &host, &signed, second, 2).replace(from, to);
        send(cloud.address(), &head, b"{}").await.unwrap().code()
    };
    assert_eq!(code("ap-guangzhou", "ap-guangzhou").await, "");
    assert_eq!(code("ap-guangzhou", "ap-beijing").await, "UnsupportedRegion");
    assert_eq!(code(json, "text/plain").await, "InvalidRequest");
    // Signed rightly, for a day that is not the one of its time.
    let signed = signing::tc3(KEY, "scf", &host, json, second - 86_400, b"{}");
    let head = head_of_call(LIST, "/", &host, &signed, second, 2);
    let other = send(cloud.address(), &head, b"{}").await.unwrap().code();
    assert_eq!(other, "AuthFailure.InvalidAuthorization");
    let large = json!({ "FunctionName": "shop", "ZipFile": "A".repeat(10 * 1024 * 1024) });
    assert_eq!(refused(&cloud, "scf", "UpdateFunctionCode", large).await, "RequestSizeLimitExceeded");
}

#[tokio::test]
async fn parameters_may_come_in_the_query() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"PK\x03\x04code").await;
    let (host, second) = (cloud.address().to_string(), now());
    let ask = async |query: &str, signed_query: &str| {
        let signed = signing::tc3_of_query(KEY, "scf", &host, second, signed_query);
        let head =
            head_of_call(("scf", "ListVersionByFunction"), &format!("/?{query}"), &host, &signed, second, 0);
        let head =
            head.replace("POST", "GET").replace("application/json", "application/x-www-form-urlencoded");
        send(cloud.address(), &head, b"").await.unwrap()
    };
    let query = "FunctionName=shop&Limit=5";
    assert_eq!(ask(query, query).await.response()["FunctionVersion"], json!(["$LATEST"]));
    assert_eq!(ask(query, "FunctionName=mail&Limit=5").await.code(), "AuthFailure.SignatureFailure");
    let wrong = "FunctionName=shop&Limit=five";
    assert_eq!(ask(wrong, wrong).await.code(), "InvalidParameter");
    let long = format!("FunctionName={}", "a".repeat(40_000));
    assert_eq!(ask(&long, &long).await.code(), "RequestSizeLimitExceeded");
    assert_eq!(cloud.log().last().unwrap().service, "scf");
}

#[tokio::test]
async fn a_body_may_come_in_chunks_and_ask_first() {
    let cloud = cloud().await;
    let host = format!("{BUCKET}.cos.ap-beijing.myqcloud.com");
    let signed = signing::cos(KEY, "PUT", "/a", &host, now());
    let head = format!(
        "PUT /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: {signed}\r\nTransfer-Encoding: chunked\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    let answer = send(cloud.address(), &head, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(answer.status, 100);
    assert_eq!(cloud.objects(BUCKET)["a"], b"abcde");
}

#[tokio::test]
async fn what_the_api_does_not_describe_is_refused() {
    let cloud = cloud().await;
    assert_eq!(
        refused(&cloud, "scf", "GetFunction", json!({ "FunctionName": "a", "X": 1 })).await,
        "UnknownParameter"
    );
    assert_eq!(refused(&cloud, "scf", "PublishVersion", json!({})).await, "MissingParameter");
    assert_eq!(refused(&cloud, "scf", "Nothing", json!({})).await, "InvalidAction");
    assert_eq!(refused(&cloud, "cvm", "DescribeInstances", json!({})).await, "NoSuchProduct");
    assert_eq!(
        refused(&cloud, "scf", "GetFunction", json!({ "FunctionName": "none" })).await,
        "ResourceNotFound.Function"
    );
    // Clients meet both codes.
    assert_eq!(
        refused(&cloud, "scf", "ListVersionByFunction", json!({ "FunctionName": "none" })).await,
        "ResourceNotFound.FunctionName"
    );
}

#[tokio::test]
async fn it_is_controlled_over_http() {
    let cloud = cloud().await;
    control(&cloud, "config", json!({ "delay": 60 })).await;
    let given = json!({ "FunctionName": "shop", "Code": { "ZipFile": "UEsDBA==" } });
    ok(&cloud, "scf", "CreateFunction", given).await;
    let status =
        async || ok(&cloud, "scf", "GetFunction", json!({ "FunctionName": "shop" })).await["Status"].clone();
    assert_eq!(status().await, "Creating");
    control(&cloud, "advance", json!({ "seconds": 60 })).await;
    assert_eq!(status().await, "Active");
    let log: serde_json::Value =
        serde_json::from_slice(&control(&cloud, "log", json!({})).await.body).unwrap();
    let told: Vec<_> = log.as_array().unwrap().iter().map(|row| row["a"].as_str().unwrap()).collect();
    assert_eq!(told, ["CreateFunction", "GetFunction", "GetFunction"]);
    assert_eq!((&log[0]["s"], &log[0]["r"]), (&json!("scf"), &json!("ok")));
    control(&cloud, "reset", json!({})).await;
    assert!(cloud.log().is_empty());
    assert_eq!(control(&cloud, "nothing", json!({})).await.status, 400);
}

#[tokio::test]
async fn more_than_so_many_requests_a_second_are_throttled() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"PK\x03\x04code").await;
    cloud.throttle_at(1);
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(
            call(&cloud, "scf", "GetFunction", &json!({ "FunctionName": "shop" })).await.unwrap().code(),
        );
    }
    assert!(codes.contains(&"RequestLimitExceeded".to_owned()), "{codes:?}");
    content(&cloud, "GET", "/a", &[], b"").await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(content(&cloud, "GET", "/a", &[], b"").await.unwrap().status);
    }
    assert!(slow.contains(&503), "{slow:?}");
}

#[tokio::test]
async fn it_serves_this_machine_alone() {
    let config = FakeCloudConfig { listen: "0.0.0.0:0".parse().unwrap(), ..FakeCloudConfig::default() };
    assert!(matches!(FakeCloud::start(&config).await, Err(StartError::NotLoopback(_))));
    let cloud = cloud().await;
    assert!(cloud.address().port() < 32_768);
    let taken = FakeCloudConfig { listen: cloud.address(), ..FakeCloudConfig::default() };
    assert!(matches!(FakeCloud::start(&taken).await, Err(StartError::Listen { .. })));
}

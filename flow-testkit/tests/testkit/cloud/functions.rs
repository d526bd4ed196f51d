use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_testkit::cloud::FakeCloud;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::client::{base64, cloud, function, ok, refused, send, settle};
use super::signing::hex;

async fn update(cloud: &FakeCloud, name: &str, code: &[u8]) {
    ok(cloud, "scf", "UpdateFunctionCode", json!({ "FunctionName": name, "ZipFile": base64(code) })).await;
    settle(cloud);
}

async fn publish(cloud: &FakeCloud, name: &str) -> String {
    let told = ok(cloud, "scf", "PublishVersion", json!({ "FunctionName": name })).await;
    settle(cloud);
    told["FunctionVersion"].as_str().unwrap().to_owned()
}

async fn status(cloud: &FakeCloud, name: &str) -> Value {
    ok(cloud, "scf", "GetFunction", json!({ "FunctionName": name })).await["Status"].clone()
}

async fn invoke(cloud: &FakeCloud, given: Value) -> Value {
    ok(cloud, "scf", "Invoke", given).await["Result"].clone()
}

/// Two versions, each with code that counts its calls.
async fn two_versions(cloud: &FakeCloud) -> [Arc<AtomicUsize>; 2] {
    let counts: [Arc<AtomicUsize>; 2] = Default::default();
    for (code, count) in [b"old", b"new"].into_iter().zip(&counts) {
        let count = Arc::clone(count);
        cloud.register(code, move |invocation| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(invocation.event.clone())
        });
    }
    function(cloud, "shop", b"old").await;
    assert_eq!(publish(cloud, "shop").await, "1");
    update(cloud, "shop", b"new").await;
    assert_eq!(publish(cloud, "shop").await, "2");
    counts
}

fn routed(main: &str, weights: &Value) -> Value {
    json!({ "FunctionName": "shop", "Name": "live", "FunctionVersion": main,
        "RoutingConfig": { "AdditionalVersionWeights": weights, "AddtionVersionMatchs": [] } })
}

#[tokio::test]
async fn an_alias_shares_calls_out_by_weight_and_after_promotion_none_is_old() {
    let cloud = cloud().await;
    let [old, new] = two_versions(&cloud).await;
    ok(&cloud, "scf", "CreateAlias", routed("1", &json!([{ "Version": "2", "Weight": 0.1 }]))).await;
    // Three standard deviations of so many draws.
    let long = std::env::var_os("FLOW_LONG").is_some();
    let (calls, off) = if long { (10_000, 90) } else { (2_000, 40) };
    for number in 0..calls {
        let event = json!({ "number": number }).to_string();
        let told =
            invoke(&cloud, json!({ "FunctionName": "shop", "Qualifier": "live", "ClientContext": event }))
                .await;
        assert_eq!(told["RetMsg"], event);
    }
    let reached = new.load(Ordering::SeqCst);
    assert_eq!(reached + old.load(Ordering::SeqCst), calls);
    assert!(reached.abs_diff(calls / 10) <= off, "{reached}");
    ok(&cloud, "scf", "UpdateAlias", routed("2", &json!([]))).await;
    let told = ok(&cloud, "scf", "GetAlias", json!({ "FunctionName": "shop", "Name": "live" })).await;
    assert_eq!(told["RoutingConfig"]["AdditionalVersionWeights"], json!([]));
    let before = old.load(Ordering::SeqCst);
    for _ in 0..calls / 10 {
        invoke(&cloud, json!({ "FunctionName": "shop", "Qualifier": "live" })).await;
    }
    assert_eq!(old.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn an_alias_leads_to_no_version_before_it_is_published_nor_when_that_failed() {
    let cloud = cloud().await;
    two_versions(&cloud).await;
    ok(&cloud, "scf", "CreateAlias", routed("1", &json!([]))).await;
    let fault = json!({ "kind": "scf_status", "subject": ["shop"], "outcome": "fail" });
    cloud.fault(serde_json::from_value(fault).unwrap());
    ok(&cloud, "scf", "PublishVersion", json!({ "FunctionName": "shop" })).await;
    for state in ["Publishing", "PublishFailed"] {
        let versions = ok(&cloud, "scf", "ListVersionByFunction", json!({ "FunctionName": "shop" })).await;
        assert_eq!(versions["Versions"][1]["Status"], state);
        for wanted in [routed("3", &json!([])), routed("1", &json!([{ "Version": "3", "Weight": 0.1 }]))] {
            let refusal = refused(&cloud, "scf", "UpdateAlias", wanted).await;
            assert_eq!(refusal, "FailedOperation.UpdateAlias", "{state}");
        }
        // What changes meanwhile keeps its callers.
        ok(&cloud, "scf", "UpdateAlias", routed("$LATEST", &json!([]))).await;
        settle(&cloud);
    }
}

#[tokio::test]
async fn code_without_a_registered_function_tells_what_it_is() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"code").await;
    let told = invoke(&cloud, json!({ "FunctionName": "shop", "ClientContext": "{\"a\":1}" })).await;
    let inner: Value = serde_json::from_str(told["RetMsg"].as_str().unwrap()).unwrap();
    let sha256 = hex(&Sha256::digest(b"code"));
    assert_eq!(inner, json!({ "version": "$LATEST", "sha256": sha256, "event": { "a": 1 } }));
    let address = ok(&cloud, "scf", "GetFunctionAddress", json!({ "FunctionName": "shop" })).await;
    assert_eq!(address["CodeSha256"], sha256);
}

#[tokio::test]
async fn while_it_is_updated_and_when_that_fails_the_old_code_answers() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"old").await;
    cloud.fault(
        serde_json::from_value(json!({ "kind": "scf_status", "subject": ["shop"], "outcome": "fail" }))
            .unwrap(),
    );
    let new = json!({ "FunctionName": "shop", "ZipFile": base64(b"new") });
    ok(&cloud, "scf", "UpdateFunctionCode", new.clone()).await;
    assert_eq!(status(&cloud, "shop").await, "Updating");
    assert_eq!(
        refused(&cloud, "scf", "UpdateFunctionCode", new.clone()).await,
        "FailedOperation.UpdateFunctionCode"
    );
    let publish = json!({ "FunctionName": "shop" });
    assert_eq!(refused(&cloud, "scf", "PublishVersion", publish).await, "FailedOperation.PublishVersion");
    settle(&cloud);
    let told = ok(&cloud, "scf", "GetFunction", json!({ "FunctionName": "shop" })).await;
    assert_eq!(told["Status"], "UpdateFailed");
    assert_eq!(told["StatusReasons"].as_array().unwrap().len(), 1);
    let answered = invoke(&cloud, json!({ "FunctionName": "shop" })).await;
    assert!(answered["RetMsg"].as_str().unwrap().contains(&hex(&Sha256::digest(b"old"))));
    ok(&cloud, "scf", "UpdateFunctionCode", new).await;
    settle(&cloud);
    assert_eq!(status(&cloud, "shop").await, "Active");
}

#[tokio::test]
async fn a_function_that_fails_to_come_up_tells_what_it_was_created_with() {
    let cloud = cloud().await;
    let stuck = json!({ "kind": "scf_status", "subject": ["shop"], "outcome": "fail" });
    cloud.fault(serde_json::from_value(stuck).unwrap());
    let given =
        json!({ "FunctionName": "shop", "Description": "ours", "Code": { "ZipFile": base64(b"code") } });
    ok(&cloud, "scf", "CreateFunction", given).await;
    settle(&cloud);
    let told = ok(&cloud, "scf", "GetFunction", json!({ "FunctionName": "shop" })).await;
    assert_eq!((&told["Status"], &told["Description"]), (&json!("CreateFailed"), &json!("ours")));
    let update = json!({ "FunctionName": "shop", "ZipFile": base64(b"new") });
    let refusal = refused(&cloud, "scf", "UpdateFunctionCode", update).await;
    assert_eq!(refusal, "FailedOperation.FunctionStatusError");
    let refusal = refused(&cloud, "scf", "Invoke", json!({ "FunctionName": "shop" })).await;
    assert_eq!(refusal, "FailedOperation.FunctionStatusError");
}

#[tokio::test]
async fn a_functions_code_may_wait_for_the_cloud_itself() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"code").await;
    let address = cloud.address();
    cloud.register(b"code", move |_| {
        let mut stream = std::net::TcpStream::connect(address).map_err(|error| error.to_string())?;
        let head = "POST /__fake__/log HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let mut answer = String::new();
        let asked = stream.write_all(head.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        asked.map(|_| json!(answer.contains("CreateFunction"))).map_err(|error| error.to_string())
    });
    assert_eq!(invoke(&cloud, json!({ "FunctionName": "shop" })).await["RetMsg"], "true");
}

#[tokio::test]
async fn a_failing_call_tells_so_in_the_result_and_no_other_version_fails() {
    let cloud = cloud().await;
    two_versions(&cloud).await;
    cloud.fault(serde_json::from_value(json!({ "kind": "scf_invoke", "subject": ["shop", "2"] })).unwrap());
    let first = invoke(&cloud, json!({ "FunctionName": "shop", "Qualifier": "1" })).await;
    assert_eq!((&first["ErrMsg"], &first["InvokeResult"]), (&json!(""), &json!(0)));
    let second = invoke(&cloud, json!({ "FunctionName": "shop", "Qualifier": "2" })).await;
    assert_ne!(second["ErrMsg"], "");
    assert_eq!(second["InvokeResult"], 1);
}

#[tokio::test]
async fn code_is_downloaded_where_its_address_says_as_long_as_a_version_has_it() {
    let cloud = cloud().await;
    function(&cloud, "shop", b"old").await;
    publish(&cloud, "shop").await;
    update(&cloud, "shop", b"new").await;
    let named = json!({ "FunctionName": "shop", "Qualifier": "1" });
    let told = ok(&cloud, "scf", "GetFunctionAddress", named.clone()).await;
    let path = told["Url"].as_str().unwrap().strip_prefix(&cloud.url()).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", cloud.address());
    assert_eq!(send(cloud.address(), &head, b"").await.unwrap().text(), "old");
    let logged = cloud.log().pop().unwrap();
    assert_eq!(
        (logged.service.as_str(), logged.action.as_str(), logged.result.as_str()),
        ("code", "GET", "ok")
    );
    ok(&cloud, "scf", "DeleteFunctionVersion", named).await;
    assert_eq!(send(cloud.address(), &head, b"").await.unwrap().status, 404);
}

#[tokio::test]
async fn provisioned_concurrency_takes_its_time_and_binds_its_version() {
    let cloud = cloud().await;
    two_versions(&cloud).await;
    let given = |version: &str| json!({ "FunctionName": "shop", "Qualifier": version, "VersionProvisionedConcurrencyNum": 2 });
    let put = "PutProvisionedConcurrencyConfig";
    let latest = refused(&cloud, "scf", put, given("$LATEST")).await;
    assert_eq!(latest, "InvalidParameterValue.Qualifier");
    ok(&cloud, "scf", put, given("1")).await;
    assert_eq!(refused(&cloud, "scf", put, given("1")).await, "FailedOperation.ProvisionedInProgress");
    let named = json!({ "FunctionName": "shop", "Qualifier": "1" });
    let told = ok(&cloud, "scf", "GetProvisionedConcurrencyConfig", named.clone()).await;
    assert_eq!(told["Allocated"][0]["Status"], "InProgress");
    let bound = refused(&cloud, "scf", "DeleteFunctionVersion", named).await;
    assert_eq!(bound, "UnsupportedOperation.ProvisionedBind");
}

#[tokio::test]
async fn a_function_has_ten_triggers_of_a_type_and_an_alias_stays_while_one_is_bound_to_it() {
    let cloud = cloud().await;
    two_versions(&cloud).await;
    ok(&cloud, "scf", "CreateAlias", routed("1", &json!([]))).await;
    let timer = |number: usize| {
        json!({ "FunctionName": "shop", "TriggerName": format!("t{number}"), "Type": "timer",
            "TriggerDesc": "0 0 3 * * * *", "Qualifier": "live" })
    };
    for number in 0..10 {
        ok(&cloud, "scf", "CreateTrigger", timer(number)).await;
    }
    assert_eq!(refused(&cloud, "scf", "CreateTrigger", timer(10)).await, "LimitExceeded.Trigger");
    let live = json!({ "FunctionName": "shop", "Name": "live" });
    assert_eq!(refused(&cloud, "scf", "DeleteAlias", live).await, "ResourceInUse.Alias");
}

#[tokio::test]
async fn the_end_of_a_call_that_nobody_waited_for_is_told_later() {
    let cloud = cloud().await;
    cloud.register(b"code", |_| Err("no stock".to_owned()));
    function(&cloud, "shop", b"code").await;
    let told = invoke(&cloud, json!({ "FunctionName": "shop", "InvocationType": "Event" })).await;
    assert_eq!((&told["RetMsg"], &told["ErrMsg"]), (&json!(""), &json!("")));
    let ask = json!({ "FunctionName": "shop", "FunctionRequestId": told["FunctionRequestId"] });
    let ended = ok(&cloud, "scf", "GetRequestStatus", ask).await;
    assert_eq!((&ended["TotalCount"], &ended["Data"][0]["RetCode"]), (&json!(1), &json!(1)));
    let other = json!({ "FunctionName": "shop", "FunctionRequestId": "another" });
    assert_eq!(ok(&cloud, "scf", "GetRequestStatus", other).await["TotalCount"], 0);
}

#[tokio::test]
async fn an_alias_refuses_what_it_cannot_route() {
    let cloud = cloud().await;
    two_versions(&cloud).await;
    let code = async |main: &str, weights: Value| {
        refused(&cloud, "scf", "CreateAlias", routed(main, &weights)).await
    };
    assert_eq!(code("3", json!([])).await, "ResourceNotFound.FunctionVersion");
    assert_eq!(
        code("1", json!([{ "Version": "3", "Weight": 0.1 }])).await,
        "ResourceNotFound.FunctionVersion"
    );
    assert_eq!(code("1", json!([{ "Version": "1", "Weight": 0.1 }])).await, "InvalidParameter.RoutingConfig");
    let wrong = "InvalidParameterValue.AdditionalVersionWeights";
    assert_eq!(code("1", json!([{ "Version": "2", "Weight": 1.1 }])).await, wrong);
    let two = json!([{ "Version": "2", "Weight": 0.1 }, { "Version": "$LATEST", "Weight": 0.1 }]);
    assert_eq!(code("1", two).await, wrong);
    assert_eq!(code("1", json!([{ "Version": "2", "Weight": 0.1 }])).await, "");
    let bound = json!({ "FunctionName": "shop", "Qualifier": "2" });
    assert_eq!(
        refused(&cloud, "scf", "DeleteFunctionVersion", bound).await,
        "UnsupportedOperation.AliasBind"
    );
    let default = json!({ "FunctionName": "shop", "Name": "$DEFAULT" });
    assert_eq!(refused(&cloud, "scf", "DeleteAlias", default).await, "UnsupportedOperation");
}

/// The fake itself refuses an answer of its own that is not as the API describes it, with `InternalError`.
#[tokio::test]
async fn every_action_answers_as_the_api_describes_it() {
    let cloud = cloud().await;
    two_versions(&cloud).await;
    let named = json!({ "FunctionName": "shop" });
    let with = |more: Value| {
        let mut given = named.clone();
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        given
    };
    let timer = json!({ "TriggerName": "nightly", "Type": "timer" });
    let cron = with(
        json!({ "TriggerName": "nightly", "Type": "timer", "TriggerDesc": "0 0 3 * * * *", "Qualifier": "$DEFAULT" }),
    );
    let provisioned = with(json!({ "Qualifier": "1", "VersionProvisionedConcurrencyNum": 2 }));
    for (action, given) in [
        ("UpdateFunctionConfiguration", with(json!({ "Timeout": 10 }))),
        ("GetAccount", json!({})),
        ("ListFunctions", json!({})),
        ("ListVersionByFunction", named.clone()),
        ("CreateAlias", routed("1", &json!([]))),
        ("GetAlias", with(json!({ "Name": "live" }))),
        ("ListAliases", with(json!({ "Offset": "0", "Limit": "20" }))),
        ("CreateTrigger", cron.clone()),
        ("UpdateTrigger", cron),
        (
            "UpdateTriggerStatus",
            with(json!({ "TriggerName": "nightly", "Type": "timer", "Enable": "CLOSE" })),
        ),
        ("ListTriggers", named.clone()),
        ("GetFunction", named.clone()),
        ("DeleteTrigger", with(timer)),
        ("InvokeFunction", named.clone()),
        ("PutProvisionedConcurrencyConfig", provisioned),
        ("GetProvisionedConcurrencyConfig", named.clone()),
        ("PutReservedConcurrencyConfig", with(json!({ "ReservedConcurrencyMem": 256 }))),
        ("GetReservedConcurrencyConfig", named.clone()),
        ("DeleteAlias", with(json!({ "Name": "live" }))),
    ] {
        ok(&cloud, "scf", action, given).await;
    }
    settle(&cloud);
    let told = ok(&cloud, "scf", "GetProvisionedConcurrencyConfig", named.clone()).await;
    assert_eq!(
        (&told["Allocated"][0]["Status"], &told["UnallocatedConcurrencyNum"]),
        (&json!("Done"), &json!(98))
    );
    ok(&cloud, "scf", "DeleteProvisionedConcurrencyConfig", with(json!({ "Qualifier": "1" }))).await;
    ok(&cloud, "scf", "DeleteFunctionVersion", with(json!({ "Qualifier": "1" }))).await;
    ok(&cloud, "scf", "DeleteFunction", named).await;
}

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use flow_tencent::{
    Action, Api, ApiConfig, ApiError, Attributes, Cos, CosConfig, Credential, Credentials, Digests, Failure,
    Nature,
};
use flow_testkit::cloud::{FakeCloud, FakeCloudConfig, Fault, SECRET_ID, SECRET_KEY, Target};
use serde::{Deserialize, Serialize};

use crate::objects::{CONTENT, key};

const BUCKET: &str = "site-1250000000";

async fn cloud() -> FakeCloud {
    let config = FakeCloudConfig { buckets: vec![BUCKET.to_owned()], ..FakeCloudConfig::default() };
    FakeCloud::start(&config).await.unwrap()
}

fn credential() -> Credential {
    Credential::new(SECRET_ID, SECRET_KEY, None).unwrap()
}

fn cos(cloud: &FakeCloud, credentials: impl Credentials + 'static) -> Cos {
    let config = CosConfig {
        bucket: "site".into(),
        appid: "1250000000".into(),
        region: "ap-guangzhou".into(),
        endpoint: Some(cloud.url()),
    };
    Cos::new(&config, Arc::new(credentials), Arc::new(cloud.clock())).unwrap()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeRecordList {
    domain: &'static str,
    subdomain: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    record_list: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

impl Action for DescribeRecordList {
    const NAME: &'static str = "DescribeRecordList";
    type Answer = Records;
}

async fn records(
    cloud: &FakeCloud,
    subdomain: &'static str,
    credential: Credential,
) -> Result<Records, ApiError> {
    let config = ApiConfig {
        service: "dnspod".into(),
        version: "2021-03-23".into(),
        region: None,
        endpoint: Some(cloud.url()),
    };
    let api = Api::new(config, Arc::new(credential), Arc::new(cloud.clock())).unwrap();
    api.call(&DescribeRecordList { domain: "example.com", subdomain }, Nature::Reads).await
}

/// Keys that URLs, signatures and XML write in three different ways.
const AWKWARD: [&str; 8] =
    ["a b  c", "a+b%20c", "!#$&'()*,;=:@[]?", "-._~", "\"<a>^`{|}", "é/中文/🚀", ".flow/kept/1", "folder/"];

#[tokio::test]
async fn awkward_keys_are_written_listed_read_copied_and_deleted() {
    let cloud = cloud().await;
    let cos = cos(&cloud, credential());
    let html = Attributes { content_type: Some("text/html".into()), ..Attributes::default() };
    for name in AWKWARD {
        let content = Bytes::from(name.as_bytes());
        let stored = cos.put(&key(name), content.clone(), &html).await.unwrap();
        let (meta, read) = cos.read(&key(name), 999).await.unwrap();
        assert_eq!((meta.attributes.content_type.as_deref(), &read), (Some("text/html"), &content));
        let copied = cos.copy(&key(name), &stored, &key(&format!("copy/{name}"))).await.unwrap();
        assert_eq!(copied.etag, Digests::of(&content).etag());
    }
    let mut stored: Vec<_> = cloud.objects(BUCKET).into_keys().collect();
    stored.sort();
    let listed: Vec<_> = cos.list_all("", 99).await.unwrap().into_iter().map(|listed| listed.key).collect();
    assert_eq!((listed.len(), &listed), (2 * AWKWARD.len(), &stored));
    assert_eq!(cos.list_all("copy/é/", 99).await.unwrap().len(), 1);
    assert_eq!(cos.delete_many(&AWKWARD.map(key)).await.unwrap(), []);
    for name in AWKWARD {
        cos.delete(&key(&format!("copy/{name}"))).await.unwrap();
    }
    assert!(cloud.objects(BUCKET).is_empty());
}

#[tokio::test]
async fn a_file_goes_up_in_parts_and_a_flipped_byte_of_it_is_found() {
    let cloud = cloud().await;
    let cos = cos(&cloud, credential());
    let content: Vec<u8> = (0_u32..(5 << 20) / 4).flat_map(u32::to_le_bytes).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &content).unwrap();
    let open = || File::open(file.path()).unwrap();
    cos.put_file(&key("big"), open(), &Attributes::default()).await.unwrap();
    assert!(cloud.objects(BUCKET)["big"] == content);
    assert_eq!(cos.uploads("").await.unwrap(), []);
    assert!(cloud.corrupt_object(BUCKET, "big"));
    assert_eq!(cos.read(&key("big"), 9 << 20).await.unwrap_err().failure(), Failure::Damaged);

    cloud.fault(Fault::CosCorrupt { subject: ("big".into(),), times: 1 });
    let error = cos.put_file(&key("big"), open(), &Attributes::default()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Damaged);
}

#[tokio::test]
async fn a_flipped_byte_of_a_copy_is_found() {
    let cloud = cloud().await;
    let cos = cos(&cloud, credential());
    let stored = cos.put(&key("a"), Bytes::from_static(CONTENT), &Attributes::default()).await.unwrap();
    cloud.fault(Fault::CosCorrupt { subject: ("b".into(),), times: 1 });
    let error = cos.copy(&key("a"), &stored, &key("b")).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Damaged);
}

#[tokio::test]
async fn both_signatures_are_refused_with_another_key_and_accepted_with_a_token() {
    let cloud = cloud().await;
    cloud.add_record("example.com", "www", "CNAME", "cdn.example.");
    let wrong = Credential::new(SECRET_ID, "another", None).unwrap();
    let error = records(&cloud, "www", wrong.clone()).await.unwrap_err();
    assert_eq!((error.failure(), error.code()), (Failure::Auth, Some("AuthFailure.SignatureFailure")));
    let error = cos(&cloud, wrong).list("", None).await.unwrap_err();
    assert_eq!((error.failure(), error.code()), (Failure::Auth, Some("SignatureDoesNotMatch")));
    let temporary = Credential::new(
        "AKIDTEMPTEMPTEMPTEMP00000000000002",
        "fakeSecretKey000000000000000002",
        Some("fake-session-token".into()),
    )
    .unwrap();
    for credential in [credential(), temporary] {
        let found = records(&cloud, "www", credential.clone()).await.unwrap();
        assert_eq!(found.record_list[0].value, "cdn.example.");
        let error = records(&cloud, "none", credential.clone()).await.unwrap_err();
        assert_eq!((error.failure(), error.request_id().map(str::len)), (Failure::NotFound, Some(36)));
        assert!(cos(&cloud, credential).list("", None).await.unwrap().objects.is_empty());
    }
}

/// What may strike a request: before it is carried out, or its answer.
fn faults(action: &str) -> [Fault; 6] {
    let target = || Target { service: Some("cos".into()), action: Some(action.into()), times: 1 };
    [
        Fault::Error { target: target(), code: "SlowDown".into(), message: None, status: None },
        Fault::Http { target: target(), status: 502 },
        Fault::Drop(target()),
        Fault::DropAfter(target()),
        Fault::Delay { target: target(), seconds: 0.05 },
        Fault::Truncate(target()),
    ]
}

#[tokio::test]
async fn whatever_strikes_a_request_of_a_file_its_object_is_made_and_no_upload_is_left() {
    let content = vec![7; 5 << 20];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &content).unwrap();
    let html = Attributes { content_type: Some("text/html".into()), ..Attributes::default() };
    for action in ["POST uploads", "PUT part", "POST upload"] {
        let parts = if action == "PUT part" { 3 } else { 1 };
        for fault in faults(action) {
            let cloud = cloud().await;
            let cos = cos(&cloud, credential());
            cloud.fault(fault.clone());
            cos.put_file(&key("big"), file.reopen().unwrap(), &html).await.unwrap();
            let struck = cloud.log().iter().filter(|row| !row.fault.is_empty()).count();
            assert_eq!((struck, carried_out(&cloud, action)), (1, parts), "{fault:?}");
            assert!(cloud.objects(BUCKET)["big"] == content, "{fault:?}");
            assert_eq!(cos.head(&key("big")).await.unwrap().attributes.content_type, html.content_type);
            assert_eq!(cos.uploads("").await.unwrap(), []);
        }
    }
}

#[tokio::test]
async fn whatever_strikes_a_request_the_bucket_ends_as_asked_and_nothing_is_carried_out_twice() {
    for action in ["PUT object", "PUT copy", "DELETE object", "PUT part", "POST upload", "DELETE upload"] {
        for fault in faults(action) {
            let cloud = cloud().await;
            let cos = cos(&cloud, credential());
            let old = cos.put(&key("old"), Bytes::from_static(b"old"), &Attributes::default()).await.unwrap();
            cos.put(&key("gone"), Bytes::from_static(b"gone"), &Attributes::default()).await.unwrap();
            let given_up = cos.begin_upload(&key("up"), &Attributes::default()).await.unwrap();
            let before = carried_out(&cloud, action);
            cloud.fault(fault.clone());

            cos.put(&key("new"), Bytes::from_static(CONTENT), &Attributes::default()).await.unwrap();
            cos.copy(&key("old"), &old, &key("copy")).await.unwrap();
            cos.delete(&key("gone")).await.unwrap();
            let upload = cos.begin_upload(&key("up"), &Attributes::default()).await.unwrap();
            let part = cos.put_part(&key("up"), &upload.id, 1, Bytes::from_static(CONTENT)).await.unwrap();
            let whole = Digests::of(CONTENT);
            cos.complete_upload(&key("up"), &upload.id, &[part], &whole).await.unwrap();
            cos.abort_upload(&key("up"), &given_up.id).await.unwrap();

            let struck = cloud.log().iter().filter(|row| !row.fault.is_empty()).count();
            assert_eq!(struck, 1, "{fault:?}");
            assert_eq!(carried_out(&cloud, action) - before, 1, "{fault:?}");
            let expected: [(&str, &[u8]); 4] =
                [("copy", b"old"), ("new", CONTENT), ("old", b"old"), ("up", CONTENT)];
            let expected = expected.map(|(key, content)| (key.to_owned(), content.to_vec()));
            assert_eq!(cloud.objects(BUCKET), expected.into(), "{fault:?}");
            assert_eq!(cos.uploads("").await.unwrap(), []);
        }
    }
}

/// How often an action was carried out.
fn carried_out(cloud: &FakeCloud, action: &str) -> usize {
    cloud.log().iter().filter(|row| row.action == action && row.result == "ok").count()
}

//! What is refused before anything changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_cdn::{CdnConfig, CosAssets, SiteConfig, TencentCdn};
use flow_core::port::{AssetStore as _, Cdn as _, Manifest};
use flow_core::{Cause, Clock, ErrorKind, StepError, SystemClock, Timestamp, name};
use flow_tencent::{Cos, CosConfig, Credential, Credentials};
use flow_testkit::cloud::{CloudClock, Fault, Target};
use flow_testkit::permit;
use futures::future::BoxFuture;

use crate::world::{World, cos, credential, files};

#[tokio::test]
async fn links_pipes_awkward_names_and_unreadable_directories_are_refused_all_at_once() {
    let world = World::new().await;
    let store = world.store();
    let directory = world.lay_out(&files(&[("index.html", "1"), ("docs/a.html", "1")]));
    symlink("/etc/passwd", directory.join("link.html")).unwrap();
    symlink("docs", directory.join("docs2")).unwrap();
    symlink(directory.join("nowhere"), directory.join("dangling")).unwrap();
    let pipe = std::os::unix::net::UnixListener::bind(directory.join("socket")).unwrap();
    fs::write(directory.join("line\nbreak.html"), "1").unwrap();
    fs::write(directory.join("back\\slash.html"), "1").unwrap();
    fs::write(directory.join("(group).html"), "1").unwrap();
    fs::create_dir_all(directory.join(".flow")).unwrap();
    fs::write(directory.join(".flow/manifest.json"), "{}").unwrap();
    let error = store.read(&directory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = Cause::from(&error).to_string();
    let wrong = [
        "link.html",
        "docs2",
        "dangling",
        "socket",
        "line\\nbreak",
        "back\\\\slash",
        "(group).html",
        ".flow/manifest",
    ];
    assert!(wrong.iter().all(|name| text.contains(name)), "{text}");
    assert!(world.cloud.log().is_empty());
    drop(pipe);
}

/// Whoever may read every file still cannot read these of the kernel's.
#[tokio::test]
async fn files_that_cannot_be_read_are_refused_by_their_names() {
    let world = World::new().await;
    let directory =
        std::path::Path::new("/proc/self/task").join(format!("{}", std::process::id())).join("attr");
    let unreadable: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file() && fs::read(entry.path()).is_err())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(!unreadable.is_empty());
    let error = world.store().read(&directory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = Cause::from(&error).to_string();
    assert!(unreadable.iter().all(|name| text.contains(name.as_str())), "{unreadable:?}: {text}");
}

/// A clock during whose waits somebody changes a file.
#[derive(Debug)]
struct Meddling(CloudClock, PathBuf);

impl Clock for Meddling {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        fs::write(&self.1, "what is there now").unwrap();
        self.0.sleep(duration)
    }
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_read_is_in_doubt_and_neither_it_nor_a_page_is_put() {
    let world = World::new().await;
    let store = world.store();
    let site = files(&[("a.js", "what was read"), ("index.html", "1")]);
    let (directory, manifest) = world.release(&store, &site).await;
    // The listing comes after the directory was compared with its manifest.
    let target = Target { service: None, action: Some("GET bucket".into()), times: 1 };
    world.cloud.fault(Fault::Error { target, code: "SlowDown".into(), message: None, status: None });
    let clock = Arc::new(Meddling(world.cloud.clock(), directory.join("a.js")));
    let meddled = cos(&world.cloud.url(), credential(), clock);
    let store = CosAssets::new(name!("site"), meddled, SiteConfig::new()).unwrap();
    let error = store.put(&permit(), &directory, &manifest).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    assert_eq!(world.files(""), files(&[]));
}

#[tokio::test]
async fn keys_that_the_storage_forbids_are_refused_with_all_of_them() {
    let world = World::new().await;
    let store = world.store_of(SiteConfig { prefix: "a-prefix-of-some-length/".into(), ..SiteConfig::new() });
    let long = "x".repeat(840);
    let file = store.read(&world.lay_out(&files(&[("a", "1")]))).await.unwrap()["a"].clone();
    let paths = [long.as_str(), "a\u{7}b", "-rf", ".flow/x", "a\\b"];
    let manifest: Manifest = paths.iter().map(|path| ((*path).to_owned(), file.clone())).collect();
    let directory = world.lay_out(&files(&[("a", "1")]));
    let error = store.put(&permit(), &directory, &manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let text = Cause::from(&error).to_string();
    assert!(
        ["xxxx", "a\\u{7}b", "-rf", ".flow/x", "a\\\\b"].iter().all(|path| text.contains(path)),
        "{text}"
    );
    assert!(world.cloud.log().is_empty());
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Credentials for Nobody {
    async fn credential(&self) -> Result<Credential, StepError> {
        Err(StepError::new(ErrorKind::NotFound, "there is no key in this profile"))
    }
}

#[tokio::test]
async fn without_a_credential_nothing_is_asked() {
    assert!(Credential::new("", "", None).is_err());
    let world = World::new().await;
    let config = CosConfig {
        bucket: "site".into(),
        appid: "1250000000".into(),
        region: "ap-guangzhou".into(),
        endpoint: Some(world.cloud.url()),
    };
    let clock = Arc::new(world.cloud.clock());
    let store = CosAssets::new(
        name!("site"),
        Cos::new(&config, Arc::new(Nobody), clock.clone()).unwrap(),
        SiteConfig::new(),
    );
    let error = store.unwrap().serving().await.unwrap_err();
    assert!(error.kind().is_rejection(), "{error}");
    assert!(Cause::from(&error).to_string().contains("no key in this profile"), "{error}");
    let config = CdnConfig { endpoint: Some(world.cloud.url()), ..CdnConfig::new("http://www.example.com") };
    let cdn = TencentCdn::new(config, Arc::new(Nobody), clock).unwrap();
    let error = cdn.purge(&permit(), &["a.html".to_owned()]).await.unwrap_err();
    assert!(error.kind().is_rejection(), "{error}");
    assert!(world.cloud.log().is_empty());
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_bucket_are_told_with_code_and_request_id() {
    let world = World::new().await;
    let wrong = Credential::new("AKIDWRONG", "wrong", None).unwrap();
    let store = CosAssets::new(
        name!("site"),
        cos(&world.cloud.url(), wrong, Arc::new(world.cloud.clock())),
        SiteConfig::new(),
    );
    let error = store.unwrap().serving().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    told(&world, &error, "InvalidAccessKeyId");
    let config = CosConfig {
        bucket: "other".into(),
        appid: "1250000000".into(),
        region: "ap-shanghai".into(),
        endpoint: Some(world.cloud.url()),
    };
    let cos = Cos::new(&config, Arc::new(credential()), Arc::new(world.cloud.clock())).unwrap();
    let error = CosAssets::new(name!("site"), cos, SiteConfig::new()).unwrap().serving().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    told(&world, &error, "NoSuchBucket");
}

/// A clock that is wrong.
#[derive(Debug)]
struct Ahead(SystemClock);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.0.now() + Duration::from_secs(20 * 60)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_by_how_much() {
    let world = World::new().await;
    let clock = Arc::new(Ahead(SystemClock::new()));
    let store = CosAssets::new(
        name!("site"),
        cos(&world.cloud.url(), credential(), clock.clone()),
        SiteConfig::new(),
    );
    let error = store.unwrap().serving().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("1200 s ahead"), "{error}");
    let config = CdnConfig { endpoint: Some(world.cloud.url()), ..CdnConfig::new("http://www.example.com") };
    let cdn = TencentCdn::new(config, Arc::new(credential()), clock).unwrap();
    let error = cdn.purge(&permit(), &["a.html".to_owned()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("1200 s ahead"), "{error}");
    told(&world, &error, "AuthFailure.SignatureExpire");
}

/// The last request's code and its request id stand in the error.
fn told(world: &World, error: &StepError, code: &str) {
    let text = Cause::from(error).to_string();
    let id = world.cloud.log().last().unwrap().id.clone();
    assert!(text.contains(code) && text.contains(&id), "{text}");
}

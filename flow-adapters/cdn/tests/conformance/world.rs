use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flow_cdn::{CdnConfig, CosAssets, SiteConfig, TencentCdn};
use flow_core::port::{AssetStore as _, Manifest, ProbeReply, ProbeRequest, Prober};
use flow_core::{Clock, StepError, name};
use flow_tencent::{Cos, CosConfig, Credential};
use flow_testkit::cloud::{FakeCloud, FakeCloudConfig, Logged, SECRET_ID, SECRET_KEY};
use flow_testkit::conformance::assets::Files;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const BUCKET: &str = "site-1250000000";
pub(crate) const DOMAIN: &str = "www.example.com";
pub(crate) const URL: &str = "http://www.example.com";

/// A fake cloud with a bucket behind a domain, and directories to deploy.
pub(crate) struct World {
    pub(crate) cloud: FakeCloud,
    pub(crate) directory: TempDir,
    releases: AtomicU32,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(FakeCloudConfig::default()).await
    }

    pub(crate) async fn with(config: FakeCloudConfig) -> Self {
        let config = FakeCloudConfig { buckets: vec![BUCKET.into()], ..config };
        let cloud = FakeCloud::start(&config).await.unwrap();
        cloud.serve_domain(DOMAIN, BUCKET);
        Self { cloud, directory: tempfile::tempdir().unwrap(), releases: AtomicU32::new(0) }
    }

    pub(crate) fn cos(&self) -> Cos {
        cos(&self.cloud.url(), credential(), Arc::new(self.cloud.clock()))
    }

    pub(crate) fn store(&self) -> CosAssets {
        self.store_of(SiteConfig::new())
    }

    pub(crate) fn store_of(&self, config: SiteConfig) -> CosAssets {
        CosAssets::new(name!("site"), self.cos(), config).unwrap()
    }

    pub(crate) fn cdn(&self) -> TencentCdn {
        self.cdn_of(CdnConfig::new(URL))
    }

    pub(crate) fn cdn_of(&self, config: CdnConfig) -> TencentCdn {
        let config = CdnConfig { endpoint: Some(self.cloud.url()), ..config };
        TencentCdn::new(config, Arc::new(credential()), Arc::new(self.cloud.clock())).unwrap()
    }

    pub(crate) fn lay_out(&self, files: &Files) -> PathBuf {
        let number = self.releases.fetch_add(1, Ordering::Relaxed);
        let root = self.directory.path().join(format!("release-{number}"));
        fs::create_dir(&root).unwrap();
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    /// Lays a release out, and reads it.
    pub(crate) async fn release(&self, store: &CosAssets, files: &Files) -> (PathBuf, Manifest) {
        let directory = self.lay_out(files);
        let manifest = store.read(&directory).await.unwrap();
        (directory, manifest)
    }

    /// Lays a release out, and puts it in force.
    pub(crate) async fn put(&self, store: &CosAssets, files: &Files) -> Manifest {
        let (directory, manifest) = self.release(store, files).await;
        store.put(&flow_testkit::permit(), &directory, &manifest).await.unwrap();
        manifest
    }

    /// All objects below `prefix` but the bookkeeping, by path.
    pub(crate) fn files(&self, prefix: &str) -> Files {
        let below = self.cloud.objects(BUCKET).into_iter();
        let below = below.filter_map(|(key, content)| Some((key.strip_prefix(prefix)?.to_owned(), content)));
        below.filter(|(path, _)| !path.starts_with(".flow/")).collect()
    }

    /// What a reader gets through the edge.
    pub(crate) async fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let url = ProbeRequest::of_file(URL, path, Duration::ZERO).url;
        let reply = get(self.cloud.address(), &url).await;
        (reply.status == 200).then_some(reply.body)
    }

    /// What was asked since `begun` entries of the log.
    pub(crate) fn since(&self, begun: usize) -> Asked {
        Asked(self.cloud.log().split_off(begun))
    }

    pub(crate) fn asked(&self) -> usize {
        self.cloud.log().len()
    }
}

/// A part of the cloud's log.
#[derive(Debug)]
pub(crate) struct Asked(pub(crate) Vec<Logged>);

impl Asked {
    /// The subjects of an action's requests that were carried out, without the bucket, in order.
    pub(crate) fn of(&self, action: &str) -> Vec<String> {
        let done = self.0.iter().filter(|entry| entry.action == action && entry.result == "ok");
        let bare = |subject: &str| {
            subject.strip_prefix(BUCKET).unwrap_or(subject).trim_start_matches('/').to_owned()
        };
        done.map(|entry| bare(&entry.subject)).collect()
    }

    /// The same without the bookkeeping.
    pub(crate) fn of_files(&self, action: &str) -> Vec<String> {
        self.of(action).into_iter().filter(|key| !key.contains(".flow/")).collect()
    }

    /// All requests for the bookkeeping, as `action key`.
    pub(crate) fn bookkeeping(&self) -> Vec<String> {
        let ours = self.0.iter().filter(|entry| entry.subject.contains(".flow/"));
        ours.map(|entry| format!("{} {}", entry.action, entry.subject)).collect()
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.0.iter().filter(|entry| entry.action == action).count()
    }
}

pub(crate) fn credential() -> Credential {
    Credential::new(SECRET_ID, SECRET_KEY, None).unwrap()
}

pub(crate) fn cos(url: &str, credential: Credential, clock: Arc<dyn Clock>) -> Cos {
    let config = CosConfig {
        bucket: "site".into(),
        appid: "1250000000".into(),
        region: "ap-guangzhou".into(),
        endpoint: Some(url.into()),
    };
    Cos::new(&config, Arc::new(credential), clock).unwrap()
}

pub(crate) fn files(of: &[(&str, &str)]) -> Files {
    of.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

/// Release `number` of a site of `count` files: a page that names all its assets, which have their hash in their names but for one.
pub(crate) fn site(number: u32, count: usize) -> Files {
    let mut files = Files::new();
    let assets = count.saturating_sub(2);
    let mut named = vec!["site.css".to_owned()];
    files.insert("site.css".to_owned(), format!("/* {number} */").into_bytes());
    for asset in 0..assets {
        // One of four is the same in every release.
        let of = if asset % 4 == 0 { 0 } else { number };
        let path = format!("assets/a{asset}.{of:04}{asset:04}.js");
        files.insert(path.clone(), format!("asset {asset} of {of}").into_bytes());
        named.push(path);
    }
    let page = format!("release {number}\n{}\n", named.join("\n"));
    files.insert("index.html".to_owned(), page.into_bytes());
    files
}

/// The assets that a page of [`site`] names.
pub(crate) fn named(page: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(page).lines().skip(1).map(str::to_owned).collect()
}

/// Asks whoever listens at `address` for `url`, as readers ask who resolved its name to that.
pub(crate) async fn get(address: SocketAddr, url: &str) -> ProbeReply {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<_, _> = lines.filter_map(header).collect();
    ProbeReply { status, headers, body: answer[end + 4..].to_vec(), elapsed: Duration::ZERO }
}

/// A prober for whom every name is the fake's.
pub(crate) struct Edge(pub(crate) SocketAddr);

#[async_trait]
impl Prober for Edge {
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError> {
        Ok(get(self.0, &request.url).await)
    }
}

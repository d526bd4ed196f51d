use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::SystemClock;
use flow_core::port::Cdn;
use flow_local::store::DirectSite;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::cdn::{Caching, CdnFixture, DomainFault};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::store::server::Server;

struct Fixture {
    directory: TempDir,
    server: Mutex<Option<Server>>,
    address: SocketAddr,
    site: DirectSite,
}

async fn fresh() -> Fixture {
    let directory = TempDir::new().unwrap();
    let root = directory.path().to_path_buf();
    let server = Server::start(move |asked| {
        let path = root.join(decoded(asked.target.trim_start_matches('/')));
        Some(fs::read(path).map_or((404, b"no such page".to_vec()), |content| (200, content)))
    })
    .await;
    let address = server.address;
    let (base, clock) = (format!("http://{address}/"), Arc::new(SystemClock::new()));
    let site = DirectSite::new(&base, directory.path(), Duration::from_secs(60), clock).unwrap();
    Fixture { directory, server: Mutex::new(Some(server)), address, site }
}

/// A request's path without its percent-encoding.
fn decoded(target: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = target.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(String::from_utf8(bytes).unwrap())
}

fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'/' | b'.' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect()
}

fn below(root: &Path, path: &str) -> Outside<PathBuf> {
    let path = root.join(path);
    fs::create_dir_all(path.parent().ok_or("the path has no parent")?)?;
    Ok(path)
}

#[async_trait]
impl CdnFixture for Fixture {
    fn cdn(&self) -> &dyn Cdn {
        &self.site
    }

    fn caching(&self) -> Caching {
        Caching::Absent("the files are served straight from their directory")
    }

    async fn change(&self, path: &str, content: Option<&[u8]>) -> Outside<()> {
        let path = below(self.directory.path(), path)?;
        Ok(content.map_or_else(|| fs::remove_file(&path), |content| fs::write(&path, content))?)
    }

    async fn fetch(&self, path: &str) -> Outside<Option<Vec<u8>>> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!("GET /{} HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n", encoded(path));
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the answer has no head")?;
        let (head, body) = answer.split_at(end + 4);
        Ok(head.starts_with(b"HTTP/1.1 200").then(|| body.to_vec()))
    }

    async fn break_domain(&self) -> Outside<DomainFault> {
        // A listener that is gone is noticed by the next connection, and not before it was polled for the last time.
        drop(self.server.lock().unwrap().take());
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        Ok(DomainFault::Stands)
    }
}

flow_testkit::cdn_conformance!(fresh);

//! A proxy and its upstreams, each a process of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use flow_core::port::{Metrics, Route, Router, Routing};
use flow_core::{Name, Permit, name};
use flow_local::proxy::{LocalRouter, ProxyConfig, ProxyProcess, RouterConfig, serve};
use rustix::process::{Pid, Signal, kill_process};

use super::server;
use super::user::get;

const ROLE: &str = "FLOW_TEST_PROXY_ROLE";
const ARGS: [&str; 4] = ["--exact", "proxy::process", "--ignored", "--nocapture"];
pub(crate) const WEB: Name = name!("web");

/// What a test process is when another one has started it.
pub(crate) fn play_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let last = std::env::args().next_back().unwrap();
    if role != "proxy" {
        return server::run(&role, &last);
    }
    // An aborted test run leaves no proxy behind.
    let parent = rustix::process::getppid();
    std::thread::spawn(move || {
        while rustix::process::getppid() == parent {
            std::thread::sleep(Duration::from_millis(200));
        }
        std::process::exit(3);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async { serve(ProxyConfig::load(Path::new(&last))?).await });
    std::process::exit(i32::from(ended.is_err()));
}

/// A proxy in its own directory, on its own port.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) router: LocalRouter,
    pub(crate) listen: SocketAddr,
    pub(crate) permit: Permit,
}

impl World {
    pub(crate) async fn started() -> Self {
        Self::started_with(|_| {}).await
    }

    pub(crate) async fn started_with(change: impl FnOnce(&mut RouterConfig)) -> Self {
        let world = Self::new(change);
        world.router.start(&world.permit).await.unwrap();
        world
    }

    pub(crate) fn new(change: impl FnOnce(&mut RouterConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path(), free_address());
        change(&mut config);
        let listen = config.proxy.listen;
        Self { directory, router: LocalRouter::new(config).unwrap(), listen, permit: flow_testkit::permit() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("state").join(name)
    }

    pub(crate) async fn route(&self, routes: &[(&str, u8, &[&Upstream])]) {
        self.router.route(&self.permit, &WEB, &routing(routes)).await.unwrap();
    }

    pub(crate) async fn sample(&self, version: &str) -> (u64, u64) {
        let version = Name::new(version).unwrap();
        let sample = self.router.sample(&WEB, &version).await.unwrap();
        sample.map_or((0, 0), |sample| {
            assert_eq!(sample.latency.iter().sum::<u64>(), sample.requests);
            (sample.requests, sample.failures)
        })
    }

    pub(crate) async fn in_flight(&self, upstream: &Upstream) -> u64 {
        let counted = self.router.in_flight(&WEB).await.unwrap();
        counted.get(&upstream.address).copied().unwrap_or(0)
    }

    pub(crate) async fn until_in_flight(&self, upstream: &Upstream, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.in_flight(upstream).await != count {
            assert!(Instant::now() < deadline, "never {count} in flight");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn is_locked(&self) -> bool {
        File::open(self.path("lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
    }

    /// What `process.json` says, where the lock says that it holds.
    pub(crate) fn running(&self) -> Option<ProxyProcess> {
        let text = self.is_locked().then(|| std::fs::read(self.path("process.json")).ok())??;
        let process: ProxyProcess = serde_json::from_slice(&text).ok()?;
        // A file that a dead proxy left may name somebody else's process by now.
        let command = std::fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
        let ours = self.directory.path().join("state");
        command.split(|byte| *byte == 0).any(|part| part == ours.as_os_str().as_bytes()).then_some(process)
    }

    pub(crate) fn kill_proxy(&self) {
        let Some(process) = self.running() else { return };
        kill_process(Pid::from_raw(process.pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        while self.is_locked() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_proxy();
    }
}

pub(crate) fn config(directory: &Path, listen: SocketAddr) -> RouterConfig {
    let mut proxy = ProxyConfig::on_loopback(WEB, directory.join("state"), listen.port());
    proxy.listen = listen;
    let mut config = RouterConfig::new(proxy, std::env::current_exe().unwrap(), ARGS);
    config.env.insert(ROLE.into(), "proxy".into());
    config.start_timeout = Duration::from_secs(30);
    config
}

pub(crate) fn routing(routes: &[(&str, u8, &[&Upstream])]) -> Routing {
    let route = |(version, weight, upstreams): &(&str, u8, &[&Upstream])| {
        let addresses = upstreams.iter().map(|upstream| upstream.address.clone()).collect();
        (Name::new(*version).unwrap(), Route { weight: *weight, addresses })
    };
    Routing(routes.iter().map(route).collect())
}

pub(crate) struct Upstream {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Upstream {
    pub(crate) fn start(how: &str) -> Self {
        Self::start_at(how, free_address().to_string())
    }

    pub(crate) fn start_at(how: &str, address: String) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(ARGS)
            .arg(&address)
            .env(ROLE, how)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !started.accepts() {
            assert!(Instant::now() < deadline, "the upstream does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        started
    }

    pub(crate) fn accepts(&self) -> bool {
        match self.address.strip_prefix("unix:") {
            Some(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            None => std::net::TcpStream::connect(&self.address).is_ok(),
        }
    }

    /// Ends all waiting at `/hold` and `/drip`, now and later.
    pub(crate) async fn release(&self) {
        get(self.address.parse().unwrap(), "/release").await;
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that no other test has, in this process or in another: the port is counted, and the host is the process's
/// own out of the sixteen million of the loopback network.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(port < 32_768, "the ports below the ephemeral range are used up");
    SocketAddr::from(([127, a.wrapping_add(1), b, c], port))
}

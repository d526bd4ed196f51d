//! The ways, each over servers of its own. The applications are the same for all.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use flow_benches::Error;
use flow_core::port::{Route, Router, Routing};
use flow_core::{Fence, Name, Permit, SystemClock, name};
use flow_haproxy::{HaproxyConfig, HaproxyRouter};
use flow_nginx::{SocketConfig, SocketRouter};
use flow_proving::app::{App, Behaviour};
use flow_proving::server::{Caddy, Haproxy, Nginx};
use flow_proving::{Address, Directory, Port, Request};
use flow_testkit::permit_under;
use serde_json::json;

const WEB: Name = name!("web");

/// A version of the application.
#[derive(Clone, Copy)]
pub(crate) enum Version {
    /// The one that has the traffic when a way is started.
    Old,
    New,
}

impl Version {
    /// What it answers.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Old => "1.0.0",
            Self::New => "1.1.0",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// Its own of two things.
    const fn of<T>(self, [old, new]: &[T; 2]) -> &T {
        match self {
            Self::Old => old,
            Self::New => new,
        }
    }
}

/// A way to switch all traffic.
#[async_trait]
pub(crate) trait Way {
    /// Where users ask.
    fn address(&self) -> Address;
    /// Switches to one of the two versions; returns when whoever does it says that it is done.
    async fn switch(&mut self, to: Version) -> Result<(), Error>;
}

/// The two versions, each on a socket and on a port.
pub(crate) struct Apps {
    sockets: [App; 2],
    ports: [App; 2],
    _claims: [Port; 2],
}

impl Apps {
    pub(crate) async fn start() -> Result<Self, Error> {
        let (directory, claims) = (Directory::new()?, [Port::free()?, Port::free()?]);
        let app = async |version: Version, address: Address| {
            App::start(&directory, &address, &Behaviour::of(version.text())).await
        };
        let socket = |name: &str| Address::Unix(directory.path().join(name));
        let sockets =
            [app(Version::Old, socket("old.sock")).await?, app(Version::New, socket("new.sock")).await?];
        let ports =
            [app(Version::Old, claims[0].address()).await?, app(Version::New, claims[1].address()).await?];
        Ok(Self { sockets, ports, _claims: claims })
    }
}

/// What a switch leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Releases {
    /// A release that was never routed before, each time.
    New,
    /// The one before.
    Kept,
}

/// Routings of all traffic to one of two addresses.
struct Routes {
    addresses: [String; 2],
    releases: Releases,
    calls: u64,
}

impl Routes {
    fn of(apps: &Apps, releases: Releases) -> Self {
        Self { addresses: apps.sockets.each_ref().map(|app| app.address().to_string()), releases, calls: 0 }
    }

    fn next(&mut self, to: Version) -> Result<(Permit, Routing), Error> {
        self.calls += 1;
        let version = match self.releases {
            Releases::New => format!("{}-{}", to.text(), self.calls),
            Releases::Kept => to.text().to_owned(),
        };
        let route = Route { weight: 100, addresses: vec![to.of(&self.addresses).clone()] };
        let permit = permit_under(&format!("bench/{}", self.calls), Fence(1), 1);
        Ok((permit, Routing([(Name::new(version)?, route)].into())))
    }
}

/// Our links, before an nginx.
pub(crate) struct LinkRoute {
    router: SocketRouter,
    routes: Routes,
    _nginx: Nginx,
    listen: Port,
}

impl LinkRoute {
    pub(crate) async fn start(
        apps: &Apps,
        releases: Releases,
        config: fn(Name, PathBuf, PathBuf) -> SocketConfig,
    ) -> Result<Self, Error> {
        let (directory, listen) = (Directory::new()?, Port::free()?);
        let at = |name: &str| directory.path().join(name);
        let config = config(WEB, at("links"), at("web.log"));
        let router = SocketRouter::new(config.clone(), Arc::new(SystemClock::new()))?;
        let mut routes = Routes::of(apps, releases);
        let (permit, first) = routes.next(Version::Old)?;
        router.route(&permit, &WEB, &first).await?;
        let (block, location, at) = (config.block()?, config.location()?, listen.address());
        let http = format!("{block}\nserver {{ listen {at}; location / {{ {location} }} }}\n");
        let nginx = Nginx::start(&directory, &http, &at).await?;
        Ok(Self { router, routes, _nginx: nginx, listen })
    }
}

#[async_trait]
impl Way for LinkRoute {
    fn address(&self) -> Address {
        self.listen.address()
    }

    async fn switch(&mut self, to: Version) -> Result<(), Error> {
        let (permit, routing) = self.routes.next(to)?;
        Ok(self.router.route(&permit, &WEB, &routing).await?)
    }
}

/// An HAProxy with a backend of the given servers.
async fn haproxy(servers: &str) -> Result<(Haproxy, Port), Error> {
    let listen = Port::free()?;
    let at = listen.address();
    let sections = format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\n    retries 0\n\
         frontend web\n    bind {at}\n    default_backend web\n\
         backend web\n    balance roundrobin\n{servers}"
    );
    Ok((Haproxy::start(&Directory::new()?, &sections, &at).await?, listen))
}

/// The two servers of [`RuntimeApi`].
const SERVERS: [&str; 2] = ["web/v0", "web/v1"];

/// An HAProxy that is told by one line of commands which of two servers is ready.
pub(crate) struct RuntimeApi {
    haproxy: Haproxy,
    listen: Port,
}

impl RuntimeApi {
    pub(crate) async fn start(apps: &Apps) -> Result<Self, Error> {
        let [old, new] = apps.sockets.each_ref().map(|app| app.address().to_string().replacen(':', "@", 1));
        let servers = format!("    server v0 {old}\n    server v1 {new} disabled\n");
        let (haproxy, listen) = haproxy(&servers).await?;
        Ok(Self { haproxy, listen })
    }
}

#[async_trait]
impl Way for RuntimeApi {
    fn address(&self) -> Address {
        self.listen.address()
    }

    async fn switch(&mut self, to: Version) -> Result<(), Error> {
        let (to, from) = (to.of(&SERVERS), to.other().of(&SERVERS));
        let commands = format!("set server {to} state ready;set server {from} state maint");
        let answer = self.haproxy.ask(&commands).await?;
        if answer.trim().is_empty() { Ok(()) } else { Err(answer.into()) }
    }
}

/// Our router over an HAProxy's runtime API.
pub(crate) struct HaproxyRoute {
    router: HaproxyRouter,
    routes: Routes,
    _haproxy: Haproxy,
    listen: Port,
}

impl HaproxyRoute {
    pub(crate) async fn start(apps: &Apps) -> Result<Self, Error> {
        let (haproxy, listen) = haproxy("").await?;
        let router = HaproxyRouter::new(HaproxyConfig::at(haproxy.socket()))?;
        let mut routes = Routes::of(apps, Releases::New);
        let (permit, first) = routes.next(Version::Old)?;
        router.route(&permit, &WEB, &first).await?;
        Ok(Self { router, routes, _haproxy: haproxy, listen })
    }
}

#[async_trait]
impl Way for HaproxyRoute {
    fn address(&self) -> Address {
        self.listen.address()
    }

    async fn switch(&mut self, to: Version) -> Result<(), Error> {
        let (permit, routing) = self.routes.next(to)?;
        Ok(self.router.route(&permit, &WEB, &routing).await?)
    }
}

/// The one upstream of a Caddy, patched.
pub(crate) struct AdminApi {
    caddy: Caddy,
    upstreams: [String; 2],
    listen: Port,
}

impl AdminApi {
    pub(crate) async fn start(apps: &Apps) -> Result<Self, Error> {
        let listen = Port::free()?;
        let upstreams = apps.sockets.each_ref().map(|app| {
            let dial = app.address().to_string().replacen(':', "/", 1);
            json!([{ "dial": dial }])
        });
        let route = json!({ "handle": [{ "handler": "reverse_proxy", "upstreams": upstreams[0] }] });
        let server = json!({ "listen": [listen.address().to_string()], "routes": [route] });
        let apps = json!({ "http": { "servers": { "web": server } } });
        let caddy = Caddy::start(&Directory::new()?, &apps, &listen.address()).await?;
        Ok(Self { caddy, upstreams: upstreams.map(|one| one.to_string()), listen })
    }
}

#[async_trait]
impl Way for AdminApi {
    fn address(&self) -> Address {
        self.listen.address()
    }

    async fn switch(&mut self, to: Version) -> Result<(), Error> {
        let path = "/config/apps/http/servers/web/routes/0/handle/0/upstreams";
        let patch = Request::with_body("PATCH", path, to.of(&self.upstreams).as_bytes());
        let reply = self.caddy.admin(&patch.header("content-type", "application/json")).await?;
        if reply.status == 200 { Ok(()) } else { Err(format!("{}: {}", reply.status, reply.text()).into()) }
    }
}

/// A file with the upstream, written anew, tested and reloaded by nginx's own program.
pub(crate) struct Reload {
    nginx: Nginx,
    file: PathBuf,
    upstreams: [String; 2],
    listen: Port,
}

impl Reload {
    pub(crate) async fn start(apps: &Apps) -> Result<Self, Error> {
        let (directory, listen) = (Directory::new()?, Port::free()?);
        let file = directory.path().join("upstream.conf");
        let upstreams =
            apps.ports.each_ref().map(|app| format!("upstream web {{ server {}; }}\n", app.address()));
        fs::write(&file, &upstreams[0])?;
        let (include, at) = (file.display(), listen.address());
        let http = format!(
            "include {include};\nserver {{ listen {at}; location / {{ proxy_pass http://web; }} }}\n"
        );
        let nginx = Nginx::start(&directory, &http, &at).await?;
        Ok(Self { nginx, file, upstreams, listen })
    }

    fn run(&self, arguments: &[&str]) -> Result<(), Error> {
        let output =
            Command::new(self.nginx.program()).arg("-c").arg(self.nginx.conf()).args(arguments).output()?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }
}

#[async_trait]
impl Way for Reload {
    fn address(&self) -> Address {
        self.listen.address()
    }

    async fn switch(&mut self, to: Version) -> Result<(), Error> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, to.of(&self.upstreams))?;
        fs::rename(&beside, &self.file)?;
        self.run(&["-t"])?;
        self.run(&["-s", "reload"])
    }
}

//! A private HAProxy with the README's configuration, and real applications behind it.

use std::sync::Mutex;

use flow_core::port::{Route, Router, Routing};
use flow_core::{Fence, Name, Permit, name};
use flow_haproxy::{HaproxyConfig, HaproxyRouter};
use flow_proving::app::{App, Behaviour};
use flow_proving::server::Haproxy;
use flow_proving::{Address, Directory, Outside, Port};

pub(crate) const WEB: Name = name!("web");
pub(crate) const API: Name = name!("api");
pub(crate) const OLD: &str = "1.0.0";
pub(crate) const NEW: &str = "1.1.0";

const README: &str = include_str!("../../README.md");

pub(crate) struct World {
    // Ended before what they serve from is removed.
    pub(crate) haproxy: Haproxy,
    pub(crate) apps: Mutex<Vec<App>>,
    pub(crate) router: HaproxyRouter,
    pub(crate) web: Port,
    pub(crate) api: Port,
    pub(crate) directory: Directory,
}

impl World {
    pub(crate) async fn start() -> Self {
        let directory = Directory::new().unwrap();
        let (web, api) = (Port::free().unwrap(), Port::free().unwrap());
        let haproxy = Haproxy::start(&directory, &sections(&web, &api, ""), &web.address()).await.unwrap();
        let router = router_at(&haproxy);
        Self { haproxy, apps: Mutex::default(), router, web, api, directory }
    }

    /// Starts a good application of a version on a socket of its own.
    pub(crate) async fn app(&self, version: &str) -> Outside<String> {
        let number = self.apps.lock().unwrap().len();
        let address = Address::Unix(self.directory.path().join(format!("{number}_{version}.sock")));
        let app = App::start(&self.directory, &address, &Behaviour::of(version)).await?;
        self.apps.lock().unwrap().push(app);
        Ok(address.to_string())
    }

    pub(crate) async fn route(&self, fence: u64, routing: &Routing) -> Result<(), flow_core::StepError> {
        self.router.route(&permit(fence), &WEB, routing).await
    }

    /// The names of the servers that HAProxy has for the service.
    pub(crate) async fn servers(&self) -> Vec<String> {
        let shown = self.haproxy.ask("show stat -1 4 -1").await.unwrap();
        let rows = shown.lines().filter(|line| line.starts_with("web,"));
        rows.map(|row| row.split(',').nth(1).unwrap().to_owned()).collect()
    }
}

/// The sections of the README's recipe behind its first, for two services.
pub(crate) fn sections(web: &Port, api: &Port, servers: &str) -> String {
    let recipe = README.split("```haproxy\n").nth(1).unwrap().split("```").next().unwrap();
    let sections = recipe.split_once("\ndefaults\n").unwrap().1;
    let (defaults, service) = sections.split_once("\nfrontend web\n").unwrap();
    let service = format!("frontend web\n{service}");
    assert!(service.contains("bind :80") && service.contains("backend web"));
    let bound = |port: &Port| service.replace(":80", &port.address().to_string());
    let api = bound(api).replace("web", "api");
    format!("defaults\n{defaults}\n{api}\n{}{servers}\nbackend other\n    balance source\n", bound(web))
}

pub(crate) fn router_at(haproxy: &Haproxy) -> HaproxyRouter {
    HaproxyRouter::new(HaproxyConfig::at(haproxy.socket())).unwrap()
}

pub(crate) fn permit(fence: u64) -> Permit {
    flow_testkit::permit_under("test", Fence(fence), 1)
}

pub(crate) fn routing(routes: &[(&str, u8, &[String])]) -> Routing {
    let route = |(version, weight, addresses): &(&str, u8, &[String])| {
        (Name::new(*version).unwrap(), Route { weight: *weight, addresses: addresses.to_vec() })
    };
    Routing(routes.iter().map(route).collect())
}

//! A private nginx with a router before it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use flow_core::port::{Route, Router, Routing};
use flow_core::{Fence, Name, Permit, SystemClock, name};
use flow_nginx::{FileConfig, FileRouter, SocketConfig, SocketRouter};
use flow_proving::server::Nginx;
use flow_proving::{Address, Directory, Outside, Port, Request, exchange};
use flow_testkit::permit_under;

use crate::backend::Backend;

pub(crate) const WEB: Name = name!("web");
pub(crate) const OLD: Name = name!("1.0.0");
pub(crate) const NEW: Name = name!("1.1.0");

pub(crate) fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::new())
}

/// A permit of its own for the nth change.
pub(crate) fn nth(number: u32) -> Permit {
    permit_under(&format!("run/{number}"), Fence(1), 1)
}

pub(crate) fn routing(routes: &[(Name, u8, &[String])]) -> Routing {
    let route = |(version, weight, addresses): &(Name, u8, &[String])| {
        (version.clone(), Route { weight: *weight, addresses: addresses.to_vec() })
    };
    Routing(routes.iter().map(route).collect())
}

pub(crate) fn all_to(version: &Name, address: &str) -> Routing {
    routing(&[(version.clone(), 100, &[address.to_owned()])])
}

/// What is the same for both drivers.
pub(crate) struct Ground {
    pub(crate) directory: Directory,
    pub(crate) listen: Port,
    pub(crate) backends: Mutex<BTreeMap<String, (Name, Backend)>>,
    ports: Mutex<Vec<Port>>,
}

impl Ground {
    pub(crate) fn new() -> Outside<Self> {
        Ok(Self {
            directory: Directory::new()?,
            listen: Port::free()?,
            backends: Mutex::default(),
            ports: Mutex::default(),
        })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a user writes in `http` once.
    pub(crate) fn http(&self, block: &str, location: &str) -> String {
        let listen = self.listen.address();
        format!("{block}\nserver {{ listen {listen}; location / {{ {location} }} }}\n")
    }

    pub(crate) async fn socket_backend(&self, version: &Name) -> Outside<String> {
        let number = self.backends.lock().unwrap().len();
        self.backend(version, &Address::Unix(self.at(&format!("app-{number}.sock")))).await
    }

    pub(crate) async fn backend(&self, version: &Name, address: &Address) -> Outside<String> {
        let backend = Backend::start(address).await?;
        let text = backend.address.clone();
        self.backends.lock().unwrap().insert(text.clone(), (version.clone(), backend));
        Ok(text)
    }

    pub(crate) async fn kill(&self, address: &str) {
        let (_, backend) = self.backends.lock().unwrap().remove(address).expect("a backend");
        backend.kill().await;
    }

    /// Who answers one request on a connection of its own.
    pub(crate) async fn ask(&self, path: &str) -> Outside<Option<(Name, String)>> {
        let reply = exchange(&self.listen.address(), &Request::get(path)).await?;
        let backends = self.backends.lock().unwrap();
        let found = (reply.status == 200)
            .then(|| reply.text())
            .and_then(|address| Some((backends.get(&address)?.0.clone(), address)));
        Ok(found)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.backends.lock().unwrap().values().map(|(_, backend)| backend.waiting()).sum()
    }
}

/// nginx, and a router that switches links.
pub(crate) struct Sockets {
    pub(crate) ground: Ground,
    pub(crate) config: SocketConfig,
    pub(crate) nginx: Nginx,
    pub(crate) router: Arc<SocketRouter>,
}

impl Sockets {
    pub(crate) async fn start(change: impl FnOnce(SocketConfig) -> SocketConfig) -> Outside<Self> {
        let ground = Ground::new()?;
        let config = change(SocketConfig::slots(WEB, ground.at("web"), ground.at("web.log")));
        let http = ground.http(&config.block()?, &config.location()?);
        let nginx = Nginx::start(&ground.directory, &http, &ground.listen.address()).await?;
        let router = Arc::new(SocketRouter::new(config.clone(), clock())?);
        Ok(Self { ground, config, nginx, router })
    }
}

/// nginx, and a router that writes a file.
pub(crate) struct Files {
    pub(crate) ground: Ground,
    pub(crate) config: FileConfig,
    pub(crate) nginx: Nginx,
    pub(crate) router: Arc<FileRouter>,
    _marker: Port,
}

impl Files {
    pub(crate) async fn start() -> Outside<Self> {
        let (ground, marker) = (Ground::new()?, Port::free()?);
        let Address::Tcp(address) = marker.address() else { return Err("no port".into()) };
        let config = FileConfig {
            program: PathBuf::from("/usr/sbin/nginx"),
            conf: ground.at("nginx.conf"),
            error_log: Some(ground.at("error.log")),
            file: ground.at("flow/web.conf"),
            access_log: ground.at("web.log"),
            ..FileConfig::debian(WEB, ground.at("state"), address)
        };
        let router = Arc::new(FileRouter::new(config.clone(), clock())?);
        router.prepare().await?;
        let include = format!("include {};", config.file.display());
        let http = ground.http(&include, &config.location()?);
        let nginx = Nginx::start(&ground.directory, &http, &ground.listen.address()).await?;
        Ok(Self { ground, config, nginx, router, _marker: marker })
    }

    pub(crate) async fn tcp_backend(&self, version: &Name) -> Outside<String> {
        let port = Port::free()?;
        let address = port.address();
        self.ground.ports.lock().unwrap().push(port);
        self.ground.backend(version, &address).await
    }

    pub(crate) async fn route(&self, number: u32, routing: &Routing) -> Result<(), flow_core::StepError> {
        self.router.route(&nth(number), &WEB, routing).await
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        std::fs::read(&self.config.file).unwrap_or_default()
    }
}

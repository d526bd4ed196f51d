//! What a replacement works with: PM2, a router, and the hosts of the releases.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use flow_core::port::{Host, ProcessManager, Router};
use flow_core::{Clock, SystemClock, name};
use flow_haproxy::{HaproxyConfig, HaproxyRouter};
use flow_host::Hosts;
use flow_local::host::{HostConfig, LocalHost};
use flow_nginx::{FileConfig, FileRouter, SocketConfig, SocketRouter, Stickiness};
use flow_pm2::{Addresses, Daemon, Pm2Config, Pm2Processes, Readiness, Restart};
use flow_ssh::Forward;

use crate::config::{self, Config, Ready};
use crate::machines::Machines;

/// The ports, opened.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) processes: Arc<dyn ProcessManager>,
    pub(crate) router: Arc<dyn Router>,
    /// Where releases are placed.
    pub(crate) hosts: Hosts,
    pub(crate) clock: Arc<dyn Clock>,
    _forwards: Vec<Forward>,
}

/// Where a service's own files stand, and where its instances listen.
struct Place {
    /// Links, locks and notes.
    state: PathBuf,
    addresses: Addresses,
}

impl World {
    pub(crate) async fn of(config: Config) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (router, place) = router(&config, &clock).await?;
        let (base, pm2) = (place.state.clone(), pm2(&config, place)?);
        if config.hosts.is_empty() {
            let processes = Arc::new(Pm2Processes::open(pm2, clock.clone())?);
            let root = &config.releases_root;
            fs::create_dir_all(root).with_context(|| format!("`{}`", root.display()))?;
            let host: Arc<dyn Host> = Arc::new(LocalHost::open(HostConfig::new(root), clock.clone())?);
            let hosts = Hosts::new().and(name!("this"), host);
            return Ok(Self { config, processes, router, hosts, clock, _forwards: Vec::new() });
        }
        let Machines { processes, hosts, forwards } = Machines::reach(&config, &pm2, &base, &clock).await?;
        Ok(Self { config, processes, router, hosts, clock, _forwards: forwards })
    }

    /// Where placed releases stand, one directory each by its digest.
    pub(crate) fn releases(&self) -> PathBuf {
        self.config.releases_root.join("releases")
    }
}

fn pm2(config: &Config, place: Place) -> Result<Pm2Config> {
    let path = std::env::var("PATH").context("`PATH`: Node must be on it")?;
    let app = &config.app;
    Ok(Pm2Config {
        daemon: Daemon::Start { pm2: config.pm2_bin.clone(), path: path.clone() },
        interpreter: Some(on_path("node", &path)?),
        readiness: match app.ready {
            Ready::Message => Readiness::Message,
            Ready::Probe => Readiness::Probe,
        },
        restart: Restart::default(),
        settle: app.settle(),
        ..Pm2Config::new(config.pm2_home.clone(), place.state, place.addresses)
    })
}

fn on_path(program: &str, path: &str) -> Result<PathBuf> {
    let found = std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.with_context(|| format!("no `{program}` on `PATH`"))
}

async fn router(config: &Config, clock: &Arc<dyn Clock>) -> Result<(Arc<dyn Router>, Place)> {
    let service = config.app.name.clone();
    match &config.router {
        config::Router::SocketLink { link } => {
            let base = beside(link, service.as_str())?;
            let socket = SocketConfig::link(service, base.join("links"), base.join("access.log"));
            lead(link, &base.join("links/live/00.sock"))?;
            Ok((Arc::new(SocketRouter::new(socket, clock.clone())?), Place::of_sockets(&base)))
        }
        config::Router::Slots { slots_dir, sticky } => {
            let base = beside(&slots_dir.join("slot"), service.as_str())?;
            let socket = SocketConfig {
                stickiness: sticky.clone().map_or(Stickiness::None, Stickiness::Cookie),
                ..SocketConfig::slots(service, base.join("links"), base.join("access.log"))
            };
            for slot in 0..100 {
                let target = base.join(format!("links/live/{slot:02}.sock"));
                lead(&slots_dir.join(format!("slot{slot:02}.sock")), &target)?;
            }
            Ok((Arc::new(SocketRouter::new(socket, clock.clone())?), Place::of_sockets(&base)))
        }
        config::Router::FileReload { conf, nginx_bin } => {
            let base = beside(conf, service.as_str())?;
            let file = FileConfig {
                program: nginx_bin.clone(),
                conf: conf.clone(),
                error_log: None,
                file: conf.with_file_name(format!("flow-{service}.conf")),
                access_log: base.join("access.log"),
                ..FileConfig::debian(service.clone(), base.join("nginx"), marker(&base)?)
            };
            // What the caller's nginx includes in `http` and in its `location`.
            fs::write(conf.with_file_name(format!("flow-{service}.location")), file.location()?)?;
            let router = FileRouter::new(file, clock.clone())?;
            router.prepare().await?;
            Ok((Arc::new(router), Place::of_ports(&base)))
        }
        config::Router::Haproxy { runtime_socket } => {
            let base = beside(runtime_socket, service.as_str())?;
            Ok((Arc::new(HaproxyRouter::new(HaproxyConfig::at(runtime_socket))?), Place::of_ports(&base)))
        }
    }
}

impl Place {
    fn of_sockets(base: &Path) -> Self {
        Self { state: base.join("pm2"), addresses: Addresses::Sockets { directory: base.join("run") } }
    }

    fn of_ports(base: &Path) -> Self {
        Self { state: base.join("pm2"), addresses: Addresses::Ports { first: 20_000, last: 29_999 } }
    }
}

/// The directory of the service's own files, beside what its router is known by.
fn beside(path: &Path, service: &str) -> Result<PathBuf> {
    let parent = path.parent().with_context(|| format!("`{}` stands nowhere", path.display()))?;
    let base = parent.join(format!(".{service}"));
    fs::create_dir_all(&base).with_context(|| format!("`{}`", base.display()))?;
    Ok(base)
}

/// Leads the link that nginx knows to the one that is switched. It is laid once.
fn lead(link: &Path, target: &Path) -> Result<()> {
    let shown = || format!("`{}`", link.display());
    match fs::read_link(link) {
        Ok(found) if found == target => return Ok(()),
        Ok(_) => fs::remove_file(link).with_context(shown)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(_) => bail!("{} is no link, and is not replaced", shown()),
    }
    std::os::unix::fs::symlink(target, link).with_context(shown)
}

/// The address at which nginx says which of our files is in force: chosen once, and kept.
fn marker(base: &Path) -> Result<SocketAddr> {
    let file = base.join("marker");
    if let Ok(kept) = fs::read_to_string(&file) {
        return kept.trim().parse().with_context(|| format!("`{}`", file.display()));
    }
    let free = (30_000..32_000).find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    let address = free.context("no free port from 30000 to 32000")?.local_addr()?;
    fs::write(&file, address.to_string())?;
    Ok(address)
}

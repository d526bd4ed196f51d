//! Other machines: PM2 on each through sockets that SSH forwards, nginx there by links that are made through SSH.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use flow_core::port::{Host, ProcessManager};
use flow_core::{Clock, Name};
use flow_host::{Edge, HostProcesses, Hosts, Machine};
use flow_nginx::{SocketConfig, SocketRouter};
use flow_pm2::{Addresses, Daemon, Mode, Pm2Config, Pm2Processes};
use flow_ssh::{Forward, Identity, SshConfig, SshHost};

use crate::config::{self, Config};

/// The machines of a configuration.
pub(crate) struct Machines {
    pub(crate) processes: Arc<dyn ProcessManager>,
    /// Where releases are placed.
    pub(crate) hosts: Hosts,
    /// Dropped, a connection's sockets are gone.
    pub(crate) forwards: Vec<Forward>,
}

impl Machines {
    /// Connects to all of them. `pm2` is how PM2 is used on each; what is kept here of them stands below `base`.
    pub(crate) async fn reach(
        config: &Config,
        pm2: &Pm2Config,
        base: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self> {
        let (mut machines, mut hosts, mut forwards) = (Vec::new(), Hosts::new(), Vec::new());
        for (number, host) in config.hosts.iter().enumerate() {
            let name = Name::new(format!("host-{number}"))?;
            let shown = || format!("hosts[{number}], `{}`", host.ssh);
            let releases = config.releases_root.display().to_string();
            let placed = SshHost::new(ssh(host, releases), clock.clone()).with_context(shown)?;
            let whole = Arc::new(SshHost::new(ssh(host, "/".to_owned()), clock.clone()).with_context(shown)?);
            let here = base.join(name.as_str());
            fs::create_dir_all(&here).with_context(|| format!("`{}`", here.display()))?;
            for socket in ["rpc.sock", "pub.sock"] {
                let there = config.pm2_home.join(socket).display().to_string();
                let forward = whole.forward(&there).await.with_context(shown)?;
                let link = here.join(socket);
                let _ = fs::remove_file(&link);
                symlink(forward.path(), &link)?;
                forwards.push(forward);
            }
            let pm2 = Pm2Config {
                sockets: Some(here.clone()),
                state: here.join("state"),
                mode: Mode::Colours { addresses: Addresses::Sockets { directory: host.sockets.clone() } },
                daemon: Daemon::MustRun,
                ..pm2.clone()
            };
            let remote = flow_linux::Machine::remote(whole.clone());
            let mut machine =
                Machine::new(name.clone(), Arc::new(Pm2Processes::open_on(pm2, remote, clock.clone())?));
            for edge in &host.edges {
                let links = SocketConfig::link(edge.name.clone(), &edge.links, edge.links.join("access.log"));
                let router =
                    Arc::new(SocketRouter::on_host(links, whole.clone(), Path::new("/"), clock.clone())?);
                let (service, called, address) =
                    (config.app.name.clone(), edge.name.clone(), edge.address.clone());
                machine = machine.edge(Edge { service, router, called, address });
            }
            machines.push(machine);
            let placed: Arc<dyn Host> = Arc::new(placed);
            hosts = hosts.and(name, placed);
        }
        let processes = HostProcesses::new(machines, clock.clone())?.ready_within(config.app.ready_within());
        Ok(Self { processes: Arc::new(processes), hosts, forwards })
    }
}

fn ssh(host: &config::Host, root: String) -> SshConfig {
    let identity = Identity::File { path: host.key.clone(), passphrase: None };
    SshConfig::new(&host.ssh, &host.user, identity, &host.known_hosts, root).port(host.port)
}

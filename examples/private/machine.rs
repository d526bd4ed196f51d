use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use flow_core::name;
use flow_nginx::SocketConfig;
use flow_proving::server::{Nginx, Pm2, Pm2Version, Sshd};
use flow_proving::{Directory, Outside, Port};

/// A machine that is reached over SSH, with PM2 and nginx on it: this one, below a directory of its own.
///
/// ```text
/// run/shop/       the sockets of the shop's instances
/// shop-a, shop-b  the links of the nginx's two upstreams, each before an instance
/// here/           what stands on the machine that deploys
/// ```
#[derive(Debug)]
pub struct Machine {
    /// Its SSH server, with the key that opens it.
    pub sshd: Sshd,
    /// Its PM2.
    pub pm2: Pm2,
    /// Its nginx.
    pub nginx: Nginx,
    /// The upstreams of its nginx: what the links of each are, and where its traffic comes in.
    pub edges: Vec<(SocketConfig, String)>,
    directory: Directory,
    _ports: Vec<Port>,
}

impl Machine {
    /// Starts its servers. Nothing runs under PM2 yet, and nginx's upstreams lead nowhere.
    ///
    /// # Errors
    /// Where one does not start.
    pub async fn start() -> Outside<Self> {
        let directory = Directory::new()?;
        let own = directory.path();
        for made in ["run/shop", "here"] {
            fs::create_dir_all(own.join(made))?;
        }
        let (mut edges, mut ports, mut http) = (Vec::new(), Vec::new(), String::new());
        for name in [name!("shop-a"), name!("shop-b")] {
            let port = Port::free()?;
            let (links, log) = (own.join(name.as_str()), own.join(format!("{name}.log")));
            let config = SocketConfig::link(name, links, log);
            let listen = port.address().to_string();
            http += &format!(
                "{}server {{ listen {listen}; location / {{ {} }} }}\n",
                config.block()?,
                config.location()?
            );
            edges.push((config, listen));
            ports.push(port);
        }
        let last = ports.last().ok_or("there is an upstream")?.address();
        let nginx = Nginx::start(&directory, &http, &last).await?;
        let (sshd, pm2) = (Sshd::start(&directory).await?, Pm2::start(&directory, Pm2Version::Seven).await?);
        Ok(Self { sshd, pm2, nginx, edges, directory, _ports: ports })
    }

    /// The directory below which everything of the machine stands.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// A directory on the machine that deploys, for what belongs to this one.
    #[must_use]
    pub fn here(&self) -> PathBuf {
        self.root().join("here")
    }

    /// Gives forwarded sockets of PM2 the names that its clients look for, in one directory.
    ///
    /// # Errors
    /// Where they cannot be linked.
    pub fn pm2_sockets(&self, rpc: &Path, events: &Path) -> Outside<PathBuf> {
        let sockets = self.here().join("pm2");
        fs::create_dir_all(&sockets)?;
        for (name, socket) in [("rpc.sock", rpc), ("pub.sock", events)] {
            let _ = fs::remove_file(sockets.join(name));
            symlink(socket, sockets.join(name))?;
        }
        Ok(sockets)
    }
}

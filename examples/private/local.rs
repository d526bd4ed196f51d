use std::path::{Path, PathBuf};

use flow_nginx::SocketConfig;
use flow_proving::app::Behaviour;
use flow_proving::server::{Nginx, Pm2, Pm2Version};
use flow_proving::{Address, Directory, Outside};

use super::release;

/// This machine with a PM2 and an nginx of its own, below a directory of its own.
#[derive(Debug)]
pub struct Local {
    /// Its PM2.
    pub pm2: Pm2,
    nginx: Option<Nginx>,
    directory: Directory,
}

impl Local {
    /// Starts its PM2, under which nothing runs yet.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start() -> Outside<Self> {
        let directory = Directory::new()?;
        let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
        Ok(Self { pm2, nginx: None, directory })
    }

    /// The directory below which everything stands.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Starts its nginx with what a user includes once, and gives the address at which users find the shop.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn nginx(&mut self, config: &SocketConfig) -> Outside<Address> {
        let front = self.root().join("front.sock");
        let (block, location) = (config.block()?, config.location()?);
        let http =
            format!("{block}server {{ listen unix:{}; location / {{ {location} }} }}\n", front.display());
        let front = Address::Unix(front);
        self.nginx = Some(Nginx::start(&self.directory, &http, &front).await?);
        Ok(front)
    }

    /// Writes a release of the application, and gives its program.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn release(&self, behaviour: &Behaviour) -> Outside<PathBuf> {
        release(&self.root().join("releases"), behaviour)
    }
}

//! Where everything of the example stands: one root, one directory for each environment, one proxy for each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flow_build::{CommandBuilder, CommandConfig, GitConfig, GitSource};
use flow_core::port::{HealthCheck, Router};
use flow_core::strategy::BlueGreen;
use flow_core::{Clock, Environment, Name, Service, SystemClock, name};
use flow_local::function::{FunctionsConfig, LocalFunctions};
use flow_local::process::{LocalProcesses, ProcessesConfig};
use flow_local::proxy::{LocalRouter, ProxyConfig, RouterConfig};
use flow_local::store::{
    DirectSite, DirectoryAssets, DirectoryConfiguration, DirectoryEvidence, DirectoryVault, HttpProber,
    RuleFiles, Webhook,
};
use flow_migrate::{MissingDatabase, SqlConfig, SqlMigrations, Target};
use serde::{Deserialize, Serialize};

/// How long the new colour serves before its gate is asked.
pub(crate) const BAKE: Duration = Duration::from_secs(2);

/// The root of the example's world.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) root: PathBuf,
    /// Built artefacts: one build serves every environment.
    pub(crate) releases: PathBuf,
    /// How the colours are switched where nobody sends requests.
    pub(crate) unwatched: BlueGreen,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The ports that an environment was given when it was set up.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) proxy: u16,
    pub(crate) site: u16,
    pub(crate) webhook: u16,
}

impl World {
    pub(crate) fn at(root: &Path, releases: Option<&Path>) -> Self {
        let releases = releases.map_or_else(|| root.join("releases"), Path::to_path_buf);
        let unwatched = BlueGreen { bake: Duration::from_millis(100), ..BlueGreen::default() };
        Self { root: root.to_path_buf(), releases, unwatched, clock: Arc::new(SystemClock::new()) }
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal.db")
    }

    pub(crate) fn place(&self, environment: Environment) -> Place {
        Place { world: self.clone(), environment, root: self.root.join(environment.as_str()) }
    }

    pub(crate) fn evidence(&self) -> Arc<DirectoryEvidence> {
        Arc::new(DirectoryEvidence::new(self.root.join("evidence")))
    }

    pub(crate) fn vault(&self) -> Arc<DirectoryVault> {
        Arc::new(DirectoryVault::new(self.root.join("vault")))
    }

    pub(crate) fn source(&self) -> Result<Arc<GitSource>> {
        let config = GitConfig::new(self.repository(), self.root.join("worktrees"));
        Ok(Arc::new(GitSource::new(config, self.clock.clone())?))
    }

    /// Builds the server and the function by `rustc`, and keeps the site, the scripts and the rules beside them.
    pub(crate) fn builder(&self) -> Result<Arc<CommandBuilder>> {
        let rustc = |source: &str, output: &str| {
            let flags = ["rustc", "--edition=2024", "-Copt-level=1", "-Cstrip=symbols", "-o", output, source];
            flags.map(str::to_owned)
        };
        let copy = |from: &str, to: &str| ["cp", "-R", from, to].map(str::to_owned);
        let config = CommandConfig::new(&self.releases)
            .command(rustc("{tree}/src/main.rs", "{out}/web"))
            .command(rustc("{tree}/function/main.rs", "{out}/function"))
            .command(copy("{tree}/site", "{out}/site"))
            .command(copy("{tree}/migrations", "{out}/migrations"))
            .artifact(name!("web"), "web")
            .artifact(name!("function"), "function")
            .artifact(name!("site"), "site")
            .artifact(name!("migrations"), "migrations");
        let path = std::env::var("PATH").context("`PATH` is not set")?;
        let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
        let mut config = CommandConfig { search_path: path, ..config }.env("HOME", home);
        // `rustc` may be rustup's proxy, which looks for its toolchains here.
        for name in ["RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Ok(value) = std::env::var(name) {
                config = config.env(name, value);
            }
        }
        Ok(Arc::new(CommandBuilder::new(config, self.clock.clone())?))
    }
}

/// One environment: its database, its site, its processes, its proxy.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) world: World,
    pub(crate) environment: Environment,
    pub(crate) root: PathBuf,
}

impl Place {
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("shop.db")
    }

    pub(crate) fn site(&self) -> PathBuf {
        self.root.join("site")
    }

    /// Takes free ports below the ephemeral range and remembers them: a resumed run needs the same ones.
    pub(crate) fn reserve(&self) -> Result<Ports> {
        std::fs::create_dir_all(&self.root).with_context(|| format!("`{}`", self.root.display()))?;
        // Held together, so that no two of them are the same.
        let (proxy, site, webhook) = (free_port()?, free_port()?, free_port()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let ports = Ports { proxy: port(&proxy)?, site: port(&site)?, webhook: port(&webhook)? };
        std::fs::write(self.root.join("ports.json"), serde_json::to_vec(&ports)?)?;
        Ok(ports)
    }

    pub(crate) fn ports(&self) -> Result<Ports> {
        let path = self.root.join("ports.json");
        let text = std::fs::read(&path).with_context(|| format!("`{}`", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(crate) fn processes(&self) -> Result<Arc<LocalProcesses>> {
        let config = ProcessesConfig::new(self.root.join("processes"));
        Ok(Arc::new(LocalProcesses::open(config, self.world.clock.clone())?))
    }

    pub(crate) fn proxy(&self) -> Result<ProxyConfig> {
        Ok(ProxyConfig::on_loopback(name!("web"), self.root.join("proxy"), self.ports()?.proxy))
    }

    pub(crate) fn router(&self) -> Result<Arc<LocalRouter>> {
        let config = RouterConfig::new(self.proxy()?, std::env::current_exe()?, ["proxy"]);
        Ok(Arc::new(LocalRouter::with_clock(config, self.world.clock.clone())?))
    }

    /// Waits until the environment's proxy answers.
    pub(crate) async fn await_proxy(&self) -> Result<()> {
        let router = self.router()?;
        for _ in 0..100 {
            if router.routing(&name!("web")).await.is_ok() {
                return Ok(());
            }
            self.world.clock.sleep(Duration::from_millis(50)).await;
        }
        bail!("the proxy of {} does not answer", self.environment)
    }

    /// The migrations of the release whose scripts stand in `scripts`.
    pub(crate) fn migrator(&self, scripts: PathBuf) -> Result<Arc<SqlMigrations>> {
        let resource = Name::new(format!("shop-db-{}", self.environment))?;
        let config =
            SqlConfig::new(Target::sqlite(self.database()), scripts, self.root.join("backups"), resource);
        // The first release makes the database.
        let config = SqlConfig { missing: MissingDatabase::Create, ..config };
        Ok(Arc::new(SqlMigrations::new(config)?))
    }

    pub(crate) fn assets(&self) -> Arc<DirectoryAssets> {
        Arc::new(DirectoryAssets::new(self.site()))
    }

    pub(crate) fn site_url(&self) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.ports()?.site))
    }

    pub(crate) fn web_url(&self) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.ports()?.proxy))
    }

    pub(crate) fn cdn(&self) -> Result<Arc<DirectSite>> {
        let site =
            DirectSite::new(&self.site_url()?, self.site(), Duration::from_secs(5), self.world.clock.clone());
        Ok(Arc::new(site?))
    }

    pub(crate) fn functions(&self) -> Result<Arc<LocalFunctions>> {
        let config = FunctionsConfig::new(self.root.join("functions"));
        Ok(Arc::new(LocalFunctions::open(config, self.world.clock.clone())?))
    }

    pub(crate) fn rules(&self) -> Arc<RuleFiles> {
        Arc::new(RuleFiles::new(self.root.join("rules")))
    }

    pub(crate) fn configuration(&self) -> Arc<DirectoryConfiguration> {
        Arc::new(DirectoryConfiguration::new(self.root.join("configuration")))
    }

    pub(crate) fn documents(&self) -> Arc<DirectoryConfiguration> {
        Arc::new(DirectoryConfiguration::new(self.root.join("documents")))
    }

    pub(crate) fn notifier(&self) -> Result<Arc<Webhook>> {
        let url = format!("http://127.0.0.1:{}/hook", self.ports()?.webhook);
        Ok(Arc::new(Webhook::new(&url, Duration::from_secs(5), self.world.clock.clone())?))
    }

    pub(crate) fn prober(&self) -> Arc<HttpProber> {
        Arc::new(HttpProber::new(self.world.clock.clone()))
    }

    /// The web service: two instances that read the environment's database.
    pub(crate) fn service(&self) -> Service {
        let database = self.database().display().to_string();
        Service {
            size: 2,
            args: ["--address", "{address}", "--database", &database].map(str::to_owned).to_vec(),
            env: BTreeMap::from([("SHOP_ENVIRONMENT".to_owned(), self.environment.to_string())]),
            health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(2) },
            ready_within: Duration::from_secs(20),
            drain_within: Duration::from_secs(10),
            stop_within: Duration::from_secs(5),
            ..Service::new(name!("web"))
        }
    }
}

/// A port that nobody else listens on, below those that the kernel hands out by itself.
fn free_port() -> Result<TcpListener> {
    // Processes that start one after the other begin far apart: a port that one has let go, and not bound yet, is not found
    // free by the next.
    let from = 20_000 + (std::process::id() * 16 % 10_000) as u16;
    let mut ports = (from..31_000).chain(20_000..from);
    ports
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .context("no free port from 20000 to 31000")
}

//! The suites of both ports, for each way to move traffic.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::Name;
use flow_core::port::{Metrics, Router};
use flow_nginx::{AccessLog, FileRouter, KeepAlive, Masking, SocketConfig, SocketRouter};
use flow_proving::{Outside, Request, exchange};
use flow_testkit::conformance::metrics::{Answering, MetricsFixture, Restart};
use flow_testkit::conformance::router::{Answer, Held, RouterFixture};
use tokio::task::JoinHandle;

use crate::world::{Files, Ground, Sockets, WEB, all_to, clock, nth};

enum World {
    Sockets(Sockets),
    Files(Files),
}

struct Fixture {
    world: Arc<World>,
    log: Arc<AccessLog>,
}

impl World {
    fn ground(&self) -> &Ground {
        match self {
            Self::Sockets(sockets) => &sockets.ground,
            Self::Files(files) => &files.ground,
        }
    }
}

async fn sockets(change: impl FnOnce(SocketConfig) -> SocketConfig) -> Fixture {
    let sockets = Sockets::start(change).await.unwrap();
    let log = Arc::new(AccessLog::of_sockets(&sockets.config, clock()).unwrap());
    Fixture { world: Arc::new(World::Sockets(sockets)), log }
}

/// A hundred places that hold the port's contract: nothing is masked.
async fn slots() -> Fixture {
    sockets(|config| SocketConfig { masking: Masking::Never, ..config }).await
}

/// Four places, between nginx and which connections are kept.
async fn kept() -> Fixture {
    let keep_alive = Some(KeepAlive::default());
    sockets(|config| SocketConfig { places: 4, masking: Masking::Never, keep_alive, ..config }).await
}

async fn files() -> Fixture {
    let files = Files::start().await.unwrap();
    let log = Arc::new(AccessLog::of_file(&files.config, clock()).unwrap());
    Fixture { world: Arc::new(World::Files(files)), log }
}

struct Asked {
    world: Arc<World>,
    answered: JoinHandle<Outside<Option<(Name, String)>>>,
}

#[async_trait]
impl Held for Asked {
    async fn finish(self: Box<Self>) -> Outside<Option<Answer>> {
        self.world.ground().backends.lock().unwrap().values().for_each(|(_, backend)| backend.release());
        Ok(self.answered.await??.map(|(version, address)| Answer { version, address }))
    }
}

#[async_trait]
impl RouterFixture for Fixture {
    fn router(&self) -> Arc<dyn Router> {
        match &*self.world {
            World::Sockets(sockets) => sockets.router.clone(),
            World::Files(files) => files.router.clone(),
        }
    }

    fn next_controller(&self) -> Arc<dyn Router> {
        match &*self.world {
            World::Sockets(sockets) => Arc::new(SocketRouter::new(sockets.config.clone(), clock()).unwrap()),
            World::Files(files) => Arc::new(FileRouter::new(files.config.clone(), clock()).unwrap()),
        }
    }

    fn service(&self) -> Name {
        WEB
    }

    fn other_service(&self) -> Option<Name> {
        None
    }

    async fn backend(&self, _: &Name, version: &Name) -> Outside<String> {
        match &*self.world {
            World::Sockets(sockets) => sockets.ground.socket_backend(version).await,
            World::Files(files) => files.tcp_backend(version).await,
        }
    }

    async fn kill(&self, address: &str) -> Outside<()> {
        self.world.ground().kill(address).await;
        Ok(())
    }

    async fn request(&self, _: &Name) -> Outside<Option<Answer>> {
        let answered = self.world.ground().ask("/").await?;
        Ok(answered.map(|(version, address)| Answer { version, address }))
    }

    async fn begin(&self, _: &Name) -> Outside<Box<dyn Held>> {
        let (before, world) = (self.world.ground().waiting(), Arc::clone(&self.world));
        let answered = tokio::spawn(async move { world.ground().ask("/hold").await });
        while self.world.ground().waiting() == before {
            if answered.is_finished() {
                return Err("the request was answered and not held".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Box::new(Asked { world: Arc::clone(&self.world), answered }))
    }
}

#[async_trait]
impl MetricsFixture for Fixture {
    fn metrics(&self) -> Arc<dyn Metrics> {
        self.log.clone()
    }

    fn service(&self) -> Name {
        WEB
    }

    async fn request(&self, version: &Name, answering: Answering) -> Outside<()> {
        let ground = self.world.ground();
        let known = |(address, (own, _)): (&String, &(Name, _))| (own == version).then(|| address.clone());
        let found = ground.backends.lock().unwrap().iter().find_map(known);
        let address = match found {
            Some(address) => address,
            None => RouterFixture::backend(self, &WEB, version).await?,
        };
        // What ended in the very millisecond of a switch is counted for nobody.
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.router().route(&nth(1), &WEB, &all_to(version, &address)).await?;
        let path = match answering {
            Answering::Status(status) => format!("/status/{status}"),
            Answering::After(time) => format!("/after/{}", time.as_millis()),
            Answering::Nothing => "/break".to_owned(),
            other => return Err(format!("no backend answers {other:?}").into()),
        };
        exchange(&ground.listen.address(), &Request::get(path)).await?;
        Ok(())
    }

    async fn restart(&self) -> Outside<Restart> {
        let log = self.world.ground().at("web.log");
        std::fs::rename(&log, self.world.ground().at("web.log.1"))?;
        let master = match &*self.world {
            World::Sockets(sockets) => sockets.nginx.master(),
            World::Files(files) => files.nginx.master(),
        };
        // nginx opens its logs anew.
        master.signal(rustix::process::Signal::USR1);
        while !log.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Restart::BeganAgain)
    }

    async fn break_source(&self) -> Outside<()> {
        Ok(std::fs::remove_file(self.world.ground().at("web.log"))?)
    }
}

mod slots {
    use super::slots;

    flow_testkit::router_conformance!(slots);
}

mod kept {
    use super::kept;

    flow_testkit::router_conformance!(kept);
}

mod files {
    use super::files;

    flow_testkit::router_conformance!(files);
}

mod slots_log {
    use super::slots;

    flow_testkit::metrics_conformance!(slots);
}

mod files_log {
    use super::files;

    flow_testkit::metrics_conformance!(files);
}

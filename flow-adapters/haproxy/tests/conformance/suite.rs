//! `HaproxyRouter` keeps every promise of a `Router`.

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::Name;
use flow_core::port::Router;
use flow_proving::{Address, Reply, Request, exchange};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::router::{Answer, Held, RouterFixture};
use tokio::task::JoinHandle;

use super::world::{API, WEB, World, router_at};

struct Fixture {
    world: Arc<World>,
    router: Arc<dyn Router>,
}

async fn fresh() -> Fixture {
    let world = Arc::new(World::start().await);
    let router = Arc::new(router_at(&world.haproxy));
    Fixture { world, router }
}

impl World {
    /// What the application says of itself that answered.
    fn answer(&self, reply: &Reply) -> Option<Answer> {
        let pid = reply.header("x-pid")?;
        let apps = self.apps.lock().unwrap();
        let app = apps.iter().find(|app| app.process().pid.to_string() == pid)?;
        let version = Name::new(reply.header("x-version")?).ok()?;
        (reply.status == 200).then(|| Answer { version, address: app.address().to_string() })
    }

    fn listening(&self) -> Vec<Address> {
        let apps = self.apps.lock().unwrap();
        apps.iter().filter(|app| app.process().runs()).map(|app| app.address().clone()).collect()
    }

    async fn under_way(&self) -> Outside<u64> {
        let mut count = 0;
        for address in self.listening() {
            count += exchange(&address, &Request::get("/under-way")).await?.text().parse::<u64>()?;
        }
        Ok(count)
    }

    fn front(&self, service: &Name) -> Address {
        if *service == API { self.api.address() } else { self.web.address() }
    }
}

struct UnderWay {
    world: Arc<World>,
    answered: JoinHandle<Outside<Reply>>,
}

#[async_trait]
impl Held for UnderWay {
    async fn finish(self: Box<Self>) -> Outside<Option<Answer>> {
        for address in self.world.listening() {
            exchange(&address, &Request::get("/release")).await?;
        }
        Ok(self.world.answer(&self.answered.await??))
    }
}

#[async_trait]
impl RouterFixture for Fixture {
    fn router(&self) -> Arc<dyn Router> {
        Arc::clone(&self.router)
    }

    fn next_controller(&self) -> Arc<dyn Router> {
        Arc::new(router_at(&self.world.haproxy))
    }

    fn service(&self) -> Name {
        WEB
    }

    fn other_service(&self) -> Option<Name> {
        Some(API)
    }

    async fn backend(&self, _: &Name, version: &Name) -> Outside<String> {
        self.world.app(version.as_str()).await
    }

    async fn kill(&self, address: &str) -> Outside<()> {
        let apps = self.world.apps.lock().unwrap();
        apps.iter().find(|app| app.address().to_string() == address).ok_or("no such backend")?.kill();
        Ok(())
    }

    async fn request(&self, service: &Name) -> Outside<Option<Answer>> {
        let reply = exchange(&self.world.front(service), &Request::get("/")).await?;
        Ok(self.world.answer(&reply))
    }

    async fn begin(&self, service: &Name) -> Outside<Box<dyn Held>> {
        let (before, front) = (self.world.under_way().await?, self.world.front(service));
        let answered = tokio::spawn(async move { exchange(&front, &Request::get("/hold")).await });
        while self.world.under_way().await? == before {
            if answered.is_finished() {
                return Err("the request was answered and not held".into());
            }
        }
        Ok(Box::new(UnderWay { world: Arc::clone(&self.world), answered }))
    }
}

mod router {
    use super::fresh;

    flow_testkit::router_conformance!(fresh);
}

//! `LocalRouter` keeps every promise of a `Router` and of `Metrics`, judged by what the upstreams themselves answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_core::Name;
use flow_core::port::{Metrics, Router};
use flow_local::proxy::LocalRouter;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::metrics::{Answering, MetricsFixture, Restart};
use flow_testkit::conformance::router::{Answer, Held, RouterFixture};
use tokio::task::JoinHandle;

use super::user::{Seen, User};
use super::world::{Upstream, WEB, World, config, free_address};

/// The upstreams by address, each with its version. Each answers with its own address.
type Backends = Arc<Mutex<BTreeMap<String, (Name, Upstream)>>>;

struct Fixture {
    world: World,
    router: Arc<LocalRouter>,
    backends: Backends,
}

async fn fresh() -> Fixture {
    let world = World::started().await;
    let router = another(&world);
    Fixture { world, router, backends: Arc::default() }
}

fn another(world: &World) -> Arc<LocalRouter> {
    Arc::new(LocalRouter::new(config(world.directory.path(), world.listen)).unwrap())
}

fn start(backends: &Backends, version: &Name) -> String {
    let address = free_address().to_string();
    let upstream = Upstream::start_at(&address, address.clone());
    backends.lock().unwrap().insert(address.clone(), (version.clone(), upstream));
    address
}

/// One request on a connection of its own; none where no whole answer came.
async fn ask(address: SocketAddr, path: &str) -> Option<Seen> {
    let mut user = User::connect(address).await;
    user.get(path).await.ok()
}

fn answer(backends: &Backends, seen: Option<Seen>) -> Option<Answer> {
    let seen = seen.filter(|seen| seen.status == 200)?;
    let version = backends.lock().unwrap().get(&seen.body)?.0.clone();
    Some(Answer { version, address: seen.body })
}

/// Where the upstreams that still run listen.
fn listening(backends: &Backends) -> Vec<SocketAddr> {
    let backends = backends.lock().unwrap();
    let alive = backends.values().filter(|(_, upstream)| upstream.accepts());
    alive.map(|(_, upstream)| upstream.address.parse().unwrap()).collect()
}

/// How many requests wait at the upstreams, by their own count.
async fn waiting(backends: &Backends) -> u64 {
    let mut waiting = 0;
    for address in listening(backends) {
        waiting += ask(address, "/waiting").await.unwrap().body.parse::<u64>().unwrap();
    }
    waiting
}

struct Request {
    backends: Backends,
    answered: JoinHandle<Option<Seen>>,
}

#[async_trait]
impl Held for Request {
    async fn finish(self: Box<Self>) -> Outside<Option<Answer>> {
        for address in listening(&self.backends) {
            ask(address, "/release").await;
        }
        Ok(answer(&self.backends, self.answered.await?))
    }
}

#[async_trait]
impl RouterFixture for Fixture {
    fn router(&self) -> Arc<dyn Router> {
        self.router.clone()
    }

    fn next_controller(&self) -> Arc<dyn Router> {
        another(&self.world)
    }

    fn service(&self) -> Name {
        WEB
    }

    fn other_service(&self) -> Option<Name> {
        None
    }

    async fn backend(&self, _: &Name, version: &Name) -> Outside<String> {
        Ok(start(&self.backends, version))
    }

    async fn kill(&self, address: &str) -> Outside<()> {
        self.backends.lock().unwrap().get_mut(address).ok_or("no such backend")?.1.kill();
        Ok(())
    }

    async fn request(&self, _: &Name) -> Outside<Option<Answer>> {
        Ok(answer(&self.backends, ask(self.world.listen, "/").await))
    }

    async fn begin(&self, _: &Name) -> Outside<Box<dyn Held>> {
        let (before, listen) = (waiting(&self.backends).await, self.world.listen);
        let answered = tokio::spawn(async move { ask(listen, "/hold").await });
        while waiting(&self.backends).await == before {
            if answered.is_finished() {
                return Err("the request was answered and not held".into());
            }
        }
        Ok(Box::new(Request { backends: Arc::clone(&self.backends), answered }))
    }
}

#[async_trait]
impl MetricsFixture for Fixture {
    fn metrics(&self) -> Arc<dyn Metrics> {
        self.router.clone()
    }

    fn service(&self) -> Name {
        WEB
    }

    async fn request(&self, version: &Name, answering: Answering) -> Outside<()> {
        let own = |(_, (own, _)): &(&String, &(Name, Upstream))| own == version;
        let found = self.backends.lock().unwrap().iter().find(own).map(|(address, _)| address.clone());
        let address = found.unwrap_or_else(|| start(&self.backends, version));
        let route = flow_core::port::Route { weight: 100, addresses: vec![address] };
        let all = flow_core::port::Routing(BTreeMap::from([(version.clone(), route)]));
        self.router.route(&self.world.permit, &WEB, &all).await?;
        let path = match answering {
            Answering::Status(status) => format!("/status/{status}"),
            Answering::After(time) => format!("/slow/{}", time.as_millis()),
            Answering::Nothing => "/break".to_owned(),
            other => return Err(format!("no upstream answers {other:?}").into()),
        };
        let seen = ask(self.world.listen, &path).await;
        assert_eq!(seen.is_none(), answering == Answering::Nothing);
        Ok(())
    }

    async fn restart(&self) -> Outside<Restart> {
        self.world.kill_proxy();
        self.router.start(&self.world.permit).await?;
        Ok(Restart::BeganAgain)
    }

    async fn break_source(&self) -> Outside<()> {
        self.world.kill_proxy();
        Ok(())
    }
}

mod router {
    use super::fresh;

    flow_testkit::router_conformance!(fresh);
}

mod metrics {
    use super::fresh;

    flow_testkit::metrics_conformance!(fresh);
}

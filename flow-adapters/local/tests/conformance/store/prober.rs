//! `HttpProber` keeps every promise of a `Prober`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_core::SystemClock;
use flow_core::port::Prober;
use flow_local::store::HttpProber;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::prober::{ProberFixture, Site};

use super::server::{Server, listen};

struct Fixture {
    prober: Arc<HttpProber>,
    server: Server,
    /// What is served at each path with its query.
    sites: Arc<Mutex<BTreeMap<String, Site>>>,
}

async fn fresh() -> Fixture {
    let sites: Arc<Mutex<BTreeMap<String, Site>>> = Arc::default();
    let served = Arc::clone(&sites);
    let server = Server::start(move |asked| {
        let site = served.lock().unwrap().get(&asked.target).cloned();
        match site {
            Some(Site::Page { status, body }) => Some((status, body)),
            Some(Site::Slow { takes }) => {
                std::thread::sleep(takes);
                Some((200, Vec::new()))
            }
            Some(Site::Redirect { to }) => Some((302, to.into_bytes())),
            _ => None,
        }
    })
    .await;
    Fixture { prober: Arc::new(HttpProber::new(Arc::new(SystemClock::new()))), server, sites }
}

#[async_trait]
impl ProberFixture for Fixture {
    fn prober(&self) -> Arc<dyn Prober> {
        self.prober.clone()
    }

    async fn serve(&self, site: Site) -> Outside<String> {
        let mut address = self.server.address;
        if site == Site::Nobody {
            let nobody = listen().await;
            address = nobody.local_addr()?;
        }
        let mut sites = self.sites.lock().unwrap();
        let target = format!("/page/{}?token=T0k3n{}T0k3n", sites.len(), sites.len());
        sites.insert(target.clone(), site);
        Ok(format!("http://{address}{target}"))
    }

    async fn asked(&self, url: &str) -> Outside<u64> {
        let asked = self.server.asked();
        let own = format!("http://{}", self.server.address);
        Ok(asked.iter().filter(|asked| format!("{own}{}", asked.target) == url).count() as u64)
    }
}

flow_testkit::prober_conformance!(fresh);

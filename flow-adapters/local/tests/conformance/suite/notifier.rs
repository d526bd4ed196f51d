use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::SystemClock;
use flow_core::port::Notifier;
use flow_local::store::Webhook;
use flow_testkit::conformance::notifier::{Arrived, NotifierFixture, OtherSide};
use flow_testkit::conformance::{Checked, Outside};
use tokio::net::TcpListener;
use tokio::sync::Mutex as AsyncMutex;

use crate::store::server::{Asked, Server, listen};

/// Long enough for an answer on a busy machine; the suite waits for its end once.
const TIMEOUT: Duration = Duration::from_secs(3);

struct Hook {
    webhook: Webhook,
    address: SocketAddr,
    server: AsyncMutex<Option<Server>>,
    behaves: Arc<Mutex<OtherSide>>,
    before: Mutex<Vec<Asked>>,
}

fn serve(listener: TcpListener, behaves: &Arc<Mutex<OtherSide>>) -> Server {
    let behaves = Arc::clone(behaves);
    Server::start_on(listener, move |_| match *behaves.lock().unwrap() {
        OtherSide::Silent => None,
        OtherSide::Refusing => Some((403, b"not you".to_vec())),
        OtherSide::Up | OtherSide::Down => Some((200, b"taken".to_vec())),
    })
}

#[async_trait]
impl NotifierFixture for Hook {
    fn notifier(&self) -> &dyn Notifier {
        &self.webhook
    }

    async fn arrived(&self) -> Outside<Vec<Arrived>> {
        let mut asked = self.before.lock().unwrap().clone();
        if let Some(server) = self.server.lock().await.as_ref() {
            asked.extend(server.asked());
        }
        let arrived = |asked: Asked| {
            let key = asked.headers["idempotency-key"].to_str()?.to_owned();
            Ok(Arrived { key, notification: serde_json::from_slice(&asked.body)? })
        };
        asked.into_iter().map(arrived).collect()
    }

    async fn other_side(&self, other_side: OtherSide) -> Checked {
        *self.behaves.lock().unwrap() = other_side;
        let mut server = self.server.lock().await;
        if other_side == OtherSide::Down {
            if let Some(server) = server.take() {
                let asked = server.stop().await;
                self.before.lock().unwrap().extend(asked);
            }
        } else if server.is_none() {
            *server = Some(serve(TcpListener::bind(self.address).await?, &self.behaves));
        }
        Ok(())
    }
}

async fn fresh() -> Hook {
    let behaves = Arc::new(Mutex::new(OtherSide::Up));
    let server = serve(listen().await, &behaves);
    let address = server.address;
    let clock = Arc::new(SystemClock::new());
    let webhook = Webhook::new(&format!("http://{address}/hook"), TIMEOUT, clock).unwrap();
    Hook { webhook, address, server: AsyncMutex::new(Some(server)), behaves, before: Mutex::default() }
}

flow_testkit::notifier_conformance!(fresh);

use flow_proving::server::Haproxy;
use flow_proving::{Address, Directory, Outside, Port};

/// An HAProxy before all machines, with an empty backend `shop` for flow to fill.
#[derive(Debug)]
pub struct Balancer {
    /// The server.
    pub haproxy: Haproxy,
    port: Port,
}

impl Balancer {
    /// Starts it.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn start() -> Outside<Self> {
        let (directory, port) = (Directory::new()?, Port::free()?);
        let sections = format!(
            "defaults\n    mode http\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\n    \
             retries 0\n    no option redispatch\n\nfrontend web\n    bind {}\n    default_backend shop\n\n\
             backend shop\n    balance roundrobin\n",
            port.address()
        );
        let haproxy = Haproxy::start(&directory, &sections, &port.address()).await?;
        Ok(Self { haproxy, port })
    }

    /// Where users find the shop.
    #[must_use]
    pub fn address(&self) -> Address {
        self.port.address()
    }
}

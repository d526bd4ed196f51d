//! The wire between us and a server: it counts, and it can be cut.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flow_proving::{Outside, Port};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A port that leads to another one.
pub(crate) struct Relay {
    port: Port,
    sent: Arc<AtomicU64>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(target: u16) -> Outside<Self> {
        let port = Port::free()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).await?;
        let (sent, cuts) = (Arc::new(AtomicU64::new(0)), watch::Sender::new(0));
        let (counted, cut) = (Arc::clone(&sent), cuts.subscribe());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counted, mut cut) = (Arc::clone(&counted), cut.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else { return };
                    let (up_from, down_to) = client.into_split();
                    let (down_from, up_to) = server.into_split();
                    tokio::select! {
                        () = carry(up_from, up_to, Some(&counted)) => {}
                        () = carry(down_from, down_to, None) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { port, sent, cuts, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// How many bytes went to the server.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Breaks every connection that there is. New ones can be made.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: Option<&AtomicU64>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
        if let Some(count) = count {
            count.fetch_add(length as u64, Ordering::Relaxed);
        }
    }
}

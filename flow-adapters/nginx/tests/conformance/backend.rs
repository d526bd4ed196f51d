//! Backends of a test, within its process: each answers with its own address, or as it is asked to.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow_proving::{Address, Outside};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

/// One backend. `/hold` is not answered before [`release`](Self::release), `/status/N` with N, `/after/MS` later, `/break` not at all.
pub(crate) struct Backend {
    pub(crate) address: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    address: String,
    waiting: AtomicUsize,
    release: Notify,
}

impl Backend {
    pub(crate) async fn start(address: &Address) -> Outside<Self> {
        let shared = Arc::new(Shared { address: address.to_string(), ..Shared::default() });
        let own = Arc::clone(&shared);
        let task = match address {
            Address::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                // The workers of an nginx that root started are nobody.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
                tokio::spawn(serve(own, async move || Ok(listener.accept().await?.0)))
            }
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                tokio::spawn(serve(own, async move || Ok(listener.accept().await?.0)))
            }
        };
        Ok(Self { address: address.to_string(), shared, task: task.abort_handle() })
    }

    /// How many requests it holds.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn release(&self) {
        self.shared.release.notify_waiters();
    }

    /// Ends it, its connections cut off.
    pub(crate) async fn kill(&self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    accept: impl AsyncFn() -> std::io::Result<S>,
) {
    // Dropped with this task, and with it all that it serves.
    let mut connections = JoinSet::new();
    loop {
        let Ok(stream) = accept().await else { return };
        connections.spawn(answer(Arc::clone(&shared), stream));
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    mut stream: S,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    loop {
        let ends = loop {
            if let Some(at) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&received[..ends]).to_lowercase();
        let length =
            head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let whole = ends + length.unwrap_or(0);
        while received.len() < whole {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        received.drain(..whole);
        let path = head.split(' ').nth(1).unwrap_or_default();
        let mut status = 200;
        match path.trim_start_matches('/').split_once('/').unwrap_or((path, "")) {
            ("/hold", _) => {
                let released = shared.release.notified();
                shared.waiting.fetch_add(1, Ordering::SeqCst);
                released.await;
                shared.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            ("/break", _) => return Ok(()),
            ("status", code) => status = code.parse().unwrap_or(400),
            ("after", time) => tokio::time::sleep(Duration::from_millis(time.parse().unwrap_or(0))).await,
            _ => {}
        }
        let (body, length) = (&shared.address, shared.address.len());
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await?;
    }
}

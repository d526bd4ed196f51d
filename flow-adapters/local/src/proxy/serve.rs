use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Cause};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::config::{Limits, ProxyConfig};
use super::control::Control;
use super::error::ProxyError;
use super::forward::forward;
use super::process::ProxyProcess;
use super::state::{Failure, StateDir};
use super::switch::Switch;

/// How long a starting proxy waits for the lock: a controller that looks whether it is taken holds it for an instant.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Serves `config` until it is asked to stop, by its control socket, by SIGTERM or by SIGINT; then accepts nothing more,
/// waits for the requests under way and returns.
///
/// This is the body of the proxy's own process and needs a tokio runtime with I/O and time. Why it ended badly is also
/// left in the state directory, where the [`LocalRouter`](super::LocalRouter) that started it reads it.
///
/// # Errors
/// [`ProxyError`] where it could not start, or where requests outlasted the drain timeout.
pub async fn serve(config: ProxyConfig) -> Result<(), ProxyError> {
    let state = StateDir::new(&config.state_dir);
    let ended = run(config, &state).await;
    if let Err(error) = &ended {
        tracing::error!(%error, "the proxy ended");
        leave_failure(&state, error);
    }
    ended
}

fn leave_failure(state: &StateDir, error: &ProxyError) {
    let mut cause = Cause::new(error.kind(), error.to_string());
    let mut source = std::error::Error::source(error);
    while let Some(below) = source {
        cause.chain.push(below.to_string());
        source = below.source();
    }
    let failure = Failure { pid: std::process::id(), cause };
    if let Err(error) = state.write_failure(&failure) {
        tracing::error!(%error, "why the proxy ended could not be left");
    }
}

async fn run(config: ProxyConfig, state: &StateDir) -> Result<(), ProxyError> {
    config.validate().map_err(ProxyError::Invalid)?;
    state.create()?;
    let lock = lock(state).await?;
    let switch = Arc::new(Switch::open(config.service.clone(), config.listen, state.clone())?);
    let listener = listen(config.listen).await?;
    let stop = CancelToken::new();
    stop_by_signal(state, &stop)?;
    let process = ProxyProcess::current().map_err(ProxyError::File)?;
    state.write_process(&process).map_err(ProxyError::File)?;
    let control = Control {
        service: config.service,
        listen: config.listen,
        process,
        switch: Arc::clone(&switch),
        stop: stop.clone(),
    };
    // Last: whoever can connect to the control socket finds a proxy that serves.
    let controlling = tokio::spawn(Arc::new(control).serve(state.listen()?));
    let pruning = tokio::spawn(prune(Arc::clone(&switch), config.limits.keep_upstream));
    tracing::info!(listen = %config.listen, generation = switch.generation(), "the proxy serves");
    let ended = accept(listener, Arc::clone(&switch), Arc::new(config.limits), &stop).await;
    switch.close().await;
    pruning.abort();
    controlling.abort();
    state.clear()?;
    drop(lock);
    ended
}

async fn lock(state: &StateDir) -> Result<std::fs::File, ProxyError> {
    let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = state.try_lock()? {
            return Ok(lock);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(ProxyError::Locked { path: state.lock_file() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ProxyError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ProxyError::AddressTaken { address },
        _ => ProxyError::Listen { address, source },
    })
}

fn stop_by_signal(state: &StateDir, stop: &CancelToken) -> Result<(), ProxyError> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(ProxyError::io(state.path()))?;
        let stop = stop.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                stop.cancel();
            }
        });
    }
    Ok(())
}

async fn prune(switch: Arc<Switch>, keep: Duration) {
    let every = keep.max(Duration::from_millis(100));
    loop {
        tokio::time::sleep(every).await;
        switch.prune(keep);
    }
}

async fn accept(
    listener: TcpListener,
    switch: Arc<Switch>,
    limits: Arc<Limits>,
    stop: &CancelToken,
) -> Result<(), ProxyError> {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = graceful.watch(connection(stream, peer, &switch, &limits));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a client's connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    drain(graceful, &places, &limits).await
}

async fn drain(graceful: GracefulShutdown, places: &Semaphore, limits: &Limits) -> Result<(), ProxyError> {
    match tokio::time::timeout(limits.drain_timeout, graceful.shutdown()).await {
        Ok(()) => Ok(()),
        Err(_) => {
            let connections = limits.max_connections.saturating_sub(places.available_permits());
            Err(ProxyError::CutOff { connections })
        }
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    switch: &Arc<Switch>,
    limits: &Arc<Limits>,
) -> impl hyper_util::server::graceful::GracefulConnection<Output = Result<(), hyper::Error>> + Send + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client's connection cannot be set to send at once");
    }
    let (switch, bounds) = (Arc::clone(switch), Arc::clone(limits));
    let service =
        service_fn(move |request| forward(Arc::clone(&switch), Arc::clone(&bounds), peer.ip(), request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_head_bytes)
        .max_buf_size(limits.max_head_bytes)
        .serve_connection(TokioIo::new(stream), service)
}

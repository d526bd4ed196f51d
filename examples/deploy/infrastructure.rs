//! What stands around a deployment in this example, as one process for each environment: the reverse proxy, a server of
//! static files and the receiver of notifications. In real life these are nginx, a CDN and a chat.

use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::world::Place;

const BODY_LIMIT: usize = 64 * 1024;

/// Serves until it is ended.
pub(crate) async fn serve(place: Place) -> Result<()> {
    let ports = place.ports()?;
    std::fs::create_dir_all(place.site())?;
    let site = Arc::new(place.site().canonicalize()?);
    let inbox = Arc::new(place.root.join("notifications.jsonl"));
    let files = listen(ports.site, move |request| {
        let site = site.clone();
        async move { file(&site, &request) }
    });
    let hook = listen(ports.webhook, move |request| {
        let inbox = inbox.clone();
        async move { keep(&inbox, request).await }
    });
    let proxy = async { flow_local::proxy::serve(place.proxy()?).await.context("the proxy") };
    tokio::try_join!(files, hook, proxy)?;
    Ok(())
}

async fn listen<F, Fut>(port: u16, answer: F) -> Result<()>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("port {port}"))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        tokio::spawn(async move {
            // A client that goes away in the middle is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// A file below `site`, and nothing else.
fn file(site: &Path, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let found =
        site.join(path).canonicalize().ok().filter(|found| found.starts_with(site) && found.is_file());
    match found.map(std::fs::read) {
        Some(Ok(content)) => reply(StatusCode::OK, content),
        Some(Err(_)) => reply(StatusCode::INTERNAL_SERVER_ERROR, ""),
        None => reply(StatusCode::NOT_FOUND, ""),
    }
}

/// Keeps a notification, one line each.
async fn keep(inbox: &PathBuf, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        return reply(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return reply(StatusCode::PAYLOAD_TOO_LARGE, "");
    };
    let line = [body.to_bytes().as_ref(), b"\n"].concat();
    let kept = std::fs::File::options()
        .create(true)
        .append(true)
        .open(inbox)
        .and_then(|mut file| file.write_all(&line));
    match kept {
        Ok(()) => reply(StatusCode::OK, "kept"),
        Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}

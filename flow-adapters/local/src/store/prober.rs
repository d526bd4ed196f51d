//! Probes over plain HTTP.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flow_core::port::{ProbeReply, ProbeRequest, Prober};
use flow_core::{Clock, ErrorKind, Problems, StepError};
use hyper::Method;

use super::http::{Failure, Url, exchange};

/// The largest body.
const LIMIT: usize = ProbeReply::BODY_MAX as usize;

/// Makes a GET over plain HTTP, on a connection of its own. It speaks no TLS and follows no redirect.
#[derive(Debug, Clone)]
pub struct HttpProber {
    clock: Arc<dyn Clock>,
}

impl HttpProber {
    /// A prober that waits by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

#[async_trait]
impl Prober for HttpProber {
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError> {
        let url = Url::parse(&request.url).map_err(|problem| {
            let mut problems = Problems::default();
            problems.add("url", problem);
            StepError::from(problems)
        })?;
        let get = url.request(Method::GET, Bytes::new()).map_err(|failure| refused(failure, &url))?;
        let reply = exchange(&*self.clock, request.timeout, &url, get, LIMIT)
            .await
            .map_err(|failure| refused(failure, &url))?;
        Ok(ProbeReply {
            status: reply.status,
            headers: reply.headers,
            body: reply.body.into(),
            elapsed: reply.elapsed,
        })
    }
}

fn refused(failure: Failure, url: &Url) -> StepError {
    let kind = match &failure {
        Failure::Unsendable(_) => ErrorKind::Invalid,
        // A probe changes nothing, so a broken one is as good as one that never began.
        Failure::Unreachable(_) | Failure::Broken(_) => ErrorKind::Unavailable,
        Failure::TimedOut(_) => ErrorKind::TimedOut,
        Failure::TooLarge(_) => ErrorKind::Failed,
    };
    // The query may hold a token; the path tells probes of one service apart.
    let path = url.target().split('?').next().unwrap_or("/");
    StepError::new(kind, "the probe got no answer")
        .fact("url", format_args!("{}{path}", url.origin()))
        .because(failure)
}

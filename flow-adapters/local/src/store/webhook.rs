//! Notifications to a local webhook.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flow_core::port::{Notification, NotificationReceipt, Notifier};
use flow_core::{Clock, ErrorKind, Permit, Problems, StepError};
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::http::{Failure, Reply, Url, exchange};

/// The largest answer: 64 KiB.
const LIMIT: usize = 64 << 10;

/// The longest part of an answer that is kept, in characters.
const KEPT: usize = 512;

/// How long a part of the URL must be to be taken for a secret rather than a word.
const SECRET: usize = 8;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends notifications as JSON to a webhook on this machine: `{"title": .., "text": ..}` by POST, the permit's key in the
/// header `Idempotency-Key`, so that a receiver tells a repetition from a second message.
///
/// It speaks no TLS, so it refuses to send beyond the loopback interface. The URL may hold a token: only its scheme,
/// host and port are ever shown.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// A webhook at `url` that answers within `timeout`.
    ///
    /// # Errors
    /// [`Problems`] when the URL is not plain HTTP to this machine, or the timeout is zero.
    pub fn new(url: &str, timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let beyond = "must name `localhost` or a loopback address: this adapter speaks no TLS";
        let url = Url::parse(url)
            .and_then(|url| if is_loopback(url.host()) { Ok(url) } else { Err(beyond) })
            .map_err(|problem| problems.add("url", problem))
            .ok();
        problems.check(!timeout.is_zero(), "timeout", "must be longer than zero");
        match url {
            Some(url) if problems.as_slice().is_empty() => Ok(Self { url, timeout, clock }),
            _ => Err(problems),
        }
    }

    fn refused(&self, kind: ErrorKind, message: &'static str) -> StepError {
        StepError::new(kind, message).fact("webhook", self.url.origin())
    }

    fn broken(&self, failure: Failure) -> StepError {
        let kind = match &failure {
            Failure::Unsendable(_) => ErrorKind::Invalid,
            Failure::Unreachable(_) => ErrorKind::Unavailable,
            // The request may have arrived. The key makes another attempt safe, so it is worth one.
            Failure::TimedOut(_) | Failure::Broken(_) => ErrorKind::TimedOut,
            Failure::TooLarge(_) => ErrorKind::Unknown,
        };
        self.refused(kind, "the webhook gave no answer").because(failure)
    }

    fn answer(&self, reply: &Reply) -> Result<NotificationReceipt, StepError> {
        let kind = match reply.status {
            200..=299 => return Ok(NotificationReceipt { answer: self.shown(reply) }),
            401 | 403 => ErrorKind::Denied,
            404 | 410 => ErrorKind::NotFound,
            408 | 429 => ErrorKind::Throttled,
            // Redirects are not followed: the message would go where nobody configured it to.
            300..=499 => ErrorKind::Invalid,
            500..=599 => ErrorKind::TimedOut,
            _ => ErrorKind::Unknown,
        };
        Err(self.refused(kind, "the webhook refused the notification").fact("status", reply.status))
    }

    /// The answer as a line of text, without the parts of the URL that may be secret, should the other side echo them.
    fn shown(&self, reply: &Reply) -> String {
        let mut body = String::from_utf8_lossy(&reply.body).into_owned();
        let parts = self.url.target().split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET);
        for part in std::iter::once(self.url.target()).filter(|target| target.len() > 1).chain(parts) {
            body = body.replace(part, "...");
        }
        let text: String =
            body.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(KEPT).collect();
        if text.is_empty() { format!("status {}", reply.status) } else { text }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("origin", &self.url.origin())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn notify(
        &self,
        permit: &Permit,
        notification: &Notification,
    ) -> Result<NotificationReceipt, StepError> {
        let unsendable = || self.refused(ErrorKind::Invalid, "the notification cannot be sent");
        let body = serde_json::to_vec(notification).map_err(|error| unsendable().because(error))?;
        let key =
            HeaderValue::from_str(permit.idempotency_key()).map_err(|error| unsendable().because(error))?;
        let mut request =
            self.url.request(Method::POST, Bytes::from(body)).map_err(|failure| self.broken(failure))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        let sent = exchange(&*self.clock, self.timeout, &self.url, request, LIMIT);
        let reply = tokio::select! {
            reply = sent => reply.map_err(|failure| self.broken(failure))?,
            () = permit.cancel().cancelled() => {
                return Err(self.refused(ErrorKind::Cancelled, "the notification was cancelled"));
            }
        };
        self.answer(&reply)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flow_core::{CancelToken, Clock, Problems, Timestamp};
use futures::FutureExt as _;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::Value;

use super::Action;
use super::answer::{carried_out, response};
use crate::credential::held;
use crate::ending::broken;
use crate::endpoint::Endpoint;
use crate::patience::{Patience, Subject};
use crate::signature::tc3::{self, Payload};
use crate::transport::{Outgoing, Transport, header_map, skew};
use crate::{ApiError, Credential, Credentials, Failure, Nature};

/// Exactly what the official Python client sends; `charset` is not needed.
const CONTENT_TYPE: &str = "application/json";

/// What a signed body may have.
const REQUEST_MAX: usize = 10_000_000;

/// More than any answer has: an invocation returns 6 MB at most.
const ANSWER_MAX: usize = 32 << 20;

/// Which API is called, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// The service's name in signatures and addresses, such as `scf`.
    pub service: String,
    /// The API's version, such as `2018-04-16`.
    pub version: String,
    /// The region, for services that have regions.
    pub region: Option<String>,
    /// Another address than `https://<service>.tencentcloudapi.com`. Plain `http://` is for this machine's loopback only.
    pub endpoint: Option<String>,
}

/// One API of Tencent Cloud: signs, sends, tells failures apart and tries again what may be tried again. Clones share connections.
///
/// A throttled request is always tried again, and so is one that never reached anybody; one whose answer is lost only if it changes
/// nothing. At most 8 tries begin within 120 seconds; the waits between them are random, up to a ceiling that doubles from 0.5 to 15 seconds.
#[derive(Debug, Clone)]
pub struct Api {
    pub(super) config: ApiConfig,
    endpoint: Endpoint,
    pub(super) transport: Transport,
    pub(super) patience: Patience,
    credentials: Arc<dyn Credentials>,
    clock: Arc<dyn Clock>,
    pub(super) cancel: CancelToken,
    /// By how many seconds our clock is ahead of the service's, by its last answer.
    ahead: Arc<AtomicI64>,
}

impl Api {
    /// An API that nobody has called yet: nothing is sent.
    ///
    /// # Errors
    /// Everything that is wrong with `config`; and `endpoint` where this machine trusts no certificate at all.
    pub fn new(
        config: ApiConfig,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !text.is_empty()
        };
        problems.check(plain(&config.service), "service", "must be letters and digits, such as `scf`");
        problems.check(plain(&config.version), "version", "must be a date such as `2018-04-16`");
        let region = config.region.as_deref().is_none_or(plain);
        problems.check(region, "region", "must be a region such as `ap-guangzhou`");
        let standard = || format!("https://{}.tencentcloudapi.com", config.service);
        let text = config.endpoint.clone().unwrap_or_else(standard);
        let endpoint = Endpoint::parse(&text, &mut problems);
        problems.into_result()?;
        let (endpoint, transport) = Transport::reach(endpoint)?;
        let patience = Patience::new(clock.clone());
        let cancel = CancelToken::new();
        let ahead = Arc::default();
        Ok(Self { config, endpoint, transport, patience, credentials, clock, cancel, ahead })
    }

    /// The same API, whose calls stop when `cancel` is cancelled.
    #[must_use]
    pub fn until(&self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Carries out `action`.
    ///
    /// # Errors
    /// [`Failure`] tells what it means. With [`Failure::InDoubt`] the action may have been carried out: the caller reads the state back
    /// before it calls again. Dropping the future leaves the same doubt.
    pub async fn call<A: Action>(&self, action: &A, nature: Nature) -> Result<A::Answer, ApiError> {
        let subject = self.subject(A::NAME);
        let body = serde_json::to_vec(action).map_err(|error| {
            subject.error(Failure::Invalid, "the parameters cannot be written as JSON").because(error)
        })?;
        if body.len() > REQUEST_MAX {
            let message = format!("the request has {} bytes, {REQUEST_MAX} are allowed", body.len());
            return Err(subject.error(Failure::Invalid, message));
        }
        let body = Bytes::from(body);
        let exchange = || self.exchange(subject, body.clone(), nature, A::WITHIN).boxed();
        let answer = self.patience.carry_out(subject, &self.cancel, exchange).await?;
        carried_out(subject, answer)
    }

    /// The service's own time: our clock's, corrected by the `Date` of its last answer (to the second) once there was one.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let (now, ahead) = (self.clock.now(), self.ahead.load(Ordering::Relaxed));
        now.checked_sub(SignedDuration::from_secs(ahead)).unwrap_or(now)
    }

    pub(super) fn subject<'a>(&'a self, action: &'a str) -> Subject<'a> {
        Subject { service: &self.config.service, action }
    }

    /// One request and its answer.
    async fn exchange(
        &self,
        subject: Subject<'_>,
        body: Bytes,
        nature: Nature,
        within: Duration,
    ) -> Result<Value, ApiError> {
        let credential = held(self.credentials.as_ref(), subject).await?;
        let request = self.signed(subject, &credential, body, within)?;
        let answer = self.transport.exchange(request, ANSWER_MAX).await;
        let answer = answer.map_err(|reason| broken(reason, subject, nature))?;
        let now = self.clock.now();
        if let Some(ahead) = skew(&answer.headers, now) {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        response(&answer, subject, nature, now)
    }

    fn signed(
        &self,
        subject: Subject<'_>,
        credential: &Credential,
        body: Bytes,
        within: Duration,
    ) -> Result<Outgoing, ApiError> {
        let (at, host) = (self.clock.now(), self.endpoint.host());
        let request = tc3::Request {
            method: "POST",
            query: "",
            host: &host,
            content_type: CONTENT_TYPE,
            service: &self.config.service,
            payload: Payload::Signed(&body),
        };
        let authorization = tc3::sign(&request, credential, at);
        let timestamp = at.as_second().to_string();
        let region = self.config.region.as_deref().map(|region| ("x-tc-region", region));
        let token = credential.token().map(|token| ("x-tc-token", token.expose()));
        let pairs = [
            ("authorization", authorization.as_str()),
            ("content-type", CONTENT_TYPE),
            ("host", host.as_str()),
            ("x-tc-action", subject.action),
            ("x-tc-version", self.config.version.as_str()),
            ("x-tc-timestamp", timestamp.as_str()),
            ("x-tc-language", "en-US"),
        ];
        let headers = header_map(pairs.into_iter().chain(region).chain(token))
            .map_err(|refused| subject.error(Failure::Invalid, refused))?;
        let url =
            self.endpoint.at("/").ok_or_else(|| subject.error(Failure::Invalid, "the endpoint is no URL"))?;
        Ok(Outgoing { method: Method::POST, url, headers, body, within })
    }
}

use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Clock, Problems, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::call::Call;
use super::refusal::accepted;
use super::xml::{Document, root};
use crate::credential::held;
use crate::ending::broken;
use crate::endpoint::Endpoint;
use crate::patience::{Patience, Subject};
use crate::signature::cos::{Request, Validity, sign};
use crate::transport::{Incoming, Outgoing, Transport, header_map};
use crate::{ApiError, Credential, Credentials, Failure};

const SERVICE: &str = "cos";

/// A listing of a thousand keys has some megabytes.
const ANSWER_MAX: usize = 32 << 20;

/// How often a request whose end is not known is sent, each time after the state was read back.
const ROUNDS: u32 = 3;

/// A signature is good from a minute before (clocks differ) for as long as a request may take.
const EARLY: Duration = Duration::from_secs(60);
const GOOD_FOR: Duration = Duration::from_secs(900);

/// Which bucket, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosConfig {
    /// The bucket's name without the account's number.
    pub bucket: String,
    /// The account's number, the last part of the bucket's full name.
    pub appid: String,
    /// The region, such as `ap-guangzhou`.
    pub region: String,
    /// Another address to connect to than `https://<bucket>-<appid>.cos.<region>.myqcloud.com`, which stays the host that is asked for.
    /// Plain `http://` is for this machine's loopback only.
    pub endpoint: Option<String>,
}

/// One bucket of the object storage. Clones share connections.
///
/// Every body goes out with its MD5. What is written is compared by CRC-64 with what the storage says that it keeps. Throttled
/// requests are tried again as with an [`Api`](crate::Api). A request that changes something and whose answer is lost is never just sent
/// again: the object is looked at first, and only where it is not yet as asked the request goes out once more, three times at most.
#[derive(Debug, Clone)]
pub struct Cos {
    host: String,
    endpoint: Endpoint,
    transport: Transport,
    patience: Patience,
    credentials: Arc<dyn Credentials>,
    clock: Arc<dyn Clock>,
    cancel: CancelToken,
}

impl Cos {
    /// A bucket that nobody has asked yet: nothing is sent.
    ///
    /// # Errors
    /// Everything that is wrong with `config`; and `endpoint` where this machine trusts no certificate at all.
    pub fn new(
        config: &CosConfig,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let plain = |text: &str| {
            let inner =
                text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            inner && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
        };
        problems.check(plain(&config.bucket), "bucket", "must be lower-case letters, digits and inner `-`");
        problems.check(plain(&config.region), "region", "must be a region such as `ap-guangzhou`");
        let digits = !config.appid.is_empty() && config.appid.bytes().all(|byte| byte.is_ascii_digit());
        problems.check(digits, "appid", "must be the account's number");
        let label = config.bucket.len() + 1 + config.appid.len() <= 60;
        problems.check(label, "bucket", "must not be longer than 60 characters with the account's number");
        let host = format!("{}-{}.cos.{}.myqcloud.com", config.bucket, config.appid, config.region);
        let text = config.endpoint.clone().unwrap_or_else(|| format!("https://{host}"));
        let endpoint = Endpoint::parse(&text, &mut problems);
        problems.into_result()?;
        let (endpoint, transport) = Transport::reach(endpoint)?;
        let (patience, cancel) = (Patience::new(clock.clone()), CancelToken::new());
        Ok(Self { host, endpoint, transport, patience, credentials, clock, cancel })
    }

    /// The same bucket, whose calls stop when `cancel` is cancelled.
    #[must_use]
    pub fn until(&self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// The host that is asked for, which is also how a copy names the bucket.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn cancelled(&self) -> &CancelToken {
        &self.cancel
    }

    /// Sends `call` until it is answered, and takes the whole answer.
    pub(super) async fn carry_out(&self, call: &Call) -> Result<Incoming, ApiError> {
        self.ask(call, Ok).await
    }

    /// The same, and what the answer's XML says.
    pub(super) async fn xml<T: Document + Send>(&self, call: &Call) -> Result<T, ApiError> {
        self.ask(call, |answer| parsed(call, &answer)).await
    }

    /// Sends `call` until `read` understands its answer.
    async fn ask<T: Send>(
        &self,
        call: &Call,
        read: impl Fn(Incoming) -> Result<T, ApiError> + Sync,
    ) -> Result<T, ApiError> {
        let exchange = || {
            async {
                let answer = self.transport.exchange(self.signed(call).await?, ANSWER_MAX).await;
                read(self.accepted(call, answer.map_err(|reason| self.broken(call, reason))?)?)
            }
            .boxed()
        };
        self.repeat(call, exchange).await
    }

    /// Tries `exchange` again while it was not carried out.
    pub(super) async fn repeat<'a, T>(
        &self,
        call: &Call,
        exchange: impl FnMut() -> BoxFuture<'a, Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.patience.carry_out(subject(call), &self.cancel, exchange).await
    }

    /// Sends `call`, and only its head is taken.
    pub(super) async fn begin(&self, call: &Call, within: Duration) -> Result<reqwest::Response, ApiError> {
        let request = Outgoing { within, ..self.signed(call).await? };
        let response = self.transport.begin(request).await.map_err(|reason| self.broken(call, reason))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = crate::transport::read(response, ANSWER_MAX).await;
        let answer = self.accepted(call, answer.map_err(|reason| self.broken(call, reason))?);
        Err(answer.err().unwrap_or_else(|| error(call, Failure::Unexpected, "a refusal without a reason")))
    }

    /// Writes until `look` finds what was to be written or `write` is answered. Once the end of one request is not known, only what is
    /// found takes the doubt away: a refusal of the next request, or of the look, does not.
    pub(super) async fn settle<'a, T>(
        &self,
        call: &Call,
        write: impl Fn() -> BoxFuture<'a, Result<T, ApiError>>,
        look: impl Fn() -> BoxFuture<'a, Result<Option<T>, ApiError>>,
    ) -> Result<T, ApiError> {
        let mut doubt = match write().await {
            Err(error) if error.is_in_doubt() => error,
            ended => return ended,
        };
        let mut round = 1;
        loop {
            // What was cut off may still be under way.
            self.patience.pause(subject(call), &self.cancel, round).await?;
            match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if round < ROUNDS => round += 1,
                Ok(None) => return Err(doubt),
                Err(error) if error.failure() == Failure::Cancelled => return Err(error),
                Err(error) => return Err(doubt.because(error)),
            }
            match write().await {
                Err(error) if error.is_in_doubt() => doubt = error,
                Err(error) if error.failure().kind().is_rejection() => {}
                ended => return ended,
            }
        }
    }

    fn accepted(&self, call: &Call, answer: Incoming) -> Result<Incoming, ApiError> {
        accepted(answer, subject(call), call.nature, self.clock.now())
    }

    pub(super) fn broken(&self, call: &Call, reason: crate::transport::Broken) -> ApiError {
        broken(reason, subject(call), call.nature)
    }

    async fn signed(&self, call: &Call) -> Result<Outgoing, ApiError> {
        let credential = held(self.credentials.as_ref(), subject(call)).await?;
        let now = self.clock.now();
        let mut pairs = vec![("host", self.host.as_str())];
        pairs.extend(credential.token().map(|token| ("x-cos-security-token", token.expose())));
        pairs.extend(call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let authorization = authorization(call, &pairs, &credential, now);
        pairs.push(("authorization", authorization.as_str()));
        let headers = header_map(pairs).map_err(|refused| subject(call).error(Failure::Invalid, refused))?;
        let url = self.endpoint.at(&call.target());
        let url = url.ok_or_else(|| error(call, Failure::Invalid, "the key cannot be written in a URL"))?;
        let (method, body, within) = (call.method.clone(), call.body.clone(), call.within());
        Ok(Outgoing { method, url, headers, body, within })
    }
}

fn authorization(
    call: &Call,
    headers: &[(&str, &str)],
    credential: &Credential,
    now: Timestamp,
) -> crate::signature::Authorization {
    let query: Vec<_> = call.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = Request { method: call.method.as_str(), path: &call.path, query: &query, headers };
    let from = now.checked_sub(EARLY).unwrap_or(Timestamp::MIN);
    let until = now.checked_add(GOOD_FOR.max(call.within())).unwrap_or(Timestamp::MAX);
    sign(&request, credential, Validity { from, until })
}

pub(super) fn subject(call: &Call) -> Subject<'static> {
    Subject { service: SERVICE, action: call.action }
}

pub(super) fn error(call: &Call, failure: Failure, message: &'static str) -> ApiError {
    subject(call).error(failure, message)
}

/// What an answer's XML says.
pub(super) fn parsed<T: Document>(call: &Call, answer: &Incoming) -> Result<T, ApiError> {
    // Cut, a gateway's page, or of a form that nobody documented.
    let unread =
        error(call, Failure::Transient.seen_by(call.nature), "the answer is not the XML that is documented");
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    if !root(text).is_some_and(|root| T::ROOTS.contains(&root.as_str())) {
        return Err(unread.answered(answer.status, None));
    }
    quick_xml::de::from_str(text).map_err(|reason| unread.because(reason))
}

#[cfg(test)]
mod tests {
    use flow_core::SystemClock;

    use super::*;

    fn cos(bucket: &str, appid: &str, region: &str, endpoint: Option<&str>) -> Result<Cos, Problems> {
        let credential = Credential::new("AKID1", "s3cret", None).unwrap();
        let config = CosConfig {
            bucket: bucket.into(),
            appid: appid.into(),
            region: region.into(),
            endpoint: endpoint.map(str::to_owned),
        };
        Cos::new(&config, Arc::new(credential), Arc::new(SystemClock::new()))
    }

    #[test]
    fn the_host_stays_the_buckets_own_whatever_is_connected_to() {
        let cos = cos("site", "1250000000", "ap-guangzhou", Some("http://127.0.0.1:7001")).unwrap();
        assert_eq!(cos.host(), "site-1250000000.cos.ap-guangzhou.myqcloud.com");
        assert!(!format!("{cos:?}").contains("s3cret"));
    }

    #[test]
    fn all_that_is_wrong_with_a_bucket_is_said_at_once() {
        let said = cos("Site_1", "x", "", Some("http://example.com")).unwrap_err().to_string();
        for field in ["`bucket`", "`appid`", "`region`", "`endpoint`"] {
            assert!(said.contains(field), "{said}");
        }
        assert!(cos(&"a".repeat(50), "1250000000", "ap-guangzhou", Some("http://127.0.0.1:7001")).is_err());
    }
}

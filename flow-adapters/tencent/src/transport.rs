use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flow_core::{Problems, Timestamp};
use reqwest::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::endpoint::Endpoint;

/// A connection that takes longer than this is given up.
const CONNECT: Duration = Duration::from_secs(10);

/// Idle connections are given up before the services do it: a request must not meet a connection that is being closed.
const IDLE: Duration = Duration::from_secs(15);

/// Sends one request and takes one answer. It repeats nothing, follows nothing, and asks no proxy.
///
/// The limits of an exchange are real time, whatever clock waits between exchanges: the network knows no other.
#[derive(Debug, Clone)]
pub(crate) struct Transport(Client);

/// A request as it goes out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long the exchange may take with its answer.
    pub(crate) within: Duration,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nobody was reached: nothing was sent.
    Unreached(reqwest::Error),
    /// The request may have been carried out.
    Lost(reqwest::Error),
    /// The answer is longer than it may be.
    TooLong,
}

impl Transport {
    /// The endpoint, if it was one, and what reaches it.
    pub(crate) fn reach(endpoint: Option<Endpoint>) -> Result<(Endpoint, Self), Problems> {
        let mut problems = Problems::default();
        match endpoint.map(|endpoint| Self::to(&endpoint).map(|transport| (endpoint, transport))) {
            Some(Ok(reached)) => return Ok(reached),
            Some(Err(error)) => problems.add("endpoint", format!("no client can be made for it: {error}")),
            None => problems.add("endpoint", "must be a URL"),
        }
        Err(problems)
    }

    fn to(endpoint: &Endpoint) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls(endpoint)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self(client))
    }

    /// The answer's head; its body is still to be read.
    pub(crate) async fn begin(&self, request: Outgoing) -> Result<reqwest::Response, Broken> {
        let Outgoing { method, url, headers, body, within } = request;
        let mut built = reqwest::Request::new(method, url);
        *built.headers_mut() = headers;
        if built.method() == Method::PUT || built.method() == Method::POST {
            // Said even of nothing: without it an empty object is refused.
            built.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        }
        *built.body_mut() = (!body.is_empty()).then(|| body.into());
        *built.timeout_mut() = Some(within);
        self.0.execute(built).await.map_err(Broken::of)
    }

    /// The whole answer, of at most `max` bytes.
    pub(crate) async fn exchange(&self, request: Outgoing, max: usize) -> Result<Incoming, Broken> {
        let response = self.begin(request).await?;
        read(response, max).await
    }
}

/// The rest of an answer, of at most `max` bytes.
pub(crate) async fn read(mut response: reqwest::Response, max: usize) -> Result<Incoming, Broken> {
    let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::of)? {
        if body.len() + chunk.len() > max {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Incoming { status, headers, body: body.freeze() })
}

impl Broken {
    /// The address is the endpoint's, which is configured: the error need not repeat it.
    pub(crate) fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_connect() || error.is_builder() { Self::Unreached(error) } else { Self::Lost(error) }
    }
}

fn tls(endpoint: &Endpoint) -> Result<ClientConfig, rustls::Error> {
    // One provider, by name: two in a program would otherwise have to agree on a default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = if endpoint.is_secure() {
        // Whom the machine trusts.
        builder.with_platform_verifier()?
    } else {
        // A machine without certificates can still talk to itself.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Headers from names and values, or what is wrong with one; those that are secret are shown by no `Debug`. Blanks at a value's ends are
/// lost on the wire, where they would not be as they were signed.
pub(crate) fn header_map<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let sent = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let sent = sent.filter(|_| value.trim_matches([' ', '\t']) == value);
        let Some((key, mut value)) = sent else {
            return Err(format!("the header `{}` holds what no header can", name.escape_debug()));
        };
        value.set_sensitive(matches!(name, "authorization" | "x-tc-token" | "x-cos-security-token"));
        headers.insert(key, value);
    }
    Ok(headers)
}

/// The text of a header, where there is one.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// By how many seconds our `now` is after the answer's own `Date`, where it has one.
pub(crate) fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = header(headers, DATE.as_str())?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(now.as_second() - date.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_date_is_compared_with_ours() {
        let headers = header_map([("date", "Mon, 30 Nov 2026 13:42:29 GMT")]).unwrap();
        let ours = |text: &str| skew(&headers, text.parse().unwrap());
        assert_eq!(ours("2026-11-30T13:42:29Z"), Some(0));
        assert_eq!(ours("2026-11-30T13:52:30Z"), Some(601));
        assert_eq!(ours("2026-11-30T13:32:29Z"), Some(-600));
        assert_eq!(skew(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn what_must_not_be_seen_is_not_shown_by_the_headers() {
        let secret =
            [("authorization", "q-ak=1"), ("x-tc-token", "t0ken"), ("x-cos-security-token", "t0ken")];
        let shown = format!("{:?}", header_map(secret).unwrap());
        assert!(!shown.contains("q-ak") && !shown.contains("t0ken"), "{shown}");
        for (name, value) in [("x-tc-token", "s3cret\n"), ("x-cos-meta-a b", "c")] {
            let refused = header_map([(name, value)]).unwrap_err();
            assert_eq!(refused, format!("the header `{name}` holds what no header can"));
        }
    }
}

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Cause, Problems};
use crate::name::Digest;
use crate::port::{ProbeRequest, Prober};

/// What a URL must answer.
///
/// ```
/// use flow_core::steps::Expectation;
///
/// let home = Expectation::of("https://shop.example/").containing("Welcome");
/// assert_eq!(home.status, 200);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The URL. Its query may be secret and is never shown.
    pub url: String,
    /// The status.
    pub status: u16,
    /// A text that the body contains, if one is expected.
    pub contains: Option<String>,
    /// How long the answer may take.
    pub timeout: Duration,
}

impl Expectation {
    /// Expects `url` to answer with status 200 within five seconds.
    #[must_use]
    pub fn of(url: impl Into<String>) -> Self {
        Self { url: url.into(), status: 200, contains: None, timeout: Duration::from_secs(5) }
    }

    /// Expects another status.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Expects `text` in the body.
    #[must_use]
    pub fn containing(mut self, text: impl Into<String>) -> Self {
        self.contains = Some(text.into());
        self
    }

    /// Gives the answer another time.
    #[must_use]
    pub const fn answered_within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks once: how long the answer took, or what is wrong with it.
    pub(super) async fn ask(&self, prober: &dyn Prober) -> Result<Duration, String> {
        let request = ProbeRequest { url: self.url.clone(), timeout: self.timeout };
        let reply =
            prober.get(&request).await.map_err(|error| format!("no answer: {}", Cause::from(&error)))?;
        if reply.status != self.status {
            return Err(format!("status {}, expected {}", reply.status, self.status));
        }
        let expected = self.contains.as_deref().unwrap_or_default().as_bytes();
        if !expected.is_empty() && !reply.body.windows(expected.len()).any(|part| part == expected) {
            return Err(format!("the body does not contain `{}`", String::from_utf8_lossy(expected)));
        }
        if reply.elapsed > self.timeout {
            return Err(format!("answered after {} ms", reply.elapsed.as_millis()));
        }
        Ok(reply.elapsed)
    }

    /// The URL without what may be secret: user, query and fragment.
    pub(super) fn shown(&self) -> String {
        let bare = self.url.split(['?', '#']).next().unwrap_or_default();
        let Some((scheme, rest)) = bare.split_once("://") else { return bare.to_owned() };
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let host = host.rsplit('@').next().unwrap_or(host);
        format!("{scheme}://{host}{path}")
    }

    /// The answer that is expected, in words.
    pub(super) fn answer(&self) -> String {
        match &self.contains {
            Some(text) => format!("status {} with `{text}`", self.status),
            None => format!("status {}", self.status),
        }
    }

    /// The parameters for a fingerprint: the whole URL as a digest.
    pub(super) fn definition(&self) -> Value {
        json!({
            "url": self.shown(),
            "request": Digest::of(self.url.as_bytes()),
            "status": self.status,
            "contains": self.contains,
            "timeout": self.timeout,
        })
    }

    pub(super) fn check(&self, field: &str, problems: &mut Problems) {
        let web = self.url.starts_with("http://") || self.url.starts_with("https://");
        problems.check(web, &format!("{field}.url"), "must begin with `http://` or `https://`");
        problems.check(
            (100..600).contains(&self.status),
            &format!("{field}.status"),
            "must be an HTTP status",
        );
        let contains = self.contains.as_deref() != Some("");
        problems.check(
            contains,
            &format!("{field}.contains"),
            "must not be empty: every body contains nothing",
        );
        problems.check(!self.timeout.is_zero(), &format!("{field}.timeout"), "must be above 0");
    }
}

/// Milliseconds with their fraction: the unit of the standard's gates.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;

/// One HTTP GET, as a user would make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// The URL.
    pub url: String,
    /// How long the answer may take.
    pub timeout: Duration,
}

impl ProbeRequest {
    /// Asks for the file at `path` of the site whose root is at `base_url`. Everything in the path but unreserved characters and slashes is
    /// percent-encoded (RFC 3986, 2.3).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use flow_core::port::ProbeRequest;
    ///
    /// let request = ProbeRequest::of_file("https://shop.example/", "docs/a b.css", Duration::from_secs(30));
    /// assert_eq!(request.url, "https://shop.example/docs/a%20b.css");
    /// ```
    #[must_use]
    pub fn of_file(base_url: &str, path: &str, timeout: Duration) -> Self {
        let mut url = format!("{}/", base_url.trim_end_matches('/'));
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                url.push(char::from(byte));
            } else {
                let _ = write!(url, "%{byte:02X}");
            }
        }
        Self { url, timeout }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReply {
    /// The status.
    pub status: u16,
    /// The headers, by their names in lower case. What one that comes several times says is joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, of at most [`BODY_MAX`](Self::BODY_MAX) bytes.
    pub body: Vec<u8>,
    /// From sending the request to the last byte of the body.
    pub elapsed: Duration,
}

impl ProbeReply {
    /// The largest body in bytes, 8 MiB: a larger one is an error.
    pub const BODY_MAX: u64 = 8 << 20;
}

/// Looks at a service as its users do.
///
/// An implementor proves itself by `flow_testkit::prober_conformance!`.
#[async_trait]
pub trait Prober: Send + Sync {
    /// Makes the request, once: nothing is tried again and no redirect is followed. Any status is a reply. No error shows the
    /// query, which may hold a token.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a URL that is none, [`Unavailable`](crate::ErrorKind::Unavailable) when no connection
    /// came about or it broke, [`TimedOut`](crate::ErrorKind::TimedOut) after the timeout, [`Failed`](crate::ErrorKind::Failed) for a
    /// body of more than [`ProbeReply::BODY_MAX`] bytes.
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError>;
}

use std::collections::BTreeMap;
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

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReply {
    /// The status.
    pub status: u16,
    /// The headers, by their names in lower case. What one that comes several times says is joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body, at most 8 MiB.
    pub body: Vec<u8>,
    /// From sending the request to the last byte of the body.
    pub elapsed: Duration,
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
    /// body that is too large.
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError>;
}

use std::time::Duration;

use bytes::Bytes;
use flow_core::Problems;
use futures::FutureExt as _;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::Api;
use crate::ending::broken;
use crate::endpoint::Endpoint;
use crate::transport::{Broken, Outgoing};
use crate::{ApiError, Failure, Nature};

/// How long a whole download may take.
const DOWNLOAD: Duration = Duration::from_secs(900);

impl Api {
    /// Reads what stands at an address that the service handed out, of at most `max` bytes. The request is not signed: the address
    /// itself is the right to read, so no error shows it. What breaks is tried again. Cancel safe.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for an address that is neither `https://` nor on this machine's loopback, and for more than `max` bytes; what
    /// the status says where it is not 2xx.
    pub async fn download(&self, url: &str, max: usize) -> Result<Bytes, ApiError> {
        let subject = self.subject("GET url");
        let url = Url::parse(url).ok().filter(|url| {
            let origin = url.origin().ascii_serialization();
            Endpoint::parse(&origin, &mut Problems::default()).is_some()
        });
        let Some(url) = url else {
            return Err(
                subject.error(Failure::Invalid, "the address must be `https://` outside this machine")
            );
        };
        let exchange = || {
            async {
                let (url, headers) = (url.clone(), HeaderMap::new());
                let request =
                    Outgoing { method: Method::GET, url, headers, body: Bytes::new(), within: DOWNLOAD };
                let answer = self.transport.exchange(request, max).await.map_err(|reason| match reason {
                    Broken::TooLong => subject.error(Failure::Invalid, "there is more than was expected"),
                    reason => broken(reason, subject, Nature::Reads),
                })?;
                if (200..300).contains(&answer.status) {
                    return Ok(answer.body);
                }
                let refused = subject.error(Failure::of_status(answer.status), "the address was refused");
                Err(refused.answered(answer.status, None))
            }
            .boxed()
        };
        self.patience.carry_out(subject, &self.cancel, exchange).await
    }
}

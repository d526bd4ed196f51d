use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, Clock, Problems};
use futures::FutureExt as _;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tencentcloud_sdk_rs::client::ReqClient;

use crate::api::{carried_out, response};
use crate::credential::held;
use crate::endpoint::Endpoint;
use crate::patience::{Patience, Subject};
use crate::transport::Incoming;
use crate::{Action, ApiError, Credentials, Failure, Nature};

const SERVICE: &str = "dnspod";

/// Where DNSPod listens.
const HOST: &str = "dnspod.tencentcloudapi.com";

/// The crate itself waits for ever.
const WITHIN: Duration = Duration::from_secs(60);

/// DNSPod's records, asked for through the crate `tencentcloud-sdk-rs`: behind the feature of that name, for who must use it.
///
/// The crate's API version is DNSPod's, so it can call nothing else. It takes a refusal for an answer; here every answer is read as JSON
/// and checked for `Response.Error`, and only actions that read are sent. It knows no tokens, keeps copies of the key that are
/// not wiped, and bounds no answer. [`Api`](crate::Api) does the same without it.
#[derive(Clone)]
pub struct SdkDnspod {
    host: String,
    patience: Patience,
    credentials: Arc<dyn Credentials>,
    clock: Arc<dyn Clock>,
    cancel: CancelToken,
}

impl SdkDnspod {
    /// DNSPod at `host`, which may have a port, else at its own address; always by HTTPS, by the certificates that OpenSSL trusts.
    ///
    /// # Errors
    /// `host`, where it is more than a host and a port.
    pub fn new(
        host: Option<&str>,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let endpoint =
            Endpoint::parse(&format!("https://{}", host.unwrap_or(HOST)), &mut Problems::default());
        let host = endpoint.map(|endpoint| endpoint.host()).ok_or_else(|| {
            let mut problems = Problems::default();
            problems.add("host", "must be a host and, where it is not 443, a port");
            problems
        })?;
        let (patience, cancel) = (Patience::new(clock.clone()), CancelToken::new());
        Ok(Self { host, patience, credentials, clock, cancel })
    }

    /// The same, whose calls stop when `cancel` is cancelled.
    #[must_use]
    pub fn until(&self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Carries out an action whose name begins with `Describe`. What breaks is tried again. Cancel safe.
    ///
    /// # Errors
    /// [`Failure`] tells what it means; [`Failure::Invalid`] for an action that may change something, [`Failure::Auth`] for a credential
    /// with a token.
    pub async fn ask<A: Action>(&self, action: &A) -> Result<A::Answer, ApiError> {
        let subject = Subject { service: SERVICE, action: A::NAME };
        if !A::NAME.starts_with("Describe") {
            return Err(subject.error(Failure::Invalid, "this way only actions that read are carried out"));
        }
        let action = serde_json::to_value(action).map_err(|error| {
            subject.error(Failure::Invalid, "the parameters cannot be written as JSON").because(error)
        })?;
        let exchange = || self.exchange(subject, &action).boxed();
        carried_out(subject, self.patience.carry_out(subject, &self.cancel, exchange).await?)
    }

    async fn exchange(&self, subject: Subject<'_>, action: &Value) -> Result<Value, ApiError> {
        let credential = held(self.credentials.as_ref(), subject).await?;
        if credential.token().is_some() {
            return Err(subject.error(Failure::Auth, "this way no token can be sent"));
        }
        let (id, key) = (credential.id().to_owned(), credential.key().expose().to_owned());
        let client = ReqClient::new(id, key, self.host.clone(), SERVICE.into());
        let sent = client
            .send::<_, Value>(subject.action.to_owned(), action)
            .map(|ended| ended.map_err(|error| subject.error(Failure::Transient, error.to_string())));
        let ended = tokio::time::timeout(WITHIN, sent).await;
        let answer = ended.map_err(|_| subject.error(Failure::Transient, "no answer came in time"))??;
        // The crate tells neither status nor headers: the clocks cannot be compared.
        let body = json!({ "Response": answer.response }).to_string().into();
        let answer = Incoming { status: 200, headers: HeaderMap::new(), body };
        response(&answer, subject, Nature::Reads, self.clock.now())
    }
}

impl fmt::Debug for SdkDnspod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkDnspod").field("host", &self.host).finish_non_exhaustive()
    }
}

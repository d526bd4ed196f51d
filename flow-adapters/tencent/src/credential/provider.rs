use std::fmt;

use async_trait::async_trait;
use flow_core::StepError;

use super::Credential;
use crate::patience::Subject;
use crate::{ApiError, Failure};

/// Where a [`Credential`] comes from. It is asked before every request, so it answers from memory where it can.
///
/// A [`Credential`] is its own provider: the one that never changes.
#[async_trait]
pub trait Credentials: Send + Sync + fmt::Debug {
    /// The credential to sign with now. Cancel safe.
    ///
    /// # Errors
    /// [`Invalid`](flow_core::ErrorKind::Invalid) where what is configured cannot be a credential,
    /// [`NotFound`](flow_core::ErrorKind::NotFound) where there is none, [`Denied`](flow_core::ErrorKind::Denied) where it must not be read,
    /// [`Unavailable`](flow_core::ErrorKind::Unavailable) where it could not be fetched now. Never with a secret in it.
    async fn credential(&self) -> Result<Credential, StepError>;
}

#[async_trait]
impl Credentials for Credential {
    async fn credential(&self) -> Result<Credential, StepError> {
        Ok(self.clone())
    }
}

/// The credential to sign with, or why there is none.
pub(crate) async fn held(
    credentials: &dyn Credentials,
    subject: Subject<'_>,
) -> Result<Credential, ApiError> {
    credentials.credential().await.map_err(|error| {
        let failure = if error.kind().is_retryable() { Failure::Transient } else { Failure::Auth };
        subject.error(failure, "there is no credential to sign with").because(error)
    })
}

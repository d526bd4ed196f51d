//! What is left of the points of failure in a build without the feature `testing`: nothing.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::durable::{Attempt, Effect};
use crate::error::StepError;
use crate::journal::{AcquireError, AppendError, Entry, Lease, Recorded};
use crate::machine::CallKey;

/// No points. Braced, since the real one has fields: it is made by `default`, which clippy refuses of a unit struct.
#[derive(Debug, Clone, Default)]
pub(super) struct Points {}

#[expect(clippy::unused_self, reason = "the real one needs itself")]
impl Points {
    pub(super) fn effect(
        &self,
        _: &CallKey,
        effect: &Effect,
        attempt: Attempt,
        _: &Arc<dyn Clock>,
    ) -> BoxFuture<'static, Result<Recorded, StepError>> {
        effect(attempt)
    }

    pub(super) async fn append(
        &self,
        _: &Lease,
        _: &[(Timestamp, Entry)],
        _: &Arc<dyn Clock>,
        write: impl Future<Output = Result<(), AppendError>> + Send,
    ) -> Result<(), AppendError> {
        write.await
    }

    pub(super) async fn renewal(
        &self,
        _: &Lease,
        renew: impl Future<Output = Result<(), AcquireError>> + Send,
    ) -> Result<(), AcquireError> {
        renew.await
    }
}

//! How a change is carried out once, whatever becomes of its answer.

use std::time::Duration;

use flow_core::{ErrorKind, StepError};
use flow_tencent::{Action, Failure, Nature};
use futures::future::BoxFuture;

use super::model::Function;
use super::platform::{Platform, told};

/// How often one change is sent, each time after the platform was looked at.
const ROUNDS: u32 = 3;

/// What is waited for before a state is read again: the first time, and at most.
const POLL: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(5);

/// How long the platform may take to show what it has carried out.
const SHOWN: Duration = Duration::from_secs(30);

/// Reads whether something is as it should be.
pub(super) type Look<'a> = BoxFuture<'a, Result<bool, StepError>>;

impl Platform {
    /// Carries out `action`, once.
    ///
    /// Where its end is not known, the function comes to rest first, and `is_done` reads whether it was carried out: only if it was not
    /// it is sent again. A refusal because the function is busy is never believed by its code: the function's status says when the next
    /// try is worth it.
    ///
    /// # Errors
    /// The platform's own, with code and request id. Once its end was open, an error leaves it open.
    pub(super) async fn carry_out<'a, A>(
        &'a self,
        function: &str,
        action: &A,
        is_done: impl Fn() -> Look<'a> + Send + Sync,
    ) -> Result<(), StepError>
    where
        A: Action,
        A::Answer: Send,
    {
        let mut doubt = None;
        for round in 1..=ROUNDS {
            let Err(error) = self.api.call(action, Nature::Writes).await else { return Ok(()) };
            let failure = error.failure();
            let error = told(error, function);
            let is_open = matches!(failure, Failure::InDoubt | Failure::Unexpected);
            if failure == Failure::Cancelled || (doubt.is_none() && !is_open && failure != Failure::Busy) {
                return Err(error);
            }
            // What was cut off may still be under way.
            let looked = async {
                self.pause(POLL * round).await?;
                self.settled(function).await?;
                if is_open || doubt.is_some() { is_done().await } else { Ok(false) }
            };
            match looked.await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Not looked at is not known.
                Err(unseen) => return Err(unseen.after_effect().because(error)),
            }
            let is_last = round == ROUNDS || !(is_open || failure == Failure::Busy);
            if is_open {
                doubt = Some(error);
            } else if is_last {
                return Err(if doubt.is_some() { error.after_effect() } else { error });
            }
        }
        Err(doubt.unwrap_or_else(|| {
            StepError::in_doubt("the change was not carried out").fact("function", function)
        }))
    }

    /// The function once no change of it is under way; none where there is no such function.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] where a change does not end.
    pub(crate) async fn settled(&self, function: &str) -> Result<Option<Function>, StepError> {
        let (begun, mut wait) = (self.monotonic(), POLL);
        loop {
            let Some(found) = self.function(function, None).await? else { return Ok(None) };
            if !found.is_moving() {
                return Ok(Some(found));
            }
            let patience = self.config.patience;
            if self.monotonic().saturating_sub(begun) > patience {
                return Err(StepError::new(
                    ErrorKind::TimedOut,
                    "a change of the function did not end in time",
                )
                .fact("function", function)
                .fact("status", found.status)
                .fact("waited", format!("{patience:?}")));
            }
            self.pause(wait).await?;
            wait = (wait * 2).min(POLL_MAX);
        }
    }

    /// The function after a change of it has ended well.
    ///
    /// # Errors
    /// Where it has failed, with the platform's reasons; each error leaves open what stands.
    pub(super) async fn rested(&self, function: &str) -> Result<Function, StepError> {
        let found = self.settled(function).await.map_err(StepError::after_effect)?;
        let gone =
            || StepError::in_doubt("the function went while it was changed").fact("function", function);
        let found = found.ok_or_else(gone)?;
        found.failure(function).map_or(Ok(found), |failure| Err(failure.after_effect()))
    }

    /// Returns when `look` finds what was carried out.
    ///
    /// # Errors
    /// In doubt where it does not show; each error leaves open what stands.
    pub(super) async fn shown<'a>(
        &'a self,
        function: &str,
        what: &'static str,
        look: impl Fn() -> Look<'a> + Send + Sync,
    ) -> Result<(), StepError> {
        let (begun, mut wait) = (self.monotonic(), POLL);
        while !look().await.map_err(StepError::after_effect)? {
            if self.monotonic().saturating_sub(begun) > SHOWN {
                return Err(StepError::in_doubt("what was changed does not read back")
                    .fact("function", function)
                    .fact("what", what));
            }
            self.pause(wait).await?;
            wait = (wait * 2).min(POLL_MAX);
        }
        Ok(())
    }
}

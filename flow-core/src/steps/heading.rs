use std::time::Duration;

use crate::error::{ErrorKind, StepError};
use crate::name::{NAME_MAX, Name};
use crate::permit::Permit;

/// What every standard step has: its name, and how long one attempt may take.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) name: Name,
    pub(super) deadline: Duration,
}

impl Heading {
    pub(super) const fn new(name: Name) -> Self {
        Self { name, deadline: Duration::from_mins(10) }
    }

    pub(super) const fn within(name: Name, deadline: Duration) -> Self {
        Self { name, deadline }
    }
}

/// Lets users rename a step and change its deadline. Ports cannot be printed, so `Debug` gives the name alone.
macro_rules! headed {
    ($step:ident) => {
        impl $step {
            /// Calls the step `name`: two steps of one kind in a plan need two names.
            #[must_use]
            pub fn named(mut self, name: $crate::Name) -> Self {
                self.heading.name = name;
                self
            }

            /// Gives one attempt this long.
            #[must_use]
            pub fn within(mut self, deadline: std::time::Duration) -> Self {
                self.heading.deadline = deadline;
                self
            }
        }

        impl std::fmt::Debug for $step {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($step)).field("name", &self.heading.name).finish_non_exhaustive()
            }
        }
    };
}

/// The way back of a step that leaves nothing behind.
macro_rules! leaves_nothing {
    ($step:ident: $stage:ident) => {
        #[async_trait::async_trait]
        impl $crate::Rollback<$crate::stage::$stage> for $step {
            fn reversibility(&self) -> $crate::Reversibility {
                $crate::Reversibility::NothingToUndo
            }

            async fn capture(
                &self,
                _cx: &$crate::StepContext<$crate::stage::$stage>,
            ) -> Result<$crate::Captured, $crate::StepError> {
                Ok($crate::Captured::nothing())
            }

            async fn roll_back(
                &self,
                _cx: &$crate::StepContext<$crate::stage::$stage>,
                _permit: &$crate::Permit,
                _before: &$crate::Captured,
                _outcome: &$crate::Outcome<$crate::stage::$stage>,
            ) -> Result<(), $crate::StepError> {
                Ok(())
            }
        }
    };
}

pub(super) use {headed, leaves_nothing};

/// `subject.role`, cut to a name's length: the default name of a step that a plan may have many of.
pub(super) fn joined(subject: &Name, role: &str) -> Name {
    let room = NAME_MAX.saturating_sub(role.len() + 1);
    let subject_cut: String = subject.as_str().chars().take(room).collect();
    Name::new(format!("{subject_cut}.{role}")).unwrap_or_else(|_| subject.clone())
}

/// Stops a long check between two of its parts when somebody asks.
pub(super) fn unless_cancelled(permit: &Permit) -> Result<(), StepError> {
    if permit.cancel().is_cancelled() {
        return Err(StepError::new(ErrorKind::Cancelled, "stopped when asked"));
    }
    Ok(())
}

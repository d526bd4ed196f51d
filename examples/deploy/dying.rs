//! A controller that kills itself with SIGKILL at a chosen point of its run, and leaves a trail of what it did: how the
//! suite proves that a run survives its owner at every point.

mod durable;
mod journal;
mod trail;

use std::fmt;

use anyhow::{Context, Result, bail};

pub(crate) use durable::DyingDurable;
pub(crate) use journal::DyingJournal;
pub(crate) use trail::Trail;

/// Where the process dies: at the first occurrence of this point in its own life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Death {
    /// Before the batch with this record is appended.
    Before(String),
    /// When the batch with this record is durable, before anything acts on it.
    After(String),
    /// Inside the effect of this call: it has begun, and is not done when it is polled for this time.
    Inside(String, u32),
    /// When the effect of this call is done, before anything of that is recorded.
    Effect(String),
}

impl std::str::FromStr for Death {
    type Err = anyhow::Error;

    /// `before:RECORD`, `after:RECORD`, `inside:CALL@POLL` or `effect:CALL`; a record as the trail names it.
    fn from_str(text: &str) -> Result<Self> {
        let (moment, point) = text.split_once(':').with_context(|| format!("`{text}` has no moment"))?;
        let point_of = || point.to_owned();
        Ok(match moment {
            "before" => Self::Before(point_of()),
            "after" => Self::After(point_of()),
            "effect" => Self::Effect(point_of()),
            "inside" => {
                let (call, poll) = point.split_once('@').with_context(|| format!("`{text}` has no poll"))?;
                Self::Inside(call.to_owned(), poll.parse().with_context(|| format!("`{text}`"))?)
            }
            other => bail!("`{other}` is none of `before`, `after`, `inside`, `effect`"),
        })
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(record) => write!(f, "before:{record}"),
            Self::After(record) => write!(f, "after:{record}"),
            Self::Inside(call, poll) => write!(f, "inside:{call}@{poll}"),
            Self::Effect(call) => write!(f, "effect:{call}"),
        }
    }
}

//! What a run does, in the words of its caller.

use flow_core::StepError;
use flow_core::port::AppliedMigration;

/// Which script of a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The up script.
    Up,
    /// The down script.
    Down,
}

impl Direction {
    /// `up` or `down`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How far to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Everything that is pending.
    Latest,
    /// Everything that is pending, up to this version.
    To(String),
}

/// How far to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retreat {
    /// So many migrations, newest first.
    Steps(usize),
    /// Everything that was applied after this version.
    To(String),
    /// Everything.
    All,
    /// Everything but these versions.
    Keep(Vec<String>),
}

/// One migration that a run finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The version, as the file name has it.
    pub version: String,
    /// The rest of the file name.
    pub name: String,
    /// Which of its scripts ran.
    pub direction: Direction,
    /// How many statements that script has.
    pub statements: u32,
    /// Whether they were one transaction, with the migration's row.
    pub transactional: bool,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What a run did before it ended.
#[derive(Debug, Default)]
pub struct Course {
    /// What it finished, in this order.
    pub finished: Vec<Finished>,
    /// What stands by the same idempotency key, by earlier attempts too.
    pub(crate) under_key: Vec<AppliedMigration>,
    /// Why it stopped, where it did not reach its goal.
    pub stopped: Option<StepError>,
}

impl Course {
    /// A run that ended before it began.
    pub(crate) fn stopped(error: StepError) -> Self {
        Self { stopped: Some(error), ..Self::default() }
    }
}

use std::fmt;

use serde::Serialize;

/// A row of the table in `README.md`. Shown, it is the line of JSON that `cargo xtask bench` reads.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    what: String,
    shown: String,
    goal: Option<String>,
    met: bool,
}

impl Figure {
    /// A figure without a goal.
    pub fn of(what: impl Into<String>, shown: impl Into<String>) -> Self {
        Self { what: what.into(), shown: shown.into(), goal: None, met: true }
    }

    /// The same, with a goal that was met or missed.
    #[must_use]
    pub fn goal(self, goal: impl Into<String>, met: bool) -> Self {
        Self { goal: Some(goal.into()), met, ..self }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&line)
    }
}

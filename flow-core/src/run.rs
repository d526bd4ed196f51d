//! The id of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Entropy};
use crate::name::{InvalidName, Name};

/// The id of one run of one workflow: its journal's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Name);

impl RunId {
    /// Takes an id that the caller chose, such as a ticket's number.
    ///
    /// # Errors
    /// [`InvalidName`] when it is no [`Name`].
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        Name::new(text).map(Self)
    }

    /// A new id: the time of day and 64 random bits, so that ids sort by age.
    #[must_use]
    pub fn generate(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let text = format!("{}-{:016x}", clock.now().strftime("%Y%m%dT%H%M%SZ"), entropy.next());
        // Digits, letters and a dash: always a name. The literal keeps the library free of a panic all the same.
        Self(Name::new(text).unwrap_or(crate::name!("run")))
    }

    /// The id as a name: a file or directory name, for instance.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

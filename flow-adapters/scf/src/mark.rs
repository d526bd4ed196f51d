use std::fmt;

use flow_core::{Digest, Permit};

use crate::launched::Launched;

/// What the description of a function begins with that was made here.
const MADE: &str = "made by flow";

/// What the description of a version tells that was published here: which code it holds, and why it was published.
///
/// The platform keeps descriptions with what they describe, so a mark is found again by whoever comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The hash of the key of the call that published it; none for a version that only keeps code.
    key: Option<Digest>,
    code: Digest,
}

impl Mark {
    /// Of a version that a call publishes.
    pub(crate) fn released(permit: &Permit, code: Digest) -> Self {
        Self { key: Some(Digest::of(permit.idempotency_key().as_bytes())), code }
    }

    /// Of a version that keeps code which is about to be overwritten.
    pub(crate) const fn kept(code: Digest) -> Self {
        Self { key: None, code }
    }

    fn parse(description: &str) -> Option<Self> {
        let (why, code) = description.strip_prefix("flow ")?.split_once(" code=")?;
        let key = match why.strip_prefix("key=") {
            Some(key) => Some(digest(key)?),
            None if why == "kept" => None,
            None => return None,
        };
        Some(Self { key, code: digest(code)? })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "flow key={} code={}", key.hex(), self.code.hex()),
            None => write!(f, "flow kept code={}", self.code.hex()),
        }
    }
}

/// The code that a version says it holds, whatever it was published for.
pub(crate) fn code_of(description: &str) -> Option<Digest> {
    let launched = || Launched::parse(description).map(|launched| launched.digest);
    Mark::parse(description).map(|mark| mark.code).or_else(launched)
}

/// The description of a function that this call makes.
pub(crate) fn made_by(permit: &Permit) -> String {
    format!("{MADE} {}", Digest::of(permit.idempotency_key().as_bytes()).short())
}

/// Whether a function with this description was made here.
pub(crate) fn is_made_here(description: &str) -> bool {
    description.starts_with(MADE)
}

/// A digest that is written without its prefix, in either case.
pub(crate) fn digest(hex: &str) -> Option<Digest> {
    format!("sha256:{}", hex.to_ascii_lowercase()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_other_descriptions_are_none() {
        let code = Digest::of(b"code");
        for mark in [Mark { key: Some(Digest::of(b"run/1")), code }, Mark::kept(code)] {
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
        for other in ["", "flow ", "flow kept", "flow kept code=12", "release 3", "flow key= code="] {
            assert_eq!(Mark::parse(other), None, "{other}");
        }
    }
}

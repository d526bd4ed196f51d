use serde::{Deserialize, Serialize};

/// How far a rolling replacement may stray from the fleet's size, in instances: above it and below it.
///
/// Not both are 0: without room above or below, no instance could ever be replaced.
///
/// ```
/// use flow_core::strategy::Headroom;
///
/// let headroom = Headroom::new(2, 1)?;
/// assert_eq!((headroom.max_surge(), headroom.max_unavailable()), (2, 1));
/// assert!(Headroom::new(0, 0).is_err());
/// # Ok::<(), flow_core::strategy::NoHeadroom>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Headroom {
    max_surge: u32,
    max_unavailable: u32,
}

impl Headroom {
    /// One more than the fleet's size, never one less.
    pub const ONE_MORE: Self = Self { max_surge: 1, max_unavailable: 0 };

    /// One less than the fleet's size, never one more.
    pub const ONE_LESS: Self = Self { max_surge: 0, max_unavailable: 1 };

    /// Takes how many instances may stand above the fleet's size, and how many may be missing from it.
    ///
    /// # Errors
    /// [`NoHeadroom`] when both are 0.
    pub const fn new(max_surge: u32, max_unavailable: u32) -> Result<Self, NoHeadroom> {
        if max_surge == 0 && max_unavailable == 0 {
            return Err(NoHeadroom);
        }
        Ok(Self { max_surge, max_unavailable })
    }

    /// How many instances may stand above the fleet's size.
    #[must_use]
    pub const fn max_surge(self) -> u32 {
        self.max_surge
    }

    /// How many of the fleet's instances may be missing from service.
    #[must_use]
    pub const fn max_unavailable(self) -> u32 {
        self.max_unavailable
    }

    /// How many instances are replaced at a time.
    #[must_use]
    pub const fn batch(self) -> u32 {
        self.max_surge.saturating_add(self.max_unavailable)
    }
}

/// A [`Headroom`] of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`max_surge` and `max_unavailable` are both 0, so nothing could ever be replaced")]
pub struct NoHeadroom;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    max_surge: u32,
    max_unavailable: u32,
}

impl TryFrom<Unchecked> for Headroom {
    type Error = NoHeadroom;

    fn try_from(unchecked: Unchecked) -> Result<Self, NoHeadroom> {
        Self::new(unchecked.max_surge, unchecked.max_unavailable)
    }
}

impl From<Headroom> for Unchecked {
    fn from(headroom: Headroom) -> Self {
        Self { max_surge: headroom.max_surge, max_unavailable: headroom.max_unavailable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_headroom_at_all_does_not_read() {
        let read = |text| serde_json::from_str::<Headroom>(text);
        assert_eq!(read(r#"{"max_surge": 1, "max_unavailable": 0}"#).expect("reads"), Headroom::ONE_MORE);
        let refused =
            read(r#"{"max_surge": 0, "max_unavailable": 0}"#).expect_err("nothing could be replaced");
        assert!(refused.to_string().contains("both 0"), "{refused}");
        assert!(read(r#"{"max_surge": 1, "max_unavailable": 0, "max": 1}"#).is_err());
    }
}

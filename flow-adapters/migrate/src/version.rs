//! Versions: digits of any length, compared as numbers.

use std::cmp::Ordering;
use std::fmt;

/// A migration's version as its file name has it. Two versions are equal when they are the same number.
#[derive(Debug, Clone)]
pub(crate) struct Version(String);

impl Version {
    /// Takes `text` as a version if it is nothing but decimal digits.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `versions` as one text for people.
    pub(crate) fn list<'a>(versions: impl IntoIterator<Item = &'a Self>) -> String {
        versions.into_iter().map(Self::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The version as sqlx's table can hold it.
    pub(crate) fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The digits without leading zeros: what numbers of any length are compared by.
    fn significant(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.significant(), other.significant());
        mine.len().cmp(&theirs.len()).then_with(|| mine.cmp(theirs))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::new(text).unwrap()
    }

    #[test]
    fn versions_are_compared_as_numbers_of_any_length() {
        assert!(version("9") < version("10"));
        assert!(version("0002") < version("10"));
        assert!(version("9223372036854775807") < version("20191100000001000000"));
        assert_eq!(version("0001"), version("1"));
        assert_eq!(version("0"), version("000"));
    }

    #[test]
    fn only_digits_are_a_version() {
        for bad in ["", "1a", "-1", "1.0", " 1", "١"] {
            assert!(Version::new(bad).is_none(), "{bad}");
        }
    }
}

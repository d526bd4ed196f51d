//! Versions: numbers of any length, dotted or not, compared as numbers.

use std::cmp::Ordering;
use std::fmt;

/// A migration's version as its file name has it. Two versions are equal when they are the same number.
///
/// Dots and underscores separate numbers (`1.2.3`, `1_2`), and a missing number is zero. Hyphens make a time,
/// `2019-02-26-002946`: a day is its midnight, and digits behind the second are another number.
///
/// ```
/// use flow_sql::Version;
///
/// let version = |text: &str| Version::new(text).unwrap();
/// assert!(version("9") < version("10"));
/// assert!(version("9223372036854775807") < version("20191100000001000000"));
/// assert_eq!(version("0001"), version("1"));
/// assert_eq!(version("1.0"), version("1"));
/// assert!(version("1_2") < version("1.10"));
/// assert_eq!(version("2019-02-26-002946"), version("20190226002946"));
/// ```
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    numbers: Vec<String>,
}

impl Version {
    /// Takes `text` as a version if it is nothing but numbers, with single dots, underscores or hyphens between digits.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split(['.', '_', '-'])
            .all(number)
            .then(|| Self { text: text.to_owned(), numbers: numbers(text) })
    }

    /// As the file name has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version as one signed number of 64 bits, as sqlx keeps it; none where it does not fit or has several numbers.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self.numbers.as_slice() {
            [] => Some(0),
            [number] => number.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is one number, in digits alone.
    pub(crate) fn is_plain(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// The numbers of a version, without what makes no difference between them.
fn numbers(text: &str) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    for part in text.split(['.', '_']) {
        if part.contains('-') {
            // A time has 14 digits. What follows them is a number of its own, and even zeros tell it from nothing.
            let digits = format!("{:0<14}", part.replace('-', ""));
            let (time, rest) = digits.split_at_checked(14).unwrap_or_default();
            numbers.push(time.to_owned());
            numbers.extend((!rest.is_empty()).then(|| format!("1{rest}")));
        } else {
            numbers.push(part.to_owned());
        }
    }
    for number in &mut numbers {
        *number = number.trim_start_matches('0').to_owned();
    }
    while numbers.last().is_some_and(String::is_empty) {
        numbers.pop();
    }
    numbers
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        fn by_length(numbers: &[String]) -> impl Iterator<Item = (usize, &String)> {
            numbers.iter().map(|number| (number.len(), number))
        }
        by_length(&self.numbers).cmp(by_length(&other.numbers))
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
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::new(text).unwrap()
    }

    #[test]
    fn versions_are_compared_as_numbers_of_any_length() {
        let rising = ["0", "0002", "9", "10", "10.0.1", "10_2", "10.10", "11", "9223372036854775808"];
        for (at, lower) in rising.iter().enumerate() {
            for higher in &rising[at + 1..] {
                assert!(version(lower) < version(higher), "{lower} {higher}");
            }
        }
        // A folder of vaultwarden's: as plain numbers, the day would come before all others.
        assert!(version("2024-03-06-170000") < version("2024-03-13"));
        assert!(version("2024-03-13") < version("20240313170000"));
        // One of crates.io's: as a plain number, it would come behind all others.
        assert!(version("2025-11-19-091444-0000") < version("2025-11-20-091444"));
        // Both are there.
        assert!(version("2026-05-27-120000") < version("2026-05-27-120000-0000"));
        assert!(version("2026-05-27-120000-0000") < version("2026-05-27-120000-0001"));
        for (one, other) in
            [("0001", "1"), ("0", "000.0"), ("1.2", "1_02"), ("1.0", "1"), ("2019-01-02", "20190102000000")]
        {
            assert_eq!(version(one), version(other));
            assert_eq!(version(one).as_i64(), version(other).as_i64());
            assert_eq!(version(one).to_string(), one);
        }
    }

    #[test]
    fn only_digits_between_single_separators_are_a_version() {
        for bad in ["", "1a", "-1", "1.", "1..2", "1__2", " 1", "١", "1 2", "+1"] {
            assert!(Version::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_sqlx_keeps_is_one_number_of_64_bits() {
        assert_eq!(version("0020").as_i64(), Some(20));
        assert_eq!(version("2019-02-26-002946").as_i64(), Some(20_190_226_002_946));
        assert_eq!(version("9223372036854775807").as_i64(), Some(i64::MAX));
        assert_eq!(version("9223372036854775808").as_i64(), None);
        assert_eq!(version("1.2").as_i64(), None);
        // Its digits would be read back as another version.
        assert_eq!(version("2026-07-30-140000-0000").as_i64(), None);
    }

    proptest! {
        #[test]
        fn versions_within_64_bits_are_ordered_like_numbers(one: u64, other: u64, zeros in 0_usize..3) {
            let padded = version(&format!("{}{one}", "0".repeat(zeros)));
            prop_assert_eq!(padded.cmp(&version(&other.to_string())), one.cmp(&other));
        }
    }
}

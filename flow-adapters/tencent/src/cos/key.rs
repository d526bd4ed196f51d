use std::fmt;

use flow_core::Problems;

/// What a key may have, in bytes.
const KEY_MAX: usize = 850;

/// The name of an object within its bucket, such as `assets/app.3f2a1c.js`.
///
/// Refused is what the storage forbids (control characters, a first `/` or `\`, more than 850 bytes) and what clients, proxies and
/// browsers make another name of: parts that are `.`, `..` or empty. A last `/` is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// A key.
    ///
    /// # Errors
    /// Everything that is wrong with it, under the field `key`.
    pub fn new(key: impl Into<String>) -> Result<Self, Problems> {
        let key = key.into();
        let mut problems = Problems::default();
        let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
        let mut refuse = |holds: bool, why: &str| problems.check(holds, "key", &format!("`{shown}` {why}"));
        refuse(!key.is_empty(), "must not be empty");
        refuse(key.len() <= KEY_MAX, "must not be longer than 850 bytes");
        refuse(!key.starts_with(['/', '\\']), "must not begin with a slash");
        refuse(!key.contains(char::is_control), "must not hold control characters");
        let inner = key.strip_suffix('/').unwrap_or(&key);
        let refused = inner.split('/').any(|part| part == "." || part == "..");
        refuse(!refused, "must not hold a part that is `.` or `..`");
        let empty = !inner.starts_with('/') && !inner.is_empty() && inner.split('/').any(str::is_empty);
        refuse(!empty, "must not hold two slashes in a row");
        problems.into_result()?;
        Ok(Self(key))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awkward_keys_that_are_sound_are_accepted() {
        for key in [
            "a",
            "a/",
            "a b/c+d%20e&f=g;h~i'(j)!*.txt",
            "目录/文件",
            ".flow/kept/1",
            "...",
            "a/.b/c..",
            "index.html",
        ] {
            assert_eq!(ObjectKey::new(key).unwrap().as_str(), key);
        }
        assert!(ObjectKey::new("x".repeat(850)).is_ok());
    }

    #[test]
    fn what_would_become_another_name_is_refused_by_its_reason() {
        for (key, why) in [
            ("", "`` must not be empty"),
            ("/a", "`/a` must not begin with a slash"),
            ("\\a", "`\\\\a` must not begin with a slash"),
            ("a\u{1}", "`a\\u{1}` must not hold control characters"),
            ("a/../b", "`a/../b` must not hold a part that is `.` or `..`"),
            ("./a", "`./a` must not hold a part that is `.` or `..`"),
            ("a/..", "`a/..` must not hold a part that is `.` or `..`"),
            ("a//b", "`a//b` must not hold two slashes in a row"),
            ("a//", "`a//` must not hold two slashes in a row"),
        ] {
            assert_eq!(ObjectKey::new(key).unwrap_err().to_string(), format!("`key`: {why}"));
        }
        assert!(ObjectKey::new("x".repeat(851)).is_err());
        assert!(ObjectKey::new("/").is_err());
    }
}

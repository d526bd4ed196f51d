//! Validated names and digests: what every identifier that reaches a path, a process or a journal is made of.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A validated identifier: of a step, a service, an application, a version, an instance.
///
/// Matches `^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`, so it is safe as a file name and as an argument: it never begins
/// with a dash or a dot and never holds a separator, a quote or a control character.
///
/// ```
/// use flow_core::{Name, name};
///
/// assert_eq!(name!("web").as_str(), "web");
/// assert!(Name::new("../etc").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Cow<'static, str>);

/// A [`Name`] from a literal, checked while compiling.
///
/// ```compile_fail
/// flow_core::name!("../etc");
/// ```
#[macro_export]
macro_rules! name {
    ($literal:literal) => {{
        const CHECKED: $crate::Name = $crate::Name::__literal($literal);
        CHECKED
    }};
}

/// The longest [`Name`], in bytes.
pub const NAME_MAX: usize = 64;

impl Name {
    /// Checks `text` and takes it as a name.
    ///
    /// # Errors
    /// [`InvalidName`] when the text is empty, too long, or holds a character that is not allowed.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        if is_name(text.as_bytes()) { Ok(Self(Cow::Owned(text))) } else { Err(InvalidName { text }) }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn __literal(text: &'static str) -> Self {
        assert!(
            is_name(text.as_bytes()),
            "a name is 1 to 64 of letters, digits and `._+-`, beginning with a letter or digit"
        );
        Self(Cow::Borrowed(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_name(text: &[u8]) -> bool {
    let [first, rest @ ..] = text else { return false };
    if text.len() > NAME_MAX || !first.is_ascii_alphanumeric() {
        return false;
    }
    let mut rest = rest;
    while let [byte, tail @ ..] = rest {
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-')) {
            return false;
        }
        rest = tail;
    }
    true
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Name {
    // By hand, because serde's `into` makes a copy of every name in every record.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into_owned()
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl std::str::FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

/// A text that is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a name: 1 to 64 of letters, digits and `._+-`, beginning with a letter or digit")]
pub struct InvalidName {
    /// The refused text.
    pub text: String,
}

/// A person or machine that starts, approves or answers for something.
///
/// Free text of 1 to 128 characters without control characters, compared exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Actor(String);

impl Actor {
    /// Checks `text` and takes it as an actor.
    ///
    /// # Errors
    /// [`InvalidActor`] when the text is empty, longer than 128 characters or holds a control character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidActor> {
        let text = text.into();
        let length = text.chars().count();
        if text.trim().is_empty() || length > 128 || text.chars().any(char::is_control) {
            return Err(InvalidActor { text });
        }
        Ok(Self(text))
    }

    /// The actor as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "testing")]
impl Actor {
    pub(crate) fn tester() -> Self {
        Self("tester".to_owned())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.0
    }
}

impl TryFrom<String> for Actor {
    type Error = InvalidActor;

    fn try_from(text: String) -> Result<Self, InvalidActor> {
        Self::new(text)
    }
}

/// A text that names no [`Actor`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no actor: 1 to 128 characters, none of them a control character")]
pub struct InvalidActor {
    /// The refused text.
    pub text: String,
}

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Takes 32 bytes that a SHA-256 hasher gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits without the prefix: a file name.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The first 12 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let refuse = || InvalidDigest { text: text.to_owned() };
        let hex = text.strip_prefix("sha256:").ok_or_else(refuse)?;
        if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| refuse())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

/// A text that is no [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not `sha256:` and 64 lower-case hexadecimal digits")]
pub struct InvalidDigest {
    /// The refused text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_as_a_file_name_and_as_an_argument() {
        for good in ["web", "1.0.0", "a", "Web_2-x.y+build", &"a".repeat(64)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", ".x", "a/b", "a b", "a;b", "a\n", "ü", "$(x)", &"a".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_reads_back_and_refuses_upper_case() {
        let digest = Digest::of(b"flow");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        assert!("sha256:00".parse::<Digest>().is_err());
    }
}

use std::collections::BTreeMap;
use std::fmt;

use flow_core::Problems;
use zeroize::Zeroizing;

/// Ids and keys have 32 to 64 characters, tokens some hundreds to some thousands.
const KEY_MAX: usize = 256;
const TOKEN_MAX: usize = 8 << 10;

/// A key's id, the key, and the token of a temporary one.
///
/// ```
/// use flow_tencent::Credential;
///
/// let credential = Credential::new("AKID123", "very secret", None)?;
/// assert!(!format!("{credential:?}").contains("very"));
/// # Ok::<(), flow_core::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    id: String,
    key: Secret,
    token: Option<Secret>,
}

impl Credential {
    /// A credential; an empty token is none.
    ///
    /// # Errors
    /// Fields that are empty, too long, or hold what no header can.
    pub fn new(
        id: impl Into<String>,
        key: impl Into<String>,
        token: Option<String>,
    ) -> Result<Self, Problems> {
        let (id, key) = (id.into(), Secret::new(key));
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        let mut problems = Problems::default();
        check(&mut problems, "secret id", &id, KEY_MAX);
        check(&mut problems, "secret key", key.expose(), KEY_MAX);
        if let Some(token) = &token {
            check(&mut problems, "token", token.expose(), TOKEN_MAX);
        }
        problems.into_result()?;
        Ok(Self { id, key, token })
    }

    /// The credential in variables named as the official tools name them: `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY` and, if there,
    /// `TENCENTCLOUD_TOKEN`. A library reads no environment: the program hands it in.
    ///
    /// # Errors
    /// As [`new`](Self::new); a variable that is missing counts as empty.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, Problems> {
        let value = |name: &str| variables.get(name).cloned();
        let (id, key) = (value("TENCENTCLOUD_SECRET_ID"), value("TENCENTCLOUD_SECRET_KEY"));
        Self::new(id.unwrap_or_default(), key.unwrap_or_default(), value("TENCENTCLOUD_TOKEN"))
    }

    /// The key's id. No secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key that signs.
    #[must_use]
    pub const fn key(&self) -> &Secret {
        &self.key
    }

    /// What a temporary key needs beside itself.
    #[must_use]
    pub const fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }
}

fn check(problems: &mut Problems, field: &str, value: &str, max: usize) {
    problems.check(!value.is_empty(), field, "is missing");
    problems.check(value.len() <= max, field, "is too long");
    let sendable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    problems.check(sendable && value.trim() == value, field, "holds characters that no key has");
}

/// A text that is never shown, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: for signing and sending, never for messages.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_key_nor_token_is_shown() {
        let credential = Credential::new("AKID1", "s3cret", Some("t0ken".into())).unwrap();
        let shown = format!("{credential:?} {credential:#?}");
        assert!(shown.contains("AKID1") && !shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_without_the_secrets() {
        let wrong = Credential::new("", "a\nb", Some("x".repeat(9 << 10))).unwrap_err();
        let expected =
            "`secret id`: is missing; `secret key`: holds characters that no key has; `token`: is too long";
        assert_eq!(wrong.to_string(), expected);
    }

    #[test]
    fn variables_are_read_by_their_official_names_and_an_empty_token_is_none() {
        let mut variables = BTreeMap::from([
            ("TENCENTCLOUD_SECRET_ID".to_owned(), "id".to_owned()),
            ("TENCENTCLOUD_SECRET_KEY".to_owned(), "key".to_owned()),
            ("TENCENTCLOUD_TOKEN".to_owned(), String::new()),
        ]);
        let credential = Credential::from_variables(&variables).unwrap();
        assert_eq!((credential.id(), credential.key().expose()), ("id", "key"));
        assert_eq!(credential.token(), None);
        variables.insert("TENCENTCLOUD_TOKEN".into(), "token".into());
        let token = Credential::from_variables(&variables).unwrap().token().cloned();
        assert_eq!(token, Some(Secret::new("token")));
        variables.remove("TENCENTCLOUD_SECRET_KEY");
        let missing = Credential::from_variables(&variables).unwrap_err();
        assert_eq!(missing.to_string(), "`secret key`: is missing");
    }
}

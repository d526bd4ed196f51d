//! The key that sealed state is encrypted with.

use std::fmt;
use std::sync::Arc;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::x25519::Identity;
use flow_core::{Problems, StepError};

/// The key of a [`DirectoryVault`](super::DirectoryVault) that encrypts: an X25519 identity of age, <https://c2sp.org/age>.
///
/// `Debug` shows its public half alone. The private half is wiped from memory with the last clone.
#[derive(Clone)]
pub struct VaultKey(Arc<Identity>);

impl VaultKey {
    /// Takes an identity as `age-keygen` writes it: one line that begins with `AGE-SECRET-KEY-1`, among comments.
    ///
    /// ```
    /// use flow_local::store::VaultKey;
    ///
    /// let key = VaultKey::parse(&VaultKey::generate().to_identity())?;
    /// assert!(format!("{key:?}").contains("age1"));
    /// assert!(VaultKey::parse(&"correct horse battery staple".into()).is_err());
    /// # Ok::<(), flow_core::Problems>(())
    /// ```
    ///
    /// # Errors
    /// Where there is no such line, more than one, or one that is no identity. None shows the text.
    pub fn parse(text: &SecretString) -> Result<Self, Problems> {
        let mut lines = text
            .expose_secret()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identity = match (lines.next(), lines.next()) {
            (Some(line), None) => line.parse().map_err(|_| "is no X25519 identity of age"),
            (None, _) => Err("holds no identity"),
            (Some(_), Some(_)) => Err("holds more than one identity"),
        };
        identity.map(|identity| Self(Arc::new(identity))).map_err(|problem| {
            let mut problems = Problems::default();
            problems.add("key", problem);
            problems
        })
    }

    /// Makes a new key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Arc::new(Identity::generate()))
    }

    /// The identity as [`parse`](Self::parse) takes it, for whoever keeps it.
    #[must_use]
    pub fn to_identity(&self) -> SecretString {
        self.0.to_string()
    }

    pub(super) fn encrypt(&self, content: &[u8]) -> Result<Vec<u8>, StepError> {
        age::encrypt(&self.0.to_public(), content)
            .map_err(|error| StepError::in_doubt("the state cannot be encrypted").because(error))
    }

    /// What was encrypted; none where that was done with another key, or it was changed since.
    pub(super) fn decrypt(&self, encrypted: &[u8]) -> Option<Vec<u8>> {
        age::decrypt(&*self.0, encrypted).ok()
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VaultKey").field(&format_args!("{}", self.0.to_public())).finish()
    }
}

use std::fmt;

use flow_core::Clock;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;

use super::super::clock::CloudClock;

/// How far a signature's time may be off, in seconds.
pub(super) const WINDOW: i64 = 300;

/// The keys that the cloud knows. All are made up.
#[derive(Clone)]
pub(in super::super) struct Keys {
    pub(in super::super) id: String,
    pub(in super::super) secret: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key that needs a token.
const TEMPORARY: (&str, &str, &str) =
    ("AKIDTEMPTEMPTEMPTEMP00000000000002", "fakeSecretKey000000000000000002", "fake-session-token");

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Unknown,
    Token,
}

impl Keys {
    /// The secret of a key, if the token is the one that it needs.
    pub(super) fn secret(&self, id: &str, token: Option<&str>) -> Result<&str, Refused> {
        let token = token.filter(|token| !token.is_empty());
        if id == self.id {
            return if token.is_none() { Ok(&self.secret) } else { Err(Refused::Token) };
        }
        let (temporary, secret, needed) = TEMPORARY;
        match token {
            _ if id != temporary => Err(Refused::Unknown),
            Some(token) if token == needed => Ok(secret),
            _ => Err(Refused::Token),
        }
    }
}

/// What may be the time of a client: the machine's or the cloud's, and none between.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Moments {
    pub(super) machine: i64,
    pub(super) cloud: i64,
}

impl Moments {
    pub(in super::super) fn of(clock: &CloudClock) -> Self {
        Self { machine: Timestamp::now().as_second(), cloud: clock.now().as_second() }
    }

    /// Whether it is so by either clock.
    pub(super) fn any(self, holds: impl Fn(i64) -> bool) -> bool {
        holds(self.machine) || holds(self.cloud)
    }
}

pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<sha2::Sha256>::new_from_slice(key)
        .map(|mut mac| {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        })
        .unwrap_or_default()
}

pub(super) fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<sha1::Sha1>::new_from_slice(key)
        .map(|mut mac| {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_key_needs_its_token_and_a_lasting_one_none() {
        let keys = Keys { id: "AKID1".to_owned(), secret: "one".to_owned() };
        assert_eq!(keys.secret("AKID1", None), Ok("one"));
        assert_eq!(keys.secret("AKID1", Some("fake-session-token")), Err(Refused::Token));
        assert_eq!(keys.secret("AKID2", None), Err(Refused::Unknown));
        assert_eq!(keys.secret(TEMPORARY.0, None), Err(Refused::Token));
        assert_eq!(keys.secret(TEMPORARY.0, Some("another")), Err(Refused::Token));
        assert_eq!(keys.secret(TEMPORARY.0, Some("fake-session-token")), Ok(TEMPORARY.1));
    }
}

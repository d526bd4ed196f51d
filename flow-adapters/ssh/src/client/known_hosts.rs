//! Which host keys are trusted: OpenSSH's `known_hosts` (`sshd(8)`, SSH_KNOWN_HOSTS FILE FORMAT).

use std::path::Path;

use flow_core::{ErrorKind, StepError};
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use sha1::Sha1;

use super::connection_error::{ConnectionError, HostKeyProblem};
use super::local_file;

/// The largest file of known hosts that is read.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// The host key algorithms that can be checked, in the order of preference.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

/// What a file says of one server.
#[derive(Debug)]
pub(super) struct KnownHost {
    server: String,
    keys: Vec<(usize, PublicKey)>,
    revoked: Vec<PublicKey>,
}

impl KnownHost {
    /// Reads what the file at `path` says of a server.
    pub(super) async fn read(path: &Path, host: &str, port: u16) -> Result<Self, StepError> {
        let content = local_file::read(path, "known_hosts", FILE_MAX).await?;
        let content = str::from_utf8(&content).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the file of known hosts is no text")
                .fact("field", "known_hosts")
                .because(error)
        })?;
        Self::parse(content, host, port)
    }

    /// Certificate authorities are passed over: this client takes no certificates. So is a line that cannot be read, since that only
    /// ever takes trust away; unless it is to revoke a key, which must not be lost.
    fn parse(content: &str, host: &str, port: u16) -> Result<Self, StepError> {
        let host = host.to_ascii_lowercase();
        let server = if port == 22 { host } else { format!("[{host}]:{port}") };
        let mut known = Self { server, keys: Vec::new(), revoked: Vec::new() };
        for (index, line) in content.lines().enumerate() {
            let (number, line) = (index + 1, line.trim().replace('\t', " "));
            let entry = match line.parse::<Entry>() {
                Ok(entry) => entry,
                Err(error) if line.starts_with("@revoked") => {
                    return Err(StepError::new(ErrorKind::Invalid, "a revoked key cannot be read")
                        .fact("field", "known_hosts")
                        .fact("line", number)
                        .because(error));
                }
                Err(_) => continue,
            };
            if !names(entry.host_patterns(), &known.server) {
                continue;
            }
            let key = PublicKey::from(entry.public_key().key_data().clone());
            match entry.marker() {
                None => known.keys.push((number, key)),
                Some(Marker::Revoked) => known.revoked.push(key),
                Some(Marker::CertAuthority) => {}
            }
        }
        Ok(known)
    }

    /// The algorithms to ask for: first those of the known keys, so that a server with several keys shows the one that is known.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let (mut known, others): (Vec<_>, Vec<_>) = ALGORITHMS
            .into_iter()
            .partition(|algorithm| self.keys.iter().any(|(_, key)| key.algorithm() == *algorithm));
        known.extend(others);
        known
    }

    /// Judges the key that the server proved to have.
    pub(super) fn judge(&self, key: &PublicKey) -> Result<(), ConnectionError> {
        let same = |known: &PublicKey| known.key_data() == key.key_data();
        let problem = if self.revoked.iter().any(same) {
            HostKeyProblem::Revoked
        } else if self.keys.iter().any(|(_, known)| same(known)) {
            return Ok(());
        } else {
            self.keys
                .first()
                .map_or(HostKeyProblem::Unknown, |(line, _)| HostKeyProblem::Changed { line: *line })
        };
        Err(ConnectionError::HostKey {
            server: self.server.clone(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            problem,
        })
    }
}

/// Whether an entry is about `server`: by any of its patterns, and by none that is negated.
fn names(patterns: &HostPatterns, server: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|hmac| hmac.chain_update(server).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let hit = |pattern: &str| matches(pattern.to_ascii_lowercase().as_bytes(), server.as_bytes());
            let (negated, plain): (Vec<_>, Vec<_>) =
                patterns.iter().partition(|pattern| pattern.starts_with('!'));
            plain.into_iter().any(|pattern| hit(pattern))
                && !negated.into_iter().any(|pattern| hit(pattern.trim_start_matches('!')))
        }
    }
}

/// Whether `text` is what `pattern` says: `*` is any text, `?` any one character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last `*` stands, and how much of the text it has taken so far.
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(sign) if *sign == b'?' || text.get(of) == Some(sign) => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, of) = (place + 1, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|sign| *sign == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";
    /// What `ssh-keygen -H` writes for `example.com`.
    const HASHED: &str = "|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak=";

    fn judged(file: &str, host: &str, port: u16, key: &str) -> Option<HostKeyProblem> {
        let key: PublicKey = key.parse().unwrap();
        match KnownHost::parse(file, host, port).unwrap().judge(&key) {
            Ok(()) => None,
            Err(ConnectionError::HostKey { problem, .. }) => Some(problem),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_key_is_known_by_name_by_port_by_pattern_and_by_hash() {
        let unknown = Some(HostKeyProblem::Unknown);
        for (names, host, port, expected) in [
            ("example.com", "example.com", 22, None),
            ("example.com", "EXAMPLE.com", 22, None),
            ("example.com", "example.com", 2222, unknown),
            ("[example.com]:2222", "example.com", 2222, None),
            ("[example.com]:2222", "example.com", 22, unknown),
            ("a,example.com", "example.com", 22, None),
            ("*.example.com", "web.example.com", 22, None),
            ("*.example.com,!bad.*", "bad.example.com", 22, unknown),
            ("web?.example.com", "web1.example.com", 22, None),
            ("web?.example.com", "web.example.com", 22, unknown),
            ("[*.example.com]:99", "a.example.com", 99, None),
            (HASHED, "example.com", 22, None),
            (HASHED, "example.com", 2222, unknown),
            (HASHED, "example.org", 22, unknown),
        ] {
            assert_eq!(
                judged(&format!("{names} {ONE}\n"), host, port, ONE),
                expected,
                "{names} {host}:{port}"
            );
        }
    }

    #[test]
    fn another_key_is_changed_and_a_revoked_one_revoked() {
        let file = format!("# hosts\n\nhost {OTHER} comment\n@revoked * {ONE}\nbroken line\n");
        assert_eq!(judged(&file, "host", 22, OTHER), None);
        assert_eq!(judged(&file, "host", 22, ONE), Some(HostKeyProblem::Revoked));
        assert_eq!(judged(&file, "other", 22, ONE), Some(HostKeyProblem::Revoked));
        let file = format!("\nhost {OTHER}");
        assert_eq!(judged(&file, "host", 22, ONE), Some(HostKeyProblem::Changed { line: 2 }));
        let authority = format!("@cert-authority * {ONE}");
        assert_eq!(judged(&authority, "host", 22, ONE), Some(HostKeyProblem::Unknown));
    }

    #[test]
    fn a_revocation_that_cannot_be_read_is_not_passed_over() {
        let refused = KnownHost::parse("x y\n@revoked * nonsense", "host", 22).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("line: `2`"), "{refused}");
    }

    #[test]
    fn the_algorithms_of_known_keys_are_asked_for_first() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        let known = KnownHost::parse(&format!("host {ecdsa}"), "host", 22).unwrap();
        let algorithms = known.algorithms();
        assert_eq!(algorithms.first(), Some(&Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }));
        assert_eq!(algorithms.len(), ALGORITHMS.len());
    }
}

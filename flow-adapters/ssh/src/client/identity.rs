//! What a user proves itself with.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use flow_core::{ErrorKind, StepError};
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use tokio::net::UnixStream;

use super::connection::Gate;
use super::connection_error::ConnectionError;
use super::local_file;
use crate::config::{Identity, Passphrase};

/// The largest key file that is read.
const FILE_MAX: u64 = 64 * 1024;
/// How many of an agent's keys are offered: a server's `MaxAuthTries` is 6, and with one more it hangs up.
const OFFERED: usize = 5;

/// An identity that is ready to sign.
pub(super) enum Signer {
    Key(Arc<PrivateKey>),
    Agent { agent: AgentClient<UnixStream>, keys: Vec<PublicKey> },
}

impl Signer {
    /// Reads the key, or asks the agent: before anything is sent to a server.
    pub(super) async fn open(identity: &Identity) -> Result<Self, StepError> {
        match identity {
            Identity::File { path, passphrase } => {
                key(path, passphrase.as_ref()).await.map(|key| Self::Key(Arc::new(key)))
            }
            Identity::Agent { socket, fingerprint } => agent(socket, fingerprint.as_deref()).await,
        }
    }

    /// Proves `user` to the server.
    pub(super) async fn authenticate(
        self,
        handle: &mut Handle<Gate>,
        user: &str,
    ) -> Result<(), ConnectionError> {
        let mut results = Vec::new();
        match self {
            Self::Key(key) => {
                let key = PrivateKeyWithHashAlg::new(key, None);
                results.push(handle.authenticate_publickey(user, key).await?);
            }
            Self::Agent { mut agent, keys } => {
                for key in keys {
                    let hash = matches!(key.algorithm(), Algorithm::Rsa { .. }).then_some(HashAlg::Sha512);
                    match handle.authenticate_publickey_with(user, key, hash, &mut agent).await {
                        Ok(AuthResult::Success) => return Ok(()),
                        Ok(failure) => results.push(failure),
                        // The agent does not sign with this one; it may with the next.
                        Err(_) if !handle.is_closed() => {}
                        Err(_) => break,
                    }
                }
            }
        }
        match results.last() {
            Some(AuthResult::Success) => Ok(()),
            // The library says the same of a refusal and of a connection that broke while it waited for one.
            _ if handle.is_closed() => Err(ConnectionError::Protocol(russh::Error::Disconnect)),
            _ => Err(ConnectionError::Unauthenticated { user: user.to_owned() }),
        }
    }
}

async fn key(path: &Path, passphrase: Option<&Passphrase>) -> Result<PrivateKey, StepError> {
    const FIELD: &str = "identity.file.path";
    let refused =
        |kind, message| StepError::new(kind, message).fact("field", FIELD).fact("path", path.display());
    let content = zeroize::Zeroizing::new(local_file::read(path, FIELD, FILE_MAX).await?);
    let about = tokio::fs::metadata(path).await.map_err(|error| local_file::refused(path, FIELD, error))?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(refused(ErrorKind::Denied, "others may read the private key"));
    }
    let passphrase = passphrase.cloned();
    // Deriving a key from a passphrase is slow by intention.
    let decoded = tokio::task::spawn_blocking(move || {
        let text = str::from_utf8(&content).map_err(|_| russh::keys::Error::CouldNotReadKey)?;
        decode_secret_key(text, passphrase.as_ref().map(Passphrase::reveal))
    });
    match decoded.await {
        Ok(Ok(key)) if matches!(key.algorithm(), Algorithm::Rsa { .. }) => {
            Err(refused(ErrorKind::Invalid, "an RSA key must be in an agent"))
        }
        Ok(Ok(key)) => Ok(key),
        Ok(Err(russh::keys::Error::KeyIsEncrypted)) => {
            Err(refused(ErrorKind::Invalid, "the private key is encrypted, and there is no passphrase"))
        }
        Ok(Err(error)) => {
            Err(refused(ErrorKind::Invalid, "the private key cannot be read, or not with this passphrase")
                .because(error))
        }
        Err(error) => {
            Err(refused(ErrorKind::Unavailable, "reading the private key ended early").because(error))
        }
    }
}

async fn agent(socket: &Path, fingerprint: Option<&str>) -> Result<Signer, StepError> {
    const FIELD: &str = "identity.agent.socket";
    let stream =
        UnixStream::connect(socket).await.map_err(|error| local_file::refused(socket, FIELD, error))?;
    let mut agent = AgentClient::connect(stream);
    let refused =
        |kind, message| StepError::new(kind, message).fact("field", FIELD).fact("socket", socket.display());
    let identities = agent.request_identities().await.map_err(|error| {
        refused(ErrorKind::Unavailable, "the agent does not tell its keys").because(error)
    })?;
    let keys = identities.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    });
    let wanted = |key: &PublicKey| {
        fingerprint.is_none_or(|print| key.fingerprint(HashAlg::Sha256).to_string() == print)
    };
    let keys: Vec<_> = keys.filter(wanted).take(OFFERED).collect();
    if keys.is_empty() {
        return Err(refused(ErrorKind::NotFound, "the agent has no such key"));
    }
    Ok(Signer::Agent { agent, keys })
}

//! Sealed state in a directory.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind, Permit, StepError};

use super::blocking::{change, look};
use super::directory::{Directory, Readers, failed};

/// The largest sealed state: 64 MiB.
const LIMIT: u64 = 64 << 20;
/// What encryption adds at most: a header, and 16 bytes to each 64 KiB.
const OVERHEAD: u64 = 64 << 10;

/// Keeps sealed state as the file `<root>/<sha256>`, mode 0600, in a directory of mode 0700.
///
/// A vault that somebody else could read is refused, for reading as for writing: `chmod` would hide that the secrets have
/// been open.
///
/// A [new](Self::new) vault is in clear: whoever is this user, or root, or has the disk, can read it. One
/// [with a key](Self::encrypted) is encrypted with age, each file by itself, and `age --decrypt` opens one. Even so a file's name is
/// the digest of what it holds, and so are the references in the journal: who guesses a content whole can tell that it is that.
#[derive(Debug, Clone)]
pub struct DirectoryVault {
    root: PathBuf,
    form: Form,
}

/// What stands in the files.
#[derive(Debug, Clone)]
enum Form {
    Clear,
    #[cfg(feature = "age")]
    Encrypted(super::VaultKey),
}

impl Form {
    fn of(&self, content: &[u8]) -> Result<Vec<u8>, StepError> {
        match self {
            Self::Clear => Ok(content.to_vec()),
            #[cfg(feature = "age")]
            Self::Encrypted(key) => key.encrypt(content),
        }
    }

    /// The content that stands in a file; none where it is not `digest`'s.
    fn content(&self, stands: Vec<u8>, digest: &Digest) -> Option<Vec<u8>> {
        let content = match self {
            Self::Clear => Some(stands),
            #[cfg(feature = "age")]
            Self::Encrypted(key) => key.decrypt(&stands),
        };
        content.filter(|content| Digest::of(content) == *digest)
    }
}

impl DirectoryVault {
    /// A vault in the directory `root`, which is made with the first sealed state, in clear.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), form: Form::Clear }
    }

    /// A vault in the directory `root`, which is made with the first sealed state, encrypted with `key`.
    ///
    /// What another key, or none, has sealed there is a conflict; sealing the same content again replaces it.
    #[cfg(feature = "age")]
    pub fn encrypted(root: impl Into<PathBuf>, key: super::VaultKey) -> Self {
        Self { root: root.into(), form: Form::Encrypted(key) }
    }
}

#[async_trait]
impl Vault for DirectoryVault {
    async fn seal(&self, permit: &Permit, content: &[u8]) -> Result<Sealed, StepError> {
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > LIMIT {
            return Err(StepError::new(ErrorKind::Invalid, "the state to seal is larger than its limit")
                .fact("limit", LIMIT));
        }
        let (digest, form) = (Digest::of(content), self.form.clone());
        let stands = form.of(content)?;
        change(permit, &self.root, Readers::Owner, move |root, _| {
            refuse_open_vault(&root)?;
            let name = digest.hex();
            // A kept file that is not whole any more is replaced by what it should be.
            match read_whole(&root, &digest, &form) {
                Ok(Some(_)) => {}
                Ok(None) => root.replace(&name, &stands, Readers::Owner)?,
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    root.replace(&name, &stands, Readers::Owner)?;
                }
                Err(error) => return Err(error),
            }
            Ok(Sealed { digest })
        })
        .await
    }

    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let (path, digest, form) = (self.root.clone(), sealed.digest, self.form.clone());
        look(move || {
            let missing =
                || StepError::new(ErrorKind::NotFound, "the sealed state is gone").fact("digest", digest);
            let root = Directory::find(&path)?.ok_or_else(missing)?;
            refuse_open_vault(&root)?;
            read_whole(&root, &digest, &form)?.ok_or_else(missing)
        })
        .await
    }
}

/// Reads a sealed file after looking at who else could, and compares it with its digest.
fn read_whole(root: &Directory, digest: &Digest, form: &Form) -> Result<Option<Vec<u8>>, StepError> {
    let name = digest.hex();
    let path = root.path_of(&name);
    let Some(file) = root.open_file(&name)? else { return Ok(None) };
    let metadata =
        file.metadata().map_err(|error| failed(error, "the sealed state cannot be looked at", &path))?;
    refuse_other_readers(metadata.mode(), metadata.uid(), &path)?;
    let Some(stands) = root.read(&name, LIMIT + OVERHEAD)? else { return Ok(None) };
    form.content(stands, digest).map(Some).ok_or_else(|| {
        StepError::new(ErrorKind::Conflict, "the sealed state was changed, or was sealed with another key")
            .fact("digest", digest)
    })
}

fn refuse_open_vault(root: &Directory) -> Result<(), StepError> {
    let (mode, owner) = root.mode_and_owner()?;
    refuse_other_readers(mode, owner, &root.path_of(""))
}

fn refuse_other_readers(mode: u32, owner: u32, path: &Path) -> Result<(), StepError> {
    let mode = mode & 0o777;
    let user = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 || owner != user {
        return Err(StepError::new(ErrorKind::Denied, "sealed state is open to others than its owner")
            .fact("path", path.display())
            .fact("mode", format_args!("{mode:03o}"))
            .fact("owner", owner)
            .fact("user", user));
    }
    Ok(())
}

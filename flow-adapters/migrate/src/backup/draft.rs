//! The file of a backup, from its first byte until it is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use flow_core::{ErrorKind, StepError};

use crate::files::about;
use crate::scratch::Scratch;

/// How the name of an encrypted backup ends.
pub(super) const SEALED: &str = "age";

/// How an encrypted file begins, and no dump does (<https://age-encryption.org/v1>).
const HEADER: &[u8] = b"age-encryption.org/v1\n";

/// A private file that is filled once. Dropped before it is kept, it is gone.
///
/// Where there are recipients, what stands on the disk is encrypted from the first byte on. A key of its own that is never
/// written anywhere lets the draft be read back, so that what is proved is the very file that is kept.
#[derive(Debug)]
pub(super) struct Draft {
    file: Scratch,
    seal: Option<Seal>,
}

struct Seal {
    recipients: Vec<Recipient>,
    own: Identity,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Draft {
    /// An empty one in `directory`. Blocks.
    pub(super) fn new(directory: &Path, recipients: Vec<Recipient>) -> Result<Self, StepError> {
        let seal = (!recipients.is_empty()).then(|| Seal { recipients, own: Identity::generate() });
        Ok(Self { file: Scratch::new(directory)?, seal })
    }

    /// Writes all of `plain`, and returns when it is on the disk. Blocks.
    pub(super) fn fill(&self, mut plain: impl Read) -> Result<(), StepError> {
        let path = self.path();
        let open = OpenOptions::new().write(true).truncate(true).open(path);
        let file = open.map_err(|error| about(path, error))?;
        let written = match &self.seal {
            None => io::copy(&mut plain, &mut &file).map(drop),
            Some(seal) => seal.write(&mut plain, &file),
        };
        written.and_then(|()| file.sync_all()).map_err(|error| about(path, error))
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// What was written, to be read back.
    pub(super) fn sealed(&self) -> Sealed {
        let own = self.seal.iter().map(|seal| seal.own.clone()).collect();
        Sealed { path: self.path().to_owned(), identities: own }
    }
}

impl Seal {
    fn write(&self, plain: &mut impl Read, file: &File) -> io::Result<()> {
        let own = self.own.to_public();
        let all = self.recipients.iter().chain([&own]).map(|recipient| -> &dyn age::Recipient { recipient });
        let encryptor = Encryptor::with_recipients(all).map_err(|error| match error {
            EncryptError::Io(error) => error,
            error => io::Error::other(error),
        })?;
        let mut sealed = encryptor.wrap_output(BufWriter::new(file))?;
        io::copy(plain, &mut sealed)?;
        sealed.finish()?.flush()
    }
}

/// A finished backup's file, and what opens it.
pub(super) struct Sealed {
    path: PathBuf,
    identities: Vec<Identity>,
}

impl Sealed {
    /// A kept one.
    pub(super) fn kept(path: &Path, identities: &[Identity]) -> Self {
        Self { path: path.to_owned(), identities: identities.to_vec() }
    }

    /// Writes what was dumped into `to`, whose reader may stop early. Blocks.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) where no identity opens it, [`Failed`](ErrorKind::Failed) where its bytes are damaged.
    pub(super) fn pour(&self, mut to: impl io::Write) -> Result<(), StepError> {
        let file = File::open(&self.path).map_err(|error| about(&self.path, error))?;
        let mut plain = self.open(BufReader::new(file))?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = plain.read(&mut buffer).map_err(|error| damaged(&self.path).because(error))?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
            match to.write_all(bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|error| about(&self.path, error))?,
            }
        }
    }

    fn open(&self, mut file: BufReader<File>) -> Result<Box<dyn Read>, StepError> {
        let first = file.fill_buf().map_err(|error| about(&self.path, error))?;
        if !first.starts_with(HEADER) {
            return Ok(Box::new(file));
        }
        let all = self.identities.iter().map(|identity| -> &dyn age::Identity { identity });
        let opened = Decryptor::new_buffered(file).and_then(|decryptor| decryptor.decrypt(all));
        match opened {
            Ok(plain) => Ok(Box::new(plain)),
            Err(DecryptError::NoMatchingKeys) => {
                let problem = "no identity that was given opens the backup";
                Err(StepError::new(ErrorKind::Denied, problem).fact("path", self.path.display()))
            }
            Err(error) => Err(damaged(&self.path).because(error)),
        }
    }
}

fn damaged(path: &Path) -> StepError {
    StepError::new(ErrorKind::Failed, "the backup's bytes are damaged").fact("path", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"the rows of a customer";

    fn read(sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let mut plain = Vec::new();
        sealed.pour(&mut plain).map(|()| plain)
    }

    #[test]
    fn what_is_sealed_is_read_by_its_recipient_and_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let (owner, stranger) = (Identity::generate(), Identity::generate());
        let draft = Draft::new(directory.path(), vec![owner.to_public()]).unwrap();
        draft.fill(PLAIN).unwrap();
        let bytes = std::fs::read(draft.path()).unwrap();
        assert!(!bytes.windows(8).any(|window| PLAIN.windows(8).any(|plain| plain == window)));
        assert_eq!(read(&draft.sealed()).unwrap(), PLAIN);
        let kept = directory.path().join("kept.age");
        std::fs::rename(draft.path(), &kept).unwrap();
        assert_eq!(read(&Sealed::kept(&kept, &[stranger.clone(), owner])).unwrap(), PLAIN);
        assert_eq!(read(&Sealed::kept(&kept, &[stranger])).unwrap_err().kind(), ErrorKind::Denied);
    }

    #[test]
    fn a_sealed_backup_of_which_a_byte_is_changed_or_lost_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Identity::generate();
        let draft = Draft::new(directory.path(), vec![owner.to_public()]).unwrap();
        draft.fill(PLAIN).unwrap();
        let bytes = std::fs::read(draft.path()).unwrap();
        let kept = directory.path().join("kept.age");
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        for bad in [changed, bytes[..bytes.len() - 1].to_vec(), bytes[..60].to_vec()] {
            std::fs::write(&kept, bad).unwrap();
            let error = read(&Sealed::kept(&kept, std::slice::from_ref(&owner))).unwrap_err();
            assert_eq!(error.message(), "the backup's bytes are damaged");
        }
    }
}

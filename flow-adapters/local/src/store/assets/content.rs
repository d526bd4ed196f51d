//! Hashing of files, also while they are copied.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flow_core::port::AssetFile;
use flow_core::{Digest, StepError};
use sha2::{Digest as _, Sha256};

use crate::store::directory::failed;

/// The digest and the size of all that `file` still holds.
pub(in crate::store) fn digest_of(file: &mut File, path: &Path) -> Result<AssetFile, StepError> {
    copy(file, &mut io::sink()).map_err(|error| failed(error, "the file cannot be read", path))
}

/// Copies all that `from` still holds, and says what exactly was copied.
pub(super) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<AssetFile> {
    let mut hasher = Sha256::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = buffer.get(..count).unwrap_or_default();
        hasher.update(part);
        to.write_all(part)?;
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    Ok(AssetFile { digest: Digest::from_bytes(hasher.finalize().into()), bytes })
}

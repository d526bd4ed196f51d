//! Files of this machine that a configuration names.

use std::io;
use std::path::Path;

use flow_core::{ErrorKind, StepError};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

/// Reads the file that `field` names, of at most `most` bytes.
pub(super) async fn read(path: &Path, field: &'static str, most: u64) -> Result<Vec<u8>, StepError> {
    let unreadable = |error| refused(path, field, error);
    let file = File::open(path).await.map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).await.map_err(unreadable)?;
    if content.len() as u64 > most {
        return Err(StepError::new(ErrorKind::Invalid, "the file is too large")
            .fact("field", field)
            .fact("path", path.display())
            .fact("largest", most));
    }
    Ok(content)
}

/// The error for a file of this machine that cannot be used.
pub(super) fn refused(path: &Path, field: &'static str, error: io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::ConnectionRefused => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    StepError::new(kind, "what the configuration names cannot be used")
        .fact("field", field)
        .fact("path", path.display())
        .because(error)
}

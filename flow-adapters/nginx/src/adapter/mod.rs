//! The ports, implemented.

mod access_log;
mod file;
mod socket;

pub use access_log::{AccessLog, VersionCounts};
pub use file::FileRouter;
pub use socket::SocketRouter;

use flow_core::{ErrorKind, Name, StepError};

/// Each router serves one service.
fn check_service(service: &Name, own: &Name) -> Result<(), StepError> {
    if service == own {
        return Ok(());
    }
    let error = StepError::new(ErrorKind::NotFound, "this router serves another service");
    Err(error.fact("service", service).fact("served", own))
}

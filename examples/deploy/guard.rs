//! What must be closed before anything is deployed.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::{SecurityAspect, SecurityCheck, SecurityFinding};
use flow_core::{ErrorKind, Name, StepError, name};

/// Nobody but their owner writes the files that a deployment relies on, and nobody else reads the vault.
pub(crate) struct FileModes {
    /// Readable by everyone, at most.
    pub(crate) open: Vec<PathBuf>,
    /// For the owner alone; made with the first secret.
    pub(crate) vault: PathBuf,
}

/// Permission bits that must not be set.
const OTHERS_WRITE: u32 = 0o002;
const OWNER_ALONE: u32 = 0o077;

fn mode(path: &PathBuf, forbidden: u32, expected: &str) -> Result<Option<SecurityFinding>, StepError> {
    let status = match std::fs::metadata(path) {
        Ok(status) => status,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(StepError::new(ErrorKind::Failed, "a mode cannot be read")
                .fact("path", path.display())
                .because(error));
        }
    };
    let ours = status.uid() == rustix::process::geteuid().as_raw();
    Ok(Some(SecurityFinding {
        what: path.display().to_string(),
        expected: format!("the deployer's own, {expected}"),
        found: format!("mode {:04o} of user {}", status.mode() & 0o7777, status.uid()),
        holds: ours && status.mode() & forbidden == 0,
    }))
}

#[async_trait]
impl SecurityCheck for FileModes {
    fn name(&self) -> Name {
        name!("file-modes")
    }

    fn aspect(&self) -> SecurityAspect {
        SecurityAspect::Permissions
    }

    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
        let mut findings = Vec::new();
        for path in &self.open {
            findings.extend(mode(path, OTHERS_WRITE, "written by nobody else")?);
        }
        findings.extend(mode(&self.vault, OWNER_ALONE, "read by nobody else")?);
        Ok(findings)
    }
}

/// What listens on the environment's ports can be reached from this machine alone: all traffic stays on loopback.
pub(crate) struct Loopback {
    pub(crate) ports: Vec<u16>,
}

/// The state of a listening socket in `/proc/net/tcp`, see proc_net_tcp(5).
const LISTEN: &str = "0A";

#[async_trait]
impl SecurityCheck for Loopback {
    fn name(&self) -> Name {
        name!("loopback")
    }

    fn aspect(&self) -> SecurityAspect {
        SecurityAspect::Configuration
    }

    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
        let mut findings = Vec::new();
        // 127.0.0.1 and ::1 as the kernel writes them, the first byte last.
        for (table, own) in
            [("/proc/net/tcp", "0100007F"), ("/proc/net/tcp6", "00000000000000000000000001000000")]
        {
            // A kernel without IPv6 has no second table, and then nothing listens there.
            let Ok(text) = std::fs::read_to_string(table) else { continue };
            for line in text.lines().skip(1) {
                let mut fields = line.split_whitespace().skip(1);
                let (Some(local), _, Some(state)) = (fields.next(), fields.next(), fields.next()) else {
                    continue;
                };
                let Some((address, port)) = local.split_once(':') else { continue };
                let port = u16::from_str_radix(port, 16).unwrap_or_default();
                if state != LISTEN || !self.ports.contains(&port) {
                    continue;
                }
                findings.push(SecurityFinding {
                    what: format!("port {port}"),
                    expected: "listens on loopback alone".to_owned(),
                    found: format!("listens on {address}"),
                    holds: address == own,
                });
            }
        }
        Ok(findings)
    }
}

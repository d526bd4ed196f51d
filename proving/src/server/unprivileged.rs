//! Database servers refuse to run as root: where the suite is root, they and their files belong to `nobody`.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outside;

/// `nobody` and `nogroup`, on every Debian.
const NOBODY: u32 = 65_534;

/// A server's program, run by nobody where this is root.
pub(super) fn server(program: &Path) -> Command {
    let mut command = client(program);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A client's program. The locale of whoever runs the suite is no part of it, and neither are the variables that clients of
/// databases read.
pub(super) fn client(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command
}

/// A folder in which a server can write.
pub(super) fn folder(path: PathBuf) -> Outside<PathBuf> {
    fs::create_dir_all(&path)?;
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(NOBODY), Some(NOBODY))?;
    }
    Ok(path)
}

/// A copy of `folder` at `to`, with its owners.
pub(super) fn copy(folder: &Path, to: &Path) -> Outside<()> {
    output(Command::new("cp").arg("-a").arg(folder).arg(to)).map(drop)
}

/// Runs a command to its end and gives what it printed.
pub(super) fn output(command: &mut Command) -> Outside<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&said)).into())
}

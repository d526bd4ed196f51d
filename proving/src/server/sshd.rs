use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ready;
use crate::table::Process;
use crate::{Address, Directory, Outside, Port, Running, program};

/// Where sshd parks its unprivileged half when root starts it; its service, which is forbidden to start, would make it.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// An SSH server on a loopback port that lets in whoever started it, by one key: `sshd_config`, `sshd.log`, the host's key, the
/// user's key and a `known_hosts` stand in its directory. Started by a plain user it lets in that user alone.
#[derive(Debug)]
pub struct Sshd {
    running: Running,
    port: Port,
    user: String,
    directory: Directory,
}

impl Sshd {
    /// Starts it in `directory`, and waits until it accepts connections.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory) -> Outside<Self> {
        let own = directory.path();
        for key in ["host_key", "key"] {
            generate(&own.join(key))?;
        }
        let port = Port::free()?;
        fs::copy(own.join("key.pub"), own.join("authorized_keys"))?;
        let host_key = fs::read_to_string(own.join("host_key.pub"))?;
        fs::write(own.join("known_hosts"), format!("[127.0.0.1]:{} {host_key}", port.number()))?;
        fs::write(own.join("sshd_config"), configuration(own, &port))?;
        if rustix::process::geteuid().is_root() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(PRIVILEGE_SEPARATION)?;
        }
        // By its whole path: it executes itself again for each connection.
        let mut command = Command::new(program::find("sshd")?);
        command.args(["-D", "-e", "-f"]).arg(own.join("sshd_config"));
        let running = Running::start(&mut command, &own.join("sshd.log"))?;
        ready::accepts(&running, &port.address()).await?;
        Ok(Self { running, port, user: user()?, directory: directory.clone() })
    }

    /// The process that listens.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Address {
        self.port.address()
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// The user whom it lets in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The private key that opens it.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// A file with its own key, as `known_hosts`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.directory.path().join("known_hosts")
    }

    /// An `ssh` to it, without a user's own configuration, to which a remote command can be added.
    ///
    /// # Errors
    /// Where there is no `ssh`.
    pub fn ssh(&self) -> Outside<Command> {
        let mut command = Command::new(program::find("ssh")?);
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
        command.args(["-o", "StrictHostKeyChecking=yes"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts().display()));
        command.arg("-i").arg(self.key()).arg("-p").arg(self.port().to_string());
        command.arg(format!("{}@127.0.0.1", self.user)).stdin(Stdio::null());
        Ok(command)
    }

    /// What it has printed: its log.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn log(&self) -> Outside<String> {
        self.running.printed()
    }

    /// Ends it with all its connections, as dropping it does.
    ///
    /// # Errors
    /// Where something of it stands even after SIGKILL.
    pub fn end(self) -> Outside<()> {
        self.running.end()
    }
}

/// With `SHLVL` a login shell that is bash does not take itself for the first one that SSH starts, which reads the user's own `.bashrc`
/// before each command.
fn configuration(own: &Path, port: &Port) -> String {
    let (number, own) = (port.number(), own.display());
    format!(
        "ListenAddress 127.0.0.1:{number}\nHostKey {own}/host_key\nAuthorizedKeysFile {own}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n\
         AllowTcpForwarding yes\nAllowStreamLocalForwarding yes\nMaxStartups 100\nMaxSessions 100\n\
         SetEnv SHLVL=1\nSubsystem sftp internal-sftp\n"
    )
}

fn generate(path: &Path) -> Outside<()> {
    let mut command = Command::new(program::find("ssh-keygen")?);
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "proving", "-f"]).arg(path);
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// The name of whoever runs this.
fn user() -> Outside<String> {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd")?;
    let own = passwd.lines().find(|line| line.split(':').nth(2) == Some(&id));
    let name = own.and_then(|line| line.split(':').next());
    name.map(str::to_owned).ok_or_else(|| format!("`/etc/passwd` has no user {id}").into())
}

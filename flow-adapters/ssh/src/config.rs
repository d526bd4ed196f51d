use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::Problems;
use flow_core::port::Command;
use serde::Deserialize;
use zeroize::Zeroizing;

/// What of its user's environment a host hands on to commands.
const ALLOWED: [&str; 5] = ["HOME", "LANG", "PATH", "TMPDIR", "TZ"];

/// The longest argument or variable that a program can be given: Linux takes 128 KiB with its end (`execve(2)`).
const WORD_MAX: usize = 128 * 1024 - 1;

/// The most that a command may say in all.
const COMMAND_MAX: usize = 1024 * 1024;

/// Which machine an [`SshHost`](crate::SshHost) is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshConfig {
    /// The machine's name or address.
    pub host: String,
    /// The port of its SSH server.
    #[serde(default = "port")]
    pub port: u16,
    /// The user that everything is done as. Its login shell must take `exec`; all else is done by `/bin/sh`.
    pub user: String,
    /// The file of known host keys, in OpenSSH's format. A server that it does not know is refused.
    pub known_hosts: PathBuf,
    /// What the user proves itself with.
    pub identity: Identity,
    /// The directory of the machine below which everything happens. It must exist.
    pub root: String,
    /// The environment of every command: `HOME`, `LANG`, `PATH`, `TMPDIR` and `TZ`, as far as they are wanted.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The directory of this machine below which forwarded sockets stand, each in a private directory of its own.
    #[serde(default = "sockets")]
    pub sockets: PathBuf,
    /// How long a command may take to end once it was asked to.
    #[serde(default = "grace")]
    pub grace: Duration,
    /// How long the machine may take for each of its answers.
    #[serde(default)]
    pub patience: SshPatience,
}

/// What a user proves itself with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Identity {
    /// A private key in a file that nobody else may read: Ed25519 or ECDSA. RSA keys need an agent.
    File {
        /// The file, in OpenSSH's format or as PKCS#8.
        path: PathBuf,
        /// What the key is encrypted with.
        #[serde(default)]
        passphrase: Option<Passphrase>,
    },
    /// A running agent: its keys are offered in its order, the first five.
    Agent {
        /// Its socket.
        socket: PathBuf,
        /// The one key to offer, as `SHA256:` and its digest; any without.
        #[serde(default)]
        fingerprint: Option<String>,
    },
}

/// A passphrase that is never shown, and wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase.
    pub fn new(passphrase: impl Into<String>) -> Self {
        Self(Zeroizing::new(passphrase.into()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Passphrase {
    fn from(passphrase: String) -> Self {
        Self::new(passphrase)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// How long a machine may take for each of its answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SshPatience {
    /// From the first packet to a checked host key.
    pub connect: Duration,
    /// From there to a user that is let in.
    pub authenticate: Duration,
    /// For a channel, for a request about files, and for a command to be started. In whole seconds for files.
    pub answer: Duration,
    /// How long an open connection may be silent, although it was asked, before it counts as lost.
    pub silence: Duration,
}

impl Default for SshPatience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), authenticate: seconds(20), answer: seconds(20), silence: seconds(45) }
    }
}

impl SshConfig {
    /// The machine `host` at port 22, below `root`, whose commands are looked up in `/usr/local/bin`, `/usr/bin` and `/bin`.
    pub fn new(
        host: impl Into<String>,
        user: impl Into<String>,
        identity: Identity,
        known_hosts: impl Into<PathBuf>,
        root: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port: port(),
            user: user.into(),
            known_hosts: known_hosts.into(),
            identity,
            root: root.into(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())]),
            sockets: sockets(),
            grace: grace(),
            patience: SshPatience::default(),
        }
    }

    /// Reaches it at `port`.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Gives every command this variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | ':');
        problems.check(
            !self.host.is_empty() && self.host.len() <= 253 && self.host.chars().all(name),
            "host",
            "must be a host name or an address",
        );
        problems.check(self.port != 0, "port", "must not be 0");
        let plain = |text: &str| !text.is_empty() && !text.contains(char::is_control);
        problems.check(plain(&self.user), "user", "must be a name without control characters");
        problems.check(self.known_hosts.is_absolute(), "known_hosts", "must be an absolute path");
        problems.check(
            plain(&self.root) && self.root.starts_with('/') && self.root.len() <= 1024,
            "root",
            "must be an absolute path without control characters",
        );
        problems.check(self.sockets.is_absolute(), "sockets", "must be an absolute path");
        self.identity.check(&mut problems);
        check_environment(&mut problems, &self.env);
        for name in self.env.keys().filter(|name| !ALLOWED.contains(&name.as_str())) {
            problems.add(format!("env.{name}"), format!("is not one of {}", ALLOWED.join(", ")));
        }
        let SshPatience { connect, authenticate, answer, silence } = &self.patience;
        for (field, value) in
            [("connect", connect), ("authenticate", authenticate), ("answer", answer), ("silence", silence)]
        {
            problems.check(!value.is_zero(), &format!("patience.{field}"), "must be longer than nothing");
        }
        problems.into_result()
    }

    /// The directories in which programs are looked up.
    pub(crate) fn search(&self) -> impl Iterator<Item = &str> {
        self.env.get("PATH").map_or("", String::as_str).split(':').filter(|path| path.starts_with('/'))
    }
}

impl Identity {
    fn check(&self, problems: &mut Problems) {
        match self {
            Self::File { path, .. } => {
                problems.check(path.is_absolute(), "identity.file.path", "must be an absolute path");
            }
            Self::Agent { socket, fingerprint } => {
                problems.check(socket.is_absolute(), "identity.agent.socket", "must be an absolute path");
                problems.check(
                    fingerprint.as_ref().is_none_or(|print| print.starts_with("SHA256:")),
                    "identity.agent.fingerprint",
                    "must begin with `SHA256:`",
                );
            }
        }
    }
}

/// Finds everything wrong with a command.
pub(crate) fn check(command: &Command) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let program = &command.program;
    problems.check(
        !program.is_empty()
            && !program.contains('\0')
            && (!program.contains('/') || program.starts_with('/')),
        "program",
        "must be a plain name or an absolute path",
    );
    for (index, arg) in command.args.iter().enumerate() {
        let field = format!("args.{index}");
        problems.check(!arg.contains('\0'), &field, "holds a zero byte");
        problems.check(arg.len() < WORD_MAX, &field, "is longer than a program can be given");
    }
    check_environment(&mut problems, &command.env);
    let env = command.env.iter().map(|(name, value)| name.len() + value.len());
    let said = program.len() + command.args.iter().map(String::len).chain(env).sum::<usize>();
    problems.check(said <= COMMAND_MAX, "args", "are more than 1 MiB with the environment");
    problems.check(!command.timeout.is_zero(), "timeout", "must be longer than nothing");
    problems.into_result()
}

/// Finds names and values that no shell can hand on.
fn check_environment(problems: &mut Problems, env: &BTreeMap<String, String>) {
    for (name, value) in env {
        let field = format!("env.{name}");
        let letter = |char: char| char.is_ascii_alphabetic() || char == '_';
        problems.check(
            name.starts_with(letter) && name.chars().all(|char| letter(char) || char.is_ascii_digit()),
            &field,
            "is no name of letters, digits and underscores",
        );
        problems.check(!value.contains('\0'), &field, "holds a zero byte");
        problems.check(name.len() + value.len() < WORD_MAX, &field, "is longer than a program can be given");
    }
}

const fn port() -> u16 {
    22
}

fn sockets() -> PathBuf {
    PathBuf::from("/tmp")
}

const fn grace() -> Duration {
    Duration::from_secs(2)
}

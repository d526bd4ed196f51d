//! What the machine's `/bin/sh` is given to read.
//!
//! SSH hands a command to the user's login shell as one text, which the process table shows. So that text is always
//! [`SHELL`], and everything that differs comes over standard input, where nobody else reads it: a program's arguments are
//! in the process table as its own alone, and the values of its environment never are.
//!
//! Every script is one group in braces: a shell runs none of it before it has read all of it, so a connection that is lost
//! half-way starts nothing.

use std::fmt::Write;
use std::time::Duration;

use flow_core::port::Command;

use crate::config::SshConfig;

/// What every login shell is asked to run.
pub(crate) const SHELL: &str = "exec env -i /bin/sh";

/// How much later than we a machine ends a command by itself, should nobody be left who does.
const BACKSTOP: Duration = Duration::from_secs(30);

/// A process of the machine, by what no later one shares with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    /// The id of the process, of its group and of its session.
    pub(crate) id: u32,
    /// When it started, in the kernel's ticks.
    pub(crate) started: u64,
}

impl Leader {
    /// Reads what a started command says of itself.
    pub(crate) fn parse(said: &str) -> Option<Self> {
        let (id, started) = said.split_once(' ')?;
        Some(Self { id: id.parse().ok()?, started: started.parse().ok()? })
    }
}

/// `text` as one word of a POSIX shell, whatever is in it: in single quotes nothing has a meaning but the quote itself
/// (POSIX.1-2017, Shell Command Language, 2.2.2).
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The first line that a script writes on each stream, up to what differs: what comes before it is the login shell's.
pub(crate) fn marker(nonce: &str) -> String {
    format!("\u{1e}flow {nonce} ")
}

/// Starts `command` in `directory`, which has no link in it, and says which process it is.
///
/// The directory is compared after it was entered: one that was moved out of the root meanwhile is refused. The shell becomes the
/// program, with nothing of its own left in the environment, under `timeout`, which ends it should nobody else.
pub(crate) fn start(config: &SshConfig, command: &Command, directory: &str, nonce: &str) -> String {
    let mut script = format!(
        r#"{{
flow() {{ printf '{marker}%s\n' "$*"; exit 0; }}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd -P -- {directory} 2>/dev/null && [ "$(pwd -P)" = {directory} ] || flow directory
IFS= read -r s < /proc/$$/stat || flow tools
s=${{s##*) }}
set -- $s
[ "$4" = $$ ] || flow session
set -- $$ "${{20}}" "$(command -v timeout)" "$(command -v env)"
[ -n "$3" ] && [ -n "$4" ] || flow tools
r=absent f=
for p in {candidates}; do
[ -f "$p" ] || continue
[ -x "$p" ] && f=$p && break
r=denied
done
[ -n "$f" ] || flow "$r"
set -- "$1" "$2" "$3" "$4" "$f"
"#,
        marker = marker(nonce),
        directory = quote(directory),
        candidates = candidates(config, command),
    );
    let mut env = config.env.clone();
    env.extend(command.env.clone());
    for (name, value) in &env {
        let _ = writeln!(script, "export {name}={}", quote(value));
    }
    let _ = write!(
        script,
        "printf '{marker}\\n' >&2\nprintf '{marker}ran %s %s\\n' \"$1\" \"$2\"\n\
         exec \"$3\" -k {grace} {limit} \"$4\"",
        marker = marker(nonce),
        grace = seconds(config.grace),
        limit = seconds(command.timeout.saturating_add(config.grace).saturating_add(BACKSTOP)),
    );
    for own in ["PWD", "OLDPWD", "SHLVL", "_"].iter().filter(|own| !env.contains_key(**own)) {
        let _ = write!(script, " -u {own}");
    }
    script.push_str(" \"$5\"");
    for arg in &command.args {
        let _ = write!(script, " {}", quote(arg));
    }
    script.push_str(" </dev/null\n}\n");
    script
}

/// Ends all that is left of a command's session: asks, waits for the grace, makes, and looks until nothing of it runs.
///
/// A session's number goes to nobody else while anything of it runs, and a leader of another age shows that nothing does.
pub(crate) fn end(leader: Leader, grace: Duration, nonce: &str) -> String {
    format!(
        r#"{{
flow() {{ printf '{marker}%s\n' "$*"; exit 0; }}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
set -f
nl='
'
left() {{
m= IFS=$nl
for l in $(set +f; cat /proc/[0-9]*/stat 2>/dev/null); do
s=${{l##*) }} t=${{l##*) }}
s=${{s#* * * }}
case ${{t%% *}} in Z|X) continue;; esac
[ "${{s%% *}}" = {id} ] && m="$m ${{l%% *}}"
done
IFS=' '
[ -n "$m" ]
}}
s=$(cat /proc/{id}/stat 2>/dev/null)
IFS=' '
set -- ${{s##*) }}
[ -z "$s" ] || [ "${{20}}" = {started} ] || flow gone
left || flow gone
kill -s TERM -- -{id} $m 2>/dev/null
n=0
while [ $n -lt {ticks} ]; do left || flow gone; sleep 0.05; n=$((n+1)); done
n=0
while [ $n -lt {settle} ]; do left || flow gone; kill -s KILL -- -{id} $m 2>/dev/null; sleep 0.05; n=$((n+1)); done
flow left $m
}}
"#,
        marker = marker(nonce),
        id = leader.id,
        started = leader.started,
        ticks = grace.as_millis().div_ceil(50),
        settle = SETTLE.as_millis() / 50,
    )
}

/// How long what was killed may take to be gone: a process in the middle of a system call ends after it.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);

/// The files that the program may be, in the order of the host's `PATH`.
fn candidates(config: &SshConfig, command: &Command) -> String {
    let program = &command.program;
    if program.starts_with('/') {
        return quote(program);
    }
    let files: Vec<_> = config.search().map(|path| quote(&format!("{path}/{program}"))).collect();
    files.join(" ")
}

/// Whole seconds, at least one: all that every `timeout` understands.
fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).clamp(1, u128::from(u32::MAX)) as u64
}

//! Another machine, read with the commands that every one has.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::port::{Command, CommandOutput, Host};
use flow_core::{ErrorKind, Permit, StepError};

use crate::machine::Signalled;
use crate::process::{self, Process, ProcessId, Signal, Stat};

const TIMEOUT: Duration = Duration::from_secs(20);

/// How many processes one command reads: a host gives back a mebibyte, and a process has less than four kibibytes to say.
const AT_ONCE: usize = 256;

/// The environment of whoever looks, which is given the variable: that it is found first of all proves that anything would be, and that
/// no beginning of the answer is lost.
const OWN: &str = "/proc/self/environ";

pub(crate) async fn file(host: &dyn Host, path: &str) -> Result<Vec<u8>, StepError> {
    let output = host.query(&command("cat", [path.to_owned()])).await?;
    if output.succeeded() {
        return Ok(output.stdout);
    }
    // Whether it is missing or forbidden is said in the machine's own language; only its being there can be asked for.
    let kind = if test(host, "-e", path).await? { ErrorKind::Denied } else { ErrorKind::NotFound };
    Err(refused(kind, &output).fact("path", path))
}

/// The ids of all processes, ordered.
pub(crate) async fn ids(host: &dyn Host) -> Result<Vec<u32>, StepError> {
    let output = host.query(&command("ls", ["/proc".to_owned()])).await?;
    if !output.succeeded() {
        return Err(refused(ErrorKind::Unknown, &output));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let mut ids: Vec<u32> = names.lines().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Between the two commands an id would have to be given anew to be another process's: see [`Machine::signal`](crate::Machine::signal).
pub(crate) async fn started_with(
    host: &dyn Host,
    variable: &str,
) -> Result<Vec<(Process, String)>, StepError> {
    let mut values: BTreeMap<u32, String> = BTreeMap::new();
    for ids in ids(host).await?.chunks(AT_ONCE) {
        let options = ["-H", "-Z", "-a", "-z", "-s", "-e"].map(str::to_owned);
        let paths = ids.iter().map(|pid| format!("/proc/{pid}/environ"));
        let look = options.into_iter().chain([format!("^{variable}="), OWN.to_owned()]).chain(paths);
        let output = host.query(&command("grep", look).env(variable, "")).await?;
        let found = process::found_in(&output.stdout, variable);
        if !found.iter().any(|(path, _)| path == OWN) {
            return Err(refused(ErrorKind::Unknown, &output));
        }
        let id = |path: &str| path.strip_prefix("/proc/")?.split_once('/')?.0.parse::<u32>().ok();
        values.extend(found.into_iter().filter_map(|(path, value)| Some((id(&path)?, value))));
    }
    let ids: Vec<u32> = values.keys().copied().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = processes(host, &ids).await?.into_iter();
    Ok(found.filter_map(|process| values.remove(&process.id.pid).map(|value| (process, value))).collect())
}

/// Those of `ids` that are there.
pub(crate) async fn processes(host: &dyn Host, ids: &[u32]) -> Result<Vec<Process>, StepError> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        let text = every(host, ids, ["stat", "status"]).await?;
        let (mut rows, mut rest) = (Vec::new(), text.as_slice());
        // A row begins with the id, a status with this word.
        while !rest.is_empty() && !rest.starts_with(b"Name:") {
            let (row, after) =
                process::stat(rest).ok_or_else(|| StepError::in_doubt("the processes are not understood"))?;
            rest = after;
            rows.push(row);
        }
        let users: BTreeMap<u32, u32> = process::users(rest).into_iter().collect();
        // One that has ended since its row was read is as if it had ended before.
        found.extend(rows.into_iter().filter_map(|Stat { id, parent, state, name }| {
            users.get(&id.pid).map(|uid| Process { id, parent, uid: *uid, state, name })
        }));
    }
    Ok(found)
}

/// A file of one process; none where the process is gone.
pub(crate) async fn of_process(
    host: &dyn Host,
    id: ProcessId,
    file: &str,
) -> Result<Option<Vec<u8>>, StepError> {
    let path = format!("/proc/{}/{file}", id.pid);
    // In one command, the row first: what is behind it cannot be mistaken for it.
    let output = host.query(&command("cat", [format!("/proc/{}/stat", id.pid), path.clone()])).await?;
    let Some((stat, rest)) = process::stat(&output.stdout) else {
        let gone = output.stdout.is_empty() && output.code == Some(1);
        let error = || refused(ErrorKind::Unknown, &output).fact("path", &path);
        return if gone { Ok(None) } else { Err(error()) };
    };
    if stat.id != id {
        return Ok(None);
    }
    if output.succeeded() {
        return Ok(Some(rest.to_vec()));
    }
    match processes(host, &[id.pid]).await?.pop() {
        Some(process) if process.id == id => Err(refused(ErrorKind::Denied, &output).fact("path", path)),
        _ => Ok(None),
    }
}

pub(crate) async fn signal(
    host: &dyn Host,
    permit: &Permit,
    id: ProcessId,
    signal: Signal,
) -> Result<Signalled, StepError> {
    let is_it = |process: &Process| process.id == id && process.is_running();
    if !processes(host, &[id.pid]).await?.first().is_some_and(is_it) {
        return Ok(Signalled::Gone);
    }
    let arguments = ["-s".to_owned(), signal.name().to_owned(), id.pid.to_string()];
    let output = host.run(permit, &command("kill", arguments)).await?;
    if output.succeeded() {
        return Ok(Signalled::Sent);
    }
    match processes(host, &[id.pid]).await.map_err(StepError::after_effect)?.first() {
        Some(process) if is_it(process) => Err(refused(ErrorKind::Denied, &output).fact("pid", id.pid)),
        _ => Ok(Signalled::Gone),
    }
}

/// The first of the files of each process, one after another, and then the second; nothing of those that are gone.
async fn every(host: &dyn Host, ids: &[u32], files: [&str; 2]) -> Result<Vec<u8>, StepError> {
    let paths = files.iter().flat_map(|file| ids.iter().map(move |pid| format!("/proc/{pid}/{file}")));
    let output = host.query(&command("cat", paths)).await?;
    // 1 is what `cat` says where it could not read one of them.
    if matches!(output.code, Some(0 | 1)) {
        Ok(output.stdout)
    } else {
        Err(refused(ErrorKind::Unknown, &output))
    }
}

async fn test(host: &dyn Host, what: &str, path: &str) -> Result<bool, StepError> {
    Ok(host.query(&command("test", [what.to_owned(), path.to_owned()])).await?.succeeded())
}

fn command(program: &str, arguments: impl IntoIterator<Item = String>) -> Command {
    Command::new(program, arguments).timeout(TIMEOUT)
}

/// What the command said of why. Of a process's environment it says no more than the path.
fn refused(kind: ErrorKind, output: &CommandOutput) -> StepError {
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.chars().take(500).filter(|each| !each.is_control()).collect();
    StepError::new(kind, "the machine cannot be observed").fact("said", said)
}

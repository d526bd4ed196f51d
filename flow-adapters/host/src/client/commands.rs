//! Commands that every host has.

use std::time::Duration;

use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::{ErrorKind, Permit, StepError};

/// How long a command on a tree of files may take.
const TREE: Duration = Duration::from_mins(10);
/// How often a tree is tried to be removed.
const REMOVE_TRIES: u32 = 5;
/// What a host keeps of a stream: an output of that size may have lost its beginning.
const KEPT: usize = 1 << 20;

/// Runs a command that must end with 0.
pub(super) async fn run<const N: usize>(
    host: &dyn Host,
    permit: &Permit,
    directory: Option<&HostPath>,
    argv: [&str; N],
) -> Result<(), StepError> {
    let command = command(directory, argv);
    host.run(permit, &command).await?.demand(&command)
}

/// Removes a directory with all that is in it. What was given up with its caller, such as an installation, ends a moment
/// later, and a file that it makes meanwhile keeps its directory from going: so this is tried again, and not for long.
pub(super) async fn remove_tree(host: &dyn Host, permit: &Permit, tree: &HostPath) -> Result<(), StepError> {
    let command = command(None, ["rm", "-r", "-f", "--", tree.as_str()]);
    let mut output = host.run(permit, &command).await?;
    for _ in 1..REMOVE_TRIES {
        if output.succeeded() {
            break;
        }
        output = host.run(permit, &command).await?;
    }
    output.demand(&command)
}

/// Asks a command that changes nothing, and must end with 0; its whole standard output.
pub(super) async fn query(
    host: &dyn Host,
    argv: impl IntoIterator<Item = &str> + Send,
) -> Result<Vec<u8>, StepError> {
    let command = command(None, argv);
    let output = whole(&command, host.query(&command).await?)?;
    output.demand(&command)?;
    Ok(output.stdout)
}

/// Asks a command that changes nothing, whose code says little; its whole standard output.
pub(super) async fn look<const N: usize>(host: &dyn Host, argv: [&str; N]) -> Result<Vec<u8>, StepError> {
    let command = command(None, argv);
    Ok(whole(&command, host.query(&command).await?)?.stdout)
}

fn whole(command: &Command, output: CommandOutput) -> Result<CommandOutput, StepError> {
    if output.stdout.len() < KEPT {
        return Ok(output);
    }
    Err(StepError::new(ErrorKind::Invalid, "there is more than a command's output can tell")
        .fact("program", &command.program))
}

fn command<'a>(directory: Option<&HostPath>, argv: impl IntoIterator<Item = &'a str>) -> Command {
    let mut argv = argv.into_iter();
    let program = argv.next().unwrap_or_default();
    let mut command = Command::new(program, argv).timeout(TREE);
    command.directory = directory.cloned();
    command
}

//! Which commit's public API today's is compared with.

use std::process::{Command, Stdio};

use thiserror::Error;

use crate::workspace::Workspace;

/// The public API is compared with that of the commit which last changed this file.
const BASELINE: &str = "docs/api-baseline.md";

/// The crates whose API users build on.
const CRATES: &[&str] = &[
    "flow-core",
    "flow-testkit",
    "flow-build",
    "flow-haproxy",
    "flow-host",
    "flow-journal",
    "flow-linux",
    "flow-local",
    "flow-migrate",
    "flow-nginx",
    "flow-pm2",
    "flow-ssh",
];

/// Why there is nothing to compare with.
#[derive(Debug, Error)]
pub(crate) enum BaselineError {
    #[error("`git` could not be started")]
    Start(#[source] std::io::Error),
    #[error("`git log` ended badly: {0}")]
    Log(String),
    #[error("no commit changed `{BASELINE}`: the check needs the history, a shallow clone has none")]
    NoCommit,
}

/// The arguments of cargo-semver-checks for this checkout.
pub(crate) fn arguments(workspace: &Workspace) -> Result<Vec<String>, BaselineError> {
    let mut arguments: Vec<String> =
        ["semver-checks", "check-release", "--baseline-rev"].map(str::to_owned).into();
    arguments.push(baseline(workspace)?);
    for name in CRATES {
        arguments.extend(["--package", name].map(str::to_owned));
    }
    Ok(arguments)
}

fn baseline(workspace: &Workspace) -> Result<String, BaselineError> {
    let mut git = Command::new("git");
    git.current_dir(workspace.root()).stdin(Stdio::null());
    let output =
        git.args(["log", "-1", "--format=%H", "--", BASELINE]).output().map_err(BaselineError::Start)?;
    if !output.status.success() {
        return Err(BaselineError::Log(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let commit = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if commit.is_empty() { Err(BaselineError::NoCommit) } else { Ok(commit) }
}

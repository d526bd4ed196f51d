//! Compares the public API of every library crate with that of an earlier commit.
//!
//! cargo-semver-checks can document both sides itself, each crate with dependencies of its own: that takes longer than all other steps
//! together. Here the workspace is documented as a whole, twice, beside what the other steps have compiled.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use crate::metadata::{Metadata, MetadataError};
use crate::workspace::Workspace;

/// The public API is compared with that of the commit which last changed this file.
const BASELINE: &str = "docs/api-baseline.md";

/// What users do not build on.
const NO_LIBRARIES: [&str; 4] = ["flow-benches", "flow-examples", "flow-proving", "xtask"];

/// What cargo-semver-checks asks of rustdoc.
const AS_JSON: &str = "-Z unstable-options --document-private-items --document-hidden-items --output-format=json --cap-lints=allow";

/// Why the public API could not be compared, or is not what it was.
#[derive(Debug, Error)]
pub(crate) enum PublicApiError {
    #[error("`{0}` could not be started")]
    Start(&'static str, #[source] io::Error),
    #[error("`{0}` ended with {1}")]
    Ended(&'static str, ExitStatus),
    #[error("`{}` could not be used", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("no commit changed `{BASELINE}`: the check needs the history, a shallow clone has none")]
    NoCommit,
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("rustdoc left nothing to compare")]
    Nothing,
    #[error("crates whose API breaks users: {}", .0.join(", "))]
    Broken(Vec<String>),
}

/// Compares each crate by the program `checker`; says how many there were.
pub(crate) fn compare(
    workspace: &Workspace,
    features: &str,
    checker: &Path,
) -> Result<String, PublicApiError> {
    let place = workspace.root().join("target").join("public-api");
    let commit = baseline(workspace)?;
    let earlier = earlier(workspace, &commit, &place)?;
    // To Cargo a crate is the same in both checkouts, by name, version and place in the workspace: in one build directory the later
    // side would be documented upon what was compiled of the earlier one.
    let (build, target) = (place.join("build"), workspace.root().join("target"));
    let had = known(&Metadata::of(&Workspace::at(&earlier))?, features);
    let old = documented(workspace, &earlier, [&place.join("old"), &build], &had)?;
    let new = documented(workspace, workspace.root(), [&place.join("new"), &target], features)?;
    let (mut compared, mut broken) = (0, Vec::new());
    for name in crates(&old)? {
        let mut check = Command::new(checker);
        check.args(["semver-checks", "check-release", "--baseline-rustdoc"]).arg(old.join(&name));
        check.arg("--current-rustdoc").arg(new.join(&name)).stdin(Stdio::null());
        println!("{name}");
        if !new.join(&name).exists() || !status(&mut check, "cargo-semver-checks")?.success() {
            broken.push(name);
        }
        compared += 1;
    }
    match compared {
        0 => Err(PublicApiError::Nothing),
        _ if !broken.is_empty() => Err(PublicApiError::Broken(broken)),
        _ => Ok(format!("{compared} crates as in {}", commit.get(..12).unwrap_or(&commit))),
    }
}

/// The commit that is compared with.
fn baseline(workspace: &Workspace) -> Result<String, PublicApiError> {
    let mut git = Command::new("git");
    git.current_dir(workspace.root()).args(["log", "-1", "--format=%H", "--", BASELINE]);
    let output =
        git.stdin(Stdio::null()).output().map_err(|error| PublicApiError::Start("git log", error))?;
    if !output.status.success() {
        return Err(PublicApiError::Ended("git log", output.status));
    }
    let commit = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if commit.is_empty() { Err(PublicApiError::NoCommit) } else { Ok(commit) }
}

/// Lays out what stood in `commit`, anew for another commit than before.
fn earlier(workspace: &Workspace, commit: &str, place: &Path) -> Result<PathBuf, PublicApiError> {
    let (directory, archive) = (place.join(commit), place.join("earlier.tar"));
    if directory.exists() {
        return Ok(directory);
    }
    let half = place.join("earlier");
    if half.exists() {
        fs::remove_dir_all(&half).map_err(|error| PublicApiError::File(half.clone(), error))?;
    }
    fs::create_dir_all(&half).map_err(|error| PublicApiError::File(half.clone(), error))?;
    let mut git = Command::new("git");
    git.current_dir(workspace.root()).args(["archive", "--format=tar", "--output"]).arg(&archive).arg(commit);
    succeed(&mut git, "git archive")?;
    succeed(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&half), "tar")?;
    fs::rename(&half, &directory).map_err(|error| PublicApiError::File(directory.clone(), error))?;
    Ok(directory)
}

/// Those of `features`, each `crate/feature`, that there are in a workspace: an earlier one lacks what came since.
fn known(metadata: &Metadata, features: &str) -> String {
    let is_known = |feature: &&str| {
        feature.split_once('/').is_some_and(|(name, feature)| {
            let mut members = metadata.members().map(|(package, _)| package);
            members.any(|package| package.name == name && package.features.contains_key(feature))
        })
    };
    features.split(',').filter(is_known).collect::<Vec<_>>().join(",")
}

/// Documents the libraries of `checkout` as JSON upon what is compiled in `build`, and gives the directory in `place` that holds it.
fn documented(
    workspace: &Workspace,
    checkout: &Path,
    [place, build]: [&PathBuf; 2],
    features: &str,
) -> Result<PathBuf, PublicApiError> {
    let mut cargo = workspace.cargo();
    cargo.current_dir(checkout).args(["doc", "--workspace", "--no-deps", "--lib", "--locked"]);
    cargo.args(["--features", features]);
    for name in NO_LIBRARIES {
        cargo.args(["--exclude", name]);
    }
    cargo.env("RUSTDOC", workspace.root().join("xtask").join("rustdoc-json.sh")).env("RUSTDOCFLAGS", AS_JSON);
    cargo.env("CARGO_TARGET_DIR", place).env("CARGO_BUILD_BUILD_DIR", build);
    let made = place.join("doc");
    if made.exists() {
        // Of a crate that is no longer there it would still tell the last.
        fs::remove_dir_all(&made).map_err(|error| PublicApiError::File(made.clone(), error))?;
    }
    succeed(&mut cargo, "cargo doc")?;
    Ok(made)
}

/// The files of the crates in `directory`, in order.
fn crates(directory: &Path) -> Result<Vec<String>, PublicApiError> {
    let unusable = |error| PublicApiError::File(directory.to_path_buf(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unusable)? {
        let name = entry.map_err(unusable)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn status(command: &mut Command, name: &'static str) -> Result<ExitStatus, PublicApiError> {
    command.stdin(Stdio::null()).status().map_err(|error| PublicApiError::Start(name, error))
}

fn succeed(command: &mut Command, name: &'static str) -> Result<(), PublicApiError> {
    match status(command, name)? {
        status if status.success() => Ok(()),
        status => Err(PublicApiError::Ended(name, status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fixture::Fixture;

    #[test]
    fn an_earlier_workspace_is_asked_for_no_feature_that_came_since() {
        let earlier =
            Fixture::new().member("flow-testkit", "flow-testkit").feature("flow-testkit", "mockall", &[]);
        let wanted = "flow-testkit/mockall,flow-testkit/cloud,flow-late/mockall";
        assert_eq!(known(&earlier.metadata(), wanted), "flow-testkit/mockall");
    }
}

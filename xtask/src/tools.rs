//! Cargo's own tools, pinned, built once per version into a folder that outlives the checkout.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use crate::workspace::Workspace;

/// A program that `cargo install` builds.
#[derive(Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Checks licences, duplicates and sources of the dependencies.
pub(crate) const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Finds changes of the public API that break users.
pub(crate) const CARGO_SEMVER_CHECKS: Tool = Tool { name: "cargo-semver-checks", version: "0.51.0" };

/// The tool runs for a second per suite: built without the optimisations that take most of the build's time.
const BUILD_FAST: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// Why a tool is not there.
#[derive(Debug, Error)]
pub(crate) enum ToolError {
    /// No variable says where tools are kept.
    #[error("none of `FLOW_TOOLS`, `XDG_CACHE_HOME` and `HOME` is set: nowhere to keep tools")]
    NoFolder,
    /// Cargo could not be started.
    #[error("`cargo install {name}` could not be started")]
    Start {
        /// The tool.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The build failed; cargo has said why.
    #[error("`cargo install {name} --version {version}` ended with {status}")]
    Ended {
        /// The tool.
        name: &'static str,
        /// The wanted version.
        version: &'static str,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// What stands at the tool's place after the build is not the tool.
    #[error("`{}` is not {name} {version}", path.display())]
    Wrong {
        /// The tool.
        name: &'static str,
        /// The wanted version.
        version: &'static str,
        /// Its place.
        path: PathBuf,
    },
}

/// The folder in which tools are kept, from the variables that `variable` reads.
pub(crate) fn kept_folder(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, ToolError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FLOW_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("flow-tools")))
        .or_else(|| set("HOME").map(|home| home.join(".cache").join("flow-tools")))
        .ok_or(ToolError::NoFolder)
}

impl Tool {
    /// The tool's program below `kept`, built first if it is not there.
    pub(crate) fn ensure(&self, kept: &Path, workspace: &Workspace) -> Result<PathBuf, ToolError> {
        let program = self.program(kept);
        if self.is_at(&program) {
            return Ok(program);
        }
        println!("building {} {} once, into `{}`", self.name, self.version, kept.display());
        self.install(kept, workspace)?;
        if self.is_at(&program) {
            return Ok(program);
        }
        Err(ToolError::Wrong { name: self.name, version: self.version, path: program })
    }

    fn install(&self, kept: &Path, workspace: &Workspace) -> Result<(), ToolError> {
        let mut command = workspace.cargo();
        command.args(["install", "--locked", "--version", self.version, self.name]);
        // `--force`: a file that is not the tool may stand at its place.
        command.arg("--force").arg("--root").arg(self.root(kept)).envs(BUILD_FAST);
        // Cargo then builds in a directory of its own and removes it.
        command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ToolError::Ended { name: self.name, version: self.version, status }),
            Err(source) => Err(ToolError::Start { name: self.name, source }),
        }
    }

    /// One root per version, so that a checkout of another age finds its own.
    fn root(&self, kept: &Path) -> PathBuf {
        kept.join(format!("{}-{}", self.name, self.version))
    }

    fn program(&self, kept: &Path) -> PathBuf {
        self.root(kept).join("bin").join(self.name)
    }

    fn is_at(&self, program: &Path) -> bool {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| self.is_what_says(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Whether `printed` is what this tool in this version prints of itself.
    fn is_what_says(&self, printed: &str) -> bool {
        printed.trim() == format!("{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(set: &[(&str, &str)]) -> Option<PathBuf> {
        let value = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        kept_folder(value).ok()
    }

    #[test]
    fn tools_are_kept_where_the_nearest_variable_says() {
        let home = ("HOME", "/home/me");
        assert_eq!(folder(&[home]), Some("/home/me/.cache/flow-tools".into()));
        assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "/cache")]), Some("/cache/flow-tools".into()));
        assert_eq!(folder(&[home, ("FLOW_TOOLS", "/tools")]), Some("/tools".into()));
        assert_eq!(folder(&[home, ("FLOW_TOOLS", "")]), Some("/home/me/.cache/flow-tools".into()));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn a_kept_tool_counts_only_in_its_own_version() {
        let tool = Tool { name: "some-tool", version: "1.2.3" };
        assert!(tool.is_what_says("some-tool 1.2.3\n"));
        assert!(!tool.is_what_says("some-tool 1.2.30\n"));
        assert!(!tool.is_what_says("other-tool 1.2.3\n"));
    }

    #[test]
    fn a_tool_that_was_never_built_is_not_there() {
        let kept = tempfile::tempdir().unwrap();
        assert!(!CARGO_DENY.is_at(&CARGO_DENY.program(kept.path())));
    }
}

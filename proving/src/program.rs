use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::Outside;

/// Where Debian keeps servers; the path of a plain user lacks it.
const SYSTEM: &str = "/usr/sbin";

/// The program `name`, on the path or beside the system's servers.
///
/// # Errors
/// Where there is none.
pub fn find(name: &str) -> Outside<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(SYSTEM)]);
    let mut programs = folders.map(|folder| folder.join(name));
    let found = programs.find(|program| program.is_file());
    found.ok_or_else(|| format!("there is no `{name}`: `cargo xtask test` installs it").into())
}

/// The folder of the programs that `cargo xtask test` keeps: `$FLOW_TOOLS`, else `$XDG_CACHE_HOME/flow-tools`, else
/// `~/.cache/flow-tools`.
///
/// # Errors
/// Where none of the variables is set.
pub fn kept_folder() -> Outside<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FLOW_TOOLS")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("flow-tools")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/flow-tools")))
        .ok_or_else(|| "none of `FLOW_TOOLS`, `XDG_CACHE_HOME` and `HOME` is set".into())
}

/// The newest folder `prefix*` of the kept ones.
///
/// # Errors
/// Where there is none.
pub fn newest_kept(prefix: &str) -> Outside<PathBuf> {
    let kept = kept_folder()?;
    let mut found: Vec<(Vec<u64>, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(&kept)? {
        let path = entry?.path();
        let version = path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(prefix));
        let parts = version.map(|version| version.split(['.', '-']).filter(|part| *part != "beta"));
        let numbers: Option<Vec<u64>> = parts.and_then(|parts| parts.map(|part| part.parse().ok()).collect());
        found.extend(numbers.map(|numbers| (numbers, path)));
    }
    let newest = found.into_iter().max().map(|(_, path)| path);
    newest.ok_or_else(|| {
        format!("there is no `{prefix}*` in `{}`: `cargo xtask test` installs it", kept.display()).into()
    })
}

/// Cargo in the environment that it was itself started in: without what it tells a program of the program's package. Some build scripts
/// ask for that, and all that is built on theirs would be compiled anew.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

//! Where the checkout stands and which source files it has.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// A checkout of the workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

/// A file of the workspace with its content.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path below the root, with `/` between its parts.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

/// A file or directory that could not be read or written.
#[derive(Debug, Error)]
#[error("`{}` could not be {done}", path.display())]
pub(crate) struct FileError {
    done: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Workspace {
    /// The checkout that this program was built from.
    pub(crate) fn of_this_checkout() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::at(own.parent().unwrap_or(own))
    }

    /// The checkout at `root`.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A command that runs cargo at the root, with nothing to read from, and without what cargo tells this program of its own package:
    /// some build scripts ask for that, and all that is built on theirs would be compiled anew.
    pub(crate) fn cargo(&self) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Reads a file below the root.
    pub(crate) fn read(&self, path: &str) -> Result<String, FileError> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|source| FileError { done: "read", path, source })
    }

    /// Replaces a file below the root.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<(), FileError> {
        let path = self.root.join(path);
        fs::write(&path, text).map_err(|source| FileError { done: "written", path, source })
    }

    /// All Rust files, by path. Build output and hidden directories are not looked into.
    pub(crate) fn rust_files(&self) -> Result<Vec<SourceFile>, FileError> {
        let mut paths = Vec::new();
        collect(&self.root, &mut paths)?;
        paths.sort();
        paths.iter().map(|path| self.source_file(path)).collect()
    }

    fn source_file(&self, path: &Path) -> Result<SourceFile, FileError> {
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let path = parts.join("/");
        Ok(SourceFile { text: self.read(&path)?, path })
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let unreadable = |source| FileError { done: "listed", path: directory.to_path_buf(), source };
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().map_err(unreadable)?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, found)?;
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

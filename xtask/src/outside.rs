//! Crates outside the workspace, as users' crates are: the template of an adapter, and an adapter that somebody wrote who had
//! read nothing but the documentation. Each is copied, changed as its trial says, and tested.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use thiserror::Error;

use crate::workspace::Workspace;

/// One crate, what is changed in it, and what its tests must then say.
#[derive(Debug)]
struct Trial {
    name: &'static str,
    folder: &'static str,
    edits: &'static [Edit],
    breaks: Option<&'static str>,
}

/// A change of a copied crate.
#[derive(Debug)]
enum Edit {
    /// The file is replaced by another one below `outside/`.
    Filled { file: &'static str, from: &'static str },
    /// The text, which stands once in the file, is replaced.
    Mistake { file: &'static str, text: &'static str, by: &'static str },
}

const TRIALS: &[Trial] = &[
    Trial {
        name: "the template as it stands",
        folder: "template",
        edits: &[],
        breaks: Some("a_configuration_is_in_force_exactly_as_written"),
    },
    Trial {
        name: "the template with its three methods filled",
        folder: "template",
        edits: &[Edit::Filled { file: "src/client.rs", from: "template-filled.rs" }],
        breaks: None,
    },
    Trial {
        name: "the adapter written from the docs",
        folder: "written-from-docs",
        edits: &[],
        breaks: None,
    },
    Trial {
        name: "the adapter written from the docs, with evidence found as it was recorded",
        folder: "written-from-docs",
        edits: &[Edit::Mistake {
            file: "src/adapter.rs",
            text: "        found.sort_by(|left, right| (left.recorded, &left.run).cmp(&(right.recorded, &right.run)));\n",
            by: "",
        }],
        breaks: Some("evidence_is_found_oldest_first"),
    },
    Trial {
        name: "the adapter written from the docs, with a torn line taken for none",
        folder: "written-from-docs",
        edits: &[Edit::Mistake {
            file: "src/adapter.rs",
            text: "contents.end = End::Torn(text.len()),",
            by: "contents.end = End::Open,",
        }],
        breaks: Some("what_cannot_be_read_is_an_error_and_never_an_absence"),
    },
    Trial {
        name: "the adapter written from the docs, with a run's other digests forgotten",
        folder: "written-from-docs",
        edits: &[Edit::Mistake {
            file: "src/adapter.rs",
            text: "kept.digests.contains(digest)",
            by: "kept.digests.first() == Some(digest)",
        }],
        breaks: Some("evidence_is_found_whole_by_each_of_its_digests"),
    },
    Trial {
        name: "the adapter written from the docs, with every attempt of a run kept",
        folder: "written-from-docs",
        edits: &[Edit::Mistake {
            file: "src/adapter.rs",
            text: ".find(|kept| of_one_run(kept, evidence))",
            by: ".find(|kept| *kept == evidence)",
        }],
        breaks: Some("the_evidence_of_a_run_is_kept_once_and_as_it_was_first"),
    },
];

/// Why a trial failed.
#[derive(Debug, Error)]
pub(crate) enum TrialError {
    #[error("`{}` could not be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{trial}: `{text}` does not stand exactly once in `{file}`")]
    Text { trial: &'static str, file: &'static str, text: &'static str },
    #[error("{trial}: no test was run:\n{output}")]
    NoTest { trial: &'static str, output: String },
    #[error("{trial}: broken are {broken:?}")]
    Broken { trial: &'static str, broken: BTreeSet<String> },
    #[error("{trial}: `{promise}` holds all the same; broken are {broken:?}")]
    NotCaught { trial: &'static str, promise: &'static str, broken: BTreeSet<String> },
}

/// Makes every trial; says how many there were.
pub(crate) fn run(workspace: &Workspace) -> Result<String, TrialError> {
    for trial in TRIALS {
        println!("{}", trial.name);
        let broken = test(trial, &copy(trial, workspace)?, workspace)?;
        match trial.breaks {
            None if !broken.is_empty() => return Err(TrialError::Broken { trial: trial.name, broken }),
            Some(promise) if !broken.contains(promise) => {
                return Err(TrialError::NotCaught { trial: trial.name, promise, broken });
            }
            _ => {}
        }
    }
    Ok(format!("{} trials", TRIALS.len()))
}

/// Copies the crate to a folder at the same depth, so that its paths lead to the same crates.
fn copy(trial: &Trial, workspace: &Workspace) -> Result<PathBuf, TrialError> {
    let outside = workspace.root().join("outside");
    let to = workspace.root().join("target").join(format!("outside-{}", trial.folder));
    if to.exists() {
        fs::remove_dir_all(&to).map_err(|source| TrialError::File { path: to.clone(), source })?;
    }
    copy_tree(&outside.join(trial.folder), &to)?;
    // The versions that the workspace was tested with.
    copy_file(&workspace.root().join("Cargo.lock"), &to.join("Cargo.lock"))?;
    for edit in trial.edits {
        match edit {
            Edit::Filled { file, from } => copy_file(&outside.join(from), &to.join(file))?,
            Edit::Mistake { file, text, by } => {
                let path = to.join(file);
                let failed = |source| TrialError::File { path: path.clone(), source };
                let source = fs::read_to_string(&path).map_err(failed)?;
                if source.matches(text).count() != 1 {
                    return Err(TrialError::Text { trial: trial.name, file, text });
                }
                fs::write(&path, source.replace(text, by)).map_err(failed)?;
            }
        }
    }
    Ok(to)
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), TrialError> {
    let failed = |source| TrialError::File { path: from.to_path_buf(), source };
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy_tree(&path, &to)? } else { copy_file(&path, &to)? }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), TrialError> {
    fs::copy(from, to).map(drop).map_err(|source| TrialError::File { path: from.to_path_buf(), source })
}

/// Tests the crate at `folder` and says which of its tests failed.
fn test(trial: &Trial, folder: &Path, workspace: &Workspace) -> Result<BTreeSet<String>, TrialError> {
    let mut cargo = workspace.cargo();
    cargo.current_dir(folder).args(["test", "--offline", "--no-fail-fast"]);
    cargo.env("CARGO_TARGET_DIR", workspace.root().join("target").join("outside"));
    let output = cargo.stderr(Stdio::piped()).output();
    let output = output.map_err(|source| TrialError::File { path: folder.to_path_buf(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
    let broken: BTreeSet<String> = text.lines().filter_map(failed).collect();
    let ran = text.lines().any(|line| line.starts_with("test ") && line.contains(" ... "));
    if !ran || output.status.success() != broken.is_empty() {
        let output = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        return Err(TrialError::NoTest { trial: trial.name, output });
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_can_be_made() {
        let outside = Workspace::of_this_checkout().root().join("outside");
        for trial in TRIALS {
            for edit in trial.edits {
                match edit {
                    Edit::Filled { file, from } => {
                        assert!(outside.join(trial.folder).join(file).is_file(), "{}", trial.name);
                        assert!(outside.join(from).is_file(), "{}", trial.name);
                    }
                    Edit::Mistake { file, text, by } => {
                        let source = fs::read_to_string(outside.join(trial.folder).join(file)).unwrap();
                        assert_eq!(source.matches(text).count(), 1, "{}: `{text}`", trial.name);
                        assert_ne!(text, by);
                    }
                }
            }
        }
    }
}

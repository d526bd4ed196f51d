//! The sample application as a Git repository with one tag for each release.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A release of the sample application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Release {
    /// Its version; its tag is this with a `v` before it.
    pub(crate) version: &'static str,
    orders: &'static str,
    accent: &'static str,
    migrations: usize,
    committed: &'static str,
}

/// All releases, oldest first.
pub(crate) const RELEASES: [Release; 4] = [
    Release {
        version: "1.0.0",
        orders: include_str!("app/orders/1.0.0.rs"),
        accent: "#446688",
        migrations: 1,
        committed: "2026-01-05T09:00:00Z",
    },
    Release {
        version: "1.1.0",
        orders: include_str!("app/orders/1.1.0.rs"),
        accent: "#448866",
        migrations: 2,
        committed: "2026-02-02T09:00:00Z",
    },
    Release {
        version: "1.2.0",
        orders: include_str!("app/orders/1.2.0.rs"),
        accent: "#886644",
        migrations: 3,
        committed: "2026-03-02T09:00:00Z",
    },
    Release {
        version: "1.3.0",
        orders: include_str!("app/orders/1.3.0.rs"),
        accent: "#664488",
        migrations: 3,
        committed: "2026-03-09T09:00:00Z",
    },
];

const SOURCES: [(&str, &str); 7] = [
    (".gitattributes", "* -text\n"),
    ("src/create_table.rs", include_str!("app/src/create_table.rs")),
    ("src/database.rs", include_str!("app/src/database.rs")),
    ("src/main.rs", include_str!("app/src/main.rs")),
    ("src/row.rs", include_str!("app/src/row.rs")),
    ("src/server.rs", include_str!("app/src/server.rs")),
    ("src/sqlite_file.rs", include_str!("app/src/sqlite_file.rs")),
];

/// Each migration's name with its way there and its way back.
const MIGRATIONS: [(&str, &str, &str); 3] = [
    (
        "0001_create_orders",
        include_str!("app/migrations/0001_create_orders.up.sql"),
        include_str!("app/migrations/0001_create_orders.down.sql"),
    ),
    (
        "0002_add_currency",
        include_str!("app/migrations/0002_add_currency.up.sql"),
        include_str!("app/migrations/0002_add_currency.down.sql"),
    ),
    (
        "0003_add_points",
        include_str!("app/migrations/0003_add_points.up.sql"),
        include_str!("app/migrations/0003_add_points.down.sql"),
    ),
];

const PAGE: &str = include_str!("app/site/index.html");
const SCRIPT: &str = include_str!("app/site/app.js");
const STYLE: &str = include_str!("app/site/style.css");
const FUNCTION: &str = include_str!("app/function/main.rs");
const RULES: &str = include_str!("app/monitoring/rules.yml");

impl Release {
    /// The tag of its commit.
    pub(crate) fn tag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Its files by their paths: `src/..`, `migrations/..`, `site/..`, `function/main.rs`, `monitoring/rules.yml`.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let shared = SOURCES.iter().map(|(path, text)| ((*path).to_owned(), self.filled(text)));
        let mut files: BTreeMap<_, _> = shared.collect();
        files.insert("src/orders.rs".to_owned(), self.orders.to_owned());
        for (name, up, down) in MIGRATIONS.iter().take(self.migrations) {
            files.insert(format!("migrations/{name}.up.sql"), (*up).to_owned());
            files.insert(format!("migrations/{name}.down.sql"), (*down).to_owned());
        }
        let (script, style) = (self.filled(SCRIPT), self.filled(STYLE));
        let script_name = format!("app.{}.js", hash8(&script));
        let style_name = format!("style.{}.css", hash8(&style));
        let page = self.filled(PAGE).replace("@script@", &script_name).replace("@style@", &style_name);
        files.insert("site/index.html".to_owned(), page);
        files.insert(format!("site/{script_name}"), script);
        files.insert(format!("site/{style_name}"), style);
        files.insert("function/main.rs".to_owned(), self.filled(FUNCTION));
        files.insert("monitoring/rules.yml".to_owned(), self.filled(RULES));
        files
    }

    fn filled(&self, template: &str) -> String {
        template.replace("@version@", self.version).replace("@accent@", self.accent)
    }
}

/// The first eight hexadecimal digits of the content's SHA-256.
fn hash8(content: &str) -> String {
    Sha256::digest(content).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Why the repository could not be laid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum RepositoryError {
    /// Something stands there already.
    #[error("`{}` is not empty", .0.display())]
    Occupied(PathBuf),
    /// A file or directory could not be read or written.
    #[error("`{}` cannot be {done}", path.display())]
    File {
        /// What was to be done with it.
        done: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Git could not be started.
    #[error("`git` cannot be started")]
    NoGit(#[source] io::Error),
    /// Git refused.
    #[error("`git {command}` ended with {status}: {message}")]
    Git {
        /// Its arguments.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it said.
        message: String,
    },
}

/// Lays a repository with all releases into `directory`, which is made if it is missing, and gives the commit of each
/// tag. The work tree is left at the newest release.
///
/// # Errors
/// [`RepositoryError`] where the directory is not empty or anything cannot be written.
pub(crate) fn lay(directory: &Path) -> Result<BTreeMap<String, String>, RepositoryError> {
    fs::create_dir_all(directory).map_err(file("made", directory))?;
    let mut entries = fs::read_dir(directory).map_err(file("read", directory))?;
    if entries.next().is_some() {
        return Err(RepositoryError::Occupied(directory.to_path_buf()));
    }
    let git = Git { directory, date: "" };
    git.run(&["init", "--quiet", "--initial-branch=main", "--template="])?;
    let mut commits = BTreeMap::new();
    for release in &RELEASES {
        let git = Git { directory, date: release.committed };
        lay_files(directory, &release.files())?;
        git.run(&["add", "--all"])?;
        git.run(&["commit", "--quiet", "--no-verify", "--message", &format!("Release {}", release.version)])?;
        git.run(&["tag", "--no-sign", "--", &release.tag()])?;
        commits.insert(release.tag(), git.run(&["rev-parse", "HEAD"])?);
    }
    Ok(commits)
}

/// Replaces everything but `.git`.
fn lay_files(directory: &Path, files: &BTreeMap<String, String>) -> Result<(), RepositoryError> {
    for entry in fs::read_dir(directory).map_err(file("read", directory))? {
        let entry = entry.map_err(file("read", directory))?;
        if entry.file_name() != ".git" {
            let path = entry.path();
            let is_directory = entry.file_type().map_err(file("read", &path))?.is_dir();
            let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(file("removed", &path))?;
        }
    }
    for (name, content) in files {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(file("made", parent))?;
        }
        fs::write(&path, content).map_err(file("written", &path))?;
    }
    Ok(())
}

fn file(done: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RepositoryError {
    let path = path.to_path_buf();
    move |source| RepositoryError::File { done, path, source }
}

/// Git in one repository, without any configuration but its own.
struct Git<'a> {
    directory: &'a Path,
    date: &'a str,
}

impl Git<'_> {
    /// Runs a command and gives the line that it prints.
    fn run(&self, arguments: &[&str]) -> Result<String, RepositoryError> {
        let output = self.output(arguments).map_err(RepositoryError::NoGit)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(RepositoryError::Git {
            command: arguments.join(" "),
            status: output.status,
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn output(&self, arguments: &[&str]) -> io::Result<Output> {
        let settings = [
            "user.name=Shop",
            "user.email=shop@example.invalid",
            "commit.gpgSign=false",
            "core.autocrlf=false",
            "core.hooksPath=/dev/null",
            "gc.auto=0",
        ];
        Command::new("git")
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .args(arguments)
            .current_dir(self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")))
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_DATE", self.date)
            .env("GIT_COMMITTER_DATE", self.date)
            .output()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_holds_exactly_its_release_and_the_same_commits_each_time() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let commits = lay(one.path()).unwrap();
        assert_eq!(commits, lay(other.path()).unwrap());
        assert_eq!(commits.keys().collect::<Vec<_>>(), ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"]);
        let git = Git { directory: one.path(), date: "" };
        for release in &RELEASES {
            assert_eq!(git.run(&["rev-parse", &release.tag()]).unwrap(), commits[&release.tag()]);
            let listed = git.run(&["ls-tree", "-r", "--name-only", &release.tag()]).unwrap();
            let files = release.files();
            assert_eq!(listed.lines().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
            for (path, content) in &files {
                let output = git.output(&["show", &format!("{}:{path}", release.tag())]).unwrap();
                assert_eq!(String::from_utf8(output.stdout).unwrap(), *content, "{path}");
            }
        }
        assert_eq!(git.run(&["status", "--porcelain"]).unwrap(), "");
    }

    #[test]
    fn a_directory_with_anything_in_it_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("mine"), "kept").unwrap();
        assert!(matches!(lay(directory.path()), Err(RepositoryError::Occupied(_))));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_page_names_assets_that_exist_and_that_no_other_release_has() {
        let mut seen = std::collections::BTreeSet::new();
        for release in &RELEASES {
            let files = release.files();
            let assets: Vec<_> = files
                .iter()
                .filter_map(|(path, content)| Some((path.strip_prefix("site/")?, content)))
                .filter(|(name, _)| *name != "index.html")
                .collect();
            assert_eq!(assets.len(), 2);
            for (name, content) in assets {
                assert!(name.contains(&hash8(content)), "{name}");
                assert!(files["site/index.html"].contains(&format!("\"{name}\"")), "{name}");
                assert!(seen.insert(name.to_owned()), "{name}");
            }
            assert!(files.values().all(|content| !content.contains("@version@")));
        }
    }

    #[test]
    fn a_release_has_its_migrations_and_all_earlier_ones() {
        let versions = |release: &Release| {
            let files = release.files().into_keys();
            files.filter(|path| path.starts_with("migrations/") && path.ends_with(".up.sql")).count()
        };
        assert_eq!(RELEASES.each_ref().map(versions), [1, 2, 3, 3]);
    }
}

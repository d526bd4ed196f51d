//! Asks Git, and nobody else whom a repository's configuration names.
//!
//! A repository's configuration can name programs: hooks, clean and smudge filters, `core.fsmonitor`, transports, lazy
//! fetches. Whatever reads files therefore happens on a *workbench*: a Git directory of our own, empty but for a line
//! that says where the repository's objects are. The repository's own configuration is in force only for three
//! questions about names and trees, none of which reads a file of the work tree, and with every program in it that
//! these could start overruled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::{CancelToken, ErrorKind, StepError};

use super::files::{blocking, name_of, refused};
use super::process::{Call, Ended, Keep, Runner};
use super::scratch::Scratch;

/// Overrules whatever could start a program or change what is laid.
const OVERRULED: [&str; 11] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=true",
    "protocol.allow=never",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Lays files as the commit holds them: no filter, no line-ending conversion, no keyword.
const NO_ATTRIBUTES: &str = "* -text -ident !eol !filter !working-tree-encoding\n";

/// A repository and the program that reads it.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    pub(crate) runner: Runner,
    pub(crate) repository: PathBuf,
    pub(crate) timeout: Duration,
}

/// What is not committed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// The paths, each with what is the matter with it.
    pub(crate) paths: BTreeSet<(String, &'static str)>,
    /// Whether there are more.
    pub(crate) is_cut: bool,
}

/// Where a call of `git` works.
#[derive(Clone, Copy)]
struct Place<'a> {
    git_dir: &'a Path,
    work_tree: &'a Path,
    index: Option<&'a Path>,
}

impl Git {
    /// The commit that the tag points to; none without the tag.
    pub(crate) async fn tagged(
        &self,
        tag: &str,
        cancel: Option<&CancelToken>,
    ) -> Result<Option<String>, StepError> {
        let full = format!("refs/tags/{tag}");
        // `rev-parse` would go on to guess, and find a branch that is named `refs/tags/..`.
        let args = ["for-each-ref", "--format=%(refname) %(objectname)", "--", &full];
        let listed = self.succeed(self.source(), &args, cancel).await?;
        let listed = String::from_utf8_lossy(&listed.answer).into_owned();
        let found = listed.lines().find_map(|line| line.strip_prefix(&full)?.strip_prefix(' '));
        let Some(object) = found else { return Ok(None) };
        match self.commit(object, cancel).await? {
            Some(commit) => Ok(Some(commit)),
            None => Err(StepError::new(ErrorKind::Invalid, "the tag points to no commit").fact("tag", tag)),
        }
    }

    /// The commit that is checked out in the repository itself.
    pub(crate) async fn head(&self, cancel: Option<&CancelToken>) -> Result<String, StepError> {
        self.commit("HEAD", cancel).await?.ok_or_else(|| {
            StepError::new(ErrorKind::Conflict, "the repository has no commit checked out")
                .fact("repository", self.repository.display())
        })
    }

    async fn commit(&self, name: &str, cancel: Option<&CancelToken>) -> Result<Option<String>, StepError> {
        let wanted = format!("{name}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted];
        let ended = self.ask(self.source(), &args, cancel).await?;
        let printed = String::from_utf8_lossy(&ended.answer);
        let commit = printed.trim_end();
        Ok((ended.status.success() && is_object_name(commit)).then(|| commit.to_owned()))
    }

    /// What differs between the commit and the repository's index, and between the commit and its work tree. The index
    /// is not trusted for the latter: it can be told to look away (`assume-unchanged`, `skip-worktree`).
    pub(crate) async fn dirty(
        &self,
        bench: &Workbench,
        commit: &str,
        cancel: Option<&CancelToken>,
    ) -> Result<Dirty, StepError> {
        let mut dirty = Dirty::default();
        let args = [
            "diff-index",
            "--cached",
            "--name-only",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=dirty",
            commit,
            "--",
        ];
        let staged = self.succeed(self.source(), &args, cancel).await?;
        dirty.add(&staged, |path| Some((path, "staged")));

        let place = bench.at(&self.repository, &bench.index);
        self.succeed(place, &["read-tree", commit], cancel).await?;
        self.succeed(place, &["update-ref", "--no-deref", "HEAD", commit], cancel).await?;
        let exclude = format!("core.excludesFile={}", name_of(&bench.exclude)?);
        let args = [
            "-c",
            &exclude,
            "status",
            "--porcelain=v1",
            "-z",
            "--untracked-files=all",
            "--no-renames",
            "--ignore-submodules=dirty",
            "--ignored=no",
        ];
        let status = self.succeed(place, &args, cancel).await?;
        dirty.add(&status, |record| match record.split_at_checked(3)? {
            ("?? ", path) => Some((path, "untracked")),
            (_, path) => Some((path, "modified")),
        });
        Ok(dirty)
    }

    /// Lays the commit's files in the empty directory `tree`.
    pub(crate) async fn lay(
        &self,
        bench: &Workbench,
        commit: &str,
        tree: &Path,
        cancel: Option<&CancelToken>,
    ) -> Result<(), StepError> {
        let index = bench.scratch.free("index-")?;
        bench.ignore_attributes().await?;
        let place = bench.at(tree, &index);
        self.succeed(place, &["read-tree", commit], cancel).await?;
        self.succeed(place, &["checkout-index", "--all", "--quiet"], cancel).await?;
        Ok(())
    }

    /// Whether the files below `tree` are the commit's: all are hashed anew and the hash of the whole compared.
    pub(crate) async fn is_commit(
        &self,
        bench: &Workbench,
        commit: &str,
        tree: &Path,
        cancel: Option<&CancelToken>,
    ) -> Result<bool, StepError> {
        let index = bench.scratch.free("index-")?;
        bench.ignore_attributes().await?;
        let place = bench.at(tree, &index);
        let wanted =
            self.succeed(place, &["rev-parse", "--verify", &format!("{commit}^{{tree}}")], cancel).await?;
        let added = self.ask(place, &["add", "--all", "--force", "--", "."], cancel).await?;
        if !added.status.success() {
            return Ok(false);
        }
        let found = self.succeed(place, &["write-tree"], cancel).await?;
        Ok(found.answer == wanted.answer)
    }

    /// Sets up a workbench in `scratch` that reads the repository's objects.
    pub(crate) async fn workbench(
        &self,
        scratch: Arc<Scratch>,
        cancel: Option<&CancelToken>,
    ) -> Result<Workbench, StepError> {
        let args = ["rev-parse", "--show-object-format", "--path-format=absolute", "--git-common-dir"];
        let told = self.succeed(self.source(), &args, cancel).await?;
        let told = String::from_utf8_lossy(&told.answer).into_owned();
        let mut lines = told.lines();
        let (Some(format), Some(common), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(self.unusable("the repository's directories cannot be told"));
        };
        let git_dir = scratch.path("git");
        let format = format!("--object-format={format}");
        let args = ["init", "--bare", "--quiet", "--template=", &format, "--", name_of(&git_dir)?];
        let made = self.run_in(&self.repository, None, &args, cancel).await?;
        if !made.status.success() {
            return Err(failed(&args, &made));
        }

        let common = PathBuf::from(common);
        let alternates = git_dir.join("objects/info/alternates");
        let objects = format!("{}\n", name_of(&common.join("objects"))?);
        blocking(move || {
            let made = fs::create_dir_all(alternates.with_file_name(""))
                .and_then(|()| fs::write(&alternates, objects));
            made.map_err(|error| refused("the workbench cannot be made", &alternates, error))
        })
        .await?;
        let index = scratch.path("index");
        Ok(Workbench { scratch, git_dir, index, exclude: common.join("info/exclude") })
    }

    /// The repository itself.
    fn source(&self) -> Place<'_> {
        Place { git_dir: Path::new(".git"), work_tree: &self.repository, index: None }
    }

    fn unusable(&self, message: &'static str) -> StepError {
        StepError::new(ErrorKind::Invalid, message).fact("repository", self.repository.display())
    }

    async fn succeed(
        &self,
        place: Place<'_>,
        args: &[&str],
        cancel: Option<&CancelToken>,
    ) -> Result<Ended, StepError> {
        let ended = self.ask(place, args, cancel).await?;
        if ended.status.success() { Ok(ended) } else { Err(failed(args, &ended)) }
    }

    async fn ask(
        &self,
        place: Place<'_>,
        args: &[&str],
        cancel: Option<&CancelToken>,
    ) -> Result<Ended, StepError> {
        let git_dir = format!("--git-dir={}", name_of(place.git_dir)?);
        let work_tree = format!("--work-tree={}", name_of(place.work_tree)?);
        let all: Vec<&str> =
            [git_dir.as_str(), work_tree.as_str()].into_iter().chain(args.iter().copied()).collect();
        self.run_in(place.work_tree, place.index, &all, cancel).await
    }

    async fn run_in(
        &self,
        directory: &Path,
        index: Option<&Path>,
        args: &[&str],
        cancel: Option<&CancelToken>,
    ) -> Result<Ended, StepError> {
        let overruled = OVERRULED.iter().flat_map(|setting| ["-c", setting]);
        let before = ["--no-pager", "--no-optional-locks"].into_iter().chain(overruled);
        let mut env = environment();
        if let Some(index) = index {
            env.insert("GIT_INDEX_FILE".to_owned(), name_of(index)?.to_owned());
        }
        let call = Call {
            program: "git".to_owned(),
            args: before.chain(args.iter().copied()).map(str::to_owned).collect(),
            env,
            directory: directory.to_owned(),
            keep: Keep::Answer,
            timeout: self.timeout,
            note: None,
        };
        self.runner.run(&call, cancel).await
    }
}

/// The whole environment that `git` sees, `PATH` aside: no configuration of the machine or of a person, no prompt, no
/// network, no replaced objects.
fn environment() -> BTreeMap<String, String> {
    let fixed = [
        ("GIT_ALLOW_PROTOCOL", ""),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C"),
    ];
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn failed(args: &[&str], ended: &Ended) -> StepError {
    let verb =
        args.iter().find(|arg| !arg.starts_with('-') && !arg.contains('=')).copied().unwrap_or_default();
    StepError::new(ErrorKind::Failed, "git refused")
        .fact("command", format!("git {verb}"))
        .fact("end", ended.status)
        .fact("output", &ended.log)
}

/// Whether a text is the full name of an object, and so safe as an argument and as a file name.
pub(crate) fn is_object_name(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Dirty {
    fn add<'a>(&mut self, said: &'a Ended, read: impl Fn(&'a str) -> Option<(&'a str, &'static str)>) {
        self.is_cut |= said.is_truncated;
        for record in said.answer.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let found = std::str::from_utf8(record).ok().and_then(&read);
            // What cannot be read is dirty all the same.
            let (path, state) = found.unwrap_or(("(a path that is not UTF-8)", "modified"));
            self.paths.insert((path.to_owned(), state));
        }
    }
}

/// A Git directory of our own over the repository's objects.
#[derive(Debug)]
pub(crate) struct Workbench {
    pub(crate) scratch: Arc<Scratch>,
    git_dir: PathBuf,
    index: PathBuf,
    /// The repository's own list of files that nobody wants to see.
    exclude: PathBuf,
}

impl Workbench {
    fn at<'a>(&'a self, work_tree: &'a Path, index: &'a Path) -> Place<'a> {
        Place { git_dir: &self.git_dir, work_tree, index: Some(index) }
    }

    /// From here on files are laid and hashed as they are.
    async fn ignore_attributes(&self) -> Result<(), StepError> {
        let path = self.git_dir.join("info/attributes");
        blocking(move || {
            let made =
                fs::create_dir_all(path.with_file_name("")).and_then(|()| fs::write(&path, NO_ATTRIBUTES));
            made.map_err(|error| refused("the workbench cannot be made", &path, error))
        })
        .await
    }
}

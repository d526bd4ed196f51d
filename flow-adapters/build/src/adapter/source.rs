use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Source, SourceRequest, SourceVersion};
use flow_core::{CancelToken, Clock, ErrorKind, Permit, Problems, StepError};

use crate::client::{
    Dirty, Git, Oddity, Runner, Scratch, Workbench, blocking, inspect, is_directory, is_object_name, replace,
    sync,
};
use crate::config::GitConfig;
use crate::tag;

/// How many dirty files an error names.
const NAMED_MAX: usize = 20;

/// A Git repository on this machine as the source of code.
///
/// The repository's work tree is only read, and must be clean: nothing modified, staged or untracked in it, ignored
/// files aside. Commits are laid in a directory of their own, byte for byte as they are stored: Git's filters,
/// line-ending conversions and keywords are not applied, so the tree is the same on every machine. A commit with
/// submodules, or with a link that may leave the tree, is refused.
///
/// ```no_run
/// # use std::sync::Arc;
/// use flow_build::{GitConfig, GitSource};
/// use flow_core::port::{Source, SourceRequest};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = GitConfig::new("/srv/shop", "/srv/trees");
/// let source = GitSource::new(config, Arc::new(flow_core::SystemClock::new()))?;
/// let version = source.resolve(&SourceRequest { tag: "v1.1.0".to_owned() }).await?;
/// assert_eq!(version.tree, std::path::Path::new("/srv/trees").join(&version.commit));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct GitSource {
    git: Git,
    worktrees: PathBuf,
}

impl GitSource {
    /// A source over the repository that `config` names.
    ///
    /// # Errors
    /// All problems of the configuration at once. Nothing is read yet.
    pub fn new(config: GitConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.check()?;
        let GitConfig { repository, worktrees, search_path, timeout } = config;
        Ok(Self { git: Git { runner: Runner { clock, search_path }, repository, timeout }, worktrees })
    }

    /// Where a commit is laid.
    fn tree_of(&self, commit: &str) -> PathBuf {
        self.worktrees.join(commit)
    }

    async fn find(
        &self,
        tag: &str,
        cancel: Option<&CancelToken>,
    ) -> Result<(SourceVersion, Workbench), StepError> {
        tag::check(tag)?;
        if !is_directory(&self.git.repository) {
            return Err(StepError::new(ErrorKind::NotFound, "there is no repository")
                .fact("repository", self.git.repository.display()));
        }
        let worktrees = self.worktrees.clone();
        let scratch = Arc::new(blocking(move || Scratch::make(&worktrees)).await?);
        let bench = self.git.workbench(scratch, cancel).await?;
        let Some(commit) = self.git.tagged(tag, cancel).await? else {
            return Err(StepError::new(ErrorKind::NotFound, "there is no such tag").fact("tag", tag));
        };
        let head = self.git.head(cancel).await?;
        refuse_dirty(&self.git.dirty(&bench, &head, cancel).await?)?;
        Ok((SourceVersion { tree: self.tree_of(&commit), commit, tag: tag.to_owned() }, bench))
    }

    /// Whether what stands at `tree` is the commit, the whole commit and nothing but the commit.
    async fn stands(
        &self,
        bench: &Workbench,
        commit: &str,
        tree: &Path,
        cancel: &CancelToken,
    ) -> Result<bool, StepError> {
        if !is_directory(tree) || odd(tree).await?.is_some() {
            return Ok(false);
        }
        self.git.is_commit(bench, commit, tree, Some(cancel)).await
    }

    /// Lays the commit where nobody looks yet, and checks it.
    async fn lay(&self, bench: &Workbench, commit: &str, cancel: &CancelToken) -> Result<PathBuf, StepError> {
        let tree = bench.scratch.make_directory("tree-")?;
        self.git.lay(bench, commit, &tree, Some(cancel)).await?;
        if let Some(oddity) = odd(&tree).await? {
            return Err(StepError::new(ErrorKind::Invalid, oddity.to_string())
                .fact("commit", commit)
                .fact("path", oddity.path()));
        }
        if !self.git.is_commit(bench, commit, &tree, Some(cancel)).await? {
            return Err(StepError::new(ErrorKind::Failed, "the tree that Git laid is not the commit's")
                .fact("commit", commit));
        }
        Ok(tree)
    }
}

#[async_trait]
impl Source for GitSource {
    async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError> {
        self.find(&request.tag, None).await.map(|(version, _)| version)
    }

    async fn check_out(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        let mut problems = Problems::default();
        problems.check(is_object_name(&version.commit), "commit", "must be the full name of a commit");
        problems.check(
            version.tree == self.tree_of(&version.commit),
            "tree",
            "must be the commit's own place",
        );
        problems.into_result()?;
        let (found, bench) = self.find(&version.tag, Some(permit.cancel())).await?;
        if found.commit != version.commit {
            return Err(StepError::new(ErrorKind::Conflict, "the tag has moved")
                .fact("tag", &version.tag)
                .fact("expected", &version.commit)
                .fact("found", &found.commit));
        }
        if self.stands(&bench, &version.commit, &version.tree, permit.cancel()).await? {
            return Ok(());
        }
        let new = self.lay(&bench, &version.commit, permit.cancel()).await?;
        let (scratch, tree) = (bench.scratch.clone(), version.tree.clone());
        blocking(move || sync(&new).and_then(|()| replace(&scratch, &new, &tree))).await?;
        Ok(())
    }
}

async fn odd(tree: &Path) -> Result<Option<Oddity>, StepError> {
    let tree = tree.to_owned();
    blocking(move || inspect(&tree)).await
}

fn refuse_dirty(dirty: &Dirty) -> Result<(), StepError> {
    if dirty.paths.is_empty() {
        return Ok(());
    }
    let named = dirty.paths.iter().take(NAMED_MAX);
    let named: Vec<String> =
        named.map(|(path, state)| format!("{} ({state})", path.escape_debug())).collect();
    let count = if dirty.is_cut { "more than " } else { "" };
    Err(StepError::new(ErrorKind::Conflict, "the repository's work tree is not clean")
        .fact("count", format!("{count}{}", dirty.paths.len()))
        .fact("files", named.join(", ")))
}

//! What every [`Source`] promises, as checks.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use flow_core::port::{Source, SourceRequest, SourceVersion};
use flow_core::{ErrorKind, Fence, Permit};

use super::{Checked, Outside};
use crate::permit_under;

/// Files by their paths.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A source over a repository without tags, and ways to look at its world from outside.
#[async_trait]
pub trait SourceFixture: Send + Sync {
    /// The source under test.
    fn source(&self) -> &dyn Source;

    /// Commits exactly `files` and lets `tag` point to that, whatever it pointed to before. Gives the commit as the source
    /// prints it.
    async fn commit(&self, tag: &str, files: &Files) -> Outside<String>;

    /// Edits the work tree of the repository without a commit.
    async fn soil(&self) -> Outside<()>;

    /// Reads all files of a checked-out tree; none where nothing stands there.
    async fn tree(&self, tree: &Path) -> Outside<Option<Files>>;

    /// Edits a checked-out tree behind the source's back.
    async fn edit(&self, tree: &Path) -> Outside<()>;
}

/// Makes one `#[tokio::test]` for every promise of [`Source`](flow_core::port::Source).
///
/// It takes an async function without arguments that gives a fresh
/// [`SourceFixture`](crate::conformance::source::SourceFixture).
///
/// ```
/// use std::path::Path;
///
/// use flow_core::Digest;
/// use flow_core::port::Source;
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::source::{Files, SourceFixture};
/// use flow_testkit::fake::FakeSource;
///
/// struct Mine(FakeSource);
///
/// #[async_trait::async_trait]
/// impl SourceFixture for Mine {
///     fn source(&self) -> &dyn Source {
///         &self.0
///     }
///     async fn commit(&self, tag: &str, files: &Files) -> Outside<String> {
///         let commit = Digest::of(format!("{files:?}").as_bytes()).hex();
///         self.0.commit(&commit, files.clone());
///         self.0.tag(tag, &commit);
///         Ok(commit)
///     }
///     async fn soil(&self) -> Outside<()> {
///         Ok(self.0.soil())
///     }
///     async fn tree(&self, tree: &Path) -> Outside<Option<Files>> {
///         Ok(self.0.tree(tree))
///     }
///     async fn edit(&self, tree: &Path) -> Outside<()> {
///         Ok(self.0.edit(&tree.file_name().unwrap_or_default().to_string_lossy()))
///     }
/// }
///
/// async fn fresh() -> Mine {
///     Mine(FakeSource::new())
/// }
///
/// flow_testkit::source_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! source_conformance {
    ($fresh:expr) => {
        $crate::source_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { source $with
            a_tag_names_its_commit_and_resolving_lays_nothing
            a_missing_tag_is_not_found
            a_dirty_work_tree_is_a_conflict_that_lays_nothing
            the_tree_is_the_commits_files_and_nothing_else
            checking_out_twice_is_once
            a_tree_that_was_edited_is_laid_anew
            a_tag_that_has_moved_is_a_conflict_that_lays_nothing
            trees_of_two_commits_do_not_disturb_each_other
        }
    };
}

fn permit(call: &str) -> Permit {
    permit_under(&format!("run/{call}"), Fence(1), 1)
}

fn files(content: &str) -> Files {
    [("main.txt", content), ("src/deep/ü.txt", "ü\0\r\n"), ("empty", "")]
        .map(|(path, content)| (path.to_owned(), content.as_bytes().to_vec()))
        .into()
}

async fn resolve(fixture: &impl SourceFixture, tag: &str) -> Outside<SourceVersion> {
    Ok(fixture.source().resolve(&SourceRequest { tag: tag.to_owned() }).await?)
}

/// A tag gives the commit that it points to, and asking for it is no check-out.
pub async fn a_tag_names_its_commit_and_resolving_lays_nothing(fixture: &impl SourceFixture) -> Checked {
    let first = fixture.commit("v1", &files("one")).await?;
    let second = fixture.commit("v2", &files("two")).await?;
    for (tag, commit) in [("v1", first), ("v2", second)] {
        let version = resolve(fixture, tag).await?;
        assert_eq!((version.commit.as_str(), version.tag.as_str()), (commit.as_str(), tag));
        assert_eq!(resolve(fixture, tag).await?, version);
        assert_eq!(fixture.tree(&version.tree).await?, None);
    }
    Ok(())
}

/// Nothing else stands in for a tag that is not there.
pub async fn a_missing_tag_is_not_found(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    for tag in ["v2", "v"] {
        let resolved = fixture.source().resolve(&SourceRequest { tag: tag.to_owned() }).await;
        assert_eq!(resolved.err().map(|error| error.kind()), Some(ErrorKind::NotFound), "{tag}");
    }
    Ok(())
}

/// What was not committed is not deployed: neither resolved nor checked out.
pub async fn a_dirty_work_tree_is_a_conflict_that_lays_nothing(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    let version = resolve(fixture, "v1").await?;
    fixture.soil().await?;
    let resolved = fixture.source().resolve(&SourceRequest { tag: "v1".to_owned() }).await.map(drop);
    let checked_out = fixture.source().check_out(&permit("check-out"), &version).await;
    let kinds = [resolved, checked_out].map(|ended| ended.err().map(|error| error.kind()));
    assert_eq!(kinds, [Some(ErrorKind::Conflict); 2]);
    assert_eq!(fixture.tree(&version.tree).await?, None);
    Ok(())
}

/// Done means that the commit's files stand at the version's place, byte for byte.
pub async fn the_tree_is_the_commits_files_and_nothing_else(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    let version = resolve(fixture, "v1").await?;
    fixture.source().check_out(&permit("check-out"), &version).await?;
    assert_eq!(fixture.tree(&version.tree).await?, Some(files("one")));
    Ok(())
}

/// A tree that stands may be checked out again.
pub async fn checking_out_twice_is_once(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    let version = resolve(fixture, "v1").await?;
    for _ in 0..2 {
        fixture.source().check_out(&permit("check-out"), &version).await?;
        assert_eq!(fixture.tree(&version.tree).await?, Some(files("one")));
    }
    Ok(())
}

/// A tree that stands already is checked, not trusted.
pub async fn a_tree_that_was_edited_is_laid_anew(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    let version = resolve(fixture, "v1").await?;
    fixture.source().check_out(&permit("check-out"), &version).await?;
    fixture.edit(&version.tree).await?;
    assert_ne!(fixture.tree(&version.tree).await?, Some(files("one")), "the fixture edited nothing");
    fixture.source().check_out(&permit("check-out"), &version).await?;
    assert_eq!(fixture.tree(&version.tree).await?, Some(files("one")));
    Ok(())
}

/// The commit that was resolved is the one that is laid, or none.
pub async fn a_tag_that_has_moved_is_a_conflict_that_lays_nothing(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    let version = resolve(fixture, "v1").await?;
    fixture.commit("v1", &files("two")).await?;
    let checked_out = fixture.source().check_out(&permit("check-out"), &version).await;
    assert_eq!(checked_out.err().map(|error| error.kind()), Some(ErrorKind::Conflict));
    assert_eq!(fixture.tree(&version.tree).await?, None);
    Ok(())
}

/// Each commit has a place of its own.
pub async fn trees_of_two_commits_do_not_disturb_each_other(fixture: &impl SourceFixture) -> Checked {
    fixture.commit("v1", &files("one")).await?;
    fixture.commit("v2", &files("two")).await?;
    let (first, second) = (resolve(fixture, "v1").await?, resolve(fixture, "v2").await?);
    for version in [&second, &first] {
        fixture.source().check_out(&permit("check-out"), version).await?;
    }
    assert_eq!(fixture.tree(&first.tree).await?, Some(files("one")));
    assert_eq!(fixture.tree(&second.tree).await?, Some(files("two")));
    Ok(())
}

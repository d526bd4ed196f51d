use std::path::Path;

use async_trait::async_trait;
use flow_core::port::{Source, SourceRequest, SourceVersion};
use flow_core::{Digest, ErrorKind, Permit, StepError};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::source::{Files, SourceFixture};
use flow_testkit::fake::FakeSource;
use flow_testkit::permit;

/// How a source breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    LaysOnResolving,
    MissesByAnotherKind,
    OverlooksDirt,
    LaysMore,
    LaysOnce,
    FollowsTags,
    OnePlaceForAll,
}

/// A fake and its world, with one mistake.
struct World {
    fake: FakeSource,
    how: How,
}

async fn broken(how: How) -> World {
    World { fake: FakeSource::new(), how }
}

async fn fresh() -> World {
    broken(How::Not).await
}

fn commit_at(tree: &Path) -> String {
    tree.file_name().unwrap().to_str().unwrap().to_owned()
}

#[async_trait]
impl SourceFixture for World {
    fn source(&self) -> &dyn Source {
        self
    }

    async fn commit(&self, tag: &str, files: &Files) -> Outside<String> {
        let commit = Digest::of(format!("{files:?}").as_bytes()).hex();
        self.fake.commit(&commit, files.clone());
        self.fake.tag(tag, &commit);
        Ok(commit)
    }

    async fn soil(&self) -> Outside<()> {
        if self.how != How::OverlooksDirt {
            self.fake.soil();
        }
        Ok(())
    }

    async fn tree(&self, tree: &Path) -> Outside<Option<Files>> {
        if self.how == How::OnePlaceForAll {
            let last = self.fake.checked_out().pop().unwrap_or_default();
            return Ok(self.fake.tree(&Path::new("/trees").join(last)));
        }
        Ok(self.fake.tree(tree))
    }

    async fn edit(&self, tree: &Path) -> Outside<()> {
        self.fake.edit(&commit_at(tree));
        Ok(())
    }
}

#[async_trait]
impl Source for World {
    async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError> {
        match self.fake.resolve(request).await {
            Ok(version) if self.how == How::LaysOnResolving => {
                self.fake.check_out(&permit(), &version).await?;
                Ok(version)
            }
            Err(_) if self.how == How::MissesByAnotherKind => Err(StepError::in_doubt("no such tag")),
            resolved => resolved,
        }
    }

    async fn check_out(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        if self.how == How::LaysOnce && self.fake.tree(&version.tree).is_some() {
            return Ok(());
        }
        match self.fake.check_out(permit, version).await {
            Err(error) if self.how == How::FollowsTags && error.kind() == ErrorKind::Conflict => Ok(()),
            Ok(()) if self.how == How::LaysMore => {
                self.fake.edit(&version.commit);
                Ok(())
            }
            ended => ended,
        }
    }
}

mod fake {
    use super::fresh;

    flow_testkit::source_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { source_conformance, source:
        a_tag_names_its_commit_and_resolving_lays_nothing => || broken(How::LaysOnResolving),
        a_missing_tag_is_not_found => || broken(How::MissesByAnotherKind),
        a_dirty_work_tree_is_a_conflict_that_lays_nothing => || broken(How::OverlooksDirt),
        the_tree_is_the_commits_files_and_nothing_else => || broken(How::LaysMore),
        checking_out_twice_is_once => || broken(How::LaysMore),
        a_tree_that_was_edited_is_laid_anew => || broken(How::LaysOnce),
        a_tag_that_has_moved_is_a_conflict_that_lays_nothing => || broken(How::FollowsTags),
        trees_of_two_commits_do_not_disturb_each_other => || broken(How::OnePlaceForAll),
    }
}

use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::port::{Builder, Built, Source, SourceRequest, SourceVersion};
use flow_core::{Artifact, ErrorKind, Permit, StepError};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::builder::{APP, BuilderFixture, LIB, Tree};
use flow_testkit::fake::{FakeBuilder, FakeSource};
use flow_testkit::permit;

/// How a builder breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    BuildsOnAsking,
    KeepsHalf,
    BuildsAnew,
    FailsWithoutOutput,
    BuildsFromNothing,
    TrustsItsRecord,
    ForgetsOnly,
    DiscardsShared,
    DiscardsTheLatest,
}

/// A fake and its world, with one mistake.
struct World {
    source: FakeSource,
    fake: FakeBuilder,
    how: How,
    built: Mutex<Vec<(SourceVersion, Built)>>,
}

async fn broken(how: How) -> World {
    let source = FakeSource::new();
    World { fake: FakeBuilder::of(&source), source, how, built: Mutex::default() }
}

async fn fresh() -> World {
    broken(How::Not).await
}

#[async_trait]
impl BuilderFixture for World {
    fn builder(&self) -> &dyn Builder {
        self
    }

    async fn check_out(&self, commit: &str, tree: Tree) -> Outside<SourceVersion> {
        self.source.tag(commit, commit);
        let version = self.source.resolve(&SourceRequest { tag: commit.to_owned() }).await?;
        if tree != Tree::Absent {
            self.source.check_out(&permit(), &version).await?;
        }
        match tree {
            Tree::Files { app, lib } => self.fake.yields_at(commit, [(APP, app), (LIB, lib)]),
            Tree::Broken => self.fake.fail_at(commit, "no app here"),
            Tree::Absent => {}
        }
        Ok(version)
    }

    async fn content(&self, artifact: &Artifact) -> Outside<Option<Vec<u8>>> {
        Ok(self.fake.content(&artifact.digest))
    }

    async fn lose(&self, artifact: &Artifact) -> Outside<()> {
        self.fake.lose(&artifact.digest);
        Ok(())
    }

    async fn runs(&self) -> Outside<u32> {
        Ok(self.fake.runs())
    }
}

#[async_trait]
impl Builder for World {
    fn describe(&self) -> Vec<String> {
        self.fake.describe()
    }

    async fn find(&self, version: &SourceVersion) -> Result<Option<Built>, StepError> {
        let found = self.fake.find(version).await?;
        let built =
            self.built.lock().unwrap().iter().find(|(of, _)| of == version).map(|(_, built)| built.clone());
        match self.how {
            How::BuildsOnAsking if found.is_none() => self.fake.build(&permit(), version).await.map(Some),
            How::TrustsItsRecord => Ok(built),
            _ => Ok(found),
        }
    }

    async fn build(&self, permit: &Permit, version: &SourceVersion) -> Result<Built, StepError> {
        match self.how {
            How::BuildsAnew => self.fake.discard(permit, version).await?,
            How::BuildsFromNothing => self.source.check_out(permit, version).await?,
            _ => {}
        }
        let built = match self.fake.build(permit, version).await {
            Err(_) if self.how == How::FailsWithoutOutput => {
                return Err(StepError::new(ErrorKind::Failed, "the build failed"));
            }
            ended => ended?,
        };
        if self.how == How::KeepsHalf {
            self.fake.lose(&built.artifacts[&LIB].digest);
        }
        self.built.lock().unwrap().push((version.clone(), built.clone()));
        Ok(built)
    }

    async fn discard(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError> {
        let latest = self.built.lock().unwrap().last().cloned();
        match (self.how, latest) {
            (How::ForgetsOnly, _) => return Ok(()),
            (How::DiscardsShared, Some((_, built))) => {
                built.artifacts.values().for_each(|artifact| self.fake.lose(&artifact.digest));
            }
            (How::DiscardsTheLatest, Some((latest, _))) => return self.fake.discard(permit, &latest).await,
            _ => {}
        }
        self.fake.discard(permit, version).await
    }
}

mod fake {
    use super::fresh;

    flow_testkit::builder_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { builder_conformance, builder:
        what_was_not_built_is_not_found_and_not_built_by_asking => || broken(How::BuildsOnAsking),
        a_build_keeps_its_artefacts_as_it_made_them => || broken(How::KeepsHalf),
        the_same_commit_is_built_once => || broken(How::BuildsAnew),
        a_failed_build_says_its_output_and_keeps_nothing => || broken(How::FailsWithoutOutput),
        a_tree_that_is_not_checked_out_is_refused => || broken(How::BuildsFromNothing),
        a_build_that_lost_an_artefact_is_not_found_and_built_anew => || broken(How::TrustsItsRecord),
        a_discarded_build_is_gone => || broken(How::ForgetsOnly),
        discarding_spares_what_another_build_has => || broken(How::DiscardsShared),
        a_build_that_is_not_there_is_discarded_already => || broken(How::DiscardsTheLatest),
    }
}

#[tokio::test]
async fn a_tree_that_somebody_edited_is_not_built() {
    let world = fresh().await;
    let version = world.check_out("0001", Tree::Files { app: "app", lib: "lib" }).await.unwrap();
    world.source.edit(&version.commit);
    let error = world.fake.build(&permit(), &version).await.unwrap_err();
    assert_eq!((error.kind(), world.fake.ledger().refusals().len()), (ErrorKind::NotFound, 1));
}

use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::port::{ImageRegistry, Source, SourceRequest, SourceVersion};
use flow_core::{Digest, ErrorKind, Fence, Permit, StepError};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::images::ImagesFixture;
use flow_testkit::fake::{FakeImages, FakeSource};
use flow_testkit::{permit, permit_under};

/// How a registry breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    PushesOnAsking,
    MakesUpDigests,
    PushesAnew,
    OneForAll,
}

/// A fake and its world, with one mistake.
struct World {
    source: FakeSource,
    fake: FakeImages,
    how: How,
    pushes: Mutex<usize>,
}

async fn broken(how: How) -> World {
    let source = FakeSource::new();
    World { fake: FakeImages::of(&source), source, how, pushes: Mutex::new(0) }
}

async fn fresh() -> World {
    broken(How::Not).await
}

#[async_trait]
impl ImagesFixture for World {
    fn images(&self) -> &dyn ImageRegistry {
        self
    }

    async fn check_out(&self, commit: &str) -> Outside<SourceVersion> {
        self.source.tag(commit, commit);
        let version = self.source.resolve(&SourceRequest { tag: commit.to_owned() }).await?;
        self.source.check_out(&permit(), &version).await?;
        Ok(version)
    }

    fn reference(&self, name: &str) -> String {
        format!("registry.test/{name}:1")
    }

    async fn digest(&self, reference: &str) -> Outside<Option<Digest>> {
        Ok(self.fake.all().get(reference).copied())
    }

    async fn pushes(&self) -> Outside<usize> {
        Ok(self.fake.all().len() + *self.pushes.lock().unwrap())
    }
}

#[async_trait]
impl ImageRegistry for World {
    async fn find(&self, reference: &str) -> Result<Option<Digest>, StepError> {
        if self.how == How::PushesOnAsking {
            self.fake.have(reference, Digest::of(b"asked"));
        }
        self.fake.find(reference).await
    }

    async fn push(
        &self,
        permit: &Permit,
        tree: &SourceVersion,
        reference: &str,
    ) -> Result<Digest, StepError> {
        if self.how == How::PushesAnew && permit.attempt() > 1 {
            *self.pushes.lock().unwrap() += 1;
        }
        let pushed = self.fake.push(permit, tree, reference).await?;
        match self.how {
            How::MakesUpDigests => Ok(Digest::of(reference.as_bytes())),
            How::OneForAll => {
                self.fake.all().into_keys().for_each(|every| self.fake.have(every, pushed));
                Ok(pushed)
            }
            _ => Ok(pushed),
        }
    }
}

mod fake {
    use super::fresh;

    flow_testkit::images_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { images_conformance, images:
        an_image_that_is_not_there_is_none_and_asking_pushes_nothing => || broken(How::PushesOnAsking),
        the_digest_of_a_push_is_the_one_that_the_registry_has => || broken(How::MakesUpDigests),
        pushing_twice_under_one_permit_is_once => || broken(How::PushesAnew),
        images_of_other_references_are_left_alone => || broken(How::OneForAll),
    }
}

#[tokio::test]
async fn a_reference_is_never_overwritten() {
    let world = fresh().await;
    let (first, second) = (world.check_out("0001").await.unwrap(), world.check_out("0002").await.unwrap());
    let pushed = world.fake.push(&permit_under("a/push", Fence(1), 1), &first, "shop:1").await.unwrap();
    let error = world.fake.push(&permit_under("b/push", Fence(1), 1), &second, "shop:1").await.unwrap_err();
    assert_eq!((error.kind(), world.fake.ledger().refusals().len()), (ErrorKind::Conflict, 1));
    assert_eq!(world.fake.all()["shop:1"], pushed);
}

//! What every [`ImageRegistry`] promises, as checks.

use async_trait::async_trait;
use flow_core::port::{ImageRegistry, SourceVersion};
use flow_core::{Digest, Fence, Permit};

use super::{Checked, Outside};
use crate::permit_under;

/// A registry without images, and ways to look at its world from outside.
#[async_trait]
pub trait ImagesFixture: Send + Sync {
    /// The registry under test.
    fn images(&self) -> &dyn ImageRegistry;

    /// Lays a tree out as the check-out of `commit`, from which an image can be built. Each commit gives another one.
    async fn check_out(&self, commit: &str) -> Outside<SourceVersion>;

    /// A reference into the registry under test for an image called `name`.
    fn reference(&self, name: &str) -> String;

    /// Asks the registry by other means which digest `reference` has.
    async fn digest(&self, reference: &str) -> Outside<Option<Digest>>;

    /// How many images were pushed, as the registry counts them.
    async fn pushes(&self) -> Outside<usize>;
}

/// Makes one `#[tokio::test]` for every promise of [`ImageRegistry`](flow_core::port::ImageRegistry).
///
/// It takes an async function without arguments that gives a fresh
/// [`ImagesFixture`](crate::conformance::images::ImagesFixture).
///
/// ```
/// use flow_core::Digest;
/// use flow_core::port::{ImageRegistry, Source, SourceRequest, SourceVersion};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::images::ImagesFixture;
/// use flow_testkit::fake::{FakeImages, FakeSource};
/// use flow_testkit::permit;
///
/// struct Mine(FakeSource, FakeImages);
///
/// #[async_trait::async_trait]
/// impl ImagesFixture for Mine {
///     fn images(&self) -> &dyn ImageRegistry {
///         &self.1
///     }
///     async fn check_out(&self, commit: &str) -> Outside<SourceVersion> {
///         self.0.tag(commit, commit);
///         let version = self.0.resolve(&SourceRequest { tag: commit.to_owned() }).await?;
///         self.0.check_out(&permit(), &version).await?;
///         Ok(version)
///     }
///     fn reference(&self, name: &str) -> String {
///         format!("registry.test/{name}:1")
///     }
///     async fn digest(&self, reference: &str) -> Outside<Option<Digest>> {
///         Ok(self.1.all().get(reference).copied())
///     }
///     async fn pushes(&self) -> Outside<usize> {
///         Ok(self.1.all().len())
///     }
/// }
///
/// async fn fresh() -> Mine {
///     let source = FakeSource::new();
///     let images = FakeImages::of(&source);
///     Mine(source, images)
/// }
///
/// flow_testkit::images_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! images_conformance {
    ($fresh:expr) => {
        $crate::images_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { images $with
            an_image_that_is_not_there_is_none_and_asking_pushes_nothing
            the_digest_of_a_push_is_the_one_that_the_registry_has
            pushing_twice_under_one_permit_is_once
            images_of_other_references_are_left_alone
        }
    };
}

fn permit(call: &str) -> Permit {
    permit_under(&format!("run/{call}"), Fence(1), 1)
}

/// Asking is no pushing.
pub async fn an_image_that_is_not_there_is_none_and_asking_pushes_nothing(
    fixture: &impl ImagesFixture,
) -> Checked {
    let reference = fixture.reference("shop");
    for _ in 0..2 {
        assert_eq!(fixture.images().find(&reference).await?, None);
    }
    assert_eq!((fixture.digest(&reference).await?, fixture.pushes().await?), (None, 0));
    Ok(())
}

/// Done means that the registry has the image under its reference, with the digest that was returned.
pub async fn the_digest_of_a_push_is_the_one_that_the_registry_has(fixture: &impl ImagesFixture) -> Checked {
    let (version, reference) = (fixture.check_out("0001").await?, fixture.reference("shop"));
    let pushed = fixture.images().push(&permit("push"), &version, &reference).await?;
    assert_eq!(fixture.digest(&reference).await?, Some(pushed));
    assert_eq!(fixture.images().find(&reference).await?, Some(pushed));
    Ok(())
}

/// What a lost answer would have said is said again, and there is one image.
pub async fn pushing_twice_under_one_permit_is_once(fixture: &impl ImagesFixture) -> Checked {
    let (version, reference) = (fixture.check_out("0001").await?, fixture.reference("shop"));
    let first = fixture.images().push(&permit("push"), &version, &reference).await?;
    let again = fixture.images().push(&permit_under("run/push", Fence(2), 2), &version, &reference).await?;
    assert_eq!((again, fixture.pushes().await?), (first, 1));
    assert_eq!(fixture.digest(&reference).await?, Some(first));
    Ok(())
}

/// Each reference has the image that was pushed under it.
pub async fn images_of_other_references_are_left_alone(fixture: &impl ImagesFixture) -> Checked {
    let (first, second) = (fixture.check_out("0001").await?, fixture.check_out("0002").await?);
    let (shop, cart) = (fixture.reference("shop"), fixture.reference("cart"));
    let one = fixture.images().push(&permit("push"), &first, &shop).await?;
    let two = fixture.images().push(&permit("push-other"), &second, &cart).await?;
    assert_ne!(one, two);
    assert_eq!((fixture.digest(&shop).await?, fixture.digest(&cart).await?), (Some(one), Some(two)));
    Ok(())
}

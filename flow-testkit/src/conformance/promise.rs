use std::fmt;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

/// What a fixture found or arranged outside the thing under test, or why it could not.
pub type Outside<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a promise's check gives: it fails by panicking where the promise is broken, by an error where the thing under test
/// refused what it may not refuse.
pub type Checked = Outside<()>;

/// Holds where `check` does not: the implementation that `broken` gives it breaks the promise, and the suite has noticed.
///
/// What `broken` itself does is not judged: where it panics, the panic is the caller's, or it would prove every suite.
///
/// # Errors
/// Where the check passed: the suite does not catch what it is there for.
pub async fn breaks<T>(broken: impl AsyncFnOnce() -> T, check: impl AsyncFnOnce(&T) -> Checked) -> Checked {
    let fixture = broken().await;
    // Not spawned: a check need not be `Send`. What it broke is thrown away with it.
    match AssertUnwindSafe(check(&fixture)).catch_unwind().await {
        Ok(Ok(())) => Err("the promise's check passes an implementation that breaks it".into()),
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

/// What a suite tests, fresh for one check, with the guard that keeps it alive.
pub struct Fresh<T, G> {
    tested: T,
    _guard: G,
}

impl<T, G> Fresh<T, G> {
    pub(crate) const fn new(tested: T, guard: G) -> Self {
        Self { tested, _guard: guard }
    }
}

impl<T, G> fmt::Debug for Fresh<T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").finish_non_exhaustive()
    }
}

impl<T, G> Deref for Fresh<T, G> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.tested
    }
}

/// Makes one `#[tokio::test]` for each promise of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __promises {
    ($suite:ident ($fresh:expr) $($group:ident: $($promise:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $promise() -> $crate::conformance::Checked {
                let fixture = ($fresh)().await;
                $crate::conformance::$suite::$group::$promise(&fixture).await
            }
        )+)+
    };
    ($suite:ident ($fresh:expr) $($promise:ident)+) => {
        $(
            #[tokio::test]
            async fn $promise() -> $crate::conformance::Checked {
                let fixture = ($fresh)().await;
                $crate::conformance::$suite::$promise(&fixture).await
            }
        )+
    };
}

/// The names of a suite's promises, in order.
#[doc(hidden)]
#[macro_export]
macro_rules! __names {
    ($suite:ident () $($group:ident: $($promise:ident)+;)+) => { [$($(stringify!($promise)),+),+] };
    ($suite:ident () $($promise:ident)+) => { [$(stringify!($promise)),+] };
}

/// Proves a suite: for each promise, in the suite's order, an async function that gives an implementation which breaks it.
/// The promise's test must fail for it, and no promise may be left out. Where the function itself panics, the test fails: only what
/// the promise's check finds counts.
///
/// ```
/// use flow_core::Digest;
/// use flow_core::port::{ImageRegistry, Source as _, SourceRequest, SourceVersion};
/// use flow_core::prelude::*;
/// use flow_testkit::conformance::images::{ImagesFixture, an_image_that_is_not_there_is_none_and_asking_pushes_nothing};
/// use flow_testkit::conformance::{Outside, breaks};
/// use flow_testkit::fake::{FakeImages, FakeSource};
/// use flow_testkit::permit;
///
/// #[derive(Clone, Copy, PartialEq)]
/// enum How {
///     PushesOnAsking,
///     MakesUpDigests,
///     PushesElsewhereWhenRepeated,
///     KeepsOneForAll,
/// }
///
/// /// A registry that keeps every promise but one.
/// struct Broken(FakeSource, FakeImages, How);
///
/// async fn broken(how: How) -> Broken {
///     let source = FakeSource::new();
///     let images = FakeImages::of(&source);
///     Broken(source, images, how)
/// }
///
/// #[async_trait]
/// impl ImageRegistry for Broken {
///     async fn find(&self, reference: &str) -> Result<Option<Digest>, StepError> {
///         if self.2 == How::PushesOnAsking {
///             self.1.have(reference, Digest::of(b"asked"));
///         }
///         self.1.find(reference).await
///     }
///     async fn push(&self, permit: &Permit, tree: &SourceVersion, reference: &str) -> Result<Digest, StepError> {
///         if self.2 == How::PushesElsewhereWhenRepeated && permit.attempt() > 1 {
///             self.1.have("registry.test/other:1", Digest::of(b"other"));
///         }
///         let pushed = self.1.push(permit, tree, reference).await?;
///         match self.2 {
///             How::MakesUpDigests => return Ok(Digest::of(reference.as_bytes())),
///             How::KeepsOneForAll => self.1.all().into_keys().for_each(|every| self.1.have(every, pushed)),
///             _ => {}
///         }
///         Ok(pushed)
///     }
/// }
///
/// #[async_trait]
/// impl ImagesFixture for Broken {
///     fn images(&self) -> &dyn ImageRegistry {
///         self
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
/// flow_testkit::broken_implementations! { images_conformance, images:
///     an_image_that_is_not_there_is_none_and_asking_pushes_nothing => || broken(How::PushesOnAsking),
///     the_digest_of_a_push_is_the_one_that_the_registry_has => || broken(How::MakesUpDigests),
///     pushing_twice_under_one_permit_is_once => || broken(How::PushesElsewhereWhenRepeated),
///     images_of_other_references_are_left_alone => || broken(How::KeepsOneForAll),
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> flow_testkit::conformance::Checked {
/// // What each of the tests does:
/// breaks(async || broken(How::PushesOnAsking).await, async |pushes| {
///     an_image_that_is_not_there_is_none_and_asking_pushes_nothing(pushes).await
/// })
/// .await
/// # }
/// ```
#[macro_export]
macro_rules! broken_implementations {
    ($conformance:ident, $suite:ident: $($group:ident::$promise:ident => $broken:expr),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() -> $crate::conformance::Checked {
                $crate::conformance::breaks($broken, async |fixture| {
                    $crate::conformance::$suite::$group::$promise(fixture).await
                })
                .await
            }
        )+
        $crate::broken_implementations! { @complete $conformance $($promise)+ }
    };
    ($conformance:ident, $suite:ident: $($promise:ident => $broken:expr),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() -> $crate::conformance::Checked {
                $crate::conformance::breaks($broken, async |fixture| {
                    $crate::conformance::$suite::$promise(fixture).await
                })
                .await
            }
        )+
        $crate::broken_implementations! { @complete $conformance $($promise)+ }
    };
    (@complete $conformance:ident $($promise:ident)+) => {
        #[test]
        fn every_promise_has_an_implementation_that_breaks_it() {
            assert_eq!([$(stringify!($promise)),+].as_slice(), $crate::$conformance! { @each __names () }.as_slice());
        }
    };
}

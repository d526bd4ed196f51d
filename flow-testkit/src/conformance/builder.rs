//! What every [`Builder`] promises, as checks.

use async_trait::async_trait;
use flow_core::port::{Builder, Built, SourceVersion};
use flow_core::{Artifact, ErrorKind, Fence, Name, Permit, name};

use super::{Checked, Outside};
use crate::permit_under;

/// The artefact that holds a tree's `app`.
pub const APP: Name = name!("app");
/// The artefact that holds a tree's `lib`.
pub const LIB: Name = name!("lib");

/// What a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// A file `app` and a file `lib` with these contents, which the build makes its artefacts [`APP`] and [`LIB`].
    Files {
        /// The content of `app`.
        app: &'static str,
        /// The content of `lib`.
        lib: &'static str,
    },
    /// Nothing that can be built: the build fails, and says `no app here`.
    Broken,
    /// It is not checked out.
    Absent,
}

/// A builder that has built nothing, and ways to look at its world from outside.
#[async_trait]
pub trait BuilderFixture: Send + Sync {
    /// The builder under test.
    fn builder(&self) -> &dyn Builder;

    /// Lays a tree out as the check-out of `commit`, a text of hexadecimal digits.
    async fn check_out(&self, commit: &str, tree: Tree) -> Outside<SourceVersion>;

    /// Reads the content of a kept artefact at its place; none where nothing stands there.
    async fn content(&self, artifact: &Artifact) -> Outside<Option<Vec<u8>>>;

    /// Removes a kept artefact behind the builder's back.
    async fn lose(&self, artifact: &Artifact) -> Outside<()>;

    /// How often the build's commands ran.
    async fn runs(&self) -> Outside<u32>;
}

/// Makes one `#[tokio::test]` for every promise of [`Builder`](flow_core::port::Builder).
///
/// It takes an async function without arguments that gives a fresh
/// [`BuilderFixture`](crate::conformance::builder::BuilderFixture).
///
/// ```
/// use flow_core::Artifact;
/// use flow_core::port::{Builder, Source, SourceRequest, SourceVersion};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::builder::{APP, BuilderFixture, LIB, Tree};
/// use flow_testkit::fake::{FakeBuilder, FakeSource};
/// use flow_testkit::permit;
///
/// struct Mine(FakeSource, FakeBuilder);
///
/// #[async_trait::async_trait]
/// impl BuilderFixture for Mine {
///     fn builder(&self) -> &dyn Builder {
///         &self.1
///     }
///     async fn check_out(&self, commit: &str, tree: Tree) -> Outside<SourceVersion> {
///         self.0.tag(commit, commit);
///         let version = self.0.resolve(&SourceRequest { tag: commit.to_owned() }).await?;
///         if tree != Tree::Absent {
///             self.0.check_out(&permit(), &version).await?;
///         }
///         match tree {
///             Tree::Files { app, lib } => self.1.yields_at(commit, [(APP, app), (LIB, lib)]),
///             Tree::Broken => self.1.fail_at(commit, "no app here"),
///             Tree::Absent => {}
///         }
///         Ok(version)
///     }
///     async fn content(&self, artifact: &Artifact) -> Outside<Option<Vec<u8>>> {
///         Ok(self.1.content(&artifact.digest)) // a real fixture reads the file at `artifact.path`
///     }
///     async fn lose(&self, artifact: &Artifact) -> Outside<()> {
///         Ok(self.1.lose(&artifact.digest))
///     }
///     async fn runs(&self) -> Outside<u32> {
///         Ok(self.1.runs())
///     }
/// }
///
/// async fn fresh() -> Mine {
///     let source = FakeSource::new();
///     let builder = FakeBuilder::of(&source);
///     Mine(source, builder)
/// }
///
/// flow_testkit::builder_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! builder_conformance {
    ($fresh:expr) => {
        $crate::builder_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { builder $with
            what_was_not_built_is_not_found_and_not_built_by_asking
            a_build_keeps_its_artefacts_as_it_made_them
            the_same_commit_is_built_once
            a_failed_build_says_its_output_and_keeps_nothing
            a_tree_that_is_not_checked_out_is_refused
            a_build_that_lost_an_artefact_is_not_found_and_built_anew
            a_discarded_build_is_gone
            discarding_spares_what_another_build_has
            a_build_that_is_not_there_is_discarded_already
        }
    };
}

const ONE: Tree = Tree::Files { app: "app one", lib: "lib" };
const TWO: Tree = Tree::Files { app: "app two", lib: "lib" };

fn permit(call: &str) -> Permit {
    permit_under(&format!("run/{call}"), Fence(1), 1)
}

/// The artefacts' contents as they stand: of `app` and of `lib`.
async fn contents(fixture: &impl BuilderFixture, built: &Built) -> Outside<[Option<String>; 2]> {
    let mut contents = [None, None];
    for (content, name) in contents.iter_mut().zip([APP, LIB]) {
        let artifact = built.artifacts.get(&name).ok_or_else(|| format!("there is no artefact `{name}`"))?;
        *content = fixture.content(artifact).await?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(contents)
}

fn stand(app: &str, lib: &str) -> [Option<String>; 2] {
    [app, lib].map(|content| Some(content.to_owned()))
}

/// Asking is no building.
pub async fn what_was_not_built_is_not_found_and_not_built_by_asking(
    fixture: &impl BuilderFixture,
) -> Checked {
    let version = fixture.check_out("0001", ONE).await?;
    assert!(!fixture.builder().describe().is_empty(), "a build says what it would run");
    for _ in 0..2 {
        assert_eq!(fixture.builder().find(&version).await?, None);
    }
    assert_eq!(fixture.runs().await?, 0);
    Ok(())
}

/// Done means that every artefact stands with its content, under a digest that tells contents apart, and is found.
pub async fn a_build_keeps_its_artefacts_as_it_made_them(fixture: &impl BuilderFixture) -> Checked {
    let version = fixture.check_out("0001", ONE).await?;
    let built = fixture.builder().build(&permit("build"), &version).await?;
    assert_eq!(contents(fixture, &built).await?, stand("app one", "lib"));
    assert_eq!(
        fixture.builder().find(&version).await?.map(|found| found.artifacts),
        Some(built.artifacts.clone())
    );
    let other = fixture.check_out("0002", TWO).await?;
    let other = fixture.builder().build(&permit("build-other"), &other).await?;
    let digest = |built: &Built, name: &Name| built.artifacts.get(name).map(|artifact| artifact.digest);
    assert_ne!(digest(&built, &APP), digest(&other, &APP));
    assert_eq!(digest(&built, &LIB), digest(&other, &LIB), "the same bytes");
    Ok(())
}

/// Build once, promote: what stands is given, not made again.
pub async fn the_same_commit_is_built_once(fixture: &impl BuilderFixture) -> Checked {
    let version = fixture.check_out("0001", ONE).await?;
    let first = fixture.builder().build(&permit("build"), &version).await?;
    let again = fixture.builder().build(&permit("build-later"), &version).await?;
    assert_eq!(first.artifacts, again.artifacts);
    assert_eq!(fixture.runs().await?, 1);
    Ok(())
}

/// A build that fails is a failed check: it says why, and leaves nothing that could be taken for a build.
pub async fn a_failed_build_says_its_output_and_keeps_nothing(fixture: &impl BuilderFixture) -> Checked {
    let version = fixture.check_out("0001", Tree::Broken).await?;
    let error = fixture.builder().build(&permit("build"), &version).await.err().ok_or("it was built")?;
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(error.to_string().contains("no app here"), "{error}");
    assert_eq!(fixture.builder().find(&version).await?, None);
    Ok(())
}

/// Nothing is built from nothing.
pub async fn a_tree_that_is_not_checked_out_is_refused(fixture: &impl BuilderFixture) -> Checked {
    let version = fixture.check_out("0001", Tree::Absent).await?;
    let error = fixture.builder().build(&permit("build"), &version).await.err().ok_or("it was built")?;
    assert!(error.kind().is_rejection(), "{error}");
    assert_eq!(fixture.builder().find(&version).await?, None);
    Ok(())
}

/// All artefacts stand whole, or there is no build.
pub async fn a_build_that_lost_an_artefact_is_not_found_and_built_anew(
    fixture: &impl BuilderFixture,
) -> Checked {
    let version = fixture.check_out("0001", ONE).await?;
    let built = fixture.builder().build(&permit("build"), &version).await?;
    fixture.lose(built.artifacts.get(&APP).ok_or("there is no app")?).await?;
    assert_eq!(fixture.builder().find(&version).await?, None);
    let again = fixture.builder().build(&permit("build"), &version).await?;
    assert_eq!(again.artifacts, built.artifacts);
    assert_eq!(contents(fixture, &again).await?, stand("app one", "lib"));
    Ok(())
}

/// Discarded, a build is not found, and none of its artefacts stands. Twice is once, and it can be built again.
pub async fn a_discarded_build_is_gone(fixture: &impl BuilderFixture) -> Checked {
    let version = fixture.check_out("0001", ONE).await?;
    let built = fixture.builder().build(&permit("build"), &version).await?;
    for _ in 0..2 {
        fixture.builder().discard(&permit("discard"), &version).await?;
        assert_eq!(fixture.builder().find(&version).await?, None);
        assert_eq!(contents(fixture, &built).await?, [None, None]);
    }
    let again = fixture.builder().build(&permit("build"), &version).await?;
    assert_eq!(contents(fixture, &again).await?, stand("app one", "lib"));
    Ok(())
}

/// Two commits may give the same bytes: what one build has as well outlives the other.
pub async fn discarding_spares_what_another_build_has(fixture: &impl BuilderFixture) -> Checked {
    let (first, second) = (fixture.check_out("0001", ONE).await?, fixture.check_out("0002", TWO).await?);
    let built = fixture.builder().build(&permit("build"), &first).await?;
    let gone = fixture.builder().build(&permit("build-other"), &second).await?;
    fixture.builder().discard(&permit("discard"), &second).await?;
    assert_eq!(contents(fixture, &gone).await?, [None, Some("lib".to_owned())]);
    assert_eq!(fixture.builder().find(&first).await?.map(|found| found.artifacts), Some(built.artifacts));
    Ok(())
}

/// What was never built needs no discarding, and costs no other build anything.
pub async fn a_build_that_is_not_there_is_discarded_already(fixture: &impl BuilderFixture) -> Checked {
    let (first, second) = (fixture.check_out("0001", ONE).await?, fixture.check_out("0002", TWO).await?);
    let built = fixture.builder().build(&permit("build"), &first).await?;
    fixture.builder().discard(&permit("discard"), &second).await?;
    assert_eq!(contents(fixture, &built).await?, stand("app one", "lib"));
    Ok(())
}

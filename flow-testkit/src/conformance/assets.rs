//! What every [`AssetStore`] promises, as checks.
//!
//! The suite judges by the site's files as the fixture reads them: by a directory walk, by requests, never by the store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::{AssetFile, AssetStore, Manifest};
use flow_core::{CancelToken, Digest, ErrorKind, Fence, Permit, StepError};

use super::{Checked, Outside};
use crate::permit_under;

/// Files by their paths.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Whether a path of the site was made unwritable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstruction {
    /// Whatever is put at the path fails from now on.
    Stands,
    /// This site cannot be obstructed, for a reason.
    Impossible(&'static str),
}

/// An asset store over an empty site, and ways to look at its world from outside.
#[async_trait]
pub trait AssetsFixture: Send + Sync {
    /// The store under test.
    fn store(&self) -> &dyn AssetStore;

    /// Lays `files` out as a directory to deploy, a new one with each call.
    async fn lay_out(&self, files: &Files) -> Outside<PathBuf>;

    /// Reads all files of the site, without the store's own bookkeeping.
    async fn site(&self) -> Outside<Files>;

    /// Makes whatever is put at `path`, which no file has, fail. `site` is not to show how.
    async fn obstruct(&self, path: &str) -> Outside<Obstruction>;
}

/// Makes one `#[tokio::test]` for every promise of [`AssetStore`](flow_core::port::AssetStore).
///
/// It takes an async function without arguments that gives a fresh
/// [`AssetsFixture`](crate::conformance::assets::AssetsFixture). The fixture keeps alive whatever the test needs.
///
/// ```
/// use std::path::PathBuf;
///
/// use flow_core::port::AssetStore;
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::assets::{AssetsFixture, Files, Obstruction};
/// use flow_testkit::fake::FakeAssets;
///
/// struct Mine(FakeAssets);
///
/// #[async_trait::async_trait]
/// impl AssetsFixture for Mine {
///     fn store(&self) -> &dyn AssetStore {
///         &self.0
///     }
///     async fn lay_out(&self, files: &Files) -> Outside<PathBuf> {
///         let directory = PathBuf::from(format!("/dist/{}", self.0.ledger().calls().len()));
///         self.0.lay_out(&directory, files.clone());
///         Ok(directory)
///     }
///     async fn site(&self) -> Outside<Files> {
///         Ok(self.0.served())
///     }
///     async fn obstruct(&self, path: &str) -> Outside<Obstruction> {
///         self.0.obstruct(path);
///         Ok(Obstruction::Stands)
///     }
/// }
///
/// async fn fresh() -> Mine {
///     Mine(FakeAssets::new())
/// }
///
/// flow_testkit::assets_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! assets_conformance {
    ($fresh:expr) => {
        $crate::assets_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { assets $with
            a_directory_is_read_whole_and_nothing_is_changed
            a_directory_that_is_not_there_is_refused
            a_release_is_served_as_it_was_laid_out
            files_of_earlier_releases_stay
            putting_twice_is_once
            a_directory_that_no_longer_matches_is_a_conflict_that_changes_nothing
            paths_that_leave_the_site_are_refused_with_all_of_them
            a_cancelled_put_changes_nothing
            no_page_is_in_force_before_its_assets
            a_put_that_failed_half_way_is_taken_back
            what_was_served_before_is_served_again
            a_first_release_is_taken_back_to_nothing
            content_that_was_not_kept_is_not_found_and_nothing_is_changed
        }
    };
}

fn permit(call: &str) -> Permit {
    permit_under(&format!("run/{call}"), Fence(1), 1)
}

fn files(of: &[(&str, &str)]) -> Files {
    of.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

fn file(content: &[u8]) -> AssetFile {
    AssetFile { digest: Digest::of(content), bytes: u64::try_from(content.len()).unwrap_or(u64::MAX) }
}

fn manifest(files: &Files) -> Manifest {
    files.iter().map(|(path, content)| (path.clone(), file(content))).collect()
}

const FIRST: &[(&str, &str)] = &[
    ("index.html", "first: app.11111111.js"),
    ("app.11111111.js", "first app"),
    ("css/site.css", "body {}"),
    ("about us/ü.html", "about"),
];
const SECOND: &[(&str, &str)] = &[
    ("index.html", "second: app.22222222.js"),
    ("app.22222222.js", "second app"),
    ("css/site.css", "body {}"),
];

/// Reads a release and puts it in force.
async fn put(fixture: &impl AssetsFixture, call: &str, of: &[(&str, &str)]) -> Outside<Manifest> {
    let directory = fixture.lay_out(&files(of)).await?;
    let manifest = fixture.store().read(&directory).await?;
    fixture.store().put(&permit(call), &directory, &manifest).await?;
    Ok(manifest)
}

/// A directory's manifest names every file with its size and its SHA-256; reading changes neither it nor the site.
pub async fn a_directory_is_read_whole_and_nothing_is_changed(fixture: &impl AssetsFixture) -> Checked {
    put(fixture, "first", FIRST).await?;
    let before = fixture.site().await?;
    let directory = fixture.lay_out(&files(SECOND)).await?;
    for _ in 0..2 {
        assert_eq!(fixture.store().read(&directory).await?, manifest(&files(SECOND)));
        assert_eq!(fixture.store().serving().await?, manifest(&before));
    }
    assert_eq!(fixture.site().await?, before);
    Ok(())
}

/// Neither is a manifest made up for a directory that is not there, nor anything put from it.
pub async fn a_directory_that_is_not_there_is_refused(fixture: &impl AssetsFixture) -> Checked {
    put(fixture, "first", FIRST).await?;
    let before = fixture.site().await?;
    let nowhere = fixture.lay_out(&files(SECOND)).await?.join("nowhere");
    let read = fixture.store().read(&nowhere).await.err().ok_or("it was read")?;
    let put = fixture.store().put(&permit("put"), &nowhere, &manifest(&files(SECOND))).await;
    let put = put.err().ok_or("it was put")?;
    assert!(read.kind().is_rejection() && put.kind().is_rejection(), "{read}, {put}");
    assert_eq!(fixture.site().await?, before);
    Ok(())
}

/// Done means that the site serves the files byte for byte, and the store says so.
pub async fn a_release_is_served_as_it_was_laid_out(fixture: &impl AssetsFixture) -> Checked {
    assert_eq!(fixture.store().serving().await?, Manifest::new());
    put(fixture, "first", FIRST).await?;
    assert_eq!(fixture.site().await?, files(FIRST));
    assert_eq!(fixture.store().serving().await?, manifest(&files(FIRST)));
    Ok(())
}

/// A reader who has an old page still finds what it names.
pub async fn files_of_earlier_releases_stay(fixture: &impl AssetsFixture) -> Checked {
    put(fixture, "first", FIRST).await?;
    put(fixture, "second", SECOND).await?;
    let mut expected = files(FIRST);
    expected.extend(files(SECOND));
    assert_eq!(fixture.site().await?, expected);
    Ok(())
}

/// A put that is repeated changes nothing, and takes nothing away from the way back.
pub async fn putting_twice_is_once(fixture: &impl AssetsFixture) -> Checked {
    let before = put(fixture, "first", FIRST).await?;
    let directory = fixture.lay_out(&files(SECOND)).await?;
    let manifest = fixture.store().read(&directory).await?;
    fixture.store().put(&permit("second"), &directory, &manifest).await?;
    let after = fixture.site().await?;
    fixture.store().put(&permit("second"), &directory, &manifest).await?;
    assert_eq!(fixture.site().await?, after);
    fixture.store().restore(&permit("undo"), &before).await?;
    assert_eq!(fixture.site().await?, files(FIRST));
    Ok(())
}

/// What is put is what was read: a file that changed, came or went since is a conflict, found before the site is touched.
pub async fn a_directory_that_no_longer_matches_is_a_conflict_that_changes_nothing(
    fixture: &impl AssetsFixture,
) -> Checked {
    put(fixture, "first", FIRST).await?;
    let before = fixture.site().await?;
    let read = manifest(&files(SECOND));
    let (mut changed, mut more, mut fewer) = (files(SECOND), files(SECOND), files(SECOND));
    changed.insert("css/site.css".to_owned(), b"body {;".to_vec());
    more.insert("more.txt".to_owned(), Vec::new());
    fewer.remove("css/site.css");
    for now in [changed, more, fewer] {
        let directory = fixture.lay_out(&now).await?;
        let error = fixture.store().put(&permit("put"), &directory, &read).await.err();
        let error = error.ok_or_else(|| format!("{:?} was put as another manifest", now.keys()))?;
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(fixture.site().await?, before);
    }
    Ok(())
}

/// A manifest may come from a journal: paths out of the site are refused, all of them at once.
pub async fn paths_that_leave_the_site_are_refused_with_all_of_them(fixture: &impl AssetsFixture) -> Checked {
    put(fixture, "first", FIRST).await?;
    let before = fixture.site().await?;
    let directory = fixture.lay_out(&files(SECOND)).await?;
    let paths = ["../x", "/etc/x", "a/../../x", "a//b"];
    let hostile: Manifest = paths.iter().map(|path| ((*path).to_owned(), file(b"first app"))).collect();
    let put = fixture.store().put(&permit("put"), &directory, &hostile).await;
    let restore = fixture.store().restore(&permit("undo"), &hostile).await;
    for ended in [put, restore] {
        let error = ended.err().ok_or("a path out of the site was taken")?;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let text = whole(&error);
        assert!(paths.iter().all(|path| text.contains(path)), "not all of {paths:?} are named: {text}");
    }
    assert_eq!(fixture.site().await?, before);
    Ok(())
}

/// The error with its causes.
fn whole(error: &StepError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// A call that was cancelled before it began changes nothing and says that it did not.
pub async fn a_cancelled_put_changes_nothing(fixture: &impl AssetsFixture) -> Checked {
    put(fixture, "first", FIRST).await?;
    let before = fixture.site().await?;
    let directory = fixture.lay_out(&files(SECOND)).await?;
    let token = CancelToken::new();
    token.cancel();
    let cancelled = Permit::for_tests("run/second", Fence(1), 1, token);
    let put = fixture.store().put(&cancelled, &directory, &manifest(&files(SECOND))).await;
    put.err().ok_or("a cancelled call ended well")?;
    assert_eq!(fixture.site().await?, before);
    Ok(())
}

/// Puts a release that fails at one of its assets; gives none where the site cannot be obstructed.
async fn fails_half_way(fixture: &impl AssetsFixture) -> Outside<Option<StepError>> {
    put(fixture, "first", FIRST).await?;
    let Obstruction::Stands = fixture.obstruct("zz.js").await? else { return Ok(None) };
    let half: &[(&str, &str)] = &[
        ("index.html", "half: a.js zz.js"),
        ("a.js", "a"),
        ("zz.js", "zz"),
        ("docs/index.html", "docs: zz.js"),
    ];
    let directory = fixture.lay_out(&files(half)).await?;
    let manifest = fixture.store().read(&directory).await?;
    let put = fixture.store().put(&permit("half"), &directory, &manifest).await;
    Ok(Some(put.err().ok_or("a file that could not be put went unnoticed")?))
}

/// Where an asset cannot be put, neither can the pages: none that needs it is in force.
///
/// Where the site cannot be obstructed, the order shows only in what a whole put leaves.
pub async fn no_page_is_in_force_before_its_assets(fixture: &impl AssetsFixture) -> Checked {
    let Some(error) = fails_half_way(fixture).await? else {
        put(fixture, "second", SECOND).await?;
        assert_eq!(fixture.site().await?.get("index.html"), files(SECOND).get("index.html"));
        return Ok(());
    };
    let site = fixture.site().await?;
    assert_eq!(site.get("index.html"), files(FIRST).get("index.html"), "a page without its assets: {error}");
    assert_eq!(site.get("docs/index.html"), None, "a page without its assets: {error}");
    if error.kind().is_rejection() {
        assert_eq!(site, files(FIRST), "a rejection left something behind: {error}");
    }
    Ok(())
}

/// What a failed put left is taken back, file by file.
pub async fn a_put_that_failed_half_way_is_taken_back(fixture: &impl AssetsFixture) -> Checked {
    if fails_half_way(fixture).await?.is_none() {
        put(fixture, "second", SECOND).await?;
    }
    fixture.store().restore(&permit("undo"), &manifest(&files(FIRST))).await?;
    assert_eq!(fixture.site().await?, files(FIRST));
    Ok(())
}

/// Restored, the site is what it was: overwritten files are back, and later ones gone. Twice is once.
pub async fn what_was_served_before_is_served_again(fixture: &impl AssetsFixture) -> Checked {
    put(fixture, "first", FIRST).await?;
    let before = fixture.store().serving().await?;
    put(fixture, "second", SECOND).await?;
    for _ in 0..2 {
        fixture.store().restore(&permit("undo"), &before).await?;
        assert_eq!(fixture.site().await?, files(FIRST));
        assert_eq!(fixture.store().serving().await?, before);
    }
    put(fixture, "third", SECOND).await?;
    assert_eq!(fixture.site().await?.get("index.html"), files(SECOND).get("index.html"));
    Ok(())
}

/// A site that served nothing serves nothing again.
pub async fn a_first_release_is_taken_back_to_nothing(fixture: &impl AssetsFixture) -> Checked {
    let before = fixture.store().serving().await?;
    put(fixture, "first", FIRST).await?;
    fixture.store().restore(&permit("undo"), &before).await?;
    assert_eq!(fixture.site().await?, Files::new());
    Ok(())
}

/// What cannot be brought back whole is not brought back in part.
pub async fn content_that_was_not_kept_is_not_found_and_nothing_is_changed(
    fixture: &impl AssetsFixture,
) -> Checked {
    let mut before = put(fixture, "first", FIRST).await?;
    put(fixture, "second", SECOND).await?;
    let stands = fixture.site().await?;
    before.insert("lost.js".to_owned(), file(b"content that the site never had"));
    let error = fixture.store().restore(&permit("undo"), &before).await.err().ok_or("it was restored")?;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(fixture.site().await?, stands);
    Ok(())
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::port::{AssetStore, Manifest};
use flow_core::{ErrorKind, Name, Permit, StepError};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::assets::{AssetsFixture, Files, Obstruction};
use flow_testkit::fake::FakeAssets;
use flow_testkit::{permit, permit_under};

/// How an asset store breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    OverlooksFiles,
    MakesUpDirectories,
    PutsNothing,
    ReplacesTheSite,
    ForgetsOnRepetition,
    PutsWhatIsThere,
    TakesAnyPath,
    DeafToCancel,
    PagesFirst,
    RestoresFinishedOnly,
    LeavesLaterFiles,
    RestoresWhatItCan,
}

/// A fake and its world, with one mistake.
struct World {
    fake: FakeAssets,
    how: How,
    laid_out: Mutex<BTreeMap<PathBuf, Files>>,
    failed: Mutex<bool>,
}

async fn broken(how: How) -> World {
    World { fake: FakeAssets::new(), how, laid_out: Mutex::default(), failed: Mutex::new(false) }
}

async fn fresh() -> World {
    broken(How::Not).await
}

impl World {
    fn files(&self, directory: &Path) -> Files {
        self.laid_out.lock().unwrap().get(directory).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl AssetsFixture for World {
    fn store(&self) -> &dyn AssetStore {
        self
    }

    async fn lay_out(&self, files: &Files) -> Outside<PathBuf> {
        let mut laid_out = self.laid_out.lock().unwrap();
        let directory = PathBuf::from(format!("/dist/{}", laid_out.len()));
        laid_out.insert(directory.clone(), files.clone());
        self.fake.lay_out(&directory, files.clone());
        Ok(directory)
    }

    async fn site(&self) -> Outside<Files> {
        Ok(self.fake.served())
    }

    async fn obstruct(&self, path: &str) -> Outside<Obstruction> {
        self.fake.obstruct(path);
        Ok(Obstruction::Stands)
    }
}

#[async_trait]
impl AssetStore for World {
    fn resource(&self) -> Name {
        self.fake.resource()
    }

    async fn read(&self, directory: &Path) -> Result<Manifest, StepError> {
        match self.fake.read(directory).await {
            Ok(mut manifest) if self.how == How::OverlooksFiles => {
                manifest.pop_first();
                Ok(manifest)
            }
            Err(_) if self.how == How::MakesUpDirectories => Ok(Manifest::new()),
            read => read,
        }
    }

    async fn serving(&self) -> Result<Manifest, StepError> {
        self.fake.serving().await
    }

    async fn put(&self, permit: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError> {
        let (before, files) = (self.fake.served(), self.files(directory));
        match self.how {
            How::PutsNothing => return Ok(()),
            How::PutsWhatIsThere => {
                return self.fake.put(permit, directory, &self.fake.read(directory).await?).await;
            }
            How::DeafToCancel => {
                let permit = permit_under(permit.idempotency_key(), permit.fence(), permit.attempt());
                return self.fake.put(&permit, directory, manifest).await;
            }
            _ => {}
        }
        let ended = self.fake.put(permit, directory, manifest).await;
        *self.failed.lock().unwrap() = ended.is_err();
        match (self.how, &ended) {
            (How::TakesAnyPath, Err(error)) if error.kind() == ErrorKind::Invalid => return Ok(()),
            (How::ReplacesTheSite, Ok(())) => self.fake.serve(files),
            (How::ForgetsOnRepetition, Ok(())) if self.fake.served() == before => self.fake.lose_kept(),
            (How::PagesFirst, Err(_)) => {
                let pages = files.into_iter().filter(|(path, _)| path.ends_with("html"));
                self.fake.serve(self.fake.served().into_iter().chain(pages));
            }
            _ => {}
        }
        ended
    }

    async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError> {
        if self.how == How::RestoresFinishedOnly && *self.failed.lock().unwrap() {
            return Ok(());
        }
        let stood = self.fake.served();
        match (self.how, self.fake.restore(permit, before).await) {
            (How::TakesAnyPath, Err(error)) if error.kind() == ErrorKind::Invalid => Ok(()),
            (How::LeavesLaterFiles, Ok(())) => {
                self.fake.serve(stood.into_iter().chain(self.fake.served()));
                Ok(())
            }
            (How::RestoresWhatItCan, Err(error)) => {
                self.fake.serve(stood.into_iter().filter(|(path, _)| before.contains_key(path)));
                Err(error)
            }
            (_, ended) => ended,
        }
    }
}

mod fake {
    use super::fresh;

    flow_testkit::assets_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { assets_conformance, assets:
        a_directory_is_read_whole_and_nothing_is_changed => || broken(How::OverlooksFiles),
        a_directory_that_is_not_there_is_refused => || broken(How::MakesUpDirectories),
        a_release_is_served_as_it_was_laid_out => || broken(How::PutsNothing),
        files_of_earlier_releases_stay => || broken(How::ReplacesTheSite),
        putting_twice_is_once => || broken(How::ForgetsOnRepetition),
        a_directory_that_no_longer_matches_is_a_conflict_that_changes_nothing => || broken(How::PutsWhatIsThere),
        paths_that_leave_the_site_are_refused_with_all_of_them => || broken(How::TakesAnyPath),
        a_cancelled_put_changes_nothing => || broken(How::DeafToCancel),
        no_page_is_in_force_before_its_assets => || broken(How::PagesFirst),
        a_put_that_failed_half_way_is_taken_back => || broken(How::RestoresFinishedOnly),
        what_was_served_before_is_served_again => || broken(How::LeavesLaterFiles),
        a_first_release_is_taken_back_to_nothing => || broken(How::LeavesLaterFiles),
        content_that_was_not_kept_is_not_found_and_nothing_is_changed => || broken(How::RestoresWhatItCan),
    }
}

#[tokio::test]
async fn what_the_site_never_served_as_a_whole_is_not_restored() {
    let site = FakeAssets::new();
    site.serve([("index.html", "one"), ("app.js", "one")]);
    let first = site.serving().await.unwrap();
    site.lay_out("/dist", [("index.html", "two"), ("app.js", "two")]);
    let second = site.read("/dist".as_ref()).await.unwrap();
    site.put(&permit(), "/dist".as_ref(), &second).await.unwrap();
    let mut mixed = first.clone();
    mixed.insert("app.js".to_owned(), second["app.js"].clone());
    let error = site.restore(&permit(), &mixed).await.unwrap_err();
    assert_eq!((error.kind(), site.ledger().refusals().len()), (ErrorKind::Conflict, 1));
    assert_eq!(site.serving().await.unwrap(), second);
    site.restore(&permit(), &first).await.unwrap();
    assert_eq!(site.file("app.js").as_deref(), Some(b"one".as_slice()));
}

#[tokio::test]
async fn nothing_is_no_release() {
    let site = FakeAssets::new();
    site.lay_out::<&str, &str>("/dist", []);
    let error = site.put(&permit(), "/dist".as_ref(), &Manifest::new()).await.unwrap_err();
    assert_eq!((error.kind(), site.ledger().refusals().len()), (ErrorKind::Conflict, 1));
}

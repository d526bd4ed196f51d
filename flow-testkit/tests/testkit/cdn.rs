use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::port::{Cdn, DomainReport};
use flow_core::{ErrorKind, Permit, StepError};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::cdn::{Caching, CdnFixture, DomainFault};
use flow_testkit::fake::{FakeAssets, FakeCdn};
use flow_testkit::permit;

/// How a cache breaks its promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    PurgesNothing,
    PurgesTen,
    KeepsWhatTheOriginLost,
    PurgesOnceAKey,
    MissesWhatItHasNot,
    PurgesAllForNothing,
    PurgesUpToTheBadPath,
    PurgesOnALook,
    AlwaysHolds,
}

/// A fake and its world, with one mistake.
struct World {
    site: FakeAssets,
    fake: FakeCdn,
    how: How,
    keys: Mutex<BTreeSet<String>>,
}

async fn broken(how: How) -> World {
    let site = FakeAssets::new();
    World { fake: FakeCdn::before(&site), site, how, keys: Mutex::default() }
}

async fn fresh() -> World {
    broken(How::Not).await
}

#[async_trait]
impl CdnFixture for World {
    fn cdn(&self) -> &dyn Cdn {
        self
    }

    fn caching(&self) -> Caching {
        Caching::Keeps
    }

    async fn change(&self, path: &str, content: Option<&[u8]>) -> Outside<()> {
        let mut files = self.site.served();
        match content {
            Some(content) => files.insert(path.to_owned(), content.to_vec()),
            None => files.remove(path),
        };
        self.site.serve(files);
        Ok(())
    }

    async fn fetch(&self, path: &str) -> Outside<Option<Vec<u8>>> {
        Ok(self.fake.fetch(path))
    }

    async fn break_domain(&self) -> Outside<DomainFault> {
        self.fake.break_domain("the certificate has expired");
        Ok(DomainFault::Stands)
    }
}

#[async_trait]
impl Cdn for World {
    async fn purge(&self, permit: &Permit, paths: &[String]) -> Result<(), StepError> {
        let cached = self.fake.cached();
        let mut paths = paths.to_vec();
        match self.how {
            How::PurgesNothing => return Ok(()),
            How::PurgesTen => paths.truncate(10),
            How::KeepsWhatTheOriginLost => paths.retain(|path| self.site.file(path).is_some()),
            How::PurgesOnceAKey if !self.keys.lock().unwrap().insert(permit.idempotency_key().to_owned()) => {
                return Ok(());
            }
            How::MissesWhatItHasNot if !paths.iter().all(|path| cached.contains(path)) => {
                return Err(StepError::new(ErrorKind::NotFound, "the cache has no such path"));
            }
            How::PurgesAllForNothing if paths.is_empty() => paths = cached,
            How::PurgesUpToTheBadPath => {
                for path in &paths {
                    self.fake.purge(permit, std::slice::from_ref(path)).await?;
                }
                return Ok(());
            }
            _ => {}
        }
        if paths.is_empty() { Ok(()) } else { self.fake.purge(permit, &paths).await }
    }

    async fn domain(&self) -> Result<DomainReport, StepError> {
        if self.how == How::PurgesOnALook {
            self.fake.purge(&permit(), &self.fake.cached()).await?;
        }
        let report = self.fake.domain().await?;
        Ok(if self.how == How::AlwaysHolds { DomainReport { holds: true, ..report } } else { report })
    }
}

mod fake {
    use super::fresh;

    flow_testkit::cdn_conformance!(fresh);
}

mod broken {
    use super::{How, broken};

    flow_testkit::broken_implementations! { cdn_conformance, cdn:
        a_purged_path_is_fetched_anew => || broken(How::PurgesNothing),
        every_path_of_a_purge_is_fetched_anew => || broken(How::PurgesTen),
        a_removed_file_is_gone_after_its_purge => || broken(How::KeepsWhatTheOriginLost),
        purging_twice_is_once => || broken(How::PurgesOnceAKey),
        a_path_that_was_never_fetched_is_done => || broken(How::MissesWhatItHasNot),
        a_purge_of_nothing_is_no_purge_of_everything => || broken(How::PurgesAllForNothing),
        a_path_out_of_the_site_is_refused_and_nothing_is_purged => || broken(How::PurgesUpToTheBadPath),
        looking_at_the_domain_changes_nothing => || broken(How::PurgesOnALook),
        a_broken_domain_does_not_hold => || broken(How::AlwaysHolds),
    }
}

#[tokio::test]
async fn a_purge_of_nothing_is_refused() {
    let cdn = FakeCdn::before(&FakeAssets::new());
    let error = cdn.purge(&permit(), &[]).await.unwrap_err();
    assert_eq!((error.kind(), cdn.ledger().refusals().len()), (ErrorKind::Conflict, 1));
}

//! What every [`Cdn`] promises, as checks.
//!
//! The suite fetches as a reader does, before and after the origin changed. Where a cache stands in between, it first shows
//! that the cache is stale: without that, a purge would prove nothing.

use async_trait::async_trait;
use flow_core::port::Cdn;
use flow_core::{ErrorKind, Fence, Permit};

use super::{Checked, Outside};
use crate::permit_under;

/// What readers meet between a change of the origin and the purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// What they fetched before: a cache keeps it.
    Keeps,
    /// What the origin has: there is no cache, for a reason.
    Absent(&'static str),
}

/// Whether a site's domain was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainFault {
    /// Readers cannot reach the site by its name any more.
    Stands,
    /// The domain cannot be broken here, for a reason.
    Impossible(&'static str),
}

/// A cache in front of an origin without files, and ways to look at its world from outside.
#[async_trait]
pub trait CdnFixture: Send + Sync {
    /// The cache under test.
    fn cdn(&self) -> &dyn Cdn;

    /// What readers meet before a purge.
    fn caching(&self) -> Caching;

    /// Changes the file at `path` at the origin alone; `None` removes it.
    async fn change(&self, path: &str, content: Option<&[u8]>) -> Outside<()>;

    /// Fetches `path` as a reader does: through the cache. None where the site has no such file.
    async fn fetch(&self, path: &str) -> Outside<Option<Vec<u8>>>;

    /// Breaks the site's domain: its name, its certificate, or its server.
    async fn break_domain(&self) -> Outside<DomainFault>;
}

/// Makes one `#[tokio::test]` for every promise of [`Cdn`](flow_core::port::Cdn).
///
/// It takes an async function without arguments that gives a fresh [`CdnFixture`](crate::conformance::cdn::CdnFixture).
///
/// ```
/// use flow_core::port::Cdn;
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::cdn::{Caching, CdnFixture, DomainFault};
/// use flow_testkit::fake::{FakeAssets, FakeCdn};
///
/// struct Mine(FakeAssets, FakeCdn);
///
/// #[async_trait::async_trait]
/// impl CdnFixture for Mine {
///     fn cdn(&self) -> &dyn Cdn {
///         &self.1
///     }
///     fn caching(&self) -> Caching {
///         Caching::Keeps
///     }
///     async fn change(&self, path: &str, content: Option<&[u8]>) -> Outside<()> {
///         let mut files = self.0.served();
///         match content {
///             Some(content) => files.insert(path.to_owned(), content.to_vec()),
///             None => files.remove(path),
///         };
///         self.0.serve(files);
///         Ok(())
///     }
///     async fn fetch(&self, path: &str) -> Outside<Option<Vec<u8>>> {
///         Ok(self.1.fetch(path)) // a real fixture sends a request through the cache
///     }
///     async fn break_domain(&self) -> Outside<DomainFault> {
///         self.1.break_domain("the certificate has expired");
///         Ok(DomainFault::Stands)
///     }
/// }
///
/// async fn fresh() -> Mine {
///     let site = FakeAssets::new();
///     let cdn = FakeCdn::before(&site);
///     Mine(site, cdn)
/// }
///
/// flow_testkit::cdn_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! cdn_conformance {
    ($fresh:expr) => {
        $crate::cdn_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { cdn $with
            a_purged_path_is_fetched_anew
            every_path_of_a_purge_is_fetched_anew
            a_removed_file_is_gone_after_its_purge
            purging_twice_is_once
            a_path_that_was_never_fetched_is_done
            a_purge_of_nothing_is_no_purge_of_everything
            a_path_out_of_the_site_is_refused_and_nothing_is_purged
            looking_at_the_domain_changes_nothing
            a_broken_domain_does_not_hold
        }
    };
}

fn permit() -> Permit {
    permit_under("run/purge", Fence(1), 1)
}

async fn fetched(fixture: &impl CdnFixture, path: &str) -> Outside<Option<String>> {
    Ok(fixture.fetch(path).await?.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// Lets readers fetch an old file and changes it behind the cache.
async fn changed(fixture: &impl CdnFixture, path: &str, now: Option<&str>) -> Checked {
    fixture.change(path, Some(b"old")).await?;
    assert_eq!(fetched(fixture, path).await?.as_deref(), Some("old"));
    fixture.change(path, now.map(str::as_bytes)).await?;
    stale(fixture, path, now).await
}

/// Whether readers still meet the old file, as far as a cache keeps it.
async fn stale(fixture: &impl CdnFixture, path: &str, now: Option<&str>) -> Checked {
    let expected = match fixture.caching() {
        Caching::Keeps => Some("old"),
        Caching::Absent(_) => now,
    };
    assert_eq!(fetched(fixture, path).await?.as_deref(), expected, "`{path}`, which was not purged");
    Ok(())
}

async fn purge(fixture: &impl CdnFixture, paths: &[&str]) -> Checked {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    Ok(fixture.cdn().purge(&permit(), &paths).await?)
}

/// Done means that readers meet what the origin has.
pub async fn a_purged_path_is_fetched_anew(fixture: &impl CdnFixture) -> Checked {
    changed(fixture, "index.html", Some("new")).await?;
    purge(fixture, &["index.html"]).await?;
    assert_eq!(fetched(fixture, "index.html").await?.as_deref(), Some("new"));
    Ok(())
}

/// However many paths there are, and whatever they are called.
pub async fn every_path_of_a_purge_is_fetched_anew(fixture: &impl CdnFixture) -> Checked {
    let mut paths: Vec<String> = (0..30).map(|number| format!("page {number}.html")).collect();
    paths.extend(["docs/index.html", "a+b&c=d.js", "ü/ß.css", "100%.txt"].map(str::to_owned));
    for path in &paths {
        changed(fixture, path, Some("new")).await?;
    }
    fixture.cdn().purge(&permit(), &paths).await?;
    for path in &paths {
        assert_eq!(fetched(fixture, path).await?.as_deref(), Some("new"), "`{path}`");
    }
    Ok(())
}

/// A file that the origin no longer has is not served from the cache.
pub async fn a_removed_file_is_gone_after_its_purge(fixture: &impl CdnFixture) -> Checked {
    changed(fixture, "app.js", None).await?;
    purge(fixture, &["app.js"]).await?;
    assert_eq!(fetched(fixture, "app.js").await?, None);
    Ok(())
}

/// A purge may be repeated under its permit, and is none the less whole for it.
pub async fn purging_twice_is_once(fixture: &impl CdnFixture) -> Checked {
    changed(fixture, "index.html", Some("new")).await?;
    purge(fixture, &["index.html"]).await?;
    purge(fixture, &["index.html"]).await?;
    assert_eq!(fetched(fixture, "index.html").await?.as_deref(), Some("new"));
    fixture.change("index.html", Some(b"newer")).await?;
    purge(fixture, &["index.html"]).await?;
    assert_eq!(fetched(fixture, "index.html").await?.as_deref(), Some("newer"), "after a lost answer");
    Ok(())
}

/// What the cache does not have is forgotten already.
pub async fn a_path_that_was_never_fetched_is_done(fixture: &impl CdnFixture) -> Checked {
    fixture.change("new.html", Some(b"new")).await?;
    purge(fixture, &["new.html", "never.html"]).await?;
    assert_eq!(fetched(fixture, "new.html").await?.as_deref(), Some("new"));
    Ok(())
}

/// Without paths nothing is purged, whether or not the call is refused.
pub async fn a_purge_of_nothing_is_no_purge_of_everything(fixture: &impl CdnFixture) -> Checked {
    changed(fixture, "index.html", Some("new")).await?;
    if let Err(error) = fixture.cdn().purge(&permit(), &[]).await {
        assert!(error.kind().is_rejection(), "{error}");
    }
    stale(fixture, "index.html", Some("new")).await
}

/// Paths are those of the site's manifest: any other is refused, and the rest is not purged.
pub async fn a_path_out_of_the_site_is_refused_and_nothing_is_purged(fixture: &impl CdnFixture) -> Checked {
    changed(fixture, "index.html", Some("new")).await?;
    for path in ["../index.html", "a/../../index.html", "a//b", "line\nbreak"] {
        let paths = ["index.html".to_owned(), path.to_owned()];
        let purged = fixture.cdn().purge(&permit(), &paths).await;
        let error = purged.err().ok_or_else(|| format!("`{}` was purged", path.escape_debug()))?;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    stale(fixture, "index.html", Some("new")).await
}

/// The domain is named and holds, and looking at it purges nothing.
pub async fn looking_at_the_domain_changes_nothing(fixture: &impl CdnFixture) -> Checked {
    changed(fixture, "index.html", Some("new")).await?;
    let report = fixture.cdn().domain().await?;
    assert!(report.holds, "{report:?}");
    assert!(!report.domain.is_empty() && !report.found.is_empty(), "{report:?}");
    stale(fixture, "index.html", Some("new")).await
}

/// A site that readers cannot reach by its name does not hold, and the report says why. Where the domain cannot be broken, it
/// holds.
pub async fn a_broken_domain_does_not_hold(fixture: &impl CdnFixture) -> Checked {
    let fault = fixture.break_domain().await?;
    let report = fixture.cdn().domain().await?;
    assert_eq!(report.holds, fault != DomainFault::Stands, "{report:?}");
    assert!(!report.found.is_empty());
    Ok(())
}

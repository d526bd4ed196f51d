//! A site that no cache stands in front of.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flow_core::port::{AssetFile, Cdn, DomainReport, HostPath};
use flow_core::{Clock, Digest, ErrorKind, Permit, Problems, StepError};
use hyper::Method;
use hyper::header::{CACHE_CONTROL, HeaderValue};

use super::assets::digest_of;
use super::blocking::look;
use super::directory::Directory;
use super::http::{Failure, Url, exchange};

/// A site whose files are served straight from a directory, without a cache in front.
///
/// There is nothing to purge, so `purge` proves what a purge is for: it fetches every path and compares it with the file
/// in the directory. A path without a file must be gone from the site as well.
#[derive(Clone)]
pub struct DirectSite {
    base: Url,
    root: PathBuf,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for DirectSite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectSite")
            .field("origin", &self.base.origin())
            .field("root", &self.root)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl DirectSite {
    /// The site that serves the files of `root` below `base_url`, each within `timeout`.
    ///
    /// # Errors
    /// [`Problems`] when the URL is not plain HTTP or has a query, or the timeout is zero.
    pub fn new(
        base_url: &str,
        root: impl Into<PathBuf>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let base = Url::parse(base_url)
            .and_then(|url| if url.target().contains('?') { Err("must not have a query") } else { Ok(url) })
            .map_err(|problem| problems.add("base_url", problem))
            .ok();
        problems.check(!timeout.is_zero(), "timeout", "must be longer than zero");
        match base {
            Some(base) if problems.as_slice().is_empty() => {
                Ok(Self { base, root: root.into(), timeout, clock })
            }
            _ => Err(problems),
        }
    }

    /// Fetches one path and says what is stale about it, if anything.
    async fn compare(&self, path: &str) -> Result<Option<String>, StepError> {
        let (root, file) = (self.root.clone(), file_of(path)?);
        let expected = look(move || digest_below(&root, &file)).await?;
        let limit = expected
            .as_ref()
            .map_or(GONE_LIMIT, |expected| usize::try_from(expected.bytes).unwrap_or(usize::MAX));
        let url = self.base.with_target(self.target_of(path));
        let mut request =
            url.request(Method::GET, Bytes::new()).map_err(|failure| unanswered(failure, path))?;
        request.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let reply = match exchange(&*self.clock, self.timeout, &url, request, limit).await {
            Ok(reply) => reply,
            Err(Failure::TooLarge(_)) if expected.is_some() => {
                return Ok(Some("the site serves more than the file holds".to_owned()));
            }
            Err(failure) => return Err(unanswered(failure, path)),
        };
        Ok(match (expected, reply.status) {
            (Some(expected), 200) if Digest::of(&reply.body) == expected.digest => None,
            (Some(_), 200) => Some("the site serves other content than the file's".to_owned()),
            (None, 404 | 410) => None,
            (Some(_), status) => Some(format!("the site answers {status} for a file that exists")),
            (None, status) => Some(format!("the site answers {status} for a file that does not exist")),
        })
    }

    fn target_of(&self, path: &str) -> String {
        let base = self.base.target().trim_end_matches('/');
        let mut target = format!("{base}/");
        for byte in path.strip_prefix('/').unwrap_or(path).bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
                target.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(target, "%{byte:02X}");
            }
        }
        target
    }
}

/// The largest answer for a path that must be gone: an error page.
const GONE_LIMIT: usize = 1 << 20;

#[async_trait]
impl Cdn for DirectSite {
    async fn purge(&self, permit: &Permit, paths: &[String]) -> Result<(), StepError> {
        let mut stale = Problems::default();
        for path in paths {
            if permit.cancel().is_cancelled() {
                return Err(StepError::new(ErrorKind::Cancelled, "the comparison of the site was cancelled"));
            }
            if let Some(problem) = self.compare(path).await? {
                stale.add(path, problem);
            }
        }
        stale.into_result().map_err(|stale| {
            StepError::new(ErrorKind::Failed, "the site does not serve what its directory holds")
                .fact("origin", self.base.origin())
                .because(stale)
        })
    }

    async fn domain(&self) -> Result<DomainReport, StepError> {
        let domain = self.base.host().to_owned();
        let report = |holds, found| Ok(DomainReport { domain: domain.clone(), holds, found });
        let resolved = tokio::net::lookup_host((self.base.host(), self.base.port())).await;
        let addresses: Vec<SocketAddr> = match resolved {
            Ok(addresses) => addresses.collect(),
            Err(error) => return report(false, format!("the name does not resolve: {error}")),
        };
        let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let listed = listed.join(", ");
        let request = self
            .base
            .request(Method::HEAD, Bytes::new())
            .map_err(|failure| unanswered(failure, self.base.target()))?;
        match exchange(&*self.clock, self.timeout, &self.base, request, GONE_LIMIT).await {
            Ok(reply) => report(
                reply.status < 500,
                format!("resolves to {listed}; answers {}; plain HTTP, so no certificate", reply.status),
            ),
            Err(failure) => report(false, format!("resolves to {listed}; {failure}")),
        }
    }
}

/// The file that is served for `path`: the entry page for a directory.
fn file_of(path: &str) -> Result<HostPath, StepError> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let entry = if path.is_empty() || path.ends_with('/') { "index.html" } else { "" };
    Ok(HostPath::new(format!("{path}{entry}"))?)
}

fn digest_below(root: &Path, file: &HostPath) -> Result<Option<AssetFile>, StepError> {
    let Some(root) = Directory::find(root)? else {
        return Err(StepError::new(ErrorKind::NotFound, "the site's directory is missing")
            .fact("path", root.display()));
    };
    let Some((directory, name)) = root.descend(file.as_str())? else { return Ok(None) };
    let path = directory.path_of(name);
    directory.open_file(name)?.map(|mut file| digest_of(&mut file, &path)).transpose()
}

fn unanswered(failure: Failure, path: &str) -> StepError {
    let kind = match &failure {
        Failure::Unsendable(_) => ErrorKind::Invalid,
        // Fetching changes nothing, so a broken fetch is as good as one that never began.
        Failure::Unreachable(_) | Failure::Broken(_) => ErrorKind::Unavailable,
        Failure::TimedOut(_) => ErrorKind::TimedOut,
        Failure::TooLarge(_) => ErrorKind::Failed,
    };
    StepError::new(kind, "the site gave no answer").fact("path", path).because(failure)
}

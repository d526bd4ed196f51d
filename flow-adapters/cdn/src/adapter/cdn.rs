use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Cdn, DomainReport, HostPath, ProbeRequest};
use flow_core::{CancelToken, Clock, ErrorKind, Permit, Problems, StepError};
use flow_tencent::{Api, ApiConfig, ApiError, Credentials, Failure};

use crate::client::{Domains, Findings, Kind, Names, Tasks, go_on};
use crate::config::{Base, CdnConfig, OverQuota, Prefetch};

/// The page that a directory's URL gives.
const ENTRY: &str = "index.html";

/// What browsers send as a link has it, encoded or not: a cache takes the two for two URLs (URL Standard, path percent-encode set).
const AS_LINKED: &[u8] = b"!$&'()*+,:;=@[]|";

/// The CDN before a site.
///
/// `purge` asks for the URLs of exactly the given paths, encoded wholly and as little as browsers do, and of `…/index.html` also `…/`, in as many requests as the quota that the CDN reports needs,
/// and returns when every one of them is done. A request whose answer is lost is looked for among the CDN's own before it is sent again.
///
/// `domain` looks whether the CDN delivers the domain, and as configured at its origin, at its record in DNSPod and at the end of its certificate.
#[derive(Debug, Clone)]
pub struct TencentCdn {
    config: CdnConfig,
    base: Base,
    tasks: Tasks,
    domains: Domains,
}

impl TencentCdn {
    /// The CDN before the site of `config`. Nothing is sent.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(
        config: CdnConfig,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        let base = config.check()?;
        let api = |service: &str, version: &str| ApiConfig {
            service: service.to_owned(),
            version: version.to_owned(),
            region: None,
            endpoint: config.endpoint.clone(),
        };
        let cdn = Api::new(api("cdn", "2018-06-06"), credentials.clone(), clock.clone())?;
        let dns = Api::new(api("dnspod", "2021-03-23"), credentials, clock.clone())?;
        let tasks = Tasks::new(cdn.clone(), clock.clone(), config.area);
        Ok(Self { base, tasks, domains: Domains { cdn, dns: Names::Api(dns), clock }, config })
    }

    /// The same, which asks DNSPod through the crate `tencentcloud-sdk-rs` where it looks at the record.
    #[cfg(feature = "tencentcloud-sdk-rs")]
    #[must_use]
    pub fn asking_dnspod_by(mut self, sdk: flow_tencent::SdkDnspod) -> Self {
        self.domains.dns = Names::Sdk(sdk);
        self
    }

    /// The URLs under which readers, and so the cache, know `paths`.
    fn urls(&self, paths: &[String]) -> Result<Vec<String>, Problems> {
        let (mut urls, mut problems) = (BTreeSet::new(), Problems::default());
        for path in paths {
            if HostPath::new(path.as_str()).is_err() {
                problems.add(path.escape_debug().to_string(), "is not a plain relative path below the site");
                continue;
            }
            let encoded = ProbeRequest::of_file("", path, Duration::ZERO).url;
            for path in [as_linked(&encoded), encoded] {
                let url = format!("{}{path}", self.base.url);
                if let Some(directory) = url.strip_suffix(ENTRY).filter(|directory| directory.ends_with('/'))
                {
                    urls.insert(directory.to_owned());
                }
                urls.insert(url);
            }
        }
        problems.into_result()?;
        Ok(urls.into_iter().collect())
    }

    /// Sends `urls` in as many requests as the quota says, and waits for all of them.
    async fn carry_out(
        &self,
        tasks: &Tasks,
        token: &CancelToken,
        kind: Kind,
        urls: &[String],
        batch: usize,
    ) -> Result<(), StepError> {
        let mut sent = Vec::new();
        for chunk in urls.chunks(batch.max(1)) {
            go_on(token)?;
            match tasks.send(token, kind, chunk).await {
                Ok(request) => sent.push(request),
                Err(error) if sent.is_empty() => return Err(spent(error)),
                Err(error) => return Err(spent(error).after_effect()),
            }
        }
        let waited = tasks.wait(token, kind, sent, self.config.within, self.config.look_every).await;
        waited.map_err(StepError::after_effect)
    }

    /// Purges the whole site by one path, which the configuration allows where the quota of URLs is used up.
    async fn purge_site(
        &self,
        tasks: &Tasks,
        token: &CancelToken,
        urls: usize,
        left: usize,
    ) -> Result<(), StepError> {
        let over = || {
            StepError::new(ErrorKind::Throttled, "today's quota does not hold the purge")
                .fact("urls", urls)
                .fact("left today", left)
        };
        if self.config.over_quota == OverQuota::Refuse {
            return Err(over());
        }
        let path = format!("{}/", self.base.url);
        if tasks.allowed(Kind::PurgePath).await?.today == 0 {
            return Err(over().fact("paths left today", 0));
        }
        tracing::warn!(
            urls,
            left,
            path,
            "today's quota does not hold the purge: the whole site is purged by its path"
        );
        self.carry_out(tasks, token, Kind::PurgePath, &[path], 1).await
    }

    /// Lets the cache fetch `urls`, as far as the quota goes. Readers lose nothing where it does not.
    async fn prefetch(&self, tasks: &Tasks, token: &CancelToken, urls: &[String]) -> Result<(), StepError> {
        let allowed = tasks.allowed(Kind::Push).await?;
        let within = urls.get(..allowed.today.min(urls.len())).unwrap_or_default();
        if within.len() < urls.len() {
            let left = allowed.today;
            tracing::warn!(
                urls = urls.len(),
                left,
                "today's quota does not hold the prefetch: the rest is left to readers"
            );
        }
        if within.is_empty() {
            return Ok(());
        }
        self.carry_out(tasks, token, Kind::Push, within, allowed.batch).await
    }
}

#[async_trait]
impl Cdn for TencentCdn {
    async fn purge(&self, permit: &Permit, paths: &[String]) -> Result<(), StepError> {
        let urls = self.urls(paths)?;
        if urls.is_empty() {
            return Ok(());
        }
        let (token, tasks) = (permit.cancel(), self.tasks.until(permit.cancel()));
        let allowed = tasks.allowed(Kind::Purge).await?;
        if urls.len() > allowed.today {
            self.purge_site(&tasks, token, urls.len(), allowed.today).await?;
        } else {
            self.carry_out(&tasks, token, Kind::Purge, &urls, allowed.batch).await?;
        }
        if self.config.prefetch == Prefetch::Purged
            && let Err(error) = self.prefetch(&tasks, token, &urls).await
        {
            go_on(token)?;
            tracing::warn!(%error, "not everything was prefetched: the rest is left to readers");
        }
        Ok(())
    }

    async fn domain(&self) -> Result<DomainReport, StepError> {
        let (host, mut findings) = (self.base.host.as_str(), Findings::default());
        let origin = self.config.origin.as_deref();
        let cname = self.domains.delivery(host, origin, &mut findings).await?;
        let named = self.config.zone.as_deref().and_then(|zone| Some((zone, self.base.record_in(zone)?)));
        if let (Some((zone, name)), Some(cname)) = (named, &cname) {
            self.domains.record(zone, name, cname, &mut findings).await?;
        }
        if self.base.is_secure && cname.is_some() {
            self.domains.certificate(host, self.config.certificate_left, &mut findings).await?;
        }
        let holds = findings.broken.is_empty();
        let found = if holds { findings.sound } else { findings.broken };
        Ok(DomainReport { domain: host.to_owned(), holds, found: found.join("; ") })
    }
}

/// An encoded path as browsers send it where a link does not encode more than it must.
fn as_linked(encoded: &str) -> String {
    AS_LINKED.iter().fold(encoded.to_owned(), |path, byte| {
        path.replace(&format!("%{byte:02X}"), &char::from(*byte).to_string())
    })
}

/// A quota that ended is a call for patience: it comes back the next day.
fn spent(error: ApiError) -> StepError {
    if error.failure() != Failure::Quota {
        return error.into();
    }
    StepError::new(ErrorKind::Throttled, "today's quota does not hold the purge").because(error)
}

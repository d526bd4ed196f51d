use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::super::config::{Quotas, Strictness};
use super::super::cos::Storage;
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::domains::{self, Domain};
use super::edge::{Cached, prefetched};
use super::tasks::{self, Entry, Kind};

/// The state of the delivery.
#[derive(Debug)]
pub(in super::super) struct Cdn {
    pub(super) quotas: Quotas,
    /// Full from the first domain on.
    pub(super) strictness: Strictness,
    pub(super) domains: BTreeMap<String, Domain>,
    /// One for each URL and path.
    pub(super) entries: Vec<Entry>,
    /// What the edge keeps, by URL without its scheme.
    pub(super) cache: BTreeMap<String, Cached>,
    /// What was spent: the day in Beijing, the kind and the area.
    pub(super) spent: BTreeMap<(String, Kind, String), usize>,
}

impl Cdn {
    pub(in super::super) fn new(quotas: Quotas, strictness: Strictness) -> Self {
        Self {
            quotas,
            strictness,
            domains: BTreeMap::new(),
            entries: Vec::new(),
            cache: BTreeMap::new(),
            spent: BTreeMap::new(),
        }
    }

    /// Ends what is due: what is purged leaves the cache, and what is prefetched is in it.
    pub(in super::super) fn settle(&mut self, now: Timestamp, storage: &Storage) {
        self.domains.values_mut().for_each(|domain| domain.settle(now));
        for entry in &mut self.entries {
            match entry.settle(now) {
                Some((Kind::Url, url)) => {
                    self.cache.remove(url);
                }
                Some((Kind::Path, path)) => self.cache.retain(|url, _| !url.starts_with(path)),
                // Assumed: what the edge has already stays as it is.
                Some((Kind::Push, url)) => {
                    if let Some((url, cached)) = prefetched(&self.domains, storage, url) {
                        self.cache.entry(url).or_insert(cached);
                    }
                }
                None => {}
            }
        }
    }

    pub(super) fn register(&mut self, name: &str, domain: Domain) {
        self.strictness = Strictness::Full;
        self.domains.insert(name.to_owned(), domain);
    }

    /// Whether this host is one of its domains.
    pub(in super::super) fn has(&self, host: &str) -> bool {
        self.domains.contains_key(host)
    }

    /// Adds a domain before a bucket, online at once.
    pub(in super::super) fn serve(&mut self, domain: &str, bucket: &str, now: Timestamp) {
        let origin = format!("{bucket}.cos.ap-guangzhou.myqcloud.com");
        let origin = json!({ "Origins": [origin], "OriginType": "cos" });
        let mut added = Domain::new(domain, origin, now);
        added.settle(now);
        self.register(domain, added);
    }

    /// Sets a domain's status.
    pub(in super::super) fn becomes(&mut self, domain: &str, status: &str) -> bool {
        self.domains.get_mut(domain).map(|domain| domain.stands(status)).is_some()
    }
}

/// Carries an action out.
pub(in super::super) fn call(world: &mut World, action: &str, params: &Params<'_>) -> Answer {
    match action {
        "PurgeUrlsCache" => tasks::submit(world, params, Kind::Url),
        "PurgePathCache" => tasks::submit(world, params, Kind::Path),
        "PushUrlsCache" => tasks::submit(world, params, Kind::Push),
        "DescribePurgeTasks" => tasks::describe(world, params, "PurgeLogs"),
        "DescribePushTasks" => tasks::describe(world, params, "PushLogs"),
        "DescribePurgeQuota" => Ok(json!({
            "UrlPurge": tasks::quota(world, Kind::Url),
            "PathPurge": tasks::quota(world, Kind::Path),
        })),
        "DescribePushQuota" => Ok(json!({ "UrlPush": tasks::quota(world, Kind::Push) })),
        "AddCdnDomain" => domains::add(world, params),
        "UpdateDomainConfig" => domains::update(world, params),
        "StartCdnDomain" => domains::switch(world, params, "online"),
        "StopCdnDomain" => domains::switch(world, params, "offline"),
        "DeleteCdnDomain" => domains::delete(world, params),
        "DescribeDomains" => domains::list(world, params, Domain::brief),
        "DescribeDomainsConfig" => domains::list(world, params, Domain::told),
        _ => Err(ApiError::new("UnsupportedOperation", format!("this cloud has no `{action}`"))),
    }
}

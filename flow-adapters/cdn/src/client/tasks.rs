use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::{CancelToken, Clock, ErrorKind, StepError, Timestamp};
use flow_tencent::{Api, ApiError, Nature};
use futures::future::{Either, select};

use super::actions::{
    DescribePurgeQuota, DescribePurges, DescribePushQuota, DescribePushes, PurgePaths, PurgeUrls, PushUrls,
    Quota, Row,
};
use super::domains::beijing;
use super::pace::go_on;
use crate::config::Area;

/// What one page of tasks has: 20 without saying so.
const PAGE: u64 = 100;
/// More pages than a day's quota of URLs fills.
const PAGES_MAX: u64 = 500;
/// How often a request whose end is not known is sent, each time after it was looked for.
const ROUNDS: u32 = 3;
/// How far the service's clock may be ahead of ours: with more it refuses our signatures.
const SKEW: Duration = Duration::from_secs(310);
/// The service's time is known to the second.
const TICK: Duration = Duration::from_secs(1);
/// How many URLs a message names.
const NAMED_MAX: usize = 10;

/// What is done with URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The cache forgets them.
    Purge,
    /// The cache forgets all below a path.
    PurgePath,
    /// The cache fetches them.
    Push,
}

/// How many URLs may go into one request, and how many into all of today's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) batch: usize,
    pub(crate) today: usize,
}

/// A request that was taken, whose URLs are under way.
#[derive(Debug)]
pub(crate) struct Sent {
    id: String,
    count: usize,
}

/// The CDN's requests that take a while: sent, found again, and waited for.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    api: Api,
    clock: Arc<dyn Clock>,
    area: Option<Area>,
    /// The requests that were answered here: none of them is one whose answer was lost.
    answered: Arc<Mutex<BTreeSet<String>>>,
}

impl Tasks {
    pub(crate) fn new(api: Api, clock: Arc<dyn Clock>, area: Option<Area>) -> Self {
        Self { api, clock, area, answered: Arc::default() }
    }

    /// The same, whose calls stop when `token` is cancelled.
    pub(crate) fn until(&self, token: &CancelToken) -> Self {
        Self { api: self.api.until(token), ..self.clone() }
    }

    /// What the quota allows in each area that is asked for.
    pub(crate) async fn allowed(&self, kind: Kind) -> Result<Allowed, ApiError> {
        let rows = if kind == Kind::Push {
            self.api.call(&DescribePushQuota {}, Nature::Reads).await?.url_push
        } else {
            let quota = self.api.call(&DescribePurgeQuota {}, Nature::Reads).await?;
            if kind == Kind::Purge { quota.url_purge } else { quota.path_purge }
        };
        let ours = |row: &&Quota| self.area.is_none_or(|area| row.area.eq_ignore_ascii_case(area.name()));
        let rows: Vec<_> = rows.iter().filter(ours).collect();
        let least = |of: fn(&Quota) -> usize| rows.iter().map(|row| of(row)).min().unwrap_or_default();
        Ok(Allowed { batch: least(|row| row.batch), today: least(|row| row.available) })
    }

    /// Sends `urls`, which one request may hold. A request whose answer is lost is looked for before it is sent again.
    pub(crate) async fn send(
        &self,
        token: &CancelToken,
        kind: Kind,
        urls: &[String],
    ) -> Result<Sent, ApiError> {
        let begun = self.api.now().checked_sub(TICK).unwrap_or(Timestamp::MIN);
        let doubt = match self.send_once(kind, urls).await {
            Ok(id) => return Ok(self.sent(id, urls)),
            Err(error) if !error.is_in_doubt() => return Err(error),
            Err(error) => error,
        };
        // Whatever the looks and the repeated requests are told, the first one stays in doubt until it or another is found.
        for round in 1..=ROUNDS {
            // What was cut off may still be under way.
            if self.pause(token, Duration::from_secs(2)).await.is_err() {
                break;
            }
            match self.find(kind, urls, begun).await {
                Ok(Some(id)) => return Ok(self.sent(id, urls)),
                Ok(None) if round < ROUNDS => {}
                _ => break,
            }
            if let Ok(id) = self.send_once(kind, urls).await {
                return Ok(self.sent(id, urls));
            }
        }
        Err(doubt)
    }

    fn sent(&self, id: String, urls: &[String]) -> Sent {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        Sent { id, count: urls.len() }
    }

    async fn send_once(&self, kind: Kind, urls: &[String]) -> Result<String, ApiError> {
        let area = self.area.map(Area::name);
        let begun = match kind {
            Kind::Purge => self.api.call(&PurgeUrls { urls, area }, Nature::Writes).await,
            Kind::Push => self.api.call(&PushUrls(PurgeUrls { urls, area }), Nature::Writes).await,
            Kind::PurgePath => {
                let purge = PurgePaths { paths: urls, flush_type: "delete", area };
                self.api.call(&purge, Nature::Writes).await
            }
        };
        Ok(begun?.task_id)
    }

    /// A request for exactly `urls` that was taken since `begun` and that nobody was told of.
    ///
    /// By the service's own time, as far as its last answer told it. Where that is wrong, nothing is found and the URLs are purged twice,
    /// which costs quota alone.
    async fn find(&self, kind: Kind, urls: &[String], begun: Timestamp) -> Result<Option<String>, ApiError> {
        let asked = DescribePurges {
            task_id: None,
            start_time: Some(beijing(begun)),
            end_time: Some(beijing(self.clock.now().checked_add(SKEW).unwrap_or(begun))),
            offset: 0,
            limit: PAGE,
        };
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in self.rows(kind, asked).await? {
            found.entry(row.task_id).or_default().insert(row.url);
        }
        let wanted: BTreeSet<String> = urls.iter().cloned().collect();
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(found.into_iter().find(|(id, urls)| *urls == wanted && !answered.contains(id)).map(|(id, _)| id))
    }

    /// Every row that is asked for: a page has 20 where nobody says otherwise, and a request has one for each of its URLs.
    async fn rows(&self, kind: Kind, mut asked: DescribePurges) -> Result<Vec<Row>, ApiError> {
        let mut rows = Vec::new();
        for _ in 0..PAGES_MAX {
            let (page, total) = if kind == Kind::Push {
                let page = self.api.call(&DescribePushes(asked.clone()), Nature::Reads).await?;
                (page.push_logs, page.total_count)
            } else {
                let page = self.api.call(&asked, Nature::Reads).await?;
                (page.purge_logs, page.total_count)
            };
            let got = page.len() as u64;
            asked.offset += got;
            rows.extend(page);
            if got == 0 || asked.offset >= total {
                break;
            }
        }
        Ok(rows)
    }

    /// Waits until every URL of all requests is done.
    ///
    /// In doubt with the failing URLs where some failed, [`TimedOut`](ErrorKind::TimedOut) with those that are under way.
    pub(crate) async fn wait(
        &self,
        token: &CancelToken,
        kind: Kind,
        mut sent: Vec<Sent>,
        within: Duration,
        look_every: Duration,
    ) -> Result<(), StepError> {
        let end = self.clock.monotonic() + within;
        loop {
            let (mut failed, mut open, mut left) = (Vec::new(), Vec::new(), Vec::new());
            for request in sent {
                let rows = self.rows(kind, of(&request)).await?;
                let ended = rows.iter().all(|row| row.is("done")) && rows.len() >= request.count;
                failed.extend(rows.iter().filter(|row| row.has_failed()).map(|row| row.url.clone()));
                open.extend(rows.iter().filter(|row| !row.is("done")).map(|row| row.url.clone()));
                if !ended {
                    left.push(request);
                }
            }
            if !failed.is_empty() {
                return Err(StepError::in_doubt(kind.failed()).fact("urls", some(&failed)));
            }
            if left.is_empty() {
                return Ok(());
            }
            if self.clock.monotonic() >= end {
                let late = StepError::new(ErrorKind::TimedOut, "the cache has not ended in time");
                return Err(late.fact("within", format!("{} s", within.as_secs())).fact("urls", some(&open)));
            }
            sent = left;
            self.pause(token, look_every).await?;
        }
    }

    async fn pause(&self, token: &CancelToken, wait: Duration) -> Result<(), StepError> {
        match select(self.clock.sleep(wait), Box::pin(token.cancelled())).await {
            Either::Left(_) => go_on(token),
            Either::Right(_) => Err(StepError::new(ErrorKind::Cancelled, "stopped when asked")),
        }
    }
}

fn of(request: &Sent) -> DescribePurges {
    DescribePurges {
        task_id: Some(request.id.clone()),
        start_time: None,
        end_time: None,
        offset: 0,
        limit: PAGE,
    }
}

impl Row {
    /// The documentation writes the same status with and without a capital.
    fn is(&self, status: &str) -> bool {
        self.status.eq_ignore_ascii_case(status)
    }

    fn has_failed(&self) -> bool {
        self.is("fail") || self.is("invalid")
    }
}

impl Kind {
    const fn failed(self) -> &'static str {
        match self {
            Self::Purge | Self::PurgePath => "the cache could not forget everything",
            Self::Push => "the cache could not fetch everything",
        }
    }
}

/// The first of `urls`, and how many more there are.
pub(super) fn some(urls: &[String]) -> String {
    let named = urls.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = urls.len().saturating_sub(NAMED_MAX);
    if more == 0 { named } else { format!("{named} and {more} more") }
}

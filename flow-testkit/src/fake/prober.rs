use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{ProbeReply, ProbeRequest, Prober};
use flow_core::{ErrorKind, Problems, StepError};
use tokio::time::Instant;

use super::fleet::FakeFleet;
use crate::ledger::Ledger;

/// The largest body.
const LIMIT: usize = ProbeReply::BODY_MAX as usize;

/// A web in memory: pages by URL, which change over time or with the version that answers.
///
/// A URL without a page is a machine where nothing listens. A page that takes longer than the request may wait is waited for that
/// long, in tokio's time.
///
/// ```
/// use std::time::Duration;
///
/// use flow_core::port::{ProbeRequest, Prober};
/// use flow_testkit::fake::{FakeProber, Page};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), flow_core::StepError> {
/// let prober = FakeProber::new();
/// prober.serve("https://shop.test/", Page::new(200, "welcome"));
/// prober.serve("https://shop.test/", Page::new(503, "")).after(Duration::from_secs(60));
/// let request = ProbeRequest { url: "https://shop.test/".to_owned(), timeout: Duration::from_secs(1) };
/// assert_eq!(prober.get(&request).await?.body, b"welcome");
/// tokio::time::sleep(Duration::from_secs(60)).await;
/// assert_eq!(prober.get(&request).await?.status, 503);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct FakeProber {
    ledger: Ledger,
    web: Arc<Mutex<Web>>,
}

#[derive(Debug, Default)]
struct Web {
    served: Vec<Served>,
    asked: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Served {
    url: String,
    /// None where nothing listens.
    page: Option<Page>,
    from: Instant,
    delay: Duration,
    /// The fleet, service and version that must answer for it.
    by: Option<(FakeFleet, String, String)>,
}

/// What a URL answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    takes: Option<Duration>,
}

impl Page {
    /// A page that is there at once.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: BTreeMap::new(), body: body.into(), takes: Some(Duration::ZERO) }
    }

    /// The same page with a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into().to_ascii_lowercase(), value.into());
        self
    }

    /// The same page, answered after this time.
    #[must_use]
    pub const fn taking(mut self, time: Duration) -> Self {
        self.takes = Some(time);
        self
    }

    /// A server that takes the request and never answers.
    #[must_use]
    pub const fn silent() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: Vec::new(), takes: None }
    }
}

impl FakeProber {
    /// An empty web with a ledger of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty web that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), web: Arc::default() }
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lets `url` answer with `page` from now on, or [after](Arrival::after) a time.
    pub fn serve(&self, url: &str, page: Page) -> Arrival {
        self.add(url, Some(page), None)
    }

    /// Lets `url` answer with `page` while a user's request of `service` falls to `version` of it.
    pub fn serve_by(
        &self,
        fleet: &FakeFleet,
        service: &str,
        version: &str,
        url: &str,
        page: Page,
    ) -> Arrival {
        self.add(url, Some(page), Some((fleet.clone(), service.to_owned(), version.to_owned())))
    }

    /// Lets nothing listen at `url` from now on, or [after](Arrival::after) a time.
    pub fn take_down(&self, url: &str) -> Arrival {
        self.add(url, None, None)
    }

    /// How often `url` was asked.
    #[must_use]
    pub fn asked(&self, url: &str) -> u64 {
        self.web().asked.get(url).copied().unwrap_or(0)
    }

    fn add(&self, url: &str, page: Option<Page>, by: Option<(FakeFleet, String, String)>) -> Arrival {
        let served = Served { url: url.to_owned(), page, from: Instant::now(), delay: Duration::ZERO, by };
        let mut web = self.web();
        web.served.push(served);
        Arrival { prober: self.clone(), index: web.served.len() - 1 }
    }

    /// The page that answers `url` now: the one arranged last of those that are due.
    fn page(&self, url: &str) -> Option<Page> {
        let (mut web, now) = (self.web(), Instant::now());
        *web.asked.entry(url.to_owned()).or_default() += 1;
        let due =
            web.served.iter().rev().filter(|served| {
                served.url == url && now.saturating_duration_since(served.from) >= served.delay
            });
        let mut answering: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for served in due {
            let Some((fleet, service, version)) = &served.by else { return served.page.clone() };
            let by = answering
                .entry(service)
                .or_insert_with(|| Some(fleet.router_of(service).request()?.version.as_str().to_owned()));
            if by.as_ref() == Some(version) {
                return served.page.clone();
            }
        }
        // Pages of versions stand behind a proxy, which answers when none of them does.
        (!answering.is_empty()).then(|| Page::new(503, "no version answers"))
    }

    fn look(&self, request: &ProbeRequest) -> Result<Page, StepError> {
        check(request)?;
        // The query may hold a token.
        let shown = request.url.split(['?', '#']).next().unwrap_or_default();
        let refuse = |kind, message| StepError::new(kind, message).fact("url", shown);
        match self.page(&request.url) {
            None => Err(refuse(ErrorKind::Unavailable, "nothing listens there")),
            Some(page) if page.takes.is_none_or(|takes| takes > request.timeout) => {
                Err(refuse(ErrorKind::TimedOut, "no whole answer came in time"))
            }
            Some(page) if page.body.len() > LIMIT => {
                Err(refuse(ErrorKind::Failed, "the answer is larger than 8388608 bytes"))
            }
            Some(page) => Ok(page),
        }
    }

    fn web(&self) -> MutexGuard<'_, Web> {
        self.web.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page that was arranged.
#[derive(Debug)]
pub struct Arrival {
    prober: FakeProber,
    index: usize,
}

impl Arrival {
    /// Lets it be there this much later.
    pub fn after(self, delay: Duration) {
        if let Some(served) = self.prober.web().served.get_mut(self.index) {
            served.delay = delay;
        }
    }
}

#[async_trait]
impl Prober for FakeProber {
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError> {
        let about = request.url.split(['?', '#']).next().unwrap_or_default();
        let found = self.ledger.read("prober.get", about, || self.look(request)).await;
        let waited = match &found {
            Ok(page) => page.takes.unwrap_or(request.timeout),
            Err(error) if error.kind() == ErrorKind::TimedOut => request.timeout,
            Err(_) => Duration::ZERO,
        };
        tokio::time::sleep(waited).await;
        found.map(|Page { status, headers, body, takes: _ }| ProbeReply {
            status,
            headers,
            body,
            elapsed: waited,
        })
    }
}

fn check(request: &ProbeRequest) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let rest = request.url.strip_prefix("http://").or_else(|| request.url.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    match host {
        None => problems.add("url", "must begin with `http://` or `https://`"),
        Some("") => problems.add("url", "names no host"),
        Some(host) if host.contains('@') => problems.add("url", "must not hold user information"),
        Some(_) => {
            let odd = |c: char| c.is_whitespace() || c.is_control();
            problems.check(!request.url.contains(odd), "url", "must hold no white space");
        }
    }
    problems.check(!request.timeout.is_zero(), "timeout", "must be longer than nothing");
    problems.into_result()
}

//! The fake prober, and probers that break one promise each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{ProbeReply, ProbeRequest, Prober};
use flow_core::{ErrorKind, StepError};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::prober::{ProberFixture, Site};
use flow_testkit::fake::{FakeProber, Page};

/// What a prober does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    BadStatusIsAnError,
    BodyIsText,
    DropsHeaders,
    TakesNoTime,
    FollowsRedirects,
    TriesAgain,
    TooLateIsUnavailable,
    NobodyIsTimedOut,
    CutsLongBodies,
    NamesNoField,
    ShowsTheQuery,
    MixesUpAnswers,
}

#[derive(Clone)]
struct Looking {
    prober: FakeProber,
    how: Break,
    /// Where the last redirect leads.
    leads: Arc<Mutex<Option<String>>>,
    last: Arc<Mutex<Option<ProbeReply>>>,
}

struct Fixture(Looking, AtomicU32);

async fn with(how: Break) -> Fixture {
    let (leads, last) = (Arc::default(), Arc::default());
    Fixture(Looking { prober: FakeProber::new(), how, leads, last }, AtomicU32::new(0))
}

#[async_trait]
impl ProberFixture for Fixture {
    fn prober(&self) -> Arc<dyn Prober> {
        Arc::new(self.0.clone())
    }

    async fn serve(&self, site: Site) -> Outside<String> {
        let url = format!("http://shop.test/{}?token=secret", self.1.fetch_add(1, Ordering::Relaxed));
        let page = match site {
            Site::Page { status, body } => Page::new(status, body),
            Site::Slow { takes } => Page::new(200, "").taking(takes),
            Site::Redirect { to } => {
                *self.0.leads.lock().unwrap() = Some(to.clone());
                Page::new(302, "").header("Location", to)
            }
            Site::Silent => Page::silent(),
            _ => return Ok(url),
        };
        self.0.prober.serve(&url, page);
        Ok(url)
    }

    async fn asked(&self, url: &str) -> Outside<u64> {
        Ok(self.0.prober.asked(url))
    }
}

#[async_trait]
impl Prober for Looking {
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError> {
        let reply = self.prober.get(request).await;
        let kind = reply.as_ref().err().map(StepError::kind);
        match (self.how, reply) {
            (Break::BadStatusIsAnError, Ok(reply)) if reply.status >= 500 => {
                Err(StepError::new(ErrorKind::Failed, "a bad status"))
            }
            (Break::BodyIsText, Ok(mut reply)) => {
                reply.body = String::from_utf8_lossy(&reply.body).into_owned().into_bytes();
                Ok(reply)
            }
            (Break::DropsHeaders, Ok(reply)) => Ok(ProbeReply { headers: BTreeMap::new(), ..reply }),
            (Break::TakesNoTime, Ok(reply)) => Ok(ProbeReply { elapsed: Duration::ZERO, ..reply }),
            (Break::FollowsRedirects, Ok(reply)) if reply.status == 302 => {
                let url = self.leads.lock().unwrap().clone().unwrap_or_default();
                self.prober.get(&ProbeRequest { url, timeout: request.timeout }).await?;
                Ok(reply)
            }
            (Break::TriesAgain, Ok(reply)) if reply.status == 503 => self.prober.get(request).await,
            (Break::MixesUpAnswers, Ok(reply)) => {
                let last = self.last.lock().unwrap().replace(reply.clone());
                Ok(last.unwrap_or(reply))
            }
            (Break::TooLateIsUnavailable, Err(_)) if kind == Some(ErrorKind::TimedOut) => {
                Err(StepError::new(ErrorKind::Unavailable, "no answer"))
            }
            (Break::NobodyIsTimedOut, Err(_)) => Err(StepError::new(ErrorKind::TimedOut, "no answer")),
            (Break::CutsLongBodies, Err(_)) => {
                let headers = BTreeMap::new();
                Ok(ProbeReply { status: 200, headers, body: b"x".to_vec(), elapsed: Duration::ZERO })
            }
            (Break::NamesNoField, Err(_)) if kind == Some(ErrorKind::Invalid) => {
                Err(StepError::new(ErrorKind::Invalid, "bad"))
            }
            (Break::ShowsTheQuery, Err(error)) => Err(error.fact("asked", &request.url)),
            (_, reply) => reply,
        }
    }
}

mod fake {
    use super::{Break, with};

    flow_testkit::prober_conformance!(|| with(Break::Nothing));
}

mod broken {
    use super::{Break, with};

    flow_testkit::broken_implementations! { prober_conformance, prober:
        any_status_is_a_reply => || with(Break::BadStatusIsAnError),
        the_body_arrives_byte_by_byte => || with(Break::BodyIsText),
        the_headers_arrive_by_their_names => || with(Break::DropsHeaders),
        the_time_is_what_the_answer_took => || with(Break::TakesNoTime),
        a_redirect_is_not_followed => || with(Break::FollowsRedirects),
        one_probe_is_one_request => || with(Break::TriesAgain),
        no_answer_in_time_is_timed_out => || with(Break::TooLateIsUnavailable),
        where_nobody_listens_it_is_unavailable => || with(Break::NobodyIsTimedOut),
        a_body_beyond_the_limit_is_no_reply => || with(Break::CutsLongBodies),
        a_url_that_is_none_is_refused_by_its_field => || with(Break::NamesNoField),
        no_error_shows_the_query => || with(Break::ShowsTheQuery),
        probes_at_once_get_their_own_answers => || with(Break::MixesUpAnswers),
    }
}

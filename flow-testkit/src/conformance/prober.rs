//! What every [`Prober`] promises, as checks.
//!
//! [`prober_conformance!`](crate::prober_conformance) makes a test of each, against pages that the fixture serves.

use crate::conformance::refusal::{refusal, whole};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::ErrorKind;
use flow_core::port::{ProbeReply, ProbeRequest, Prober};
use futures::future::{Either, join_all, select};

use crate::conformance::{Checked, Outside};

/// Longer than any answer takes.
const LONG: Duration = Duration::from_secs(30);
/// For answers that do not come.
const SHORT: Duration = Duration::from_millis(200);
/// How long a slow page takes.
const SLOW: Duration = Duration::from_millis(300);
/// The largest body.
const LIMIT: usize = 8 << 20;

/// Makes one `#[tokio::test]` for every promise of [`Prober`].
///
/// It takes an async function without arguments that gives a fresh [`ProberFixture`].
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use flow_core::port::Prober;
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::prober::{ProberFixture, Site};
/// use flow_testkit::fake::{FakeProber, Page};
///
/// #[derive(Default)]
/// struct Fixture(FakeProber, AtomicU32);
///
/// async fn fresh() -> Fixture {
///     Fixture::default()
/// }
///
/// #[async_trait::async_trait]
/// impl ProberFixture for Fixture {
///     fn prober(&self) -> Arc<dyn Prober> {
///         Arc::new(self.0.clone())
///     }
///
///     async fn serve(&self, site: Site) -> Outside<String> {
///         let url = format!("http://shop.test/{}?token=secret", self.1.fetch_add(1, Ordering::Relaxed));
///         match site {
///             Site::Page { status, body } => drop(self.0.serve(&url, Page::new(status, body))),
///             Site::Slow { takes } => drop(self.0.serve(&url, Page::new(200, "").taking(takes))),
///             Site::Redirect { to } => {
///                 drop(self.0.serve(&url, Page::new(302, "").header("Location", to)));
///             }
///             Site::Silent => drop(self.0.serve(&url, Page::silent())),
///             _ => {}
///         }
///         Ok(url)
///     }
///
///     async fn asked(&self, url: &str) -> Outside<u64> {
///         Ok(self.0.asked(url))
///     }
/// }
///
/// flow_testkit::prober_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! prober_conformance {
    ($fresh:expr) => {
        $crate::prober_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { prober $with
            any_status_is_a_reply
            the_body_arrives_byte_by_byte
            the_headers_arrive_by_their_names
            the_time_is_what_the_answer_took
            a_redirect_is_not_followed
            one_probe_is_one_request
            no_answer_in_time_is_timed_out
            where_nobody_listens_it_is_unavailable
            a_body_beyond_the_limit_is_no_reply
            a_url_that_is_none_is_refused_by_its_field
            no_error_shows_the_query
            probes_at_once_get_their_own_answers
        }
    };
}

/// What the fixture serves at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Site {
    /// This status and body, at once.
    Page {
        /// The status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
    /// 200, after this time.
    Slow {
        /// The time from the request to the answer.
        takes: Duration,
    },
    /// 302 to another URL, which its header `Location` names.
    Redirect {
        /// The other URL.
        to: String,
    },
    /// Takes the connection and never answers.
    Silent,
    /// Nothing listens there.
    Nobody,
}

/// A prober under test, and what it looks at.
#[async_trait]
pub trait ProberFixture: Send + Sync {
    /// The prober under test: the same one on every call.
    fn prober(&self) -> Arc<dyn Prober>;

    /// Serves `site` at a URL of its own, with a query that stands nowhere else in it, and gives that URL.
    async fn serve(&self, site: Site) -> Outside<String>;

    /// How many requests for `url`, as [`serve`](Self::serve) gave it, have arrived.
    async fn asked(&self, url: &str) -> Outside<u64>;
}

async fn probe(
    fixture: &impl ProberFixture,
    url: String,
    timeout: Duration,
) -> Result<ProbeReply, flow_core::StepError> {
    fixture.prober().get(&ProbeRequest { url, timeout }).await
}

/// Every status that a server may end with is a reply, good or bad.
pub async fn any_status_is_a_reply(fixture: &impl ProberFixture) -> Checked {
    for status in [200, 404, 429, 500, 503] {
        let url = fixture.serve(Site::Page { status, body: b"page".to_vec() }).await?;
        let reply = probe(fixture, url, LONG).await?;
        assert_eq!((reply.status, reply.body.as_slice()), (status, b"page".as_slice()));
    }
    Ok(())
}

/// The body is what was sent: nothing, text, every byte there is, and as much as 8 MiB.
pub async fn the_body_arrives_byte_by_byte(fixture: &impl ProberFixture) -> Checked {
    let every: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    for body in [Vec::new(), "部署 \r\n\0".as_bytes().to_vec(), every, vec![b'x'; LIMIT]] {
        let url = fixture.serve(Site::Page { status: 200, body: body.clone() }).await?;
        let reply = probe(fixture, url, LONG).await?;
        assert!(reply.body == body, "{} bytes came as {} other ones", body.len(), reply.body.len());
    }
    Ok(())
}

/// What a header says is in the reply, by its name in lower case.
pub async fn the_headers_arrive_by_their_names(fixture: &impl ProberFixture) -> Checked {
    let to = fixture.serve(Site::Page { status: 200, body: Vec::new() }).await?;
    let url = fixture.serve(Site::Redirect { to: to.clone() }).await?;
    assert_eq!(probe(fixture, url, LONG).await?.headers.get("location"), Some(&to));
    Ok(())
}

/// The time of a reply is at least what the server took, and no more than the probe did.
pub async fn the_time_is_what_the_answer_took(fixture: &impl ProberFixture) -> Checked {
    let url = fixture.serve(Site::Slow { takes: SLOW }).await?;
    let begun = std::time::Instant::now();
    let reply = probe(fixture, url, LONG).await?;
    // Timers may end a moment early.
    let tolerance = Duration::from_millis(20);
    assert!(reply.elapsed + tolerance >= SLOW, "{:?} for an answer after {SLOW:?}", reply.elapsed);
    assert!(reply.elapsed <= begun.elapsed() + tolerance, "{:?}, in {:?}", reply.elapsed, begun.elapsed());
    Ok(())
}

/// A redirect is the reply, and nobody is asked for where it leads.
pub async fn a_redirect_is_not_followed(fixture: &impl ProberFixture) -> Checked {
    let to = fixture.serve(Site::Page { status: 200, body: b"elsewhere".to_vec() }).await?;
    let url = fixture.serve(Site::Redirect { to: to.clone() }).await?;
    assert_eq!(probe(fixture, url, LONG).await?.status, 302);
    assert_eq!(fixture.asked(&to).await?, 0);
    Ok(())
}

/// A probe makes one request, whatever comes back: it does not try again.
pub async fn one_probe_is_one_request(fixture: &impl ProberFixture) -> Checked {
    for status in [200, 503] {
        let url = fixture.serve(Site::Page { status, body: Vec::new() }).await?;
        probe(fixture, url.clone(), LONG).await?;
        assert_eq!(fixture.asked(&url).await?, 1, "after a {status}");
    }
    let url = fixture.serve(Site::Silent).await?;
    refusal(probe(fixture, url.clone(), SHORT).await, "a silent server")?;
    assert_eq!(fixture.asked(&url).await?, 1, "after no answer");
    Ok(())
}

/// Where the answer is not there within the timeout, it is timed out, and not before.
pub async fn no_answer_in_time_is_timed_out(fixture: &impl ProberFixture) -> Checked {
    let url = fixture.serve(Site::Silent).await?;
    let begun = std::time::Instant::now();
    let probed = tokio::time::timeout(LONG, probe(fixture, url, SHORT)).await;
    let error = refusal(probed.map_err(|_| "the timeout is not kept")?, "a silent server")?;
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{}", whole(&error));
    assert!(begun.elapsed() + Duration::from_millis(20) >= SHORT, "given up after {:?}", begun.elapsed());
    Ok(())
}

/// Where nothing listens the service is unavailable, at once.
pub async fn where_nobody_listens_it_is_unavailable(fixture: &impl ProberFixture) -> Checked {
    let url = fixture.serve(Site::Nobody).await?;
    let error = refusal(probe(fixture, url, LONG).await, "nobody")?;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", whole(&error));
    Ok(())
}

/// A body of more than 8 MiB is an error, and never the first part of it.
pub async fn a_body_beyond_the_limit_is_no_reply(fixture: &impl ProberFixture) -> Checked {
    let url = fixture.serve(Site::Page { status: 200, body: vec![b'x'; LIMIT + 1] }).await?;
    let error = refusal(probe(fixture, url, LONG).await, "a body beyond the limit")?;
    assert_eq!(error.kind(), ErrorKind::Failed, "{}", whole(&error));
    Ok(())
}

/// What is no URL of a web page is invalid, and the error names the field.
pub async fn a_url_that_is_none_is_refused_by_its_field(fixture: &impl ProberFixture) -> Checked {
    for url in ["", "nothing", "/path", "ftp://shop.test/", "http://", "http:///path", "http://a b/"] {
        let error = refusal(probe(fixture, url.to_owned(), LONG).await, url)?;
        assert_eq!(error.kind(), ErrorKind::Invalid, "`{url}`: {}", whole(&error));
        assert!(whole(&error).contains("`url`"), "`{url}`: {}", whole(&error));
    }
    Ok(())
}

/// What an error shows of its URL is never the query: that may hold a token.
pub async fn no_error_shows_the_query(fixture: &impl ProberFixture) -> Checked {
    let large = Site::Page { status: 200, body: vec![b'x'; LIMIT + 1] };
    for site in [Site::Nobody, Site::Silent, large] {
        let url = fixture.serve(site).await?;
        let query = url.split_once('?').ok_or("the fixture serves it without a query")?.1.to_owned();
        let error = refusal(probe(fixture, url, SHORT).await, "a probe without a reply")?;
        let shown = format!("{} {error:?}", whole(&error));
        assert!(!shown.contains(&query), "`{query}` is in: {shown}");
    }
    Ok(())
}

/// Probes that are made at the same time do not wait for each other, and each gets the answer to its own URL.
pub async fn probes_at_once_get_their_own_answers(fixture: &impl ProberFixture) -> Checked {
    let mut probes = Vec::new();
    let silent = fixture.serve(Site::Silent).await?;
    for number in 0..10_u32 {
        let body = number.to_string().into_bytes();
        let url = fixture.serve(Site::Page { status: 200, body: body.clone() }).await?;
        probes.push(async move { (probe(fixture, url, LONG).await.map(|reply| reply.body), body) });
    }
    let (others, silent) = (Box::pin(join_all(probes)), Box::pin(probe(fixture, silent, LONG)));
    let answered = match select(silent, others).await {
        Either::Left((ended, _)) => return Err(format!("the silent one ended first: {ended:?}").into()),
        Either::Right((answered, _)) => answered,
    };
    for (reply, body) in answered {
        assert_eq!(reply?, body);
    }
    Ok(())
}

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::{ErrorKind, Problems, StepError};
use crate::gate::{Figure, StandardGate};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::port::Prober;
use crate::receipt::{Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Verify, VerifyActivity};
use crate::step::{Preview, Step};
use crate::steps::expectation::{Expectation, milliseconds};
use crate::steps::heading::{Heading, headed, leaves_nothing, unless_cancelled};

/// What a performance test measures.
pub(super) const PERFORMANCE_TEST: [StandardGate; 3] =
    [StandardGate::Availability, StandardGate::ErrorRate, StandardGate::ApiLatency];

/// The fewest good answers that a 99th percentile can be read from.
const ANSWERS_MIN: u32 = 100;

/// Measures latency, availability and error rate by many requests, against the standard's gates.
///
/// Too few good answers are no measurement, and no measurement is no pass: the step fails.
pub struct MeasurePerformance {
    heading: Heading,
    prober: Arc<dyn Prober>,
    expectation: Expectation,
    requests: u32,
    concurrency: u32,
}

headed!(MeasurePerformance);
leaves_nothing!(MeasurePerformance: Verify);

impl MeasurePerformance {
    /// Asks for `expectation` 200 times, eight at once.
    pub fn new(prober: Arc<dyn Prober>, expectation: Expectation) -> Self {
        let heading = Heading::new(name!("measure-performance"));
        Self { heading, prober, expectation, requests: 200, concurrency: 8 }
    }

    /// Asks this often: at least 100 times.
    #[must_use]
    pub const fn requests(mut self, requests: u32) -> Self {
        self.requests = requests;
        self
    }

    /// Asks this many at once.
    #[must_use]
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Asks `count` times, one after the other.
    async fn ask(&self, permit: &Permit, count: u32) -> Result<Measured, StepError> {
        let mut measured = Measured::default();
        for _ in 0..count {
            unless_cancelled(permit)?;
            match self.expectation.ask(&*self.prober).await {
                Ok(elapsed) => measured.good.push(elapsed),
                Err(problem) => measured.bad.push(problem),
            }
        }
        Ok(measured)
    }

    async fn measure(&self, permit: &Permit) -> Result<Measured, StepError> {
        let lanes = self.concurrency.clamp(1, self.requests.max(1));
        let share = |lane: u32| self.requests / lanes + u32::from(lane < self.requests % lanes);
        let mut all = Measured::default();
        for lane in join_all((0..lanes).map(|lane| self.ask(permit, share(lane)))).await {
            let Measured { good, bad } = lane?;
            all.good.extend(good);
            all.bad.extend(bad);
        }
        all.good.sort_unstable();
        Ok(all)
    }
}

/// The answers: how long the good ones took, ascending, and what was wrong with the others.
#[derive(Debug, Default)]
struct Measured {
    good: Vec<Duration>,
    bad: Vec<String>,
}

impl Measured {
    fn total(&self) -> usize {
        self.good.len() + self.bad.len()
    }

    /// The time that `percent` of the good answers did not exceed, by the nearest-rank method.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.good.len() * percent).div_ceil(100);
        self.good.get(rank.checked_sub(1)?).copied()
    }

    /// The figures; none where there is too little to say anything.
    fn figures(&self) -> Option<[Figure; 3]> {
        if self.good.len() < usize::try_from(ANSWERS_MIN).unwrap_or(usize::MAX) {
            return None;
        }
        // A time of zero is a clock that stood still, not an answer.
        let p99 = self.percentile(99).filter(|p99| !p99.is_zero())?;
        let percent = |count: usize| 100.0 * float(count) / float(self.total());
        let figure = |gate, value, what: &str| {
            let measured = format!("{what} {} requests, {} answered well", self.total(), self.good.len());
            Figure { gate, value, measured }
        };
        Some([
            figure(StandardGate::Availability, percent(self.good.len()), "over"),
            figure(StandardGate::ErrorRate, percent(self.bad.len()), "over"),
            figure(StandardGate::ApiLatency, milliseconds(p99), "99th percentile over"),
        ])
    }
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Adds how much of what was measured, and the first thing that was wrong with an answer.
fn explained(error: StepError, measured: &Measured) -> StepError {
    let error = error.fact("requests", measured.total()).fact("answered_well", measured.good.len());
    match measured.bad.first() {
        Some(problem) => error.fact("first_problem", problem),
        None => error,
    }
}

#[async_trait]
impl Step<Verify> for MeasurePerformance {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<VerifyActivity> {
        vec![VerifyActivity::Performance]
    }

    fn measures(&self) -> Vec<StandardGate> {
        PERFORMANCE_TEST.to_vec()
    }

    fn definition(&self) -> Value {
        json!({
            "expectation": self.expectation.definition(),
            "requests": self.requests,
            "concurrency": self.concurrency,
        })
    }

    async fn preview(&self, _cx: &StepContext<Verify>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        self.expectation.check("expectation", &mut problems);
        problems.check(self.requests >= ANSWERS_MIN, "requests", "must be at least 100 to say anything");
        problems.check(self.concurrency > 0, "concurrency", "must be at least 1");
        problems.into_result()?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        cx: &StepContext<Verify>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        cx.progress().say(format!("asking {} times", self.requests));
        let measured = self.measure(permit).await?;
        let Some(figures) = measured.figures() else {
            let failed = StepError::new(ErrorKind::Failed, "too few good answers to measure anything");
            return Err(explained(failed, &measured));
        };
        let broken: Vec<&Figure> = figures.iter().filter(|figure| !figure.gate.holds(figure.value)).collect();
        if !broken.is_empty() {
            let failed =
                StepError::new(ErrorKind::Failed, "the measured performance breaks the standard's gates");
            let failed = broken.into_iter().fold(failed, |error, Figure { gate, value, .. }| {
                let unit = gate.unit();
                error.fact(gate.to_string(), format_args!("{value:.3} {unit}, limit {} {unit}", gate.limit()))
            });
            return Err(explained(failed, &measured));
        }
        let median = measured.percentile(50).map(milliseconds);
        let [_, _, p99] = &figures;
        let summary = format!(
            "{} of {} requests answered well, 99 % of them within {:.1} ms",
            measured.good.len(),
            measured.total(),
            p99.value,
        );
        let evidence = Evidence::new(VerifyActivity::Performance, summary)
            .value("url", self.expectation.shown())
            .value("requests", measured.total())
            .value("answered_well", measured.good.len())
            .value("p50_ms", json!(median))
            .value("p99_ms", p99.value);
        Ok(figures.into_iter().fold(Receipt::new().observed(evidence), Receipt::figure))
    }
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::{ErrorKind, Problems, StepError};
use crate::gate::{Figure, StandardGate};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::policy::Proof;
use crate::port::{Gauge, Prober};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Verify, VerifyActivity};
use crate::step::{Preview, Step};
use crate::steps::expectation::{Expectation, milliseconds};
use crate::steps::heading::{Heading, headed, leaves_nothing, unless_cancelled};
use crate::steps::verify::performance::PERFORMANCE_TEST;

/// Measures figures of the standard, one by one, for the policy to judge at the end of the run.
///
/// It proves the performance test only where its gauges measure all that one measures, as
/// [`MeasurePerformance`](crate::steps::MeasurePerformance) does: availability, error rate and API latency. Any other choice
/// of gauges adds figures and proves nothing, although it belongs to the same activity.
pub struct MeasureFigures {
    heading: Heading,
    gauges: Vec<Arc<dyn Gauge>>,
}

headed!(MeasureFigures);
leaves_nothing!(MeasureFigures: Verify);

impl MeasureFigures {
    /// Reads `gauges` in order.
    pub fn new(gauges: impl IntoIterator<Item = Arc<dyn Gauge>>) -> Self {
        Self { heading: Heading::new(name!("measure-figures")), gauges: gauges.into_iter().collect() }
    }
}

#[async_trait]
impl Step<Verify> for MeasureFigures {
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
        self.gauges.iter().map(|gauge| gauge.gate()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn proves(&self) -> Vec<Proof> {
        let measured = self.measures();
        let whole = PERFORMANCE_TEST.iter().all(|gate| measured.contains(gate));
        if whole { vec![Proof::PerformanceTest] } else { Vec::new() }
    }

    fn definition(&self) -> Value {
        let gauge = |gauge: &Arc<dyn Gauge>| json!([gauge.gate(), gauge.definition()]);
        json!(self.gauges.iter().map(gauge).collect::<Vec<_>>())
    }

    async fn preview(&self, _cx: &StepContext<Verify>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        problems.check(!self.gauges.is_empty(), "gauges", "must not be empty: nothing would be measured");
        for gauge in &self.gauges {
            for problem in gauge.check().err().unwrap_or_default().as_slice() {
                problems.add(format!("{}.{}", gauge.gate(), problem.field), problem.problem.clone());
            }
        }
        problems.into_result()?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _cx: &StepContext<Verify>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        let mut figures = Vec::with_capacity(self.gauges.len());
        for gauge in &self.gauges {
            unless_cancelled(permit)?;
            let figure = gauge.measure().await?;
            if figure.gate != gauge.gate() || !figure.value.is_finite() {
                return Err(StepError::new(ErrorKind::Failed, "a gauge did not measure what it is for")
                    .fact("gauge", gauge.gate())
                    .fact("measured", figure.gate)
                    .fact("value", figure.value));
            }
            figures.push(figure);
        }
        if figures.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "nothing was measured"));
        }
        let words: Vec<String> = figures
            .iter()
            .map(|figure| format!("{} {:.3} {}", figure.gate, figure.value, figure.gate.unit()))
            .collect();
        let evidence = Evidence::new(VerifyActivity::Performance, words.join(", "));
        Ok(figures.into_iter().fold(Receipt::new().observed(evidence), Receipt::figure))
    }
}

/// Measures how long a page takes to load: its document and the files that it names, one after the other, without
/// drawing them.
pub struct PageLoad {
    prober: Arc<dyn Prober>,
    parts: Vec<Expectation>,
    times: u32,
}

impl std::fmt::Debug for PageLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageLoad").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl PageLoad {
    /// Loads `parts` by `prober`, in order, ten times.
    pub fn new(prober: Arc<dyn Prober>, parts: impl IntoIterator<Item = Expectation>) -> Self {
        Self { prober, parts: parts.into_iter().collect(), times: 10 }
    }

    /// Loads it this often.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    async fn load(&self) -> Result<Duration, StepError> {
        let mut elapsed = Duration::ZERO;
        for part in &self.parts {
            elapsed += part.ask(&*self.prober).await.map_err(|problem| {
                StepError::new(ErrorKind::Failed, "the page does not load").fact(part.shown(), problem)
            })?;
        }
        Ok(elapsed)
    }
}

#[async_trait]
impl Gauge for PageLoad {
    fn gate(&self) -> StandardGate {
        StandardGate::PageLoad
    }

    fn definition(&self) -> Value {
        let parts: Vec<Value> = self.parts.iter().map(Expectation::definition).collect();
        json!({ "parts": parts, "times": self.times })
    }

    fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(!self.parts.is_empty(), "parts", "must not be empty: nothing would load");
        problems.check(self.times > 0, "times", "must be at least 1");
        for (index, part) in self.parts.iter().enumerate() {
            part.check(&format!("parts.{index}"), &mut problems);
        }
        problems.into_result()
    }

    async fn measure(&self) -> Result<Figure, StepError> {
        let mut slowest = Duration::ZERO;
        for _ in 0..self.times {
            slowest = slowest.max(self.load().await?);
        }
        // A time of zero is a clock that stood still, or a page without parts: not a page that loaded.
        if slowest.is_zero() {
            return Err(StepError::new(ErrorKind::Failed, "no page was loaded"));
        }
        let measured = format!("the slowest of {} loads of {} files", self.times, self.parts.len());
        Ok(Figure { gate: StandardGate::PageLoad, value: milliseconds(slowest), measured })
    }
}

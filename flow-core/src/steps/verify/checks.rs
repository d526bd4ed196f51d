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
use crate::port::Prober;
use crate::receipt::{Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Verify, VerifyActivity};
use crate::step::{Preview, Step};
use crate::steps::expectation::{Expectation, milliseconds};
use crate::steps::heading::{Heading, headed, leaves_nothing, unless_cancelled};

fn definitions(expectations: &[Expectation]) -> Value {
    json!(expectations.iter().map(Expectation::definition).collect::<Vec<_>>())
}

fn check(field: &str, expectations: &[Expectation]) -> Result<(), StepError> {
    let mut problems = Problems::default();
    problems.check(!expectations.is_empty(), field, "must not be empty: no check is no pass");
    for (index, expectation) in expectations.iter().enumerate() {
        expectation.check(&format!("{field}.{index}"), &mut problems);
    }
    Ok(problems.into_result()?)
}

/// Asks the deployed functions whether they work: every expectation, all of what is wrong at once.
pub struct CheckFunctions {
    heading: Heading,
    prober: Arc<dyn Prober>,
    expectations: Vec<Expectation>,
}

headed!(CheckFunctions);
leaves_nothing!(CheckFunctions: Verify);

impl CheckFunctions {
    /// Asks by `prober`.
    pub fn new(prober: Arc<dyn Prober>, expectations: impl IntoIterator<Item = Expectation>) -> Self {
        let heading = Heading::new(name!("check-functions"));
        Self { heading, prober, expectations: expectations.into_iter().collect() }
    }
}

#[async_trait]
impl Step<Verify> for CheckFunctions {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<VerifyActivity> {
        vec![VerifyActivity::Functional]
    }

    fn definition(&self) -> Value {
        definitions(&self.expectations)
    }

    async fn preview(&self, _cx: &StepContext<Verify>) -> Result<Preview, StepError> {
        check("expectations", &self.expectations)?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _cx: &StepContext<Verify>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        let mut answers = Vec::with_capacity(self.expectations.len());
        let mut wrong = Vec::new();
        for expectation in &self.expectations {
            unless_cancelled(permit)?;
            let url = expectation.shown();
            match expectation.ask(&*self.prober).await {
                Ok(elapsed) => {
                    answers.push(
                        json!({ "url": url, "status": expectation.status, "ms": milliseconds(elapsed) }),
                    );
                }
                Err(problem) => wrong.push((url, problem)),
            }
        }
        if !wrong.is_empty() {
            let failed = StepError::new(ErrorKind::Failed, "deployed functions do not work");
            return Err(wrong.into_iter().fold(failed, |error, (url, problem)| error.fact(url, problem)));
        }
        if answers.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "nothing was checked"));
        }
        let summary =
            format!("{} of {} checks answered as they must", answers.len(), self.expectations.len());
        Ok(Receipt::new()
            .observed(Evidence::new(VerifyActivity::Functional, summary).value("answers", answers)))
    }
}

/// Walks a user's path, one page after the other, and stops at the first that is not as it must be.
///
/// The slowest page is the figure for the standard's gate of key functions.
pub struct CheckJourney {
    heading: Heading,
    prober: Arc<dyn Prober>,
    journey: Vec<Expectation>,
}

headed!(CheckJourney);
leaves_nothing!(CheckJourney: Verify);

impl CheckJourney {
    /// Walks `journey` by `prober`, in order.
    pub fn new(prober: Arc<dyn Prober>, journey: impl IntoIterator<Item = Expectation>) -> Self {
        let heading = Heading::new(name!("check-journey"));
        Self { heading, prober, journey: journey.into_iter().collect() }
    }

    /// The time that each page took.
    async fn walk(&self, permit: &Permit) -> Result<Vec<Duration>, StepError> {
        let mut times = Vec::with_capacity(self.journey.len());
        for (index, page) in self.journey.iter().enumerate() {
            unless_cancelled(permit)?;
            let elapsed = page.ask(&*self.prober).await.map_err(|problem| {
                StepError::new(ErrorKind::Failed, "the user's path is broken")
                    .fact("page", index + 1)
                    .fact(page.shown(), problem)
            })?;
            times.push(elapsed);
        }
        Ok(times)
    }
}

#[async_trait]
impl Step<Verify> for CheckJourney {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<VerifyActivity> {
        vec![VerifyActivity::UserJourney]
    }

    fn measures(&self) -> Vec<StandardGate> {
        vec![StandardGate::KeyFunction]
    }

    fn definition(&self) -> Value {
        definitions(&self.journey)
    }

    async fn preview(&self, _cx: &StepContext<Verify>) -> Result<Preview, StepError> {
        check("journey", &self.journey)?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _cx: &StepContext<Verify>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        let times = self.walk(permit).await?;
        let unmeasured = || StepError::new(ErrorKind::Failed, "no page was walked");
        let slowest = times.iter().max().copied().map(milliseconds).ok_or_else(unmeasured)?;
        let gate = StandardGate::KeyFunction;
        if !gate.holds(slowest) {
            return Err(StepError::new(ErrorKind::Failed, "a page of the user's path is too slow")
                .fact("slowest", format_args!("{slowest:.1} {}", gate.unit()))
                .fact("limit", format_args!("{} {}", gate.limit(), gate.unit())));
        }
        let page = |(page, elapsed): (&Expectation, &Duration)| json!({ "url": page.shown(), "ms": milliseconds(*elapsed) });
        let pages: Vec<Value> = self.journey.iter().zip(&times).map(page).collect();
        let summary = format!("{} pages in order, the slowest in {slowest:.1} ms", pages.len());
        let measured = format!("the slowest of {} pages, walked once", pages.len());
        Ok(Receipt::new()
            .observed(Evidence::new(VerifyActivity::UserJourney, summary).value("pages", pages))
            .figure(Figure { gate, value: slowest, measured }))
    }
}

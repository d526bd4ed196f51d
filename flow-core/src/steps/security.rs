//! Stage 1: security configuration and permissions, looked at before anything changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::expectation::Expectation;
use super::heading::{Heading, headed, leaves_nothing};
use crate::context::StepContext;
use crate::error::{ErrorKind, Problems, StepError};
use crate::name;
use crate::name::Name;
use crate::permit::Permit;
use crate::policy::Proof;
use crate::port::{Command, Host, Prober, SecurityAspect, SecurityCheck, SecurityFinding};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::Captured;
use crate::stage::{Prepare, PrepareActivity};
use crate::step::{Preview, Step};

/// Checks security configuration and permissions, and proves those that it looks at.
///
/// It looks once when the plan is made, so that an insecure environment refuses the plan, and once more in the run.
pub struct CheckSecurity {
    heading: Heading,
    checks: Vec<Arc<dyn SecurityCheck>>,
}

headed!(CheckSecurity);
leaves_nothing!(CheckSecurity: Prepare);

impl CheckSecurity {
    /// Carries out `checks`, all of them: what is wrong is reported at once.
    pub fn new(checks: impl IntoIterator<Item = Arc<dyn SecurityCheck>>) -> Self {
        Self { heading: Heading::new(name!("check-security")), checks: checks.into_iter().collect() }
    }

    /// What was found, by check; refused where anything is not as it must be, or where a check could not look or looked at
    /// nothing. All of them look before that is said, unless one was cancelled.
    async fn look(&self) -> Result<Vec<(Name, Vec<SecurityFinding>)>, StepError> {
        let mut seen = Vec::with_capacity(self.checks.len());
        let mut wrong = Vec::new();
        let mut blind = Vec::new();
        for check in &self.checks {
            let name = check.name();
            let findings = match check.look().await {
                Ok(findings) => findings,
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    blind.push((name, error));
                    continue;
                }
            };
            if findings.is_empty() {
                wrong.push((name.to_string(), "looked at nothing".to_owned()));
            }
            for finding in findings.iter().filter(|finding| !finding.holds) {
                let what = format!("{name}: {}", finding.what);
                wrong.push((what, format!("{}, must be {}", finding.found, finding.expected)));
            }
            seen.push((name, findings));
        }
        if wrong.is_empty() && blind.is_empty() {
            return Ok(seen);
        }
        // Looking again helps only where nothing is wrong but that it could not be seen for now.
        let lasting = blind.iter().map(|(_, error)| error.kind()).find(|kind| !kind.is_retryable());
        let kind = match blind.first() {
            Some((_, first)) if wrong.is_empty() => lasting.unwrap_or(first.kind()),
            _ => ErrorKind::Failed,
        };
        let failed = StepError::new(kind, "the environment is not secured as it must be");
        let failed = wrong.into_iter().fold(failed, |failed, (what, problem)| failed.fact(what, problem));
        let unseen = |failed: StepError, (name, error): (Name, StepError)| {
            failed.fact(format!("{name}: could not look"), error)
        };
        Err(blind.into_iter().fold(failed, unseen))
    }
}

#[async_trait]
impl Step<Prepare> for CheckSecurity {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<PrepareActivity> {
        vec![PrepareActivity::EnvironmentState]
    }

    fn proves(&self) -> Vec<Proof> {
        let proofs: BTreeSet<Proof> = self.checks.iter().map(|check| check.aspect().proof()).collect();
        proofs.into_iter().collect()
    }

    fn definition(&self) -> Value {
        let check =
            |check: &Arc<dyn SecurityCheck>| json!([check.name(), check.aspect(), check.definition()]);
        json!(self.checks.iter().map(check).collect::<Vec<_>>())
    }

    async fn preview(&self, _cx: &StepContext<Prepare>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        problems.check(!self.checks.is_empty(), "checks", "must not be empty: no check is no pass");
        let mut names = BTreeSet::new();
        for check in &self.checks {
            problems.check(names.insert(check.name()), check.name().as_str(), "stands twice");
        }
        problems.into_result()?;
        self.look().await?;
        Ok(Preview::new())
    }

    async fn run(
        &self,
        _cx: &StepContext<Prepare>,
        _permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Prepare>, StepError> {
        let seen = self.look().await?;
        let count = seen.iter().map(|(_, findings)| findings.len()).sum::<usize>();
        if count == 0 {
            return Err(StepError::new(ErrorKind::Failed, "nothing was checked"));
        }
        let summary = format!("{count} findings of {} security checks are as they must be", seen.len());
        let evidence = Evidence::new(PrepareActivity::EnvironmentState, summary);
        let evidence = seen
            .into_iter()
            .fold(evidence, |evidence, (name, findings)| evidence.value(name.as_str(), json!(findings)));
        Ok(self.proves().into_iter().fold(Receipt::new().observed(evidence), Receipt::proved))
    }
}

/// A security check by a command that changes nothing and ends with 0 where all is well: a scanner, `nginx -t`, `test`.
pub struct CommandCheck {
    name: Name,
    aspect: SecurityAspect,
    host: Arc<dyn Host>,
    command: Command,
}

impl std::fmt::Debug for CommandCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandCheck").field("name", &self.name).finish_non_exhaustive()
    }
}

impl CommandCheck {
    /// Runs `command` on `host`.
    pub fn new(name: Name, aspect: SecurityAspect, host: Arc<dyn Host>, command: Command) -> Self {
        Self { name, aspect, host, command }
    }
}

#[async_trait]
impl SecurityCheck for CommandCheck {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn aspect(&self) -> SecurityAspect {
        self.aspect
    }

    fn definition(&self) -> Value {
        self.command.definition()
    }

    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
        let output = self.host.query(&self.command).await?;
        let code = output.code.map_or_else(|| "ended by a signal".to_owned(), |code| format!("code {code}"));
        Ok(vec![SecurityFinding {
            what: format!("`{}`", self.command),
            expected: "code 0".to_owned(),
            found: code,
            holds: output.succeeded(),
        }])
    }
}

/// A security check by asking a URL as a stranger does: an inner page must answer 401 or 403, a plain address must redirect.
pub struct StrangerCheck {
    name: Name,
    aspect: SecurityAspect,
    prober: Arc<dyn Prober>,
    expectation: Expectation,
}

impl std::fmt::Debug for StrangerCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StrangerCheck").field("name", &self.name).finish_non_exhaustive()
    }
}

impl StrangerCheck {
    /// Asks by `prober`; `expectation` says how a stranger must be answered.
    pub fn new(
        name: Name,
        aspect: SecurityAspect,
        prober: Arc<dyn Prober>,
        expectation: Expectation,
    ) -> Self {
        Self { name, aspect, prober, expectation }
    }
}

#[async_trait]
impl SecurityCheck for StrangerCheck {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn aspect(&self) -> SecurityAspect {
        self.aspect
    }

    fn definition(&self) -> Value {
        self.expectation.definition()
    }

    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
        let mut problems = Problems::default();
        self.expectation.check("expectation", &mut problems);
        problems.into_result()?;
        let expected = self.expectation.answer();
        let (found, holds) = match self.expectation.ask(&*self.prober).await {
            Ok(_) => (expected.clone(), true),
            Err(problem) => (problem, false),
        };
        Ok(vec![SecurityFinding { what: self.expectation.shown(), expected, found, holds }])
    }
}

//! Stage 7: alert rules, and a notification that arrives.
//!
//! Logs, APM and dashboards have no standard step: a deployment declares them, or brings steps of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::heading::{Heading, headed};
use crate::context::StepContext;
use crate::error::{Problems, StepError};
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::{AlertRules, Notification, Notifier, RuleSet};
use crate::receipt::{Evidence, Receipt};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{Monitoring, MonitoringActivity};
use crate::step::{Preview, Step};

/// Puts a set of metric and alert rules in force.
pub struct ApplyAlertRules {
    heading: Heading,
    monitor: Arc<dyn AlertRules>,
    rules: RuleSet,
}

headed!(ApplyAlertRules);

impl ApplyAlertRules {
    /// Puts `rules` in force in `monitor`.
    pub fn new(monitor: Arc<dyn AlertRules>, rules: RuleSet) -> Self {
        Self { heading: Heading::new(name!("apply-alert-rules")), monitor, rules }
    }

    async fn read_back(&self, expected: Option<&RuleSet>) -> Result<(), StepError> {
        let found = self.monitor.read(&self.rules.name).await.map_err(StepError::after_effect)?;
        if found.as_ref() == expected {
            return Ok(());
        }
        Err(StepError::in_doubt("the rules in force are other ones")
            .fact("rules", &self.rules.name)
            .fact("found", describe(found.as_ref())))
    }
}

fn describe(rules: Option<&RuleSet>) -> String {
    rules.map_or_else(|| "absent".to_owned(), |rules| Digest::of(rules.rules.as_bytes()).to_string())
}

#[async_trait]
impl Rollback<Monitoring> for ApplyAlertRules {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, _cx: &StepContext<Monitoring>) -> Result<Captured, StepError> {
        Captured::of(&self.monitor.read(&self.rules.name).await?)
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Monitoring>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Monitoring>,
    ) -> Result<(), StepError> {
        let before: Option<RuleSet> = before.get()?;
        match &before {
            Some(rules) => self.monitor.apply(permit, rules).await?,
            None => self.monitor.remove(permit, &self.rules.name).await?,
        }
        self.read_back(before.as_ref()).await
    }
}

#[async_trait]
impl Step<Monitoring> for ApplyAlertRules {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<MonitoringActivity> {
        vec![MonitoringActivity::Alerts]
    }

    fn definition(&self) -> Value {
        json!({ "name": self.rules.name, "rules": Digest::of(self.rules.rules.as_bytes()) })
    }

    async fn preview(&self, _cx: &StepContext<Monitoring>) -> Result<Preview, StepError> {
        let now = self.monitor.read(&self.rules.name).await?;
        let preview = Preview::new().stable("rules", describe(now.as_ref()));
        if now.as_ref() == Some(&self.rules) {
            return Ok(preview);
        }
        let what = format!("alert rules `{}`", self.rules.name);
        Ok(preview.change(what, describe(now.as_ref()), describe(Some(&self.rules))))
    }

    async fn run(
        &self,
        _cx: &StepContext<Monitoring>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Monitoring>, StepError> {
        if self.monitor.read(&self.rules.name).await?.as_ref() != Some(&self.rules) {
            self.monitor.apply(permit, &self.rules).await?;
            self.read_back(Some(&self.rules)).await?;
        }
        let before: Option<RuleSet> = before.get()?;
        let now = describe(Some(&self.rules));
        let summary = format!("the rules `{}` in force read back as {now}", self.rules.name);
        let evidence = Evidence::new(MonitoringActivity::Alerts, summary)
            .value("before", describe(before.as_ref()))
            .value("now", now);
        Ok(Receipt::new().observed(evidence))
    }
}

/// Sends a test message the way that alerts go.
pub struct TestNotification {
    heading: Heading,
    notifier: Arc<dyn Notifier>,
    channel: String,
}

headed!(TestNotification);

impl TestNotification {
    /// Sends it through `notifier`; `channel` says in the plan and in the message which way that is.
    pub fn new(notifier: Arc<dyn Notifier>, channel: impl Into<String>) -> Self {
        Self { heading: Heading::new(name!("test-notification")), notifier, channel: channel.into() }
    }
}

#[async_trait]
impl Rollback<Monitoring> for TestNotification {
    fn reversibility(&self) -> Reversibility {
        let how = "a sent message cannot be taken back; it says of itself that it is a test";
        Reversibility::Compensate { how: how.to_owned() }
    }

    async fn capture(&self, _cx: &StepContext<Monitoring>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    /// Changes nothing: the message asked nobody to do anything.
    async fn roll_back(
        &self,
        _cx: &StepContext<Monitoring>,
        _permit: &Permit,
        _before: &Captured,
        _outcome: &Outcome<Monitoring>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl Step<Monitoring> for TestNotification {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<MonitoringActivity> {
        vec![MonitoringActivity::NotificationTest]
    }

    fn definition(&self) -> Value {
        json!({ "channel": self.channel })
    }

    async fn preview(&self, _cx: &StepContext<Monitoring>) -> Result<Preview, StepError> {
        let mut problems = Problems::default();
        problems.check(!self.channel.trim().is_empty(), "channel", "must say which way the message goes");
        problems.into_result()?;
        Ok(Preview::new().change(
            format!("messages in {}", self.channel),
            "none of this run",
            "one test message",
        ))
    }

    async fn run(
        &self,
        cx: &StepContext<Monitoring>,
        permit: &Permit,
        _before: &Captured,
    ) -> Result<Receipt<Monitoring>, StepError> {
        let place = format!("{} {} in {}", cx.application(), cx.release(), cx.environment());
        let text =
            format!("Alerts of {place} come this way, through {}. There is nothing to do.", self.channel);
        let notification = Notification { title: format!("Test: {place}"), text };
        let answer = self.notifier.notify(permit, &notification).await?.answer;
        let summary = format!("a test message was taken by {}", self.channel);
        let evidence = Evidence::new(MonitoringActivity::NotificationTest, summary)
            .value("channel", self.channel.as_str())
            .value("answer", answer);
        Ok(Receipt::new().observed(evidence))
    }
}

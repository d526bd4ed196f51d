use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::context::StepContext;
use crate::error::StepError;
use crate::name;
use crate::name::{Digest, Name};
use crate::permit::Permit;
use crate::port::ConfigurationStore;
use crate::receipt::{Evidence, Receipt, VerifyFacts};
use crate::rollback::{Captured, Outcome, Reversibility, Rollback};
use crate::stage::{
    Activity, Assets, Before, Build, Functions, Migrate, Monitoring, Prepare, Services, Stage, Verify,
    VerifyActivity,
};
use crate::step::{Preview, Step};
use crate::steps::heading::{Heading, headed};
use crate::steps::replacement::{OldContent, replace};

/// Writes the change record: what was deployed, by whom, and what each stage saw.
pub struct WriteDocuments {
    heading: Heading,
    store: Arc<dyn ConfigurationStore>,
    document: Name,
}

/// What stood there before, and when this run came to it: a repeated write is the same to the byte.
#[derive(Serialize, Deserialize)]
struct BeforeWriting {
    at: Timestamp,
    old: OldContent,
}

headed!(WriteDocuments);

impl WriteDocuments {
    /// Writes the change record as `document`, such as `change-1.1.0.md`, into `store`.
    pub fn new(store: Arc<dyn ConfigurationStore>, document: Name) -> Self {
        Self { heading: Heading::new(name!("write-documents")), store, document }
    }
}

#[async_trait]
impl Rollback<Verify> for WriteDocuments {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, cx: &StepContext<Verify>) -> Result<Captured, StepError> {
        let old = OldContent::read(&*self.store, &self.document).await?;
        Captured::of(&BeforeWriting { at: cx.clock().now(), old })
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Verify>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Verify>,
    ) -> Result<(), StepError> {
        let BeforeWriting { old, .. } = before.get()?;
        old.restore(&*self.store, permit, &self.document).await
    }
}

#[async_trait]
impl Step<Verify> for WriteDocuments {
    fn name(&self) -> Name {
        self.heading.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.heading.deadline
    }

    fn covers(&self) -> Vec<VerifyActivity> {
        vec![VerifyActivity::Documentation]
    }

    fn definition(&self) -> Value {
        json!({ "document": self.document })
    }

    async fn preview(&self, _cx: &StepContext<Verify>) -> Result<Preview, StepError> {
        let old = OldContent::read(&*self.store, &self.document).await?;
        let what = format!("document `{}`", self.document);
        Ok(Preview::new()
            .change(what, old.describe(), "the change record of this run")
            .unknown("what the record says: the stages before it decide"))
    }

    async fn run(
        &self,
        cx: &StepContext<Verify>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Verify>, StepError> {
        let BeforeWriting { at, .. } = before.get()?;
        let record = change_record(cx, at)?.into_bytes();
        let (digest, bytes) = (Digest::of(&record).to_string(), record.len());
        replace(&*self.store, permit, &self.document, Some(record)).await?;
        let summary = format!("the change record `{}` reads back as {digest}", self.document);
        let evidence = Evidence::new(VerifyActivity::Documentation, summary)
            .value("document", json!(self.document))
            .value("digest", digest)
            .value("bytes", bytes);
        let documents = vec![PathBuf::from(self.document.as_str())];
        Ok(Receipt::new().observed(evidence).facts(VerifyFacts { documents }))
    }
}

/// The change record in Markdown.
fn change_record(cx: &StepContext<Verify>, at: Timestamp) -> Result<String, StepError> {
    let mut text = String::new();
    let _ = writeln!(text, "# {} {} in {}\n", cx.application(), cx.release(), cx.environment());
    let _ = writeln!(text, "- Written: {at}");
    let _ = writeln!(text, "- Started by: {}", line(cx.initiator().as_str()));
    if let Some(run) = cx.run() {
        let _ = writeln!(text, "- Run: `{run}`");
    }
    if let Some(plan) = cx.plan() {
        let _ = writeln!(text, "- Plan: `{}`", plan.hash);
    }
    contents(&mut text, cx)?;
    text.push_str("\n## What each stage saw\n");
    stage::<Prepare>(&mut text, cx)?;
    stage::<Build>(&mut text, cx)?;
    stage::<Migrate>(&mut text, cx)?;
    stage::<Assets>(&mut text, cx)?;
    stage::<Services>(&mut text, cx)?;
    stage::<Functions>(&mut text, cx)?;
    stage::<Monitoring>(&mut text, cx)?;
    observations(&mut text, &cx.earlier()?);
    Ok(text)
}

/// What was deployed: commit, artefacts, migrations, files, services, functions.
fn contents(text: &mut String, cx: &StepContext<Verify>) -> Result<(), StepError> {
    text.push_str("\n## What was deployed\n\n");
    for receipt in cx.receipts::<Build>()?.values() {
        if let Some(commit) = &receipt.facts.commit {
            let _ = writeln!(text, "- Commit: `{}`", line(commit));
        }
        for (name, artifact) in &receipt.facts.artifacts {
            let _ = writeln!(text, "- Artefact `{name}`: `{}`", artifact.digest);
        }
    }
    for receipt in cx.receipts::<Migrate>()?.values() {
        if let Some(backup) = &receipt.facts.backup {
            let _ = writeln!(text, "- Backup: `{}` at `{}`", backup.digest, backup.path.display());
        }
        for version in &receipt.facts.applied {
            let _ = writeln!(text, "- Migration: `{}`", line(version));
        }
        if let Some(schema) = &receipt.facts.schema {
            let _ = writeln!(text, "- Schema: `{schema}`");
        }
    }
    for receipt in cx.receipts::<Assets>()?.values().filter(|receipt| !receipt.facts.changed.is_empty()) {
        let _ = writeln!(text, "- Files of the site, new or changed: {}", receipt.facts.changed.len());
    }
    for receipt in cx.receipts::<Services>()?.values() {
        for (service, version) in &receipt.facts.serving {
            let _ = writeln!(text, "- Service `{service}`: {version}");
        }
    }
    for receipt in cx.receipts::<Functions>()?.values() {
        for (function, version) in &receipt.facts.versions {
            let _ = writeln!(text, "- Function `{function}`: version {}", line(version));
        }
    }
    Ok(())
}

fn stage<E: Before<Verify>>(text: &mut String, cx: &StepContext<Verify>) -> Result<(), StepError> {
    observations(text, &cx.receipts::<E>()?);
    Ok(())
}

fn observations<E: Stage>(text: &mut String, receipts: &std::collections::BTreeMap<Name, Receipt<E>>) {
    let _ = writeln!(text, "\n### {}. {}\n", E::NAME.number(), E::NAME);
    if receipts.is_empty() {
        text.push_str("Nothing.\n");
    }
    for (step, receipt) in receipts {
        for evidence in &receipt.evidence {
            let _ = writeln!(text, "- {} (`{step}`): {}", evidence.activity.name(), line(&evidence.summary));
        }
        for figure in &receipt.figures {
            let (gate, unit) = (figure.gate, figure.gate.unit());
            let _ = writeln!(text, "- {gate}: {:.3} {unit} ({})", figure.value, line(&figure.measured));
        }
    }
}

/// One line, whatever the text holds: a line break would end the list.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

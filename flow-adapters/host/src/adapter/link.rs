use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::stage::{Services, ServicesActivity};
use flow_core::{
    Captured, Digest, ErrorKind, Evidence, Name, Outcome, Permit, Preview, Receipt, Reversibility, Rollback,
    Step, StepContext, StepError, name,
};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::hosts::Hosts;
use crate::client::{Releases, Stands};
use crate::config::ReleaseConfig;

/// Points `current` on each host to the release that [`PlaceRelease`](super::PlaceRelease) placed, atomically, and removes old
/// releases.
///
/// It belongs behind the rollout: colours start from `releases/<digest>`, and `current` says afterwards, to people and to what
/// starts by itself, which one that is. A release stays that is among the newest, that `current` led to before or leads to
/// now, or that a process runs from.
#[derive(Debug)]
pub struct LinkRelease {
    name: Name,
    deadline: Duration,
    hosts: Hosts,
    config: ReleaseConfig,
}

/// Where the links led before, and the release that they are to lead to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    digest: Digest,
    hosts: BTreeMap<Name, Option<String>>,
}

impl LinkRelease {
    /// Points `current` on `hosts` to the artefact of `config`. One attempt may take ten minutes.
    #[must_use]
    pub const fn new(hosts: Hosts, config: ReleaseConfig) -> Self {
        Self { name: name!("link-release"), deadline: Duration::from_mins(10), hosts, config }
    }

    /// Calls the step `name`: two steps of one kind in a plan need two names.
    #[must_use]
    pub fn named(mut self, name: Name) -> Self {
        self.name = name;
        self
    }

    /// Gives one attempt this long.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    async fn stands(&self) -> Result<BTreeMap<&Name, Stands>, StepError> {
        self.hosts
            .ask(self.config.at_once, |_, host| async move { Releases(host).stands().await }.boxed())
            .await
    }
}

#[async_trait]
impl Rollback<Services> for LinkRelease {
    fn reversibility(&self) -> Reversibility {
        let how = "the links lead where they led before; old releases that were removed stay removed";
        Reversibility::Compensate { how: how.to_owned() }
    }

    async fn capture(&self, cx: &StepContext<Services>) -> Result<Captured, StepError> {
        let hosts = self.stands().await?.into_iter().map(|(name, stands)| (name.clone(), stands.current));
        Captured::of(&Before { digest: cx.artifact(&self.config.artifact)?.digest, hosts: hosts.collect() })
    }

    async fn roll_back(
        &self,
        _cx: &StepContext<Services>,
        permit: &Permit,
        before: &Captured,
        _outcome: &Outcome<Services>,
    ) -> Result<(), StepError> {
        let before: Before = before.get()?;
        let (hex, before) = (&before.digest.hex(), &before.hosts);
        let linked = self.hosts.change(self.config.at_once, |name, host| {
            async move {
                let Some(before) = before.get(name) else { return Ok(()) };
                Releases(host).point_back(permit, hex, before.as_deref()).await
            }
            .boxed()
        });
        linked.await.map(drop)
    }
}

#[async_trait]
impl Step<Services> for LinkRelease {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn covers(&self) -> Vec<ServicesActivity> {
        vec![ServicesActivity::Update]
    }

    fn definition(&self) -> Value {
        let Self { hosts, config, .. } = self;
        json!([hosts.names().collect::<Vec<_>>(), config.artifact, config.keep, config.at_once])
    }

    async fn preview(&self, _cx: &StepContext<Services>) -> Result<Preview, StepError> {
        let mut problems = self.config.check().err().unwrap_or_default();
        self.hosts.check(&mut problems);
        problems.into_result()?;
        let mut preview = Preview::new();
        for (name, stands) in self.stands().await? {
            let current = stands.current.unwrap_or_else(|| "nothing".to_owned());
            preview = preview
                .change(
                    format!("`current` on {name}"),
                    current.clone(),
                    format!("`{}`", self.config.artifact),
                )
                .stable(format!("current on {name}"), current);
        }
        Ok(preview
            .unknown("which release: it is built in stage 2")
            .unknown(format!("which old releases are removed: {} stay, and those in use", self.config.keep)))
    }

    async fn run(
        &self,
        cx: &StepContext<Services>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Services>, StepError> {
        let before: Before = before.get()?;
        let (hex, before, config) = (&before.digest.hex(), &before.hosts, &self.config);
        let lacks = |(name, stands): (&Name, Stands)| (!stands.releases.contains(hex)).then(|| name.clone());
        if let Some(host) = self.stands().await?.into_iter().find_map(lacks) {
            return Err(StepError::new(ErrorKind::NotFound, "the release is not on the host")
                .fact("host", host)
                .fact("release", hex));
        }
        cx.progress().say("linking");
        let linked = self
            .hosts
            .change(config.at_once, |_, host| async move { Releases(host).point(permit, hex).await }.boxed());
        linked.await?;
        cx.progress().say("removing old releases");
        let removed = self.hosts.change(config.at_once, |name, host| {
            async move {
                let previous =
                    before.get(name).into_iter().flatten().filter_map(|led| led.rsplit('/').next());
                let others: BTreeSet<String> = previous.chain([hex.as_str()]).map(str::to_owned).collect();
                Releases(host).prune(permit, config.keep, &others).await
            }
            .boxed()
        });
        let removed = removed.await.map_err(StepError::after_effect)?;
        let removed: BTreeMap<String, Vec<String>> =
            removed.into_iter().map(|(name, removed)| (name.to_string(), removed)).collect();
        let evidence =
            Evidence::new(ServicesActivity::Update, format!("`current` leads to {hex} on each host"))
                .value("before", json!(before))
                .value("removed", json!(removed));
        Ok(Receipt::new().observed(evidence))
    }
}

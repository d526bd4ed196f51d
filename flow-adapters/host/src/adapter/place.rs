use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::Command;
use flow_core::stage::{Services, ServicesActivity};
use flow_core::{
    Artifact, Captured, Digest, ErrorKind, Evidence, Name, Outcome, Permit, Preview, Problems, Receipt,
    Reversibility, Rollback, Step, StepContext, StepError, name,
};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::hosts::Hosts;
use crate::client::{Releases, Stands, archive, off_thread, release};
use crate::config::ReleaseConfig;

/// How long a copy to a host, and the work on its trees, may take.
const COPY: Duration = Duration::from_mins(30);

/// Places a built artefact on hosts, as `releases/<digest>` below the root of each: copied, unpacked beside, its shared paths
/// linked, its dependencies installed, proved by a check, and put in its place by a rename.
///
/// Nothing runs from it yet: a rollout starts it there, with [`Service::releases`](flow_core::Service::releases). A release
/// that stands there already is only checked. Undo removes what this run placed, unless it is in use.
#[derive(Debug)]
pub struct PlaceRelease {
    name: Name,
    deadline: Duration,
    hosts: Hosts,
    config: ReleaseConfig,
}

/// What stood on the hosts before.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    digest: Digest,
    hosts: BTreeMap<Name, Stands>,
}

impl PlaceRelease {
    /// Places the artefact of `config` on `hosts`. One attempt may take half an hour and what its commands may take.
    #[must_use]
    pub fn new(hosts: Hosts, config: ReleaseConfig) -> Self {
        let commands: Duration = config.commands().map(|(_, command)| command.timeout).sum();
        Self { name: name!("place-release"), deadline: COPY.saturating_add(commands), hosts, config }
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

    /// The hosts that lack the release, and could be asked for all that it needs.
    async fn lacking(&self, hex: &str) -> Result<Vec<Name>, StepError> {
        let lacking = self.hosts.ask(self.config.at_once, |_, host| {
            let shared = &self.config.shared;
            async move {
                let mut problems = Problems::default();
                Releases(host).check_shared(shared, &mut problems).await?;
                problems.into_result()?;
                Ok(!Releases(host).is_placed(hex).await?)
            }
            .boxed()
        });
        let lacking = lacking.await?.into_iter().filter(|(_, lacks)| *lacks);
        Ok(lacking.map(|(name, _)| name.clone()).collect())
    }

    async fn place(
        &self,
        cx: &StepContext<Services>,
        permit: &Permit,
        artifact: &Artifact,
    ) -> Result<BTreeMap<String, &'static str>, StepError> {
        let (hex, config, now) = (&artifact.digest.hex(), &self.config, cx.clock().now());
        let lacking = &self.lacking(hex).await?;
        let (source, archives) = (artifact.clone(), config.archives.clone());
        let archive = if lacking.is_empty() {
            None
        } else {
            cx.progress().say("archiving");
            Some(off_thread(permit.cancel(), move |token| archive(&source, &archives, token)).await?)
        };
        let archive = archive.as_deref();
        cx.progress().say(format!("placing on {} hosts", lacking.len()));
        let placed = self.hosts.change(config.at_once, |name, host| {
            async move {
                let releases = Releases(host);
                match archive {
                    Some(archive) if lacking.contains(name) => {
                        releases.place(permit, hex, archive, config, now).await
                    }
                    _ => {
                        // An attempt before this one may have placed it and not come to its end.
                        releases.sweep(permit, None).await?;
                        releases.check(&release(hex)?, config).await?;
                        Ok("stood there already")
                    }
                }
            }
            .boxed()
        });
        let placed = placed.await?.into_iter().map(|(name, how)| (name.to_string(), how)).collect();
        if let Some(archive) = archive {
            // Should it stay, the next run replaces it.
            let _ = std::fs::remove_file(archive);
        }
        Ok(placed)
    }
}

#[async_trait]
impl Rollback<Services> for PlaceRelease {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }

    async fn capture(&self, cx: &StepContext<Services>) -> Result<Captured, StepError> {
        let stands = self
            .hosts
            .ask(self.config.at_once, |_, host| async move { Releases(host).stands().await }.boxed());
        let hosts = stands.await?.into_iter().map(|(name, stands)| (name.clone(), stands)).collect();
        Captured::of(&Before { digest: cx.artifact(&self.config.artifact)?.digest, hosts })
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
        let removed = self.hosts.change(self.config.at_once, |name, host| {
            async move {
                match before.get(name) {
                    Some(stood) if !stood.releases.contains(hex) => Releases(host).remove(permit, hex).await,
                    // It was there before, or the host was not: nothing of it is this run's.
                    _ => Ok(()),
                }
            }
            .boxed()
        });
        removed.await.map(drop)
    }
}

#[async_trait]
impl Step<Services> for PlaceRelease {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn deadline(&self) -> Duration {
        self.deadline
    }

    fn covers(&self) -> Vec<ServicesActivity> {
        vec![ServicesActivity::Update, ServicesActivity::InstallDependencies]
    }

    fn definition(&self) -> Value {
        json!({ "hosts": self.hosts.names().collect::<Vec<_>>(), "release": self.config.definition() })
    }

    async fn preview(&self, cx: &StepContext<Services>) -> Result<Preview, StepError> {
        let mut problems = self.config.check().err().unwrap_or_default();
        self.hosts.check(&mut problems);
        problems.into_result()?;
        let seen = self.hosts.ask(self.config.at_once, |_, host| {
            async move {
                let mut missing = Problems::default();
                Releases(host).check_shared(&self.config.shared, &mut missing).await?;
                Ok((Releases(host).stands().await?, missing))
            }
            .boxed()
        });
        let (mut preview, mut problems) = (Preview::new(), Problems::default());
        for (name, (stands, missing)) in seen.await? {
            for problem in missing.as_slice() {
                problems.add(format!("{name}:{}", problem.field), problem.problem.clone());
            }
            let there = cx.artifacts().iter().find(|digest| stands.releases.contains(&digest.hex()));
            let after = match there {
                Some(digest) => format!("`{}` is {digest}, which stands there", self.config.artifact),
                None => format!("one more, `{}`", self.config.artifact),
            };
            preview = preview.change(format!("releases on {name}"), stands.releases.len().to_string(), after);
        }
        problems.into_result()?;
        let commands = self.config.commands().map(|(_, command)| Command::script(command));
        Ok(commands.fold(preview, Preview::script).unknown("which release: it is built in stage 2"))
    }

    async fn run(
        &self,
        cx: &StepContext<Services>,
        permit: &Permit,
        before: &Captured,
    ) -> Result<Receipt<Services>, StepError> {
        let (artifact, before) = (cx.artifact(&self.config.artifact)?, before.get::<Before>()?);
        if artifact.digest != before.digest {
            return Err(StepError::new(ErrorKind::Conflict, "the artefact is not the one that was captured")
                .fact("artifact", artifact.digest));
        }
        let placed = self.place(cx, permit, &artifact).await?;
        let still = self.lacking(&artifact.digest.hex()).await.map_err(StepError::after_effect)?;
        if let Some(host) = still.first() {
            return Err(
                StepError::in_doubt("the release does not stand where it was placed").fact("host", host)
            );
        }
        let summary = format!("{} stands on {} hosts", artifact.digest, placed.len());
        let checked = self.config.check.as_ref().map(|check| format!("; `{check}` ended with 0 on each"));
        let summary = summary + &checked.unwrap_or_default();
        let evidence = |activity| {
            Evidence::new(activity, summary.clone())
                .value("release", json!(artifact.digest))
                .value("hosts", json!(placed))
        };
        let (update, install) = (ServicesActivity::Update, ServicesActivity::InstallDependencies);
        Ok(Receipt::new().observed(evidence(update)).observed(evidence(install)))
    }
}

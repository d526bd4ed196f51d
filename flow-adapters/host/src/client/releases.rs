//! The releases of one host: what stands there, and what places and removes one.
//!
//! Below the host's root stand
//!
//! ```text
//! releases/<hexadecimal digest>/               a release, complete: it came there by a rename
//! releases/<hexadecimal digest>/.flow-release  when it was placed, and what was installed in it
//! releases/.release-<digest>.in/               an archive that arrives
//! releases/.release-<digest>.new/              a release that is being made
//! releases/.release-<digest>.old/              a release that is being removed
//! shared/                                      what outlives releases, and is linked into each
//! current                                      a link to the release in force
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow_core::port::{Host, HostPath};
use flow_core::{Digest, ErrorKind, Permit, Problems, StepError, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::commands::{look, remove_tree, run};
use crate::config::{Install, ReleaseConfig};

const HOME: &str = "releases";
const CURRENT: &str = "current";
const SHARED: &str = "shared";
/// What names of releases on their way in or out begin with.
const UNDER_WAY: &str = ".release-";
/// The file in a release that says when it was placed. An artefact cannot have one of that name.
pub(super) const RECORD: &str = ".flow-release";

/// What stands on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stands {
    /// Where the link leads.
    pub(crate) current: Option<String>,
    /// The releases, by their hexadecimal digests.
    pub(crate) releases: BTreeSet<String>,
}

/// What a release says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    placed: Timestamp,
    /// What was installed: a digest of the lock file and of the command that installed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installed: Option<Digest>,
}

/// One host's releases.
pub(crate) struct Releases<'a>(pub(crate) &'a dyn Host);

impl Releases<'_> {
    /// What stands there now.
    pub(crate) async fn stands(&self) -> Result<Stands, StepError> {
        let mut releases: BTreeSet<String> = self.0.list(&path(HOME)?).await?.into_iter().collect();
        releases.retain(|name| is_hex(name));
        Ok(Stands { current: self.0.read_link(&path(CURRENT)?).await?, releases })
    }

    /// The shared paths that are missing.
    pub(crate) async fn check_shared(
        &self,
        shared: &[HostPath],
        problems: &mut Problems,
    ) -> Result<(), StepError> {
        for shared in shared {
            let place = format!("{SHARED}/{shared}");
            let (above, name) = place.rsplit_once('/').unwrap_or_default();
            let stands = self.0.list(&path(above)?).await?.iter().any(|found| found == name);
            problems.check(stands, &place, "is missing");
        }
        Ok(())
    }

    /// Places a release that stands complete under its name or not at all, and says how it came to its dependencies.
    pub(crate) async fn place(
        &self,
        permit: &Permit,
        hex: &str,
        archive: &Path,
        config: &ReleaseConfig,
        now: Timestamp,
    ) -> Result<&'static str, StepError> {
        let (arriving, new) = (under_way(hex, "in")?, under_way(hex, "new")?);
        self.sweep(permit, Some(&arriving)).await?;
        let tar = arriving.join("archive.tar")?;
        self.0.copy(permit, archive, &tar).await.map_err(StepError::after_effect)?;
        let done = async {
            let record = Record { placed: now, installed: None };
            self.record(permit, &new, &record).await?;
            // The archive is named from within the new release, whose directory both stand beside each other in.
            let from = format!("../{}/archive.tar", name(&arriving));
            run(self.0, permit, Some(&new), ["tar", "-x", "-f", &from]).await?;
            for shared in &config.shared {
                self.0
                    .link(permit, &new.join(shared.as_str())?, &path(SHARED)?.join(shared.as_str())?)
                    .await?;
            }
            let (how, installed) = match &config.install {
                None => ("nothing to install", None),
                Some(install) => self.install(permit, &new, install).await?,
            };
            self.check(&new, config).await?;
            self.record(permit, &new, &Record { installed, ..record }).await?;
            // Its files are to outlive a loss of power before its name says that it is complete.
            run(self.0, permit, Some(&new), ["sync", "-f", "."]).await?;
            run(self.0, permit, None, ["mv", "-T", "--", new.as_str(), release(hex)?.as_str()]).await?;
            self.sweep(permit, None).await?;
            Ok(how)
        };
        done.await.map_err(StepError::after_effect)
    }

    /// Proves the release at `directory` by the check of `config`.
    pub(crate) async fn check(&self, directory: &HostPath, config: &ReleaseConfig) -> Result<(), StepError> {
        let Some(check) = &config.check else { return Ok(()) };
        let check = check.clone().directory(directory.clone());
        self.0.query(&check).await?.demand(&check)
    }

    /// Whether the release stands as this library placed it; another directory of its name is a conflict.
    pub(crate) async fn is_placed(&self, hex: &str) -> Result<bool, StepError> {
        if !self.stands().await?.releases.contains(hex) {
            return Ok(false);
        }
        self.placed(hex).await?.map(|_| true).ok_or_else(|| {
            StepError::new(ErrorKind::Conflict, "something else stands in the place of the release")
                .fact("release", hex)
        })
    }

    async fn install(
        &self,
        permit: &Permit,
        new: &HostPath,
        install: &Install,
    ) -> Result<(&'static str, Option<Digest>), StepError> {
        let mut installed = None;
        if let Some(reuse) = &install.reuse
            && let Some(lock) = self.0.read(&new.join(reuse.lock.as_str())?).await?
        {
            let key = json!([Digest::of(&lock), install.command.script()]);
            let key = Digest::of(key.to_string().as_bytes());
            installed = Some(key);
            for other in self.stands().await?.releases {
                let made = release(&other)?.join(reuse.made.as_str())?;
                let same = self.placed(&other).await?.is_some_and(|record| record.installed == Some(key));
                if same && !self.0.list(&made).await?.is_empty() {
                    let to = new.join(reuse.made.as_str())?;
                    let copy = ["cp", "-a", "-T", "--reflink=auto", "--", made.as_str(), to.as_str()];
                    run(self.0, permit, None, copy).await?;
                    return Ok(("taken over from an earlier release", installed));
                }
            }
        }
        let command = install.command.clone().directory(new.clone());
        self.0.run(permit, &command).await?.demand(&command)?;
        Ok(("installed", installed))
    }

    /// Removes the release and what is left of its placing. One that is in force or that a process runs from is not removed.
    pub(crate) async fn remove(&self, permit: &Permit, hex: &str) -> Result<(), StepError> {
        let stands = self.stands().await?;
        if stands.releases.contains(hex) {
            let refused = |message| StepError::new(ErrorKind::Conflict, message).fact("release", hex);
            if stands.current.as_deref() == Some(release(hex)?.as_str()) {
                return Err(refused("the release is in force and is not removed"));
            }
            if self.used().await?.contains(hex) {
                return Err(refused("a process runs from the release, and it is not removed"));
            }
            self.retire(permit, hex).await?;
        }
        self.sweep(permit, None).await
    }

    /// Takes the release out of its name first: half of one must never stand under it.
    async fn retire(&self, permit: &Permit, hex: &str) -> Result<(), StepError> {
        let old = under_way(hex, "old")?;
        remove_tree(self.0, permit, &old).await?;
        run(self.0, permit, None, ["mv", "-T", "--", release(hex)?.as_str(), old.as_str()]).await?;
        remove_tree(self.0, permit, &old).await.map_err(StepError::after_effect)
    }

    /// Points `current` to the release.
    pub(crate) async fn point(&self, permit: &Permit, hex: &str) -> Result<(), StepError> {
        let (link, target) = (path(CURRENT)?, release(hex)?);
        self.0.link(permit, &link, &target).await?;
        let leads = self.0.read_link(&link).await.map_err(StepError::after_effect)?;
        if leads.as_deref() == Some(target.as_str()) {
            return Ok(());
        }
        Err(StepError::in_doubt("the link does not lead where it was pointed to").fact("release", hex))
    }

    /// Brings `current` back to where it led before it was pointed to `hex`. One that leads elsewhere is somebody else's.
    pub(crate) async fn point_back(
        &self,
        permit: &Permit,
        hex: &str,
        before: Option<&str>,
    ) -> Result<(), StepError> {
        let stands = self.stands().await?;
        let now = stands.current;
        if now.as_deref() == before {
            return Ok(());
        }
        if now.as_deref() != Some(release(hex)?.as_str()) {
            return Err(StepError::new(ErrorKind::Conflict, "somebody else changed the link meanwhile")
                .fact("link", now.unwrap_or_else(|| "none".to_owned())));
        }
        match before {
            None => self.0.remove(permit, &path(CURRENT)?).await,
            Some(before)
                if before.strip_prefix("releases/").is_some_and(|hex| !stands.releases.contains(hex)) =>
            {
                Err(StepError::new(ErrorKind::NotFound, "the release to go back to is gone")
                    .fact("release", before))
            }
            Some(before) => self.0.link(permit, &path(CURRENT)?, &path(before)?).await,
        }
    }

    /// Removes the oldest releases: all but the newest `keep`, the one in force, `others` and those that processes run from.
    /// What this library did not place is never removed. Says what was.
    pub(crate) async fn prune(
        &self,
        permit: &Permit,
        keep: u32,
        others: &BTreeSet<String>,
    ) -> Result<Vec<String>, StepError> {
        self.sweep(permit, None).await?;
        let stands = self.stands().await?;
        let mut placed = BTreeMap::new();
        for hex in stands.releases {
            if let Some(record) = self.placed(&hex).await? {
                placed.insert((record.placed, hex.clone()), hex);
            }
        }
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let mut old: Vec<String> = placed.into_values().rev().skip(keep).collect();
        if old.is_empty() {
            return Ok(old);
        }
        let used = self.used().await?;
        let current = stands.current.as_deref().and_then(|current| current.rsplit('/').next());
        old.retain(|hex| Some(hex.as_str()) != current && !others.contains(hex) && !used.contains(hex));
        for hex in &old {
            self.retire(permit, hex).await?;
        }
        Ok(old)
    }

    /// The releases that processes of this user run from, as the process table shows: their program or their working
    /// directory is there.
    async fn used(&self) -> Result<BTreeSet<String>, StepError> {
        let root = look(self.0, ["pwd", "-P"]).await?;
        let root = String::from_utf8_lossy(&root);
        let root = root.trim_end_matches('\n');
        let plain: String =
            root.chars().flat_map(|c| "*?[\\".contains(c).then_some('\\').into_iter().chain([c])).collect();
        let below = format!("{plain}/{HOME}/*");
        let found = look(
            self.0,
            [
                "find",
                "/proc",
                "-mindepth",
                "2",
                "-maxdepth",
                "2",
                "(",
                "-name",
                "cwd",
                "-o",
                "-name",
                "exe",
                ")",
                "(",
                "-lname",
                &plain,
                "-o",
                "-lname",
                &below,
                ")",
                "-printf",
                "%l\\n",
            ],
        )
        .await?;
        let found = String::from_utf8_lossy(&found);
        // It works in the root itself: where it does not find even that, it has seen nothing.
        if root.is_empty() || !found.lines().any(|line| line == root) {
            return Err(StepError::new(ErrorKind::Failed, "the host's process table cannot be looked at"));
        }
        let home = format!("{root}/{HOME}/");
        let release = |line: &str| Some(line.strip_prefix(&home)?.split(['/', ' ']).next()?.to_owned());
        Ok(found.lines().filter_map(release).collect())
    }

    async fn placed(&self, hex: &str) -> Result<Option<Record>, StepError> {
        let Some(content) = self.0.read(&release(hex)?.join(RECORD)?).await? else { return Ok(None) };
        serde_json::from_slice(&content).map(Some).map_err(|error| {
            StepError::new(ErrorKind::Conflict, "the release's record cannot be read")
                .fact("release", hex)
                .because(error)
        })
    }

    async fn record(&self, permit: &Permit, directory: &HostPath, record: &Record) -> Result<(), StepError> {
        self.0.write(permit, &directory.join(RECORD)?, json!(record).to_string().as_bytes()).await
    }

    /// Removes what placings and removals left that broke off, but for `kept`.
    pub(crate) async fn sweep(&self, permit: &Permit, kept: Option<&HostPath>) -> Result<(), StepError> {
        let home = path(HOME)?;
        for left in self.0.list(&home).await?.iter().filter(|name| name.starts_with(UNDER_WAY)) {
            let left = home.join(left)?;
            if kept != Some(&left) {
                remove_tree(self.0, permit, &left).await?;
            }
        }
        Ok(())
    }
}

fn is_hex(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

fn path(path: &str) -> Result<HostPath, StepError> {
    Ok(HostPath::new(path)?)
}

/// Where a release stands.
pub(crate) fn release(hex: &str) -> Result<HostPath, StepError> {
    path(&format!("{HOME}/{hex}"))
}

fn under_way(hex: &str, what: &str) -> Result<HostPath, StepError> {
    path(&format!("{HOME}/{UNDER_WAY}{hex}.{what}"))
}

fn name(path: &HostPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

//! The options of a single run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flow_core::Name;
use flow_core::plan::OnFailure;

use crate::controller::{Controller, Trial};
use crate::world::World;

/// What was given beside the words of the command.
#[derive(Debug, Default)]
pub(crate) struct Options {
    releases: Option<PathBuf>,
    bake: Option<Duration>,
    approval: Option<Name>,
    trial: Trial,
}

impl Options {
    /// The controller of the world below `root`.
    pub(crate) fn controller(&self, root: &str) -> Controller {
        let mut world = World::at(Path::new(root), self.releases.as_deref());
        world.unwatched.bake = self.bake.unwrap_or(world.unwatched.bake);
        world.unwatched.approval.clone_from(&self.approval);
        let reports = world.root.join("reports");
        Controller { world, reports, trial: self.trial.clone() }
    }
}

/// Tells the words of a command from its options.
pub(crate) fn split(arguments: &[String]) -> Result<(Vec<String>, Options)> {
    let mut words = Vec::new();
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--releases" => options.releases = Some(PathBuf::from(value()?)),
            "--bake" => options.bake = Some(milliseconds(value()?)?),
            "--ttl" => options.trial.ttl = milliseconds(value()?)?,
            "--approval" => options.approval = Some(Name::new(value()?.as_str())?),
            "--run" => options.trial.run = Some(Name::new(value()?.as_str())?),
            "--hold" => options.trial.on_failure = OnFailure::Hold,
            "--trail" => options.trial.trail = Some(PathBuf::from(value()?)),
            "--die" => options.trial.death = Some(value()?.parse()?),
            word if word.starts_with("--") => bail!("no such option: `{word}`"),
            word => words.push(word.to_owned()),
        }
    }
    Ok((words, options))
}

fn milliseconds(text: &str) -> Result<Duration> {
    let parsed = text.parse().with_context(|| format!("`{text}` is no number of milliseconds"));
    parsed.map(Duration::from_millis)
}

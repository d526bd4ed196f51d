//! Links of another machine, through its host.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::port::{Command, Host, HostPath};
use flow_core::{ErrorKind, Permit, StepError};
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Change, Standing, resolved};
use crate::config::socket_name;
use crate::history::History;

/// How many links are made at once.
const AT_ONCE: usize = 16;

#[derive(Clone)]
pub(crate) struct Remote {
    host: Arc<dyn Host>,
    root: PathBuf,
    directory: PathBuf,
}

impl Remote {
    pub(super) fn new(directory: &Path, host: Arc<dyn Host>, root: &Path) -> Self {
        Self { host, root: root.to_owned(), directory: directory.to_owned() }
    }

    /// The host's name of an absolute path.
    fn at(&self, path: &Path) -> Result<HostPath, StepError> {
        let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
        let below = below.ok_or_else(|| {
            let error = StepError::new(ErrorKind::Invalid, "the path is not below the host's root");
            error.fact("path", path.display()).fact("root", self.root.display())
        })?;
        Ok(HostPath::new(below)?)
    }

    fn of_table(&self, id: &str, name: &str) -> PathBuf {
        self.directory.join("tables").join(id).join(name)
    }

    pub(super) async fn live(&self) -> Result<Option<String>, StepError> {
        let live = self.directory.join("live");
        let Some(target) = self.host.read_link(&self.at(&live)?).await? else { return Ok(None) };
        let tables = self.at(&self.directory.join("tables"))?;
        let id = target.strip_prefix(tables.as_str()).and_then(|rest| rest.strip_prefix('/'));
        id.map(|id| Some(id.to_owned())).ok_or_else(|| {
            let error = StepError::new(ErrorKind::Conflict, "the link leads out of its tables");
            error.fact("path", live.display()).fact("target", &target)
        })
    }

    pub(super) async fn table(&self, id: &str, places: u8) -> Result<Option<Standing>, StepError> {
        let Some(text) = self.host.read(&self.at(&self.of_table(id, "routing.json"))?).await? else {
            return Ok(None);
        };
        let table = self.at(&self.directory.join("tables").join(id))?;
        let names = self.host.list(&table).await?;
        let linked: Vec<u8> = (0..places).filter(|place| names.contains(&socket_name(*place))).collect();
        let mut targets = vec![None; usize::from(places)];
        if linked.is_empty() {
            return Ok(Some(Standing { text, targets }));
        }
        // One command for all of them: a hundred questions would take a hundred round trips.
        let paths = linked.iter().map(|place| self.of_table(id, &socket_name(*place)).display().to_string());
        let output = self.host.query(&Command::new("readlink", paths)).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let found: Vec<&str> = said.lines().collect();
        if !output.succeeded() || found.len() != linked.len() {
            let error = StepError::new(ErrorKind::Conflict, "not every place is a link");
            return Err(error.fact("table", id));
        }
        for (place, target) in linked.into_iter().zip(found) {
            if let Some(slot) = targets.get_mut(usize::from(place)) {
                *slot = Some(resolved(&self.directory.join("tables").join(id), Path::new(target)));
            }
        }
        Ok(Some(Standing { text, targets }))
    }

    pub(super) async fn change(
        &self,
        permit: &Permit,
        change: &Change,
        history: &History,
    ) -> Result<Option<String>, StepError> {
        let Change { id, wanted } = change;
        if self.table(id, change.places()).await?.as_ref() != Some(wanted) {
            self.lay(permit, id, wanted).await?;
            if self.table(id, change.places()).await?.as_ref() != Some(wanted) {
                return Err(change.missing());
            }
        }
        self.remember(permit, history).await?;
        self.switch(permit, id).await.map_err(StepError::after_effect)?;
        self.live().await.map_err(StepError::after_effect)
    }

    async fn lay(&self, permit: &Permit, id: &str, wanted: &Standing) -> Result<(), StepError> {
        let mut links = Vec::new();
        for (place, target) in (0_u8..).zip(&wanted.targets) {
            if let Some(target) = target {
                links.push((self.at(&self.of_table(id, &socket_name(place)))?, self.at(target)?));
            }
        }
        let mut made = Vec::with_capacity(links.len());
        for (path, target) in &links {
            made.push(self.host.link(permit, path, target));
        }
        futures::stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let record = self.at(&self.of_table(id, "routing.json"))?;
        self.host.write(permit, &record, &wanted.text).await
    }

    async fn switch(&self, permit: &Permit, id: &str) -> Result<(), StepError> {
        let live = self.at(&self.directory.join("live"))?;
        let table = self.at(&self.directory.join("tables").join(id))?;
        self.host.link(permit, &live, &table).await
    }

    pub(super) async fn clear(&self, permit: &Permit, kept: &[String]) -> Result<(), StepError> {
        let tables = self.directory.join("tables");
        let names = self.host.list(&self.at(&tables)?).await.map_err(StepError::after_effect)?;
        let old: Vec<String> = names
            .iter()
            .filter(|name| !kept.contains(name))
            .map(|name| tables.join(name).display().to_string())
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let remove =
            Command::new("rm", ["-r".to_owned(), "-f".to_owned(), "--".to_owned()].into_iter().chain(old));
        let output = self.host.run(permit, &remove).await.map_err(StepError::after_effect)?;
        if output.succeeded() { Ok(()) } else { Err(StepError::in_doubt("old tables cannot be removed")) }
    }

    pub(super) async fn history(&self) -> Result<History, StepError> {
        let text = self.host.read(&self.at(&self.directory.join("history.json"))?).await?;
        text.map_or_else(|| Ok(History::default()), |text| History::read(&text))
    }

    pub(super) async fn remember(&self, permit: &Permit, history: &History) -> Result<(), StepError> {
        let path = self.at(&self.directory.join("history.json"))?;
        self.host.write(permit, &path, &history.written()?).await
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("root", &self.root)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Host, InFlight, Router, Routing};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError};
use flow_linux::{Machine, UnixSockets};

use super::check_service;
use crate::client::links::{Change, Links, Standing};
use crate::config::SocketConfig;
use crate::former::{addresses, former};
use crate::history::History;
use crate::table::{Table, socket_path, socket_paths, sockets};
use crate::value::{Checked, Takes, check_path};

/// How often open connections are looked at.
const POLL: Duration = Duration::from_millis(5);

/// Switches a service by links to Unix sockets: one rename moves all of them at once, and nginx is not touched.
///
/// - **Observed**: what is in force is what the links say, and the file beside them that names their versions; nothing is remembered. A
///   routing that somebody changed by hand is a [`Conflict`](ErrorKind::Conflict), and traffic stays where it is.
/// - **Only to who listens**: an address that gets traffic for the first time must be one at which a socket listens under exactly
///   this path, as the machine shows, so that it can be counted until it is drained. Otherwise nothing is switched.
/// - **Requests under way** are connections to the sockets of the present routing and of those before, by the kernel's word.
///   With [`KeepAlive`](crate::KeepAlive) idle ones are told apart by waiting until they must have ended.
pub struct SocketRouter {
    config: SocketConfig,
    links: Links,
    machine: Machine,
    clock: Arc<dyn Clock>,
}

impl SocketRouter {
    /// A router of this machine. It starts no process. Nothing is changed yet.
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn new(config: SocketConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.check()?;
        let links = Links::Local(config.directory.clone());
        Ok(Self { config, links, machine: Machine::local(), clock })
    }

    /// A router of another machine, whose paths lie below the root of its `host`: those of the links and those of the sockets.
    ///
    /// # Errors
    /// Everything that is wrong with `config` or `root`, at once.
    pub fn on_host(
        config: SocketConfig,
        host: Arc<dyn Host>,
        root: impl AsRef<Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Problems> {
        config.check()?;
        let root = root.as_ref();
        let mut problems = Problems::default();
        if root != Path::new("/") {
            check_path(&mut problems, "root", root);
        }
        problems.check(config.directory.starts_with(root), "directory", "must be below the host's root");
        problems.into_result()?;
        let links = Links::remote(&config.directory, Arc::clone(&host), root);
        Ok(Self { config, links, machine: Machine::remote(host), clock })
    }

    fn check(&self, routing: &Routing) -> Result<Checked, StepError> {
        let versions = Checked::of(routing, self.granularity(), Takes::Sockets)?;
        let mut problems = Problems::default();
        for version in &versions.0 {
            if version.weight > 0 && version.addresses.len() > usize::from(self.config.places) {
                let field = format!("routing.{}.addresses", version.name);
                problems.add(field, format!("must be at most {}: one for each place", self.config.places));
            }
        }
        problems.into_result()?;
        Ok(versions)
    }

    /// The table in force, whose links lead where it says.
    async fn observe(&self) -> Result<Option<(String, Table)>, StepError> {
        let Some((id, standing)) = self.links.live(self.config.places).await? else { return Ok(None) };
        let standing = standing.ok_or_else(|| {
            StepError::new(ErrorKind::Conflict, "the table in force is not there").fact("table", &id)
        })?;
        self.verified(&id, &standing).map(|table| Some((id, table)))
    }

    fn verified(&self, id: &str, standing: &Standing) -> Result<Table, StepError> {
        let table = Table::read(id, &standing.text, &self.config.service, self.config.places)?;
        if table.targets()? == standing.targets {
            return Ok(table);
        }
        Err(StepError::new(ErrorKind::Conflict, "the links do not lead where they were put")
            .fact("table", id))
    }

    /// Refuses addresses at which nobody listens under the very path: their traffic would fail, and could not be counted.
    fn check_listening(
        &self,
        versions: &Checked,
        before: Option<&Table>,
        now: &UnixSockets,
    ) -> Result<(), StepError> {
        let known: BTreeSet<PathBuf> = before
            .iter()
            .flat_map(|table| table.routing().0.values())
            .filter(|route| route.weight > 0)
            .flat_map(|route| route.addresses.iter().filter_map(|address| socket_path(address)))
            .collect();
        let routed = versions.0.iter().filter(|version| version.weight > 0);
        let deaf = routed.flat_map(|version| sockets(&version.addresses));
        let mut deaf = deaf.filter(|path| !known.contains(*path) && !now.is_listening(path));
        match deaf.next() {
            None => Ok(()),
            Some(path) => Err(StepError::new(
                ErrorKind::Conflict,
                "nobody listens at the address under exactly this path",
            )
            .fact("address", format!("unix:{}", path.display()))),
        }
    }

    /// The table of a routing that may follow `before`.
    fn next(
        &self,
        routing: &Routing,
        versions: Checked,
        before: Option<&Table>,
        now: &UnixSockets,
    ) -> Result<Table, StepError> {
        self.check_listening(&versions, before, now)?;
        let versions = versions.in_order_after(before.map_or(&[], |table| table.order()));
        Ok(Table::new(&self.config.service, self.config.places, routing, &versions))
    }

    /// What must be remembered of a switch before it happens.
    async fn begun(
        &self,
        table: &Table,
        before: Option<&Table>,
        now: &UnixSockets,
    ) -> Result<History, StepError> {
        let mut history = self.links.history().await?;
        let is_busy =
            |address: &str| socket_path(address).is_some_and(|path| now.connections(&path).next().is_some());
        let none = Routing::default();
        let before = before.map_or(&none, |table| table.routing());
        history.former = former(before, &history.former, table.routing(), is_busy);
        history.begin(self.now(), self.config.places, table.shares()?);
        Ok(history)
    }

    /// Waits until no request can begin on a connection that was opened before `switched`: one that nginx keeps leads where it was opened to.
    async fn settle(&self, switched: Duration, lost: &[PathBuf]) -> Result<(), StepError> {
        let Some(keep_alive) = &self.config.keep_alive else { return Ok(()) };
        while self.clock.monotonic().saturating_sub(switched) <= keep_alive.bound() {
            let open = self.machine.connections(lost, &*self.clock).await?;
            if open.values().all(|count| *count == 0) {
                return Ok(());
            }
            self.clock.sleep(POLL).await;
        }
        Ok(())
    }

    /// What comes behind the rename: something may have changed.
    async fn finish(
        &self,
        permit: &Permit,
        id: &str,
        found: Option<String>,
        mut history: History,
        before: Option<&str>,
    ) -> Result<(), StepError> {
        let switched = self.clock.monotonic();
        if found.as_deref() != Some(id) {
            return Err(StepError::in_doubt("somebody else switched at the same time").fact("table", id));
        }
        self.settle(switched, &socket_paths(&history.former)).await?;
        history.settle(self.now());
        self.links.remember(permit, &history).await?;
        // A worker may be on its way through the table that was in force a moment ago.
        let kept: Vec<String> = [Some(id), before].into_iter().flatten().map(str::to_owned).collect();
        self.links.clear(permit, &kept).await
    }

    /// Makes sure of what is in force already: the call that put it so may not have come to its end.
    async fn again(&self, permit: &Permit, table: &Table) -> Result<(), StepError> {
        let mut history = self.links.history().await?;
        if !history.is_settled() {
            let all: Vec<String> = addresses(table.routing()).chain(&history.former).cloned().collect();
            self.settle(self.clock.monotonic(), &socket_paths(&all)).await?;
            history.settle(self.now());
        }
        self.links.remember(permit, &history).await
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}

#[async_trait]
impl Router for SocketRouter {
    fn granularity(&self) -> u8 {
        100 / self.config.places
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        check_service(service, &self.config.service)?;
        Ok(self.observe().await?.map(|(_, table)| table.routing().clone()).unwrap_or_default())
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        check_service(service, &self.config.service)?;
        let versions = self.check(routing)?;
        let _lock = self.links.lock().await?;
        let before = self.observe().await?;
        match &before {
            Some((_, table)) if table.routing() == routing => return self.again(permit, table).await,
            None if routing.0.is_empty() => return Ok(()),
            _ => {}
        }
        let now = self.machine.unix_sockets().await?;
        let present = before.as_ref().map(|(_, table)| table);
        let table = self.next(routing, versions, present, &now)?;
        let (text, id) = table.written()?;
        let history = self.begun(&table, present, &now).await?;
        let wanted = Standing { text: text.into_bytes(), targets: table.targets()? };
        let found = self.links.switch(permit, Change { id: id.clone(), wanted }, &history).await?;
        let before = before.as_ref().map(|(id, _)| id.as_str());
        self.finish(permit, &id, found, history, before).await.map_err(StepError::after_effect)
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        check_service(service, &self.config.service)?;
        let Some((_, table)) = self.observe().await? else { return Ok(InFlight::new()) };
        let former = self.links.history().await?.former;
        let addresses: Vec<String> = addresses(table.routing()).chain(&former).cloned().collect();
        let paths = socket_paths(&addresses);
        let begun = self.clock.monotonic();
        loop {
            let open = self.machine.connections(&paths, &*self.clock).await?;
            let count =
                |address: &String| open.get(&socket_path(address)?).copied().filter(|count| *count > 0);
            let left = addresses.iter().any(|address| count(address).is_some() && former.contains(address));
            let bound = self.config.keep_alive.as_ref().map_or(Duration::ZERO, crate::KeepAlive::bound);
            // Where nothing goes any more a connection that outlives what nginx keeps is a request under way. Where traffic goes,
            // an idle one may be counted as busy, and never the other way round.
            if !left || self.clock.monotonic().saturating_sub(begun) > bound {
                return Ok(addresses
                    .iter()
                    .filter_map(|address| Some((address.clone(), count(address)?)))
                    .collect());
            }
            self.clock.sleep(POLL).await;
        }
    }
}

impl fmt::Debug for SocketRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketRouter")
            .field("config", &self.config)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{InFlight, Route, Router, Routing};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError, SystemClock};

use crate::backend::{Backend, LOOK, refused};
use crate::client::Client;
use crate::config::HaproxyConfig;
use crate::shares::{Shares, divide, percents};
use crate::slot::{Named, Slot, fence_name};

/// The longest line of commands that is sent: half of HAProxy's smallest usual buffer.
const LINE_MAX: usize = 8 * 1024;

/// Routes through the runtime socket of one HAProxy: each service is the backend of its name.
#[derive(Debug)]
pub struct HaproxyRouter {
    client: Client,
}

impl HaproxyRouter {
    /// A router on the machine's clock. Nothing is connected.
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn new(config: HaproxyConfig) -> Result<Self, Problems> {
        Self::with_clock(config, Arc::new(SystemClock::new()))
    }

    /// A router that waits by `clock`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(config: HaproxyConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.validate()?;
        let HaproxyConfig { socket, timeout } = config;
        Ok(Self { client: Client { socket, timeout, clock } })
    }

    /// The `server` lines that, in the section of the backend, make HAProxy begin with the routing that is in force now. HAProxy
    /// forgets what its runtime socket was told when it is started or reloaded. Changes nothing.
    ///
    /// # Errors
    /// As [`routing`](Router::routing).
    pub async fn server_lines(&self, service: &Name) -> Result<String, StepError> {
        let shares = self.observe(service).await?.shares()?;
        let line = |(slot, weight): (&Slot, &u64)| format!("    server {}\n", declaration(slot, *weight));
        Ok(shares.iter().map(line).collect())
    }

    async fn observe(&self, service: &Name) -> Result<Backend, StepError> {
        let answer = self.client.read(LOOK).await?;
        Backend::read(service, &answer)
    }

    /// Remembers the permit's fence in the backend itself, where the next controller finds it.
    async fn raise_fence(&self, permit: &Permit, service: &Name, seen: &Backend) -> Result<(), StepError> {
        let fence = permit.fence();
        if let Some(latest) = seen.fence().filter(|latest| *latest >= fence) {
            if latest == fence {
                return Ok(());
            }
            let error = StepError::new(ErrorKind::Conflict, "a later owner has changed the routing");
            return Err(error.fact("fence", fence.0).fact("latest", latest.0));
        }
        // A server that was declared at run time is in maintenance until it is told otherwise: this one never is.
        self.add(service, &format!("{} 127.0.0.1:1", fence_name(fence))).await?;
        for server in &seen.servers {
            if matches!(server.named, Named::Fence(earlier) if earlier < fence) {
                let _ = self.client.change(&format!("del server {service}/{}", server.name)).await;
            }
        }
        Ok(())
    }

    async fn add(&self, service: &Name, declaration: &str) -> Result<(), StepError> {
        let answer = self.client.change(&format!("add server {service}/{declaration}")).await?;
        match answer.trim() {
            "New server registered." => Ok(()),
            _ => Err(refused(&answer)),
        }
    }

    /// Declares the servers that are missing: all of them, or none where HAProxy refuses one.
    async fn declare(&self, service: &Name, missing: &[(&Slot, u64)]) -> Result<(), StepError> {
        for (done, (slot, weight)) in missing.iter().enumerate() {
            let Err(mut error) = self.add(service, &declaration(slot, *weight)).await else { continue };
            for (slot, _) in missing.iter().take(done) {
                let deleted = self.client.change(&format!("del server {service}/{}", slot.name())).await;
                if !deleted.is_ok_and(|answer| answer.trim() == "Server deleted.") {
                    error = error.after_effect();
                }
            }
            return Err(error.fact("server", slot.name()));
        }
        Ok(())
    }

    /// Gives the wanted servers their weights and their requests, then takes the others out: at no moment is there none.
    async fn switch(&self, service: &Name, before: &Backend, wanted: &Shares) -> Result<(), StepError> {
        let known = before.slots();
        let set = |slot: &Slot, what: String| format!("set server {service}/{} {what}", slot.name());
        let mut commands = Vec::new();
        for (slot, weight) in wanted {
            let weight_now =
                known.get(slot).filter(|server| server.is_ready).and_then(|server| server.weight);
            if known.contains_key(slot) && weight_now != Some(*weight) {
                commands.push(set(slot, format!("weight {weight}")));
            }
            if weight_now.is_none() {
                commands.push(set(slot, "state ready".to_owned()));
            }
        }
        let retired =
            known.iter().filter(|(slot, server)| server.weight.is_some() && !wanted.contains_key(**slot));
        commands.extend(retired.map(|(slot, _)| set(slot, "state maint".to_owned())));
        let mut line = String::new();
        for command in commands {
            if line.len() + command.len() > LINE_MAX {
                self.put(&std::mem::take(&mut line)).await?;
            }
            if !line.is_empty() {
                line.push(';');
            }
            line.push_str(&command);
        }
        if line.is_empty() { Ok(()) } else { self.put(&line).await }
    }

    /// Puts commands that answer nothing when they are carried out.
    async fn put(&self, line: &str) -> Result<(), StepError> {
        let answer = self.client.change(line).await?;
        if answer.trim().is_empty() { Ok(()) } else { Err(refused(&answer).after_effect()) }
    }

    /// Removes servers of ours in maintenance that answer nothing any more. HAProxy keeps one that still holds a connection;
    /// it is removed by a later change.
    async fn tidy(&self, service: &Name, seen: &Backend) {
        let idle =
            seen.slots().into_values().filter(|server| server.weight.is_none() && server.in_flight == 0);
        for server in idle {
            let _ = self.client.change(&format!("del server {service}/{}", server.name)).await;
        }
    }
}

#[async_trait]
impl Router for HaproxyRouter {
    fn granularity(&self) -> u8 {
        1
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        routing_of(&self.observe(service).await?.shares()?)
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let wanted = divide(routing)?;
        let before = self.observe(service).await?;
        let now = before.shares()?;
        self.raise_fence(permit, service, &before).await?;
        if now == wanted {
            return Ok(());
        }
        let known = before.slots();
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(slot, _)| !known.contains_key(slot))
            .map(|(slot, weight)| (slot, *weight))
            .collect();
        self.declare(service, &missing).await?;
        self.switch(service, &before, &wanted).await?;
        let after = self.observe(service).await.map_err(StepError::after_effect)?;
        if after.shares().map_err(StepError::after_effect)? != wanted || after.fence() != Some(permit.fence())
        {
            let error = StepError::in_doubt("the routing was changed by somebody else meanwhile");
            return Err(error.fact("backend", service));
        }
        self.tidy(service, &after).await;
        Ok(())
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        let mut counted = InFlight::new();
        for server in self.observe(service).await?.servers.into_iter().filter(|server| server.in_flight > 0) {
            let address = match server.named {
                Named::Slot(slot) => slot.address.to_string(),
                Named::Fence(_) | Named::Foreign => server.address,
            };
            *counted.entry(address).or_default() += server.in_flight;
        }
        Ok(counted)
    }
}

fn declaration(slot: &Slot, weight: u64) -> String {
    format!("{} {} weight {weight}", slot.name(), slot.address.declared())
}

fn routing_of(shares: &Shares) -> Result<Routing, StepError> {
    let percents = percents(shares);
    let mut routing = Routing::default();
    for slot in shares.keys().filter(|slot| slot.part == 0) {
        let weight = percents.get(slot.version.as_str()).copied().unwrap_or(0);
        let route = || Route { weight, addresses: Vec::new() };
        routing.0.entry(slot.version.clone()).or_insert_with(route).addresses.push(slot.address.to_string());
    }
    if routing.weights().is_err() {
        let error = StepError::new(ErrorKind::Conflict, "somebody set weights that are no whole percents");
        return Err(error.fact("percents", format!("{percents:?}")));
    }
    Ok(routing)
}

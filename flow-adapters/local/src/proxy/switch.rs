use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use flow_core::port::{InFlight, Routing, Sample};
use flow_core::{Cause, ErrorKind, Name, StepError};

use super::counts::Counts;
use super::endpoint::Endpoint;
use super::error::ProxyError;
use super::flights::{Flight, Flights};
use super::state::{SavedRouting, StateDir};
use super::table::{Table, Version};
use crate::os;

/// The routing in force, and what it takes to change it.
#[derive(Debug)]
pub(super) struct Switch {
    service: Name,
    own: SocketAddr,
    state: StateDir,
    table: RwLock<Table>,
    flights: Arc<Flights>,
    counts: Counts,
    /// Held by whoever changes the routing, from reading it to having swapped it.
    changes: tokio::sync::Mutex<Changes>,
}

/// Whether the routing may still be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    Open,
    Closed,
}

/// A request's place: its version, and its mark at the version's address.
pub(super) struct Place {
    pub(super) version: Arc<Version>,
    /// The version's addresses, the first one entered.
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) flight: Flight,
}

impl Switch {
    /// Puts the saved routing in force.
    pub(super) fn open(service: Name, own: SocketAddr, state: StateDir) -> Result<Self, ProxyError> {
        let saved = state.read_routing(&service)?;
        let counts = Counts::new();
        let table = Table::new(saved.generation, saved.routing, own, &BTreeMap::new(), &counts)
            .map_err(|problems| ProxyError::state(&state.routing(), &problems))?;
        Ok(Self {
            service,
            own,
            state,
            table: RwLock::new(table),
            flights: Arc::default(),
            counts,
            changes: tokio::sync::Mutex::new(Changes::Open),
        })
    }

    /// Gives a request its place, or none where nothing is routed.
    pub(super) fn enter(&self) -> Option<Place> {
        // Chosen and counted under one lock: once a change holds the lock for writing, every request that was given an
        // old address is counted there, so that none can fall to an address that was seen drained.
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let version = table.choose()?;
        let endpoints: Vec<Arc<Endpoint>> = version.in_turn().map(Arc::clone).collect();
        let flight = self.flights.enter(&endpoints.first()?.text);
        Some(Place { version: Arc::clone(version), endpoints, flight })
    }

    pub(super) fn routing(&self) -> (u64, Routing) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        (table.generation, table.routing.clone())
    }

    pub(super) fn generation(&self) -> u64 {
        self.table.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// Every routed address, and every other one as long as a request is under way there.
    pub(super) fn in_flight(&self) -> InFlight {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let routed = table.endpoints.values().map(|endpoint| (endpoint.text.to_string(), 0));
        let mut counted: InFlight = routed.collect();
        counted.extend(self.flights.counted());
        counted
    }

    pub(super) fn sample(&self, version: &Name) -> Option<Sample> {
        self.counts.sample(version)
    }

    /// Puts `routing` in force for every request from now on: saved first, then swapped at once. The same routing again
    /// changes nothing.
    pub(super) async fn change(self: Arc<Self>, service: &Name, routing: Routing) -> Result<(), Cause> {
        if *service != self.service {
            let error = StepError::new(ErrorKind::NotFound, "this proxy serves another service");
            return Err(Cause::from(&error.fact("service", &self.service)));
        }
        let changes = self.changes.lock().await;
        if *changes == Changes::Closed {
            return Err(Cause::new(ErrorKind::Unavailable, "this proxy is ending"));
        }
        let (generation, current) = self.routing();
        if routing == current {
            return Ok(());
        }
        let kept = self.table.read().unwrap_or_else(PoisonError::into_inner).endpoints.clone();
        let table = Table::new(generation + 1, routing, self.own, &kept, &self.counts)
            .map_err(|problems| Cause::from(&StepError::from(problems)))?;
        let saved = SavedRouting::new(&self.service, table.generation, table.routing.clone());
        let this = Arc::clone(&self);
        os::off_thread(move || this.state.write_routing(&saved))
            .await
            .map_err(|error| Cause::from(&error))?;
        self.swap(table);
        drop(changes);
        Ok(())
    }

    /// Waits for a change that is under way and refuses every later one: the directory is about to be another's.
    pub(super) async fn close(&self) {
        *self.changes.lock().await = Changes::Closed;
    }

    /// Closes the idle connections that are older than `keep`.
    pub(super) fn prune(&self, keep: std::time::Duration) {
        let endpoints = self.table.read().unwrap_or_else(PoisonError::into_inner).endpoints.clone();
        for endpoint in endpoints.values() {
            endpoint.prune(keep);
        }
    }

    fn swap(&self, table: Table) {
        let mut current = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, table);
        for (address, endpoint) in before.endpoints {
            if !current.endpoints.contains_key(&address) {
                endpoint.retire();
            }
        }
    }
}

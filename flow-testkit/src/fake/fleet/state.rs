//! The world itself: who runs, who is well, and where traffic goes, at any instant.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::Name;
use flow_core::port::{Health, InFlight, Routing};
use tokio::time::Instant;

use super::history::Snapshot;
use super::life::Life;
use super::trouble::{Kind, Trouble};

#[derive(Debug)]
pub(super) struct State {
    pub(super) began: Instant,
    pub(super) granularity: u8,
    /// Every instance that was ever launched, in order.
    pub(super) lives: Vec<Life>,
    /// Every routing that was ever put in force, in order.
    pub(super) routings: Vec<(Instant, Name, Routing)>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) snapshots: Vec<Snapshot>,
    /// The requests that users hold open: for which service, and at which address.
    pub(super) held: BTreeMap<u64, (String, String)>,
    /// How many requests each service and each of its versions got: whose turn it is.
    pub(super) turns: BTreeMap<(String, Option<Name>), usize>,
    pub(super) next: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            granularity: 1,
            lives: Vec::new(),
            routings: Vec::new(),
            troubles: Vec::new(),
            snapshots: Vec::new(),
            held: BTreeMap::new(),
            turns: BTreeMap::new(),
            next: 0,
        }
    }
}

impl State {
    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    // --- instances

    fn troubles_of<'a>(&'a self, life: &'a Life) -> impl Iterator<Item = &'a Trouble> {
        let version = life.instance.version.as_str();
        self.troubles.iter().filter(move |trouble| trouble.is_about(life.service(), version))
    }

    pub(super) fn runs(&self, life: &Life, at: Instant) -> bool {
        let ended = life.ended.is_some_and(|ended| at >= ended);
        let mut troubles = self.troubles_of(life);
        let died = troubles.any(|trouble| trouble.kind == Kind::Ends && trouble.has_begun(life, at));
        at >= life.launched && !ended && !died
    }

    /// The instances of `service` that run, by id.
    pub(super) fn running(&self, service: &str, at: Instant) -> impl Iterator<Item = &Life> {
        let mut running: Vec<&Life> =
            self.lives.iter().filter(|life| life.service() == service && self.runs(life, at)).collect();
        running.sort_by(|left, right| left.instance.id.cmp(&right.instance.id));
        running.into_iter()
    }

    pub(super) fn find(&self, service: &Name, instance: &Name, at: Instant) -> Option<&Life> {
        self.running(service.as_str(), at).find(|life| life.instance.id == *instance)
    }

    pub(super) fn find_mut(&mut self, service: &Name, instance: &Name, at: Instant) -> Option<&mut Life> {
        let found = self.find(service, instance, at)?.instance.address.clone();
        self.lives.iter_mut().rev().find(|life| life.is_at(service.as_str(), &found))
    }

    pub(super) fn health(&self, life: &Life, at: Instant) -> Health {
        if !self.runs(life, at) {
            return Health::Gone;
        }
        let sick = self.troubles_of(life).find_map(|trouble| match trouble.kind {
            Kind::SlowStart(takes) if at.saturating_duration_since(life.launched) < takes => {
                Some("connection refused")
            }
            Kind::Unhealthy if trouble.is_on(life, at) => Some("status 500"),
            _ => None,
        });
        match sick {
            Some(reason) => Health::Unhealthy { reason: reason.to_owned() },
            None => Health::Healthy,
        }
    }

    /// Whether launches of `version` fail by `kind`.
    pub(super) fn fails_to_launch(&self, service: &Name, version: &Name, kind: Kind) -> bool {
        let about = |trouble: &&Trouble| trouble.is_about(service.as_str(), version.as_str());
        self.troubles.iter().filter(about).any(|trouble| trouble.kind == kind)
    }

    /// How long `life` takes to end when it is asked to and killed after `grace`.
    pub(super) fn takes_to_end(&self, life: &Life, grace: Duration) -> Duration {
        let slow = self.troubles_of(life).filter_map(|trouble| match trouble.kind {
            Kind::SlowEnd(takes) => Some(takes.unwrap_or(grace).min(grace)),
            _ => None,
        });
        slow.max().unwrap_or(Duration::ZERO)
    }

    // --- traffic

    pub(super) fn routing(&self, service: &str, at: Instant) -> Option<&Routing> {
        let mut put = self.routings.iter().rev().filter(|(_, name, _)| name.as_str() == service);
        put.find(|(since, ..)| *since <= at).map(|(.., routing)| routing)
    }

    pub(super) fn is_routed(&self, service: &str, address: &str, at: Instant) -> bool {
        self.routing(service, at).is_some_and(|routing| gets_traffic(routing, address))
    }

    /// When traffic left `address`; none where it never went there, or still does.
    fn left(&self, service: &str, address: &str) -> Option<Instant> {
        let mut of_service = self.routings.iter().rev().filter(|(_, name, _)| name.as_str() == service);
        let mut left = None;
        of_service.find_map(|(since, _, routing)| {
            if gets_traffic(routing, address) {
                return Some(left);
            }
            left = Some(*since);
            None
        })?
    }

    /// The requests under way at `life`.
    pub(super) fn under_way(&self, life: &Life, at: Instant) -> u64 {
        if !self.runs(life, at) {
            return 0;
        }
        let (service, address) = (life.service(), life.instance.address.as_str());
        let routed = self.is_routed(service, address, at);
        let left = self.left(service, address);
        let busy = self.troubles_of(life).filter_map(|trouble| match trouble.kind {
            Kind::Busy(requests, _) if routed => Some(requests),
            Kind::Busy(requests, ends) => {
                let since = at.saturating_duration_since(left?);
                ends.is_none_or(|ends| since < ends).then_some(requests)
            }
            _ => None,
        });
        let held = self.held.values().filter(|(name, place)| name == service && place == address);
        busy.sum::<u64>() + held.count() as u64
    }

    pub(super) fn in_flight(&self, service: &str, at: Instant) -> InFlight {
        let running = self.running(service, at);
        running.map(|life| (life.instance.address.clone(), self.under_way(life, at))).collect()
    }

    /// Notes a change that was just made.
    pub(super) fn note(&mut self, service: &Name, change: String, cut: u64) {
        let at = Instant::now();
        let routing = self.routing(service.as_str(), at).cloned().unwrap_or_default();
        let addresses =
            routing.0.values().filter(|route| route.weight > 0).flat_map(|route| &route.addresses);
        let (mut serving, mut exposed) = (Vec::new(), Vec::new());
        for address in addresses {
            let life = self.lives.iter().rev().find(|life| life.is_at(service.as_str(), address));
            match life {
                Some(life) if self.health(life, at).is_healthy() => serving.push(life.instance.id.clone()),
                _ => exposed.push(address.clone()),
            }
        }
        let at = at.saturating_duration_since(self.began);
        self.snapshots.push(Snapshot {
            at,
            service: service.clone(),
            change,
            routing,
            serving,
            exposed,
            cut,
        });
    }
}

fn gets_traffic(routing: &Routing, address: &str) -> bool {
    routing.0.values().any(|route| route.weight > 0 && route.addresses.iter().any(|own| own == address))
}

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_core::port::Routing;
use flow_core::{Name, Problems};
use hyper::header::HeaderValue;

use super::address::Address;
use super::counts::{Counts, Tally};
use super::endpoint::Endpoint;

/// The most addresses of a routing, so that it fits a line of the control protocol.
const ADDRESSES_MAX: usize = 1_000;
const SLOTS: usize = 100;

/// A routing, ready to choose from.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) generation: u64,
    pub(super) routing: Routing,
    pub(super) endpoints: BTreeMap<Address, Arc<Endpoint>>,
    slots: Vec<Arc<Version>>,
    next: AtomicUsize,
}

/// One version of a table.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) name: Name,
    pub(super) header: HeaderValue,
    pub(super) tally: Arc<Tally>,
    endpoints: Vec<Arc<Endpoint>>,
    next: AtomicUsize,
}

impl Version {
    /// Every address once, beginning with the one whose turn it is.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Arc<Endpoint>> + use<'_> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.endpoints.len().max(1);
        self.endpoints.iter().cycle().skip(first).take(self.endpoints.len())
    }
}

impl Table {
    /// Takes over the connections of `before` to addresses that stay.
    ///
    /// # Errors
    /// Everything that is wrong with the routing, at once.
    pub(super) fn new(
        generation: u64,
        routing: Routing,
        own: SocketAddr,
        before: &BTreeMap<Address, Arc<Endpoint>>,
        counts: &Counts,
    ) -> Result<Self, Problems> {
        let addresses = check(&routing, own)?;
        let mut endpoints = BTreeMap::new();
        let mut shares = Vec::new();
        for (name, route) in &routing.0 {
            let mut own = Vec::new();
            for text in &route.addresses {
                let Some(address) = addresses.get(text.as_str()) else { continue };
                let endpoint = before
                    .get(address)
                    .map_or_else(|| Arc::new(Endpoint::new(text, address.clone())), Arc::clone);
                endpoints.insert(address.clone(), Arc::clone(&endpoint));
                own.push(endpoint);
            }
            let header = HeaderValue::from_str(name.as_str()).map_err(|error| {
                let mut problems = Problems::default();
                problems.add(format!("routing.{name}"), error.to_string());
                problems
            })?;
            let tally = counts.of(name);
            let version =
                Version { name: name.clone(), header, tally, endpoints: own, next: AtomicUsize::new(0) };
            shares.push((Arc::new(version), route.weight));
        }
        Ok(Self { generation, routing, endpoints, slots: interleave(&shares), next: AtomicUsize::new(0) })
    }

    /// The version whose turn it is; none where nothing is routed.
    pub(super) fn choose(&self) -> Option<&Arc<Version>> {
        self.slots.get(self.next.fetch_add(1, Ordering::Relaxed) % SLOTS)
    }
}

/// Smooth weighted round robin (the rule of nginx): a hundred turns in which each version has exactly its share, spread
/// as evenly as can be, so that 1 % is one request of every hundred and never a lucky streak.
fn interleave(shares: &[(Arc<Version>, u8)]) -> Vec<Arc<Version>> {
    let mut credits = vec![0_i32; shares.len()];
    let mut slots = Vec::with_capacity(SLOTS);
    for _ in 0..SLOTS {
        for (credit, (_, share)) in credits.iter_mut().zip(shares) {
            *credit += i32::from(*share);
        }
        let richest = credits.iter_mut().zip(shares).max_by_key(|(credit, _)| **credit);
        if let Some((credit, (version, _))) = richest {
            *credit -= 100;
            slots.push(Arc::clone(version));
        }
    }
    slots
}

fn check(routing: &Routing, own: SocketAddr) -> Result<BTreeMap<&str, Address>, Problems> {
    let mut problems = Problems::default();
    let mut addresses = BTreeMap::new();
    let mut taken = BTreeSet::new();
    if let Err(problem) = routing.weights() {
        problems.add("routing", problem.to_string());
    }
    for (version, route) in &routing.0 {
        if route.weight > 0 && route.addresses.is_empty() {
            problems.add(format!("routing.{version}.addresses"), "must hold an address");
        }
        for (index, text) in route.addresses.iter().enumerate() {
            let field = format!("routing.{version}.addresses.{index}");
            match Address::parse(text) {
                Err(problem) => problems.add(field, format!("`{}` {problem}", text.escape_debug())),
                Ok(address) if address == Address::Tcp(own) => {
                    problems.add(field, format!("`{text}` is the proxy itself"));
                }
                // One address in two versions would give one's failures to the other.
                Ok(address) if !taken.insert(address.clone()) => {
                    problems.add(field, format!("`{text}` is routed twice"));
                }
                Ok(address) => {
                    addresses.insert(text.as_str(), address);
                }
            }
        }
    }
    problems.check(taken.len() <= ADDRESSES_MAX, "routing", "must hold at most 1000 addresses");
    problems.into_result().map(|()| addresses)
}

#[cfg(test)]
mod tests {
    use flow_core::port::Route;

    use super::*;

    fn own() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    fn table(shares: &[(&str, u8)]) -> Table {
        let routes = shares.iter().enumerate().map(|(index, (version, weight))| {
            let addresses = vec![format!("127.0.0.1:{}", 20_000 + index)];
            (Name::new(*version).unwrap(), Route { weight: *weight, addresses })
        });
        Table::new(1, Routing(routes.collect()), own(), &BTreeMap::new(), &Counts::new()).unwrap()
    }

    fn problems(routes: &[(&str, u8, &[&str])]) -> String {
        let routes = routes.iter().map(|(version, weight, addresses)| {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            (Name::new(*version).unwrap(), Route { weight: *weight, addresses })
        });
        Table::new(1, Routing(routes.collect()), own(), &BTreeMap::new(), &Counts::new())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn every_hundred_requests_in_a_row_have_each_versions_exact_share() {
        for share in 1..100_u8 {
            let table = table(&[("new", share), ("old", 100 - share)]);
            let turns: Vec<bool> = (0..300).map(|_| table.choose().unwrap().name.as_str() == "new").collect();
            for window in turns.windows(100) {
                assert_eq!(window.iter().filter(|new| **new).count(), usize::from(share));
            }
        }
    }

    #[test]
    fn the_turns_of_a_share_are_spread_evenly() {
        for share in [1_u8, 5, 25, 50] {
            let table = table(&[("new", share), ("old", 100 - share)]);
            let turns: Vec<usize> =
                (0..300).filter(|_| table.choose().unwrap().name.as_str() == "new").collect();
            let apart = 100 / usize::from(share);
            assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == apart), "{share}: {turns:?}");
        }
    }

    #[test]
    fn three_versions_share_exactly_and_a_share_of_zero_gets_nothing() {
        let table = table(&[("a", 33), ("b", 33), ("c", 34), ("d", 0)]);
        let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..10_000 {
            *counted.entry(table.choose().unwrap().name.as_str()).or_default() += 1;
        }
        assert_eq!(counted, BTreeMap::from([("a", 3_300), ("b", 3_300), ("c", 3_400)]));
    }

    #[test]
    fn an_empty_routing_chooses_nothing() {
        assert!(table(&[]).choose().is_none());
    }

    #[test]
    fn all_that_is_wrong_with_a_routing_is_reported_at_once() {
        let found = problems(&[
            ("a", 60, &["127.0.0.1:1", "10.0.0.1:80"]),
            ("b", 60, &[]),
            ("c", 0, &["unix:/x/../y"]),
            ("d", 0, &["127.0.0.1:2", "127.0.0.1:2"]),
        ]);
        for part in
            ["sum to 120", "a.addresses.0", "a.addresses.1", "b.addresses`", "c.addresses.0", "d.addresses.1"]
        {
            assert!(found.contains(part), "{part} in {found}");
        }
    }

    #[test]
    fn an_address_belongs_to_one_version() {
        let found = problems(&[("a", 50, &["127.0.0.1:9"]), ("b", 50, &["127.0.0.1:9"])]);
        assert!(found.contains("b.addresses.0"), "{found}");
    }
}

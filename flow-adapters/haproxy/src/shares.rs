use std::collections::{BTreeMap, BTreeSet};

use flow_core::Problems;
use flow_core::port::Routing;

use crate::address::Address;
use crate::slot::Slot;

/// The greatest weight of one server.
const WEIGHT_MAX: u64 = 256;
/// The greatest weight of one address: of four servers.
const ADDRESS_MAX: u64 = 4 * WEIGHT_MAX;
/// The most addresses of a routing.
const ADDRESSES_MAX: usize = 1_000;

/// The servers of a routing, each with its weight.
pub(crate) type Shares = BTreeMap<Slot, u64>;

/// Divides a routing among servers.
///
/// The weights are whole numbers that give each version exactly its share, and each of its addresses the same part of that.
/// Only where such numbers are too great are they rounded, and then no share is off by as much as half a percent.
///
/// # Errors
/// Everything that is wrong with the routing, at once.
pub(crate) fn divide(routing: &Routing) -> Result<Shares, Problems> {
    let addresses = check(routing)?;
    let mut shares = Shares::new();
    for ((version, route), weight) in routing.0.iter().zip(weights(routing)) {
        let parts = weight.div_ceil(WEIGHT_MAX).max(1);
        for (index, text) in route.addresses.iter().enumerate() {
            let Some(address) = addresses.get(text.as_str()) else { continue };
            for part in 0..parts {
                let slot = Slot {
                    version: version.clone(),
                    index,
                    part: u32::try_from(part).unwrap_or(u32::MAX),
                    address: address.clone(),
                };
                shares.insert(slot, weight / parts + u64::from(part < weight % parts));
            }
        }
    }
    let mut problems = Problems::default();
    let given = percents(&shares);
    problems.check(
        routing
            .0
            .iter()
            .all(|(version, route)| given.get(version.as_str()).copied().unwrap_or(0) == route.weight),
        "routing",
        "cannot be divided among so many addresses within half a percent",
    );
    problems.into_result().map(|()| shares)
}

/// The weight of each address, version by version.
fn weights(routing: &Routing) -> Vec<u64> {
    let sizes =
        || routing.0.values().map(|route| (u64::from(route.weight), to_u64(route.addresses.len()).max(1)));
    let routed = || sizes().filter(|(weight, _)| *weight > 0);
    let whole =
        routed().fold(1, |whole: u64, (_, count)| whole.saturating_mul(count / divisor(whole, count)));
    let exact = || sizes().map(|(weight, count)| weight.saturating_mul(whole / count));
    if exact().max().unwrap_or(0) <= ADDRESS_MAX {
        let unit = exact().fold(0, divisor).max(1);
        let most = exact().max().unwrap_or(0) / unit;
        // As great as they can be: with weights of 2 and 3 HAProxy was measured to be a quarter of a percent off.
        let times = (WEIGHT_MAX / most.max(1)).max(1);
        return exact().map(|weight| weight / unit * times).collect();
    }
    // The version whose addresses get most is given the greatest weight, the others in proportion, to the nearest.
    let most = routed().max_by(|(one, of), (other, among)| (one * among).cmp(&(other * of)));
    let (most, among) = most.unwrap_or((1, 1));
    sizes()
        .map(|(weight, count)| (weight * among * ADDRESS_MAX + most * count / 2) / (most * count))
        .collect()
}

/// The share of each version in percent, to the nearest.
pub(crate) fn percents(shares: &Shares) -> BTreeMap<&str, u8> {
    let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
    for (slot, weight) in shares {
        *weights.entry(slot.version.as_str()).or_default() += weight;
    }
    let total = weights.values().sum::<u64>().max(1);
    let percent = |weight: u64| u8::try_from((200 * weight + total) / (2 * total)).unwrap_or(u8::MAX);
    weights.into_iter().map(|(version, weight)| (version, percent(weight))).collect()
}

fn check(routing: &Routing) -> Result<BTreeMap<&str, Address>, Problems> {
    let mut problems = Problems::default();
    let (mut addresses, mut taken) = (BTreeMap::new(), BTreeSet::new());
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
    problems.check(taken.len() <= ADDRESSES_MAX, "routing", "has more than 1000 addresses");
    problems.into_result().map(|()| addresses)
}

fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use flow_core::Name;
    use flow_core::port::Route;

    use super::*;

    /// A routing of versions `v0`, `v1`, .. with their weights and numbers of addresses.
    fn routing(routes: &[(u8, usize)]) -> Routing {
        let address = |version: usize, index: usize| format!("10.0.{version}.1:{}", index + 1);
        let route = |(version, (weight, count)): (usize, &(u8, usize))| {
            let addresses = (0..*count).map(|index| address(version, index)).collect();
            (Name::new(format!("v{version}")).unwrap(), Route { weight: *weight, addresses })
        };
        Routing(routes.iter().enumerate().map(route).collect())
    }

    fn weights(routes: &[(u8, usize)]) -> Vec<u64> {
        divide(&routing(routes)).unwrap().into_values().collect()
    }

    #[test]
    fn weights_divide_exactly_and_are_great() {
        assert_eq!(weights(&[(100, 1)]), [256]);
        assert_eq!(weights(&[(100, 3)]), [256, 256, 256]);
        assert_eq!(weights(&[(99, 1), (1, 1)]), [198, 2]);
        assert_eq!(weights(&[(75, 1), (25, 1)]), [255, 85]);
        assert_eq!(weights(&[(50, 2), (50, 1)]), [128, 128, 256]);
        assert_eq!(weights(&[(0, 2), (100, 1)]), [0, 0, 256]);
        assert_eq!(weights(&[]), [0; 0]);
    }

    #[test]
    fn an_address_that_needs_a_greater_weight_gets_more_servers() {
        // 99 % on one address, 1 % on four: 396 to 1.
        assert_eq!(weights(&[(99, 1), (1, 4)]), [198, 198, 1, 1, 1, 1]);
    }

    #[test]
    fn each_version_has_its_share_whatever_the_number_of_its_addresses() {
        for share in 1..100 {
            for (old, new) in [(1, 1), (3, 1), (1, 4), (4, 3), (7, 5), (10, 9), (30, 29)] {
                let routes = [(100 - share, old), (share, new)];
                let shares = divide(&routing(&routes)).unwrap();
                assert_eq!(
                    percents(&shares),
                    BTreeMap::from([("v0", 100 - share), ("v1", share)]),
                    "{routes:?}"
                );
                assert!(shares.values().all(|weight| (1..=WEIGHT_MAX).contains(weight)), "{routes:?}");
            }
        }
    }

    #[test]
    fn a_share_that_cannot_be_given_is_refused() {
        let error = divide(&routing(&[(99, 1), (1, 900)])).unwrap_err();
        assert!(error.to_string().contains("half a percent"), "{error}");
    }
}

//! Which version has which of a service's places.

use std::path::PathBuf;

use flow_core::Name;

use crate::value::{Address, Checked, Version};

/// How many places an upstream may have.
pub(crate) const PLACES_MAX: u8 = 100;

/// The place that is given out as the `rank`th. Neighbours in rank are far apart among the places, which nginx asks in turn: so 1 % is one
/// request of every hundred, and 25 % are not 25 in a row.
fn place(rank: u8, places: u8) -> u8 {
    // 61 has no divisor in common with any number of places, and is near the golden section of a hundred.
    let place = u16::from(rank) * 61 % u16::from(places.max(1));
    u8::try_from(place).unwrap_or(0)
}

/// How many places each version has, in order.
pub(crate) fn shares(versions: &Checked, places: u8) -> Vec<(Name, u8)> {
    let share = |version: &Version| {
        let share = u16::from(version.weight) * u16::from(places) / 100;
        (version.name.clone(), u8::try_from(share).unwrap_or(0))
    };
    versions.0.iter().map(share).collect()
}

/// The version of each place, by rank: the first ranks are the first version's.
pub(crate) fn owners(shares: &[(Name, u8)], places: u8) -> Vec<Option<&Name>> {
    let mut by_rank = shares.iter().flat_map(|(name, share)| std::iter::repeat_n(name, usize::from(*share)));
    let mut owners = vec![None; usize::from(places)];
    for rank in 0..places {
        if let Some(owner) = owners.get_mut(usize::from(place(rank, places))) {
            *owner = by_rank.next();
        }
    }
    owners
}

/// The socket that each place leads to. The addresses of a version share its places in turn, and a place keeps its address while its
/// version keeps the place.
pub(crate) fn targets(versions: &Checked, places: u8) -> Vec<Option<PathBuf>> {
    let shares = shares(versions, places);
    let owners = owners(&shares, places);
    let mut targets = vec![None; usize::from(places)];
    for rank in 0..places {
        let at = usize::from(place(rank, places));
        let owner = owners.get(at).copied().flatten();
        let version = owner.and_then(|owner| versions.0.iter().find(|version| version.name == *owner));
        let target = version.and_then(|version| {
            match version.addresses.get(usize::from(rank) % version.addresses.len().max(1))? {
                Address::Unix(path) => Some(path.clone()),
                Address::Tcp(_) => None,
            }
        });
        if let Some(slot) = targets.get_mut(at) {
            *slot = target;
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flow_core::name;
    use flow_core::port::{Route, Routing};
    use proptest::prelude::*;

    use super::*;
    use crate::value::Takes;

    fn checked(versions: &[(Name, u8, usize)], before: &[Name]) -> Checked {
        let routes = versions.iter().map(|(name, weight, count)| {
            let addresses = (0..*count).map(|index| format!("unix:/run/{name}-{index}.sock")).collect();
            (name.clone(), Route { weight: *weight, addresses })
        });
        Checked::of(&Routing(routes.collect()), 1, Takes::Sockets).unwrap().in_order_after(before)
    }

    fn canary_places(weight: u8) -> BTreeSet<usize> {
        let before = [name!("1.0.0")];
        let versions = checked(&[(name!("1.0.0"), 100 - weight, 1), (name!("1.1.0"), weight, 1)], &before);
        let targets = targets(&versions, 100);
        let is_canary = |target: &Option<PathBuf>| target.as_deref() == Some("/run/1.1.0-0.sock".as_ref());
        (0..100).filter(|place| is_canary(&targets[*place])).collect()
    }

    #[test]
    fn every_place_is_given_out_once_for_every_number_of_places() {
        for places in (1..=PLACES_MAX).filter(|places| 100 % places == 0) {
            let given: BTreeSet<_> = (0..places).map(|rank| place(rank, places)).collect();
            assert_eq!(given.len(), usize::from(places), "{places}");
        }
    }

    #[test]
    fn a_canary_that_grows_only_adds_places_and_gives_back_the_last_ones() {
        for weight in 0..100 {
            let (before, after) = (canary_places(weight), canary_places(weight + 1));
            assert_eq!((before.len(), after.len()), (usize::from(weight), usize::from(weight) + 1));
            assert!(before.is_subset(&after), "{weight}");
        }
    }

    #[test]
    fn a_canary_has_no_long_run_of_places() {
        let canary = canary_places(25);
        let longest =
            (0..100).map(|start| (start..start + 100).take_while(|at| canary.contains(&(at % 100))).count());
        assert!(longest.max().unwrap() <= 2);
    }

    #[test]
    fn the_new_version_stays_the_first_until_it_is_the_old_one() {
        let first = checked(&[(name!("2"), 95, 1), (name!("1"), 5, 1)], &[name!("2")]);
        assert_eq!(first.0.iter().map(|version| version.name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        let again = checked(&[(name!("2"), 50, 1), (name!("1"), 50, 1)], &[name!("1"), name!("2")]);
        assert_eq!(again.0.iter().map(|version| version.name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    }

    proptest! {
        #[test]
        fn shares_are_exact_and_every_address_has_one_while_there_are_enough(
            weight in 0..=100u8, old in 1..6usize, new in 1..6usize,
        ) {
            let versions = checked(&[(name!("1.0.0"), 100 - weight, old), (name!("1.1.0"), weight, new)], &[]);
            let targets = targets(&versions, 100);
            for (version, weight, count) in [("1.0.0", 100 - weight, old), ("1.1.0", weight, new)] {
                let prefix = format!("/run/{version}-");
                let of = targets.iter().flatten().filter(|path| path.to_str().unwrap().starts_with(&prefix));
                prop_assert_eq!(of.clone().count(), usize::from(weight));
                let addresses: BTreeSet<_> = of.collect();
                prop_assert!(addresses.len() == count.min(usize::from(weight)));
            }
        }
    }
}

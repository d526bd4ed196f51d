//! Weights in proportion to instances.

use std::collections::BTreeMap;

use crate::name::Name;
use crate::port::Weights;

/// One version's part of the traffic, in steps of the router.
struct Part {
    version: Name,
    count: u64,
    steps: u64,
    remainder: u64,
}

/// The weights that give every instance the same share of the traffic, as nearly as steps of `granularity` percent allow.
///
/// The steps are apportioned by the method of the largest remainder (Hamilton's; M. L. Balinski and H. P. Young, *Fair
/// Representation*, 1982, chapter 2): each version gets the whole steps of its exact quota `steps × count / total`, and
/// what is left goes, one each, to the largest remainders; equal ones to the version with more instances, then by name.
/// So a weight is off by less than one step, with one exception: a version with instances gets at least one step,
/// which is taken from the version with the most.
///
/// `None` where there is no instance, the granularity does not divide 100, or there are more versions than steps.
pub(super) fn proportional(counts: &BTreeMap<Name, u32>, granularity: u8) -> Option<Weights> {
    if granularity == 0 || !100_u8.is_multiple_of(granularity) {
        return None;
    }
    let steps = u64::from(100 / granularity);
    let total: u64 = counts.values().map(|count| u64::from(*count)).sum();
    let serving = counts.iter().filter(|(_, count)| **count > 0);
    let mut parts: Vec<Part> = serving.map(|(version, count)| part(version, *count, steps, total)).collect();
    if parts.is_empty() || parts.len() as u64 > steps {
        return None;
    }
    parts.sort_by(|a, b| {
        (b.remainder, b.count).cmp(&(a.remainder, a.count)).then_with(|| a.version.cmp(&b.version))
    });
    let mut given: u64 = parts.iter().map(|part| part.steps).sum();
    for part in &mut parts {
        if given < steps {
            part.steps += 1;
            given += 1;
        }
    }
    while given > steps {
        parts.iter_mut().max_by_key(|part| part.steps)?.steps -= 1;
        given -= 1;
    }
    let shares = parts.into_iter().map(|part| {
        u8::try_from(part.steps * u64::from(granularity)).ok().map(|share| (part.version, share))
    });
    Weights::new(shares.collect::<Option<Vec<_>>>()?).ok()
}

fn part(version: &Name, count: u32, steps: u64, total: u64) -> Part {
    let count = u64::from(count);
    let (whole, remainder) = (steps * count / total, steps * count % total);
    // A version lifted to its first step has had more than its quota already.
    let remainder = if whole == 0 { 0 } else { remainder };
    Part { version: version.clone(), count, steps: whole.max(1), remainder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(counts: &[(&'static str, u32)], granularity: u8) -> Option<Vec<u8>> {
        let named: Vec<_> =
            counts.iter().map(|(name, count)| (Name::new(*name).expect("a name"), *count)).collect();
        let weights = proportional(&named.iter().cloned().collect(), granularity)?;
        Some(named.iter().map(|(name, _)| weights.share(name)).collect())
    }

    #[test]
    fn every_instance_gets_the_same_share() {
        assert_eq!(weights(&[("v1", 3), ("v2", 1)], 1), Some(vec![75, 25]));
        assert_eq!(weights(&[("v1", 4), ("v2", 0)], 1), Some(vec![100, 0]));
        assert_eq!(weights(&[("v1", 0), ("v2", 20)], 100), Some(vec![0, 100]));
    }

    #[test]
    fn what_is_left_goes_to_the_largest_remainder() {
        assert_eq!(weights(&[("v1", 2), ("v2", 1)], 1), Some(vec![67, 33]));
        assert_eq!(weights(&[("v1", 1), ("v2", 2)], 1), Some(vec![33, 67]));
        assert_eq!(weights(&[("v1", 2), ("v2", 1)], 10), Some(vec![70, 30]));
        assert_eq!(weights(&[("v1", 1), ("v2", 1), ("v3", 1)], 1), Some(vec![34, 33, 33]));
    }

    #[test]
    fn a_version_with_an_instance_never_gets_nothing() {
        assert_eq!(weights(&[("v1", 19), ("v2", 1)], 10), Some(vec![90, 10]));
        assert_eq!(weights(&[("v1", 19), ("v2", 1)], 50), Some(vec![50, 50]));
        assert_eq!(weights(&[("v1", 998), ("v2", 1), ("v3", 1)], 1), Some(vec![98, 1, 1]));
    }

    #[test]
    fn a_router_that_can_only_switch_cannot_be_split() {
        assert_eq!(weights(&[("v1", 1), ("v2", 1)], 100), None);
        assert_eq!(weights(&[("v1", 1)], 30), None);
        assert_eq!(weights(&[("v1", 1)], 0), None);
        assert_eq!(weights(&[], 1), None);
    }

    #[test]
    fn every_split_sums_to_100_in_whole_steps_and_is_off_by_less_than_one() {
        for granularity in [1, 2, 5, 10, 20, 25, 50] {
            for old in 0..=40_u32 {
                for new in 0..=40_u32 {
                    let Some(shares) = weights(&[("v1", old), ("v2", new)], granularity) else {
                        assert_eq!(old + new, 0);
                        continue;
                    };
                    assert_eq!(shares.iter().map(|share| u32::from(*share)).sum::<u32>(), 100);
                    let exact = 100.0 * f64::from(new) / f64::from(old + new);
                    let off = (f64::from(shares[1]) - exact).abs();
                    assert!(off < f64::from(granularity), "{old} and {new} by {granularity}: {shares:?}");
                    assert!(shares.iter().all(|share| share.is_multiple_of(granularity)));
                }
            }
        }
    }
}

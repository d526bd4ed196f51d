//! Addresses that had traffic before and may still have requests under way: what a router must not forget when it switches.

use flow_core::port::Routing;

/// Those of a routing's predecessor, and of its predecessors, that are not routed any more: what was routed a moment ago, and of the
/// older ones what is still busy.
pub(crate) fn former(
    before: &Routing,
    older: &[String],
    now: &Routing,
    busy: impl Fn(&str) -> bool,
) -> Vec<String> {
    let own: Vec<&String> = addresses(now).collect();
    let mut former: Vec<String> = addresses(before).cloned().collect();
    former.extend(older.iter().filter(|address| busy(address)).cloned());
    former.retain(|address| !own.contains(&address));
    former.sort_unstable();
    former.dedup();
    former
}

/// All addresses of a routing.
pub(crate) fn addresses(routing: &Routing) -> impl Iterator<Item = &String> {
    routing.0.values().flat_map(|route| &route.addresses)
}

//! What is wrong with a routing in itself, whatever the world.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use flow_core::Problems;
use flow_core::port::Routing;

/// Finds everything wrong with `routing` for a router of this granularity.
pub(super) fn check(routing: &Routing, granularity: u8) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let mut taken = BTreeSet::new();
    if let Err(problem) = routing.weights() {
        problems.add("routing", problem.to_string());
    }
    for (version, route) in &routing.0 {
        let weight = route.weight;
        if weight % granularity != 0 {
            let finer = format!("`{weight}` is finer than this router's steps of {granularity}");
            problems.add(format!("routing.{version}.weight"), finer);
        }
        if weight > 0 && route.addresses.is_empty() {
            problems.add(format!("routing.{version}.addresses"), "must hold an address");
        }
        for (index, address) in route.addresses.iter().enumerate() {
            let field = format!("routing.{version}.addresses.{index}");
            if !is_address(address) {
                let none = format!("`{}` is neither `host:port` nor `unix:PATH`", address.escape_debug());
                problems.add(field, none);
            } else if !taken.insert(address) {
                problems.add(field, format!("`{address}` is routed twice"));
            }
        }
    }
    problems.into_result()
}

fn is_address(text: &str) -> bool {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return false;
    }
    if let Some(path) = text.strip_prefix("unix:") {
        let path = Path::new(path);
        return path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    }
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(|(host, own)| !host.is_empty() && port(own))
}

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::envelope::Answer;
use super::super::world::World;
use super::triggers;

/// The memory of all functions that may run at once, in MB. Assumed, like all limits of an account here.
const MEMORY: i64 = 128_000;

/// What the account uses, and what it may.
pub(super) fn get(world: &World) -> Answer {
    let mut named: BTreeMap<&str, (Vec<&str>, i64)> = BTreeMap::from([("default", (Vec::new(), 0))]);
    for function in world.functions.0.values() {
        let (names, reserved) = named.entry(&function.namespace).or_default();
        names.push(&function.name);
        *reserved += function.reserved.unwrap_or(0);
    }
    let usage: Vec<Value> = named
        .iter()
        .map(|(namespace, (names, reserved))| {
            json!({ "Namespace": namespace, "Functions": names, "FunctionsCount": names.len(), "TotalConcurrencyMem": 0,
                "TotalAllocatedConcurrencyMem": reserved, "TotalAllocatedProvisionedMem": 0 })
        })
        .collect();
    let limits: Vec<Value> = named.keys().map(|namespace| limits(namespace)).collect();
    let allocated: i64 = named.values().map(|(_, reserved)| reserved).sum();
    Ok(json!({
        "AccountUsage": { "NamespacesCount": named.len(), "Namespace": usage, "TotalConcurrencyMem": MEMORY,
            "TotalAllocatedConcurrencyMem": allocated, "UserConcurrencyMemLimit": MEMORY },
        "AccountLimit": { "NamespacesCount": 5, "Namespace": limits },
    }))
}

fn limits(namespace: &str) -> Value {
    let most = triggers::MOST;
    json!({
        "Namespace": namespace, "FunctionsCount": 50, "TimeoutLimit": 900, "InitTimeoutLimit": 300, "TestModelLimit": 20,
        "RetryNumLimit": 2, "MinMsgTTL": 60, "MaxMsgTTL": 21_600, "ConcurrentExecutions": 100,
        "Trigger": { "Apigw": most, "Ckafka": most, "Clb": most, "Cls": most, "Cm": most, "Cmq": most, "Cos": most, "Eb": most,
            "Mps": most, "Timer": most, "Total": 11 * most, "Vod": most },
    })
}

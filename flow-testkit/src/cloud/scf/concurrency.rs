use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::function::no_version;

/// What an account can have provisioned. Assumed.
const AVAILABLE: i64 = 100;

/// Instances of a version that stand ready.
#[derive(Debug)]
pub(super) struct Provisioned {
    wanted: i64,
    ready: i64,
    until: Timestamp,
}

impl Provisioned {
    pub(super) fn settle(&mut self, now: Timestamp) {
        if self.until <= now {
            self.ready = self.wanted;
        }
    }
}

pub(super) fn put(world: &mut World, params: &Params<'_>) -> Answer {
    let due = world.due();
    let function = world.functions.find(params)?;
    let qualifier = params.needed("Qualifier");
    if qualifier == "$LATEST" {
        return Err(ApiError::new(
            "InvalidParameterValue.Qualifier",
            "`$LATEST` cannot have provisioned concurrency",
        ));
    }
    let (_, status) = function.version(qualifier).ok_or_else(|| no_version(qualifier))?;
    if status != "Active" {
        let message = format!("the version `{qualifier}` is {status}");
        return Err(ApiError::new("FailedOperation.FunctionVersionStatusNotActive", message));
    }
    let current = function.provisioned.get(qualifier);
    if current.is_some_and(|current| current.ready != current.wanted) {
        return Err(ApiError::new(
            "FailedOperation.ProvisionedInProgress",
            format!("`{qualifier}` is being provisioned"),
        ));
    }
    let wanted = params.number("VersionProvisionedConcurrencyNum").unwrap_or(0);
    let ready = current.map_or(0, |current| current.ready);
    let others: i64 =
        function.provisioned.iter().filter(|(name, _)| *name != qualifier).map(|(_, one)| one.wanted).sum();
    if wanted < 1 || others + wanted > AVAILABLE {
        let message = format!("{wanted} is not between 1 and {}", AVAILABLE - others);
        return Err(ApiError::new("FailedOperation.ProvisionedExceedAvailable", message));
    }
    function.provisioned.insert(qualifier.to_owned(), Provisioned { wanted, ready, until: due });
    Ok(json!({}))
}

pub(super) fn get(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let asked = params.text("Qualifier");
    let all = function.provisioned.iter().filter(|(name, _)| asked.is_none_or(|asked| *name == asked));
    let allocated: Vec<Value> = all
        .map(|(name, one)| {
            let status = if one.ready == one.wanted { "Done" } else { "InProgress" };
            json!({
                "AllocatedProvisionedConcurrencyNum": one.wanted,
                "AvailableProvisionedConcurrencyNum": one.ready,
                "Status": status,
                "StatusReason": "",
                "Qualifier": name,
                "TriggerActions": [],
            })
        })
        .collect();
    let taken: i64 = function.provisioned.values().map(|one| one.wanted).sum();
    Ok(json!({ "UnallocatedConcurrencyNum": AVAILABLE - taken, "Allocated": allocated }))
}

pub(super) fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let qualifier = params.needed("Qualifier");
    let message = format!("`{qualifier}` has no provisioned concurrency");
    let removed = function.provisioned.remove(qualifier);
    removed.map(|_| json!({})).ok_or_else(|| ApiError::new("ResourceNotFound.Qualifier", message))
}

pub(super) fn reserve(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    function.reserved = params.number("ReservedConcurrencyMem");
    Ok(json!({}))
}

pub(super) fn reserved(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    Ok(json!({ "ReservedMem": function.reserved }))
}

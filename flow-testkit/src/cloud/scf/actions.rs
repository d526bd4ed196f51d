use serde_json::{Map, Value, json};

use super::super::clock::beijing;
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::code::code;
use super::function::{Becomes, Function, key};
use super::{account, aliases, concurrency, requests, triggers, versions};

/// Below this path code is read, as the API tells its address.
pub(in super::super) const DOWNLOADS: &str = "/__fake__/code/";

/// Carries an action out, all but those that invoke.
pub(in super::super) fn call(world: &mut World, action: &str, params: &Params<'_>) -> Answer {
    let answer = dispatch(world, action, params);
    // The documentation lists both codes; which action tells which is assumed.
    let other = matches!(action, "GetFunctionAddress" | "ListTriggers" | "ListVersionByFunction");
    answer.map_err(|error| match error.code.as_str() {
        "ResourceNotFound.Function" if other => ApiError::new("ResourceNotFound.FunctionName", error.message),
        _ => error,
    })
}

fn dispatch(world: &mut World, action: &str, params: &Params<'_>) -> Answer {
    match action {
        "CreateFunction" => create(world, params),
        "UpdateFunctionCode" => update_code(world, params),
        "UpdateFunctionConfiguration" => update_configuration(world, params),
        "GetFunction" => get(world, params),
        "DeleteFunction" => delete(world, params),
        "ListFunctions" => list(world, params),
        "GetFunctionAddress" => address(world, params),
        "GetAccount" => account::get(world),
        "GetRequestStatus" => requests::get(world, params),
        "PublishVersion" => versions::publish(world, params),
        "ListVersionByFunction" => versions::list(world, params),
        "DeleteFunctionVersion" => versions::delete(world, params),
        "CreateAlias" => aliases::create(world, params),
        "UpdateAlias" => aliases::update(world, params),
        "GetAlias" => aliases::get(world, params),
        "ListAliases" => aliases::list(world, params),
        "DeleteAlias" => aliases::delete(world, params),
        "CreateTrigger" => triggers::create(world, params),
        "UpdateTrigger" => triggers::update(world, params),
        "UpdateTriggerStatus" => triggers::switch(world, params),
        "DeleteTrigger" => triggers::delete(world, params),
        "ListTriggers" => triggers::list(world, params),
        "PutProvisionedConcurrencyConfig" => concurrency::put(world, params),
        "GetProvisionedConcurrencyConfig" => concurrency::get(world, params),
        "DeleteProvisionedConcurrencyConfig" => concurrency::delete(world, params),
        "PutReservedConcurrencyConfig" => concurrency::reserve(world, params),
        "GetReservedConcurrencyConfig" => concurrency::reserved(world, params),
        _ => Err(ApiError::new("UnsupportedOperation", format!("this cloud has no `{action}`"))),
    }
}

fn create(world: &mut World, params: &Params<'_>) -> Answer {
    let (namespace, name) = key(params);
    if !is_name(&name) {
        let message = format!(
            "`{name}` is not 2 to 60 letters, digits, `-` and `_`, from a letter to a letter or digit"
        );
        return Err(ApiError::new("InvalidParameterValue.FunctionName", message));
    }
    if world.functions.0.contains_key(&(namespace.clone(), name.clone())) {
        return Err(ApiError::new("ResourceInUse.Function", format!("there is a function `{name}` already")));
    }
    let id = format!("lam-{:08x}", world.chance.next() >> 32);
    let mut function = Function::new(namespace.clone(), name.clone(), id, world.now);
    // Only the code is missing until it is created.
    function.live.configure(params)?;
    let mut snapshot = function.live.clone();
    snapshot.holds(&code(&world.storage, &world.appid, world.strictness, params)?);
    let fault = world.faults.outcome(&name);
    function.begin("Creating", Becomes::Live(Box::new(snapshot)), world.due(), fault);
    world.functions.0.insert((namespace, name), function);
    Ok(json!({}))
}

fn update_code(world: &mut World, params: &Params<'_>) -> Answer {
    let due = world.due();
    let function = world.functions.find(params)?;
    function.check_ready("UpdateFunctionCode")?;
    let mut snapshot = function.live.clone();
    snapshot.holds(&code(&world.storage, &world.appid, world.strictness, params)?);
    snapshot.configure(params)?;
    let fault = world.faults.outcome(&function.name);
    function.begin("Updating", live(snapshot, params)?, due, fault);
    Ok(json!({}))
}

fn update_configuration(world: &mut World, params: &Params<'_>) -> Answer {
    let due = world.due();
    let function = world.functions.find(params)?;
    function.check_ready("UpdateFunctionConfiguration")?;
    let mut snapshot = function.live.clone();
    snapshot.configure(params)?;
    let fault = world.faults.outcome(&function.name);
    function.begin("Updating", live(snapshot, params)?, due, fault);
    Ok(json!({}))
}

fn live(snapshot: super::snapshot::Snapshot, params: &Params<'_>) -> Result<Becomes, ApiError> {
    match params.text("Publish") {
        None | Some("FALSE") => Ok(Becomes::Live(Box::new(snapshot))),
        Some("TRUE") => Ok(Becomes::LiveAndPublished(Box::new(snapshot))),
        Some(other) => Err(ApiError::new(
            "InvalidParameterValue.Publish",
            format!("`Publish` is TRUE or FALSE, not `{other}`"),
        )),
    }
}

fn get(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let qualifier = params.text("Qualifier").unwrap_or("$LATEST");
    let version = function.aliases.get(qualifier).map_or(qualifier, |alias| alias.version.as_str());
    let (snapshot, status) = function.version(version).ok_or_else(|| super::function::no_version(version))?;
    let mut told = snapshot.told();
    told.extend(standing(function, status));
    told.insert("FunctionVersion".to_owned(), json!(version));
    told.insert("Qualifier".to_owned(), json!(qualifier));
    told.insert("Triggers".to_owned(), function.triggers.iter().map(triggers::Trigger::told).collect());
    let available = if matches!(status, "Active" | "UpdateFailed" | "PublishFailed") {
        "Available"
    } else {
        "Unavailable"
    };
    told.insert("AvailableStatus".to_owned(), json!(available));
    Ok(Value::Object(told))
}

/// What is told of a function in both places.
fn standing(function: &Function, status: &str) -> Map<String, Value> {
    let reasons: Vec<_> = function
        .reason
        .iter()
        .map(|reason| json!({ "ErrorCode": "InternalError", "ErrorMessage": reason }))
        .collect();
    let told = [
        ("FunctionName", json!(function.name)),
        ("FunctionId", json!(function.id)),
        ("Namespace", json!(function.namespace)),
        ("Status", json!(status)),
        ("StatusDesc", json!(function.reason.unwrap_or_default())),
        ("StatusReasons", json!(reasons)),
        ("AddTime", json!(beijing(function.created))),
        ("ModTime", json!(beijing(function.modified))),
    ];
    told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    if params.text("Qualifier").is_some() {
        return versions::delete(world, params);
    }
    world.functions.find(params)?;
    world.functions.0.remove(&key(params));
    Ok(json!({}))
}

fn list(world: &mut World, params: &Params<'_>) -> Answer {
    let namespace = params.text("Namespace").unwrap_or("default");
    let search = params.text("SearchKey").unwrap_or_default();
    let found = world.functions.0.values();
    let found = found.filter(|function| function.namespace == namespace && function.name.contains(search));
    let all: Vec<_> = found
        .map(|function| {
            let mut told = standing(function, function.status);
            for (name, value) in [
                ("Runtime", json!(function.live.runtime)),
                ("Description", json!(function.live.description)),
                ("Tags", json!([])),
                ("Type", json!("Event")),
                ("TotalProvisionedConcurrencyMem", Value::Null),
                ("ReservedConcurrencyMem", json!(function.reserved)),
                ("AsyncRunEnable", json!("FALSE")),
                ("TraceEnable", json!("FALSE")),
            ] {
                told.insert(name.to_owned(), value);
            }
            Value::Object(told)
        })
        .collect();
    let total = all.len();
    Ok(json!({ "Functions": params.page(all, 20, 100)?, "TotalCount": total }))
}

fn address(world: &mut World, params: &Params<'_>) -> Answer {
    let address = world.address;
    let function = world.functions.find(params)?;
    let qualifier = params.text("Qualifier").unwrap_or("$LATEST");
    let version = function.aliases.get(qualifier).map_or(qualifier, |alias| alias.version.as_str());
    let (snapshot, _) = function.version(version).ok_or_else(|| super::function::no_version(version))?;
    let url = format!("http://{address}{DOWNLOADS}{}.zip", snapshot.sha256);
    Ok(json!({ "Url": url, "CodeSha256": snapshot.sha256 }))
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (2..=60).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_documentation() {
        assert!(is_name("shop-2_a"));
        for wrong in ["a", "2shop", "shop-", "sh op", &"a".repeat(61)] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}

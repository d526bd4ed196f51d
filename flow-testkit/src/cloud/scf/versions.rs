use serde_json::{Value, json};

use super::super::clock::beijing;
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::function::{Becomes, no_version};

/// How many versions a function may have. Assumed.
const MOST: usize = 200;

pub(super) fn publish(world: &mut World, params: &Params<'_>) -> Answer {
    let (now, due) = (world.now, world.due());
    let function = world.functions.find(params)?;
    function.check_ready("PublishVersion")?;
    if function.versions.len() >= MOST {
        return Err(ApiError::new(
            "LimitExceeded.FunctionVersions",
            format!("there are {MOST} versions already"),
        ));
    }
    let fault = world.faults.outcome(&function.name);
    let number = function.add_version(params.text("Description"), now);
    function.begin("Publishing", Becomes::Published(number), due, fault);
    let live = &function.live;
    Ok(json!({
        "FunctionVersion": number.to_string(),
        "CodeSize": live.code.len(),
        "MemorySize": live.memory,
        "Description": params.text("Description").unwrap_or(&live.description),
        "Handler": live.handler,
        "Timeout": live.timeout,
        "Runtime": live.runtime,
        "Namespace": function.namespace,
    }))
}

pub(super) fn list(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let row = |name: String, description: &str, created, modified, status: &str| {
        let told = json!({ "Version": name, "Description": description, "AddTime": beijing(created),
            "ModTime": beijing(modified), "Status": status });
        (name, told)
    };
    // The newest first, and `$LATEST` before all.
    let latest = row(
        "$LATEST".to_owned(),
        &function.live.description,
        function.created,
        function.modified,
        function.status,
    );
    let numbered = function.versions.iter().rev().map(|(number, version)| {
        let created = version.created;
        row(number.to_string(), &version.snapshot.description, created, created, version.status)
    });
    let mut all: Vec<_> = std::iter::once(latest).chain(numbered).collect();
    if params.text("Order").is_some_and(|order| order.eq_ignore_ascii_case("asc")) {
        all.reverse();
    }
    let total = all.len();
    let (names, rows): (Vec<String>, Vec<Value>) = params.page(all, 20, 100)?.into_iter().unzip();
    Ok(json!({ "FunctionVersion": names, "Versions": rows, "TotalCount": total }))
}

pub(super) fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let version = params.needed("Qualifier");
    let number = version.parse::<u64>().ok().filter(|number| function.versions.contains_key(number));
    let Some(number) = number else { return Err(no_version(version)) };
    if let Some(alias) =
        function.aliases.iter().find_map(|(name, alias)| alias.leads_to(version).then_some(name))
    {
        let message = format!("the alias `{alias}` leads to the version `{version}`");
        return Err(ApiError::new("UnsupportedOperation.AliasBind", message));
    }
    if function.provisioned.contains_key(version) {
        let message = format!("the version `{version}` has provisioned concurrency");
        return Err(ApiError::new("UnsupportedOperation.ProvisionedBind", message));
    }
    function.versions.remove(&number);
    Ok(json!({}))
}

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::chance::Chance;
use super::super::clock::beijing;
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::function::Function;

/// A name that shares its calls out among two versions.
#[derive(Debug)]
pub(super) struct Alias {
    pub(super) version: String,
    additional: Option<(String, f64)>,
    matches: Vec<Value>,
    description: String,
    created: Timestamp,
    modified: Timestamp,
}

impl Alias {
    pub(super) fn of(version: &str, now: Timestamp) -> Self {
        Self {
            version: version.to_owned(),
            additional: None,
            matches: Vec::new(),
            description: String::new(),
            created: now,
            modified: now,
        }
    }

    pub(super) fn leads_to(&self, version: &str) -> bool {
        self.version == version
            || self.additional.as_ref().is_some_and(|(additional, _)| additional == version)
    }

    /// Which version answers this call.
    pub(super) fn choose(&self, chance: &mut Chance) -> &str {
        match &self.additional {
            Some((version, weight)) if chance.strikes(*weight) => version,
            _ => &self.version,
        }
    }

    /// Takes what is given. Assumed: without a routing configuration all calls go to the one version.
    fn route(&mut self, function: &Function, params: &Params<'_>, now: Timestamp) -> Result<(), ApiError> {
        let version = params.needed("FunctionVersion");
        function.check_routable(version)?;
        let routing = params.object("RoutingConfig");
        let weights =
            routing.as_ref().map(|routing| routing.list("AdditionalVersionWeights")).unwrap_or_default();
        let additional = match weights {
            [] => None,
            [only] => Some(additional(function, version, only)?),
            _ => {
                return Err(ApiError::new(
                    "InvalidParameterValue.AdditionalVersionWeights",
                    "at most one version is additional",
                ));
            }
        };
        version.clone_into(&mut self.version);
        self.additional = additional;
        self.matches =
            routing.map(|routing| routing.list("AddtionVersionMatchs").to_vec()).unwrap_or_default();
        if let Some(description) = params.text("Description") {
            description.clone_into(&mut self.description);
        }
        self.modified = now;
        Ok(())
    }

    fn told(&self, name: &str) -> Value {
        let weights: Vec<_> = self
            .additional
            .iter()
            .map(|(version, weight)| json!({ "Version": version, "Weight": weight }))
            .collect();
        json!({
            "FunctionVersion": self.version,
            "Name": name,
            "RoutingConfig": { "AdditionalVersionWeights": weights, "AddtionVersionMatchs": self.matches },
            "Description": self.description,
            "AddTime": beijing(self.created),
            "ModTime": beijing(self.modified),
        })
    }
}

fn additional(function: &Function, main: &str, given: &Value) -> Result<(String, f64), ApiError> {
    let version = given.get("Version").and_then(Value::as_str).unwrap_or_default();
    let weight = given.get("Weight").and_then(Value::as_f64).unwrap_or(-1.0);
    function.check_routable(version)?;
    if version == main {
        return Err(ApiError::new(
            "InvalidParameter.RoutingConfig",
            format!("`{version}` is the alias's own version"),
        ));
    }
    if !(0.0..=1.0).contains(&weight) {
        return Err(ApiError::new(
            "InvalidParameterValue.AdditionalVersionWeights",
            format!("a weight of {weight}"),
        ));
    }
    Ok((version.to_owned(), weight))
}

pub(super) fn create(world: &mut World, params: &Params<'_>) -> Answer {
    let now = world.now;
    let function = world.functions.find(params)?;
    let name = params.needed("Name");
    if !is_name(name) {
        return Err(ApiError::new("InvalidParameterValue.Name", format!("`{name}` is no name of an alias")));
    }
    if function.aliases.contains_key(name) {
        return Err(ApiError::new("ResourceInUse.Alias", format!("there is an alias `{name}` already")));
    }
    let mut alias = Alias::of("", now);
    alias.route(function, params, now)?;
    function.aliases.insert(name.to_owned(), alias);
    Ok(json!({}))
}

pub(super) fn update(world: &mut World, params: &Params<'_>) -> Answer {
    let now = world.now;
    let function = world.functions.find(params)?;
    let name = params.needed("Name");
    let Some(mut alias) = function.aliases.remove(name) else { return Err(no_alias(name)) };
    let routed = alias.route(function, params, now);
    function.aliases.insert(name.to_owned(), alias);
    routed.map(|()| json!({}))
}

pub(super) fn get(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let name = params.needed("Name");
    function.aliases.get(name).map(|alias| alias.told(name)).ok_or_else(|| no_alias(name))
}

pub(super) fn list(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    // Here the page is in texts.
    let number = |name: &str, usual: usize| match params.text(name) {
        None => Ok(usual),
        Some(text) => text.parse().map_err(|_| {
            ApiError::new(format!("InvalidParameterValue.{name}"), format!("`{text}` is no number"))
        }),
    };
    let (offset, limit) = (number("Offset", 0)?, number("Limit", 20)?);
    let wanted = params.text("FunctionVersion");
    let found =
        function.aliases.iter().filter(|(_, alias)| wanted.is_none_or(|wanted| alias.leads_to(wanted)));
    let all: Vec<_> = found.map(|(name, alias)| alias.told(name)).collect();
    let total = all.len();
    let page: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
    Ok(json!({ "Aliases": page, "TotalCount": total }))
}

pub(super) fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let name = params.needed("Name");
    if name == "$DEFAULT" {
        return Err(ApiError::new("UnsupportedOperation", "the default alias cannot be deleted"));
    }
    if function.triggers.iter().any(|trigger| trigger.qualifier == name) {
        return Err(ApiError::new(
            "ResourceInUse.Alias",
            format!("a trigger is bound to the alias `{name}`"),
        ));
    }
    function.aliases.remove(name).map(|_| json!({})).ok_or_else(|| no_alias(name))
}

fn no_alias(name: &str) -> ApiError {
    ApiError::new("ResourceNotFound.Alias", format!("there is no alias `{name}`"))
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

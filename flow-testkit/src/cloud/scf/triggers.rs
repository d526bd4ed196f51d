use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::clock::beijing;
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::function::Function;

/// How many triggers of one type a function may have.
pub(super) const MOST: usize = 10;

/// What calls a function.
#[derive(Debug)]
pub(super) struct Trigger {
    name: String,
    kind: String,
    description: String,
    /// What the type needs: a cron expression, a bucket, ...
    definition: String,
    argument: String,
    open: bool,
    pub(super) qualifier: String,
    created: Timestamp,
    modified: Timestamp,
}

impl Trigger {
    pub(super) fn told(&self) -> Value {
        json!({
            "TriggerName": self.name,
            "Type": self.kind,
            "TriggerDesc": self.definition,
            "Description": self.description,
            "CustomArgument": self.argument,
            "Enable": i32::from(self.open),
            "Qualifier": self.qualifier,
            "AvailableStatus": "Available",
            "AddTime": beijing(self.created),
            "ModTime": beijing(self.modified),
        })
    }

    /// Takes what is given.
    fn define(&mut self, function: &Function, params: &Params<'_>, now: Timestamp) -> Result<(), ApiError> {
        if let Some(qualifier) = params.text("Qualifier") {
            if !function.aliases.contains_key(qualifier) {
                function.check_version(qualifier)?;
            }
            qualifier.clone_into(&mut self.qualifier);
        }
        if let Some(definition) = params.text("TriggerDesc") {
            self.definition = if self.kind == "timer" { timer(definition)? } else { definition.to_owned() };
        }
        if let Some(enable) = params.text("Enable") {
            self.open = match enable {
                "OPEN" => true,
                "CLOSE" => false,
                _ => {
                    return Err(ApiError::new(
                        "InvalidParameterValue.Enable",
                        format!("`{enable}` is neither OPEN nor CLOSE"),
                    ));
                }
            };
        }
        if let Some(argument) = params.text("CustomArgument") {
            argument.clone_into(&mut self.argument);
        }
        if let Some(description) = params.text("Description") {
            description.clone_into(&mut self.description);
        }
        self.modified = now;
        Ok(())
    }
}

/// A timer's definition as it is told: JSON with the seven fields of its cron expression.
fn timer(given: &str) -> Result<String, ApiError> {
    let inner: Option<Value> = serde_json::from_str(given).ok();
    let cron = inner.as_ref().and_then(|inner| inner.get("cron")?.as_str()).unwrap_or(given);
    if cron.split_whitespace().count() != 7 {
        return Err(ApiError::new(
            "InvalidParameterValue.TriggerDesc",
            format!("`{cron}` is no cron expression of 7 fields"),
        ));
    }
    Ok(json!({ "cron": cron }).to_string())
}

pub(super) fn create(world: &mut World, params: &Params<'_>) -> Answer {
    let now = world.now;
    let function = world.functions.find(params)?;
    let (name, kind) = (params.needed("TriggerName"), params.needed("Type"));
    check_kind(kind, &["cos", "cls", "timer", "ckafka", "http"])?;
    if kind == "timer" && params.text("TriggerDesc").is_none() {
        return Err(ApiError::new("InvalidParameterValue.TriggerDesc", "a timer needs its cron expression"));
    }
    if function.triggers.iter().any(|trigger| trigger.name == name) {
        return Err(ApiError::new("ResourceInUse.Trigger", format!("there is a trigger `{name}` already")));
    }
    if function.triggers.iter().filter(|trigger| trigger.kind == kind).count() >= MOST {
        return Err(ApiError::new(
            "LimitExceeded.Trigger",
            format!("there are {MOST} triggers of `{kind}` already"),
        ));
    }
    let mut trigger = Trigger {
        name: name.to_owned(),
        kind: kind.to_owned(),
        description: String::new(),
        definition: String::new(),
        argument: String::new(),
        open: true,
        qualifier: "$LATEST".to_owned(),
        created: now,
        modified: now,
    };
    trigger.define(function, params, now)?;
    let told = trigger.told();
    function.triggers.push(trigger);
    Ok(json!({ "TriggerInfo": told }))
}

pub(super) fn update(world: &mut World, params: &Params<'_>) -> Answer {
    check_kind(params.needed("Type"), &["timer", "ckafka", "http"])?;
    change(world, params)
}

pub(super) fn switch(world: &mut World, params: &Params<'_>) -> Answer {
    change(world, params)
}

fn change(world: &mut World, params: &Params<'_>) -> Answer {
    let now = world.now;
    let function = world.functions.find(params)?;
    let at = place(function, params)?;
    let mut trigger = function.triggers.remove(at);
    let defined = trigger.define(function, params, now);
    function.triggers.insert(at, trigger);
    defined.map(|()| json!({}))
}

pub(super) fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    if params.needed("Type") == "cos" && params.text("TriggerDesc").is_none() {
        return Err(ApiError::new(
            "MissingParameter",
            "to delete a trigger of `cos` its `TriggerDesc` is needed",
        ));
    }
    let at = place(function, params)?;
    function.triggers.remove(at);
    Ok(json!({}))
}

pub(super) fn list(world: &mut World, params: &Params<'_>) -> Answer {
    let function = world.functions.find(params)?;
    let all: Vec<_> = function
        .triggers
        .iter()
        .map(|trigger| {
            let mut told = trigger.told();
            if let Some(told) = told.as_object_mut() {
                told.insert("BoundResources".to_owned(), json!(""));
            }
            told
        })
        .collect();
    let total = all.len();
    Ok(json!({ "Triggers": params.page(all, 20, 100)?, "TotalCount": total }))
}

fn place(function: &Function, params: &Params<'_>) -> Result<usize, ApiError> {
    let (name, kind) = (params.needed("TriggerName"), params.needed("Type"));
    let found = function.triggers.iter().position(|trigger| trigger.name == name && trigger.kind == kind);
    found.ok_or_else(|| {
        ApiError::new("ResourceNotFound.Trigger", format!("there is no trigger `{name}` of `{kind}`"))
    })
}

fn check_kind(kind: &str, taken: &[&str]) -> Result<(), ApiError> {
    if taken.contains(&kind) {
        return Ok(());
    }
    Err(ApiError::new("InvalidParameterValue.Type", format!("`{kind}` is none of {}", taken.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_seven_fields_and_is_told_as_json() {
        let told = r#"{"cron":"0 */5 * * * * *"}"#;
        assert_eq!(timer("0 */5 * * * * *").unwrap(), told);
        assert_eq!(timer(told).unwrap(), told);
        assert!(timer("*/5 * * * *").is_err());
    }
}

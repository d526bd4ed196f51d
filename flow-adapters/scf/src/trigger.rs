use std::collections::BTreeMap;
use std::fmt;

use flow_core::{Name, Problems};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The types that can be made, and those among them that can be changed in place.
const MADE: [&str; 5] = ["cos", "cls", "timer", "ckafka", "http"];
const CHANGED: [&str; 3] = ["timer", "ckafka", "http"];

/// The description of a trigger: JSON on one line, as [`Display`](fmt::Display) writes it.
///
/// It is compared as text, so there is one way to write each trigger: fields in this order, what is usual left out.
///
/// ```
/// use flow_scf::Trigger;
///
/// let nightly = Trigger::timer("0 0 3 * * * *");
/// assert_eq!(nightly.to_string(), r#"{"type":"timer","desc":"0 0 3 * * * *"}"#);
/// let past_the_alias = nightly.bound_to("$LATEST");
/// assert_eq!(past_the_alias.to_string(), r#"{"type":"timer","desc":"0 0 3 * * * *","qualifier":"$LATEST"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The platform's name of its type: `timer`, `cos`, `cls`, `ckafka` or `http`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the type needs: a timer's cron expression of seven fields, an object of the platform for the others.
    pub desc: TriggerDesc,
    /// What is handed to the function with each call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub argument: String,
    /// Whether it calls; usually it does.
    #[serde(default, skip_serializing_if = "Calls::is_usual")]
    pub calls: Calls,
    /// The version or alias that it calls; usually the alias of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
}

/// What a type of trigger needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TriggerDesc {
    /// A text, such as a cron expression.
    Text(String),
    /// An object of the platform.
    Fields(BTreeMap<String, Value>),
}

/// Whether a trigger calls its function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// It does.
    #[default]
    On,
    /// It is there and does not.
    Off,
}

impl Calls {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    const fn is_usual(&self) -> bool {
        matches!(self, Self::On)
    }
}

impl Trigger {
    /// A trigger of `kind` with what it needs.
    pub fn new(kind: impl Into<String>, desc: TriggerDesc) -> Self {
        Self { kind: kind.into(), desc, argument: String::new(), calls: Calls::On, qualifier: None }
    }

    /// Calls at the times of a cron expression of seven fields, from seconds to years.
    pub fn timer(cron: impl Into<String>) -> Self {
        Self::new("timer", TriggerDesc::Text(cron.into()))
    }

    /// Hands `argument` to the function with each call.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.argument = argument.into();
        self
    }

    /// Calls `qualifier`, a version or another alias, past the alias that carries canaries.
    #[must_use]
    pub fn bound_to(mut self, qualifier: impl Into<String>) -> Self {
        self.qualifier = Some(qualifier.into());
        self
    }

    /// As the platform takes it.
    pub(crate) fn sent(&self) -> String {
        match &self.desc {
            TriggerDesc::Text(text) => text.clone(),
            TriggerDesc::Fields(fields) => serde_json::to_string(fields).unwrap_or_default(),
        }
    }

    /// What the platform tells of it: a timer's expression within an object, the others as they were given.
    pub(crate) fn desc_of(kind: &str, told: &str) -> TriggerDesc {
        let Ok(fields) = serde_json::from_str::<BTreeMap<String, Value>>(told) else {
            return TriggerDesc::Text(told.to_owned());
        };
        let cron = fields.get("cron").and_then(Value::as_str).filter(|_| kind == "timer");
        cron.map_or_else(|| TriggerDesc::Fields(fields.clone()), |cron| TriggerDesc::Text(cron.to_owned()))
    }

    pub(crate) fn can_change_to(&self, other: &Self) -> bool {
        self.kind == other.kind && self.qualifier == other.qualifier && CHANGED.contains(&self.kind.as_str())
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Reads all triggers of a function as they should be.
///
/// # Errors
/// Everything that is wrong with them, each under its name.
pub(crate) fn parse_all(
    triggers: &BTreeMap<Name, String>,
    alias: &str,
) -> Result<BTreeMap<String, Trigger>, Problems> {
    let mut problems = Problems::default();
    let mut parsed = BTreeMap::new();
    for (name, text) in triggers {
        match parse(text, alias) {
            Ok(trigger) => {
                parsed.insert(name.to_string(), trigger);
            }
            Err(problem) => problems.add(format!("triggers.{name}"), problem),
        }
    }
    problems.into_result().map(|()| parsed)
}

fn parse(text: &str, alias: &str) -> Result<Trigger, String> {
    let mut trigger: Trigger =
        serde_json::from_str(text).map_err(|error| format!("is no trigger in JSON: {error}"))?;
    trigger.qualifier = trigger.qualifier.filter(|qualifier| qualifier != alias);
    let written = trigger.to_string();
    if written != text {
        return Err(format!("must be written as `{written}`"));
    }
    if let (TriggerDesc::Text(cron), "timer") = (&trigger.desc, trigger.kind.as_str())
        && cron.split_whitespace().count() != 7
    {
        return Err(format!("`{cron}` is no cron expression of seven fields"));
    }
    Ok(trigger)
}

/// Whether a trigger of this type can be made.
pub(crate) fn can_be_made(kind: &str) -> bool {
    MADE.contains(&kind)
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    fn wrong(text: &str) -> String {
        parse_all(&BTreeMap::from([(name!("nightly"), text.to_owned())]), "live").unwrap_err().to_string()
    }

    #[test]
    fn a_trigger_is_written_in_one_way_only() {
        let trigger = Trigger { calls: Calls::Off, ..Trigger::timer("0 0 3 * * * *").argument("x") };
        let text = trigger.to_string();
        assert_eq!(text, r#"{"type":"timer","desc":"0 0 3 * * * *","argument":"x","calls":"off"}"#);
        assert_eq!(parse(&text, "live"), Ok(trigger));
        let told = wrong(r#"{"desc":"0 0 3 * * * *","type":"timer","qualifier":"live"}"#);
        assert_eq!(
            told,
            r#"`triggers.nightly`: must be written as `{"type":"timer","desc":"0 0 3 * * * *"}`"#
        );
    }

    #[test]
    fn what_is_no_trigger_is_refused_by_its_reason() {
        assert!(wrong("0 3 * * *").contains("is no trigger in JSON"));
        assert!(wrong(r#"{"type":"timer"}"#).contains("missing field `desc`"));
        assert!(
            wrong(r#"{"type":"timer","desc":"0 3 * * *"}"#).contains("no cron expression of seven fields")
        );
    }

    #[test]
    fn what_the_platform_tells_is_what_was_given() {
        let told = Trigger::desc_of("timer", r#"{"cron":"0 0 3 * * * *"}"#);
        assert_eq!(told, TriggerDesc::Text("0 0 3 * * * *".into()));
        let given = r#"{"event":"cos:ObjectCreated:*","filter":{"Prefix":"a/"}}"#;
        let cos = Trigger::new("cos", Trigger::desc_of("cos", given));
        assert_eq!(cos.sent(), given);
        assert_eq!(Trigger::desc_of("http", ""), TriggerDesc::Text(String::new()));
    }
}

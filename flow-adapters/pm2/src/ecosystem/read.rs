use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::Problems;
use serde_json::{Map, Value};

use super::model::{EcosystemMode, Instances};

/// The fields of a mapping, taken one by one. What is left when it goes is listed.
pub(super) struct Fields<'f> {
    fields: Map<String, Value>,
    place: String,
    problems: &'f mut Problems,
    left: &'f mut Vec<String>,
}

impl<'f> Fields<'f> {
    pub(super) fn of(
        value: Value,
        place: String,
        problems: &'f mut Problems,
        left: &'f mut Vec<String>,
    ) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self { fields, place, problems, left }),
            _ => {
                problems.add(place, "must be a mapping");
                None
            }
        }
    }

    /// Says what is wrong with a field. The value is not shown: it may be secret.
    pub(super) fn problem(&mut self, field: &str, problem: &str) {
        self.problems.add(format!("{}.{field}", self.place), problem);
    }

    /// Takes a field that has several names, which is left out where it is `null`.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<Value> {
        let taken: Vec<Value> = names.iter().filter_map(|name| self.fields.remove(*name)).collect();
        taken.into_iter().find(|value| !value.is_null())
    }

    /// The names that begin with `start`.
    pub(super) fn names(&self, start: &str) -> Vec<String> {
        self.fields.keys().filter(|name| name.starts_with(start)).cloned().collect()
    }

    /// A text.
    pub(super) fn text(&mut self, names: &[&str]) -> Option<String> {
        let text = scalar(&self.take(names)?);
        if text.is_none() {
            self.problem(names.first().unwrap_or(&""), "must be a text");
        }
        text
    }

    /// A text that must be there and say something.
    pub(super) fn needed(&mut self, names: &[&str]) -> Option<String> {
        let text = self.text(names).filter(|text| !text.is_empty());
        if text.is_none() {
            self.problem(names.first().unwrap_or(&""), "must be given");
        }
        text
    }

    /// A list of texts, or a text of words without quotes.
    pub(super) fn words(&mut self, names: &[&str]) -> Vec<String> {
        let words = match self.take(names) {
            None => return Vec::new(),
            Some(Value::Array(words)) => words.iter().map(scalar).collect::<Option<Vec<_>>>(),
            Some(Value::String(text)) if text.contains(['"', '\'', '\\']) => None,
            Some(value) => {
                scalar(&value).map(|text| text.split_whitespace().map(ToOwned::to_owned).collect())
            }
        };
        if words.is_none() {
            let name = names.first().unwrap_or(&"");
            self.problem(name, "must be a list of texts, or one text without quotes and backslashes");
        }
        words.unwrap_or_default()
    }

    /// A mapping of texts.
    pub(super) fn variables(&mut self, name: &str) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        match self.take(&[name]) {
            None => {}
            Some(Value::Object(values)) => {
                for (variable, value) in values {
                    match scalar(&value) {
                        Some(text) => drop(variables.insert(variable, text)),
                        None => self.problem(&format!("{name}.{variable}"), "must be a text"),
                    }
                }
            }
            Some(_) => self.problem(name, "must be a mapping"),
        }
        variables
    }

    pub(super) fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        let time = self.take(&[name])?.as_u64().map(Duration::from_millis);
        if time.is_none() {
            self.problem(name, "must be a number of milliseconds");
        }
        time
    }

    pub(super) fn truth(&mut self, name: &str) -> Option<bool> {
        let truth = self.take(&[name])?.as_bool();
        if truth.is_none() {
            self.problem(name, "must be true or false");
        }
        truth
    }

    pub(super) fn mode(&mut self) -> Option<EcosystemMode> {
        match self.text(&["exec_mode"])?.as_str() {
            "fork" | "fork_mode" => Some(EcosystemMode::Fork),
            "cluster" | "cluster_mode" => Some(EcosystemMode::Cluster),
            _ => {
                self.problem("exec_mode", "must be `fork` or `cluster`");
                None
            }
        }
    }

    /// How many: PM2 takes 0 for one for each processor, and less for so many fewer.
    pub(super) fn instances(&mut self) -> Option<Instances> {
        let text = self.text(&["instances"])?;
        let count = if text == "max" { Some(0) } else { text.parse::<i64>().ok() };
        let instances = count.and_then(|count| match (count, u32::try_from(count.unsigned_abs())) {
            (0, _) => Some(Instances::Max),
            (1.., Ok(count)) => Some(Instances::Count(count)),
            (_, Ok(fewer)) => Some(Instances::AllBut(fewer)),
            _ => None,
        });
        if instances.is_none() {
            self.problem("instances", "must be a number or `max`");
        }
        instances
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let place = &self.place;
        self.left.extend(self.fields.keys().map(|name| format!("{place}.{name}")));
    }
}

/// The text of what PM2 would make a text of.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

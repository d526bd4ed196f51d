//! What each action takes, from the API's own description: a parameter that it does not name is refused, and so is one of another type.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::envelope::ApiError;

/// Undocumented parameters that official tools send.
const ALSO_TAKEN: &[(&str, &str)] = &[
    ("CreateFunction", "DeployMode"),
    ("CreateFunction", "DiskSize"),
    ("CreateFunction", "NodeType"),
    ("DescribeRecordList", "Subdomain"),
    ("GetFunction", "ShowTriggers"),
    ("UpdateFunctionConfiguration", "DeployMode"),
    ("UpdateFunctionConfiguration", "DiskSize"),
    ("UpdateFunctionConfiguration", "NodeType"),
];

/// How deep objects may lie in each other.
pub(super) const DEPTH: usize = 12;

static SPEC: LazyLock<BTreeMap<&str, Service>> = LazyLock::new(|| read(include_str!("spec.txt")));

/// One service, as it is described.
#[derive(Debug, Default)]
pub(super) struct Service {
    version: &'static str,
    actions: BTreeMap<&'static str, Vec<Field>>,
    objects: BTreeMap<&'static str, Vec<Field>>,
    returns: BTreeMap<&'static str, Vec<&'static str>>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    required: bool,
}

impl Service {
    /// The service of this name in this version.
    pub(super) fn find(name: &str, version: &str) -> Result<&'static Self, ApiError> {
        let Some(service) = SPEC.get(name) else {
            return Err(ApiError::new("NoSuchProduct", format!("no product is called `{name}`")));
        };
        if service.version != version {
            let message = format!("`{name}` has no version `{version}`");
            return Err(ApiError::new("NoSuchVersion", message));
        }
        Ok(service)
    }

    /// Checks what an action was given.
    pub(super) fn check(&self, action: &str, given: &Map<String, Value>) -> Result<(), ApiError> {
        let Some(fields) = self.actions.get(action) else {
            return Err(ApiError::new("InvalidAction", format!("there is no action `{action}`")));
        };
        self.check_fields(action, fields, given, DEPTH)
    }

    /// What an action takes; nothing, if there is no such action.
    pub(super) fn fields(&self, action: &str) -> &[Field] {
        self.actions.get(action).map(Vec::as_slice).unwrap_or_default()
    }

    /// What an object of this kind holds.
    pub(super) fn object(&self, kind: &str) -> &[Field] {
        self.objects.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    fn check_fields(
        &self,
        within: &str,
        fields: &[Field],
        given: &Map<String, Value>,
        depth: usize,
    ) -> Result<(), ApiError> {
        for (name, value) in given {
            let also = ALSO_TAKEN.contains(&(within, name.as_str()));
            match fields.iter().find(|field| field.name == name) {
                Some(field) => self.check_value(field.name, field.kind, value, depth)?,
                None if also => {}
                None => {
                    let message = format!("the parameter `{name}` of `{within}` is not recognised");
                    return Err(ApiError::new("UnknownParameter", message));
                }
            }
        }
        let missing =
            fields.iter().find(|field| field.required && given.get(field.name).is_none_or(Value::is_null));
        match missing {
            Some(field) => {
                let message = format!("the request lacks the parameter `{}` of `{within}`", field.name);
                Err(ApiError::new("MissingParameter", message))
            }
            None => Ok(()),
        }
    }

    fn check_value(&self, name: &str, kind: &str, value: &Value, depth: usize) -> Result<(), ApiError> {
        let fits = match kind {
            "s" => value.is_string(),
            "i" => value.is_i64() || value.is_u64(),
            "f" => value.is_number(),
            "b" => value.is_boolean(),
            _ => {
                if let Some(of) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
                    let Some(items) = value.as_array() else { return wrong(name, "a list", value) };
                    return items.iter().try_for_each(|item| self.check_value(name, of, item, depth));
                }
                let (Some(inner), Some(fields)) = (value.as_object(), self.objects.get(kind)) else {
                    return wrong(name, "an object", value);
                };
                let Some(depth) = depth.checked_sub(1) else { return wrong(name, "less deep", value) };
                return self.check_fields(kind, fields, inner, depth);
            }
        };
        if fits || value.is_null() { Ok(()) } else { wrong(name, type_name(kind), value) }
    }

    /// What the action's answer lacks of the official example, and what it has that is not described.
    pub(super) fn odd_in_answer(&self, action: &str, answer: &Value) -> Vec<String> {
        let empty = Map::new();
        let answer = answer.as_object().unwrap_or(&empty);
        let described = self.returns.get(action).map(Vec::as_slice).unwrap_or_default();
        let lacking = described
            .iter()
            .filter_map(|name| name.strip_suffix('+'))
            .filter(|name| !answer.contains_key(*name));
        let lacking = lacking.map(|name| format!("-{name}"));
        let known = |name: &str| {
            name == "RequestId" || described.iter().any(|each| each.trim_end_matches('+') == name)
        };
        let odd = answer.keys().filter(|name| !known(name)).map(|name| format!("+{name}"));
        lacking.chain(odd).collect()
    }
}

fn wrong(name: &str, wanted: &str, value: &Value) -> Result<(), ApiError> {
    let message = format!("the parameter `{name}` must be {wanted}, not {value}");
    Err(ApiError::new("InvalidParameter", message.chars().take(300).collect::<String>()))
}

fn type_name(kind: &str) -> &'static str {
    match kind {
        "s" => "a text",
        "i" => "a whole number",
        "f" => "a number",
        _ => "true or false",
    }
}

fn read(text: &'static str) -> BTreeMap<&'static str, Service> {
    let mut services: BTreeMap<&'static str, Service> = BTreeMap::new();
    let (mut service, mut action) = ("", "");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if kind == "service" {
            service = name;
        }
        let into = services.entry(service).or_default();
        match kind {
            "service" => into.version = words.next().unwrap_or_default(),
            "action" => {
                action = name;
                into.actions.insert(name, words.filter_map(field).collect());
            }
            "returns" => {
                let names = std::iter::once(name).chain(words).filter(|name| !name.is_empty());
                into.returns.insert(action, names.collect());
            }
            "object" => {
                into.objects.insert(name, words.filter_map(field).collect());
            }
            _ => {}
        }
    }
    services
}

fn field(word: &'static str) -> Option<Field> {
    let (name, kind) = word.split_once(':')?;
    Some(Field { name, kind: kind.trim_end_matches('*'), required: kind.ends_with('*') })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(action: &str, given: &Value) -> String {
        let service = Service::find("scf", "2018-04-16").unwrap();
        service.check(action, given.as_object().unwrap()).err().map(|error| error.code).unwrap_or_default()
    }

    #[test]
    fn what_is_not_described_is_refused() {
        assert_eq!(code("GetFunction", &json!({ "FunctionName": "a" })), "");
        assert_eq!(code("GetFunction", &json!({ "FunctionName": "a", "Colour": 1 })), "UnknownParameter");
        assert_eq!(code("GetFunctions", &json!({})), "InvalidAction");
        assert_eq!(code("DeleteFunction", &json!({})), "MissingParameter");
        assert_eq!(
            code("ListVersionByFunction", &json!({ "FunctionName": "a", "Limit": "20" })),
            "InvalidParameter"
        );
        assert_eq!(code("ListAliases", &json!({ "FunctionName": "a", "Limit": 20 })), "InvalidParameter");
    }

    #[test]
    fn objects_are_looked_into() {
        let alias = |weight: Value| {
            json!({ "FunctionName": "a", "Name": "b", "FunctionVersion": "1",
                "RoutingConfig": { "AdditionalVersionWeights": [weight] } })
        };
        assert_eq!(code("UpdateAlias", &alias(json!({ "Version": "2", "Weight": 0.1 }))), "");
        assert_eq!(code("UpdateAlias", &alias(json!({ "Version": 2, "Weight": 0.1 }))), "InvalidParameter");
        assert_eq!(code("UpdateAlias", &alias(json!({ "Version": "2" }))), "MissingParameter");
        assert_eq!(
            code("UpdateAlias", &alias(json!({ "Version": "2", "Weight": 1, "X": 1 }))),
            "UnknownParameter"
        );
    }

    #[test]
    fn what_official_tools_send_is_taken() {
        assert_eq!(code("GetFunction", &json!({ "FunctionName": "a", "ShowTriggers": "TRUE" })), "");
    }

    #[test]
    fn another_version_is_another_service() {
        assert_eq!(Service::find("scf", "2021-03-23").err().unwrap().code, "NoSuchVersion");
        assert_eq!(Service::find("cvm", "2017-03-12").err().unwrap().code, "NoSuchProduct");
    }
}

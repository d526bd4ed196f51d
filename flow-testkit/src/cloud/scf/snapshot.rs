use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::digests::hex;
use super::super::envelope::ApiError;
use super::super::params::Params;

/// What the variables of a function may come to, in bytes.
const ENVIRONMENT: usize = 4096;

/// What is kept as it was given, and what is told of it where nothing was.
const KEPT: [(&str, &str); 17] = [
    ("VpcConfig", r#"{"VpcId":"","SubnetId":""}"#),
    ("Role", r#""""#),
    ("InstallDependency", r#""FALSE""#),
    ("ClsLogsetId", r#""""#),
    ("ClsTopicId", r#""""#),
    ("Tags", "[]"),
    ("Type", r#""Event""#),
    ("L5Enable", r#""FALSE""#),
    ("DeadLetterConfig", r#"{"Type":"","Name":"","FilterType":""}"#),
    ("CfsConfig", r#"{"CfsInsList":[]}"#),
    ("InitTimeout", "65"),
    ("AsyncRunEnable", r#""FALSE""#),
    ("TraceEnable", r#""FALSE""#),
    ("ProtocolType", r#""""#),
    ("ProtocolParams", "null"),
    ("InstanceConcurrencyConfig", "null"),
    ("DnsCache", r#""FALSE""#),
];

/// Code with its configuration: what a version freezes.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// The zip.
    pub(super) code: Bytes,
    pub(super) sha256: String,
    pub(super) handler: String,
    pub(super) runtime: String,
    pub(super) description: String,
    pub(super) memory: i64,
    pub(super) timeout: i64,
    pub(super) variables: BTreeMap<String, String>,
    layers: Vec<Value>,
    kept: Map<String, Value>,
}

impl Snapshot {
    pub(super) fn new() -> Self {
        let mut empty = Self {
            code: Bytes::new(),
            sha256: String::new(),
            handler: "index.main_handler".to_owned(),
            runtime: "Nodejs18.15".to_owned(),
            description: String::new(),
            memory: 128,
            timeout: 3,
            variables: BTreeMap::new(),
            layers: Vec::new(),
            kept: Map::new(),
        };
        empty.holds(&Bytes::new());
        empty
    }

    /// Takes this code.
    pub(super) fn holds(&mut self, code: &Bytes) {
        self.code = code.clone();
        self.sha256 = hex(&Sha256::digest(code));
    }

    /// Takes what of the configuration is given.
    pub(super) fn configure(&mut self, params: &Params<'_>) -> Result<(), ApiError> {
        if let Some(memory) = params.number("MemorySize") {
            let fits = memory == 64 || ((128..=3072).contains(&memory) && memory % 128 == 0);
            self.memory = if fits { memory } else { return Err(wrong("MemorySize", memory)) };
        }
        if let Some(timeout) = params.number("Timeout") {
            self.timeout =
                if (1..=900).contains(&timeout) { timeout } else { return Err(wrong("Timeout", timeout)) };
        }
        for (name, into) in [
            ("Handler", &mut self.handler),
            ("Runtime", &mut self.runtime),
            ("Description", &mut self.description),
        ] {
            if let Some(text) = params.text(name) {
                text.clone_into(into);
            }
        }
        if self.handler.is_empty() {
            return Err(wrong("Handler", ""));
        }
        self.set_variables(params)?;
        // An empty list keeps the old; one empty layer clears.
        match params.list("Layers") {
            [] => {}
            [only] if only.get("LayerName") == Some(&json!("")) => self.layers = Vec::new(),
            layers => self.layers = layers.to_vec(),
        }
        for (name, _) in KEPT {
            if let Some(value) = params.get(name) {
                self.kept.insert(name.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    /// Replaces all variables; an empty list keeps the old ones, and one empty variable clears them.
    fn set_variables(&mut self, params: &Params<'_>) -> Result<(), ApiError> {
        let given = params.object("Environment");
        let given = given.as_ref().map(|environment| environment.list("Variables")).unwrap_or_default();
        if given.is_empty() {
            return Ok(());
        }
        let text = |variable: &Value, name: &str| {
            variable.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut variables: BTreeMap<_, _> =
            given.iter().map(|variable| (text(variable, "Key"), text(variable, "Value"))).collect();
        if given.len() == 1 && variables.get("").is_some_and(String::is_empty) {
            variables.clear();
        }
        if variables.contains_key("") {
            return Err(wrong("Environment", "a variable without a name"));
        }
        let size: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > ENVIRONMENT {
            let message = format!("the variables have {size} bytes, at most {ENVIRONMENT}");
            return Err(ApiError::new("InvalidParameterValue.EnvironmentExceededLimit", message));
        }
        self.variables = variables;
        Ok(())
    }

    /// What `GetFunction` tells of it.
    pub(super) fn told(&self) -> Map<String, Value> {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| json!({ "Key": name, "Value": value })).collect();
        let mut told = Map::new();
        for (name, usual) in KEPT {
            let value = self.kept.get(name).cloned();
            told.insert(
                name.to_owned(),
                value.unwrap_or_else(|| serde_json::from_str(usual).unwrap_or_default()),
            );
        }
        for (name, value) in [
            ("Handler", json!(self.handler)),
            ("Runtime", json!(self.runtime)),
            ("Description", json!(self.description)),
            ("MemorySize", json!(self.memory)),
            ("Timeout", json!(self.timeout)),
            ("CodeSize", json!(self.code.len())),
            ("CodeInfo", json!("")),
            ("CodeResult", json!("success")),
            ("CodeError", json!("")),
            ("ErrNo", json!(0)),
            ("Environment", json!({ "Variables": variables })),
            ("Layers", json!(self.layers)),
            ("UseGpu", json!("FALSE")),
            ("EipConfig", json!({ "EipFixed": "FALSE", "Eips": [] })),
            ("AccessInfo", json!({ "Host": "", "Vip": "" })),
            ("PublicNetConfig", Value::Null),
            ("OnsEnable", json!("FALSE")),
            ("ImageConfig", Value::Null),
            ("IntranetConfig", Value::Null),
        ] {
            told.insert(name.to_owned(), value);
        }
        told
    }
}

fn wrong(field: &str, value: impl std::fmt::Display) -> ApiError {
    ApiError::new(format!("InvalidParameterValue.{field}"), format!("`{field}` must not be `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(snapshot: &mut Snapshot, given: &Value) -> Result<(), ApiError> {
        snapshot.configure(&Params::new(given.as_object().unwrap()))
    }

    fn variables(given: &Value) -> Value {
        json!({ "Environment": { "Variables": given } })
    }

    #[test]
    fn an_empty_list_keeps_the_variables_and_an_empty_variable_clears_them() {
        let mut snapshot = Snapshot::new();
        configured(
            &mut snapshot,
            &variables(&json!([{ "Key": "A", "Value": "1" }, { "Key": "B", "Value": "" }])),
        )
        .unwrap();
        assert_eq!(snapshot.variables.len(), 2);
        configured(&mut snapshot, &variables(&json!([]))).unwrap();
        assert_eq!(snapshot.variables.len(), 2);
        configured(&mut snapshot, &variables(&json!([{ "Key": "C", "Value": "3" }]))).unwrap();
        assert_eq!(snapshot.variables.keys().collect::<Vec<_>>(), ["C"]);
        configured(&mut snapshot, &variables(&json!([{ "Key": "", "Value": "" }]))).unwrap();
        assert!(snapshot.variables.is_empty());
    }

    #[test]
    fn a_value_out_of_bounds_is_refused() {
        let mut snapshot = Snapshot::new();
        for (given, code) in [
            (json!({ "MemorySize": 100 }), "InvalidParameterValue.MemorySize"),
            (json!({ "Timeout": 901 }), "InvalidParameterValue.Timeout"),
            (
                variables(&json!([{ "Key": "A", "Value": "x".repeat(4096) }])),
                "InvalidParameterValue.EnvironmentExceededLimit",
            ),
            (variables(&json!([{ "Key": "", "Value": "x" }])), "InvalidParameterValue.Environment"),
        ] {
            assert_eq!(configured(&mut snapshot, &given).unwrap_err().code, code);
        }
    }
}

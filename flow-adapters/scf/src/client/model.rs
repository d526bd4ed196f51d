use std::collections::BTreeMap;

use flow_core::{ErrorKind, StepError};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Deserialize;

use super::actions::{Variable, VersionWeight};

/// What the platform calls code and configuration that are not published.
pub(crate) const LATEST: &str = "$LATEST";

/// A function, or one version of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Function {
    pub(crate) status: String,
    #[serde(default)]
    status_reasons: Option<Vec<Reason>>,
    pub(crate) handler: Option<String>,
    description: Option<String>,
    /// How long one call may take, in seconds.
    pub(crate) timeout: u64,
    environment: Option<Variables>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reason {
    error_code: Option<String>,
    error_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Variables {
    variables: Option<Vec<Variable>>,
}

impl Function {
    /// Whether a change is under way.
    pub(crate) fn is_moving(&self) -> bool {
        matches!(self.status.as_str(), "Creating" | "Updating" | "Publishing" | "Deleting")
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == "Active"
    }

    /// Whether there is nothing but a failed attempt to make it.
    pub(crate) fn was_never_made(&self) -> bool {
        self.status == "CreateFailed"
    }

    pub(crate) fn description(&self) -> &str {
        self.description.as_deref().unwrap_or_default()
    }

    /// The environment variables. Values may be secret.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let all = self.environment.as_ref().and_then(|environment| environment.variables.as_ref());
        all.into_iter().flatten().map(|one| (one.key.clone(), one.value.clone())).collect()
    }

    /// Why its last change failed, if that is what it says.
    pub(crate) fn failure(&self, function: &str) -> Option<StepError> {
        if self.is_moving() || self.is_active() {
            return None;
        }
        let reasons: Vec<String> = self.status_reasons.iter().flatten().map(Reason::told).collect();
        let error = StepError::new(ErrorKind::Failed, "the platform could not carry the change out")
            .fact("function", function)
            .fact("status", &self.status);
        Some(if reasons.is_empty() { error } else { error.fact("reasons", reasons.join("; ")) })
    }
}

impl Reason {
    fn told(&self) -> String {
        let (code, message) = (self.error_code.as_deref(), self.error_message.as_deref());
        [code, message].into_iter().flatten().collect::<Vec<_>>().join(": ")
    }
}

/// A version in the list of versions.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Row {
    pub(crate) version: String,
    description: Option<String>,
    status: Option<String>,
}

impl Row {
    /// Its number; none for what is not published.
    pub(crate) fn number(&self) -> Option<u64> {
        number(&self.version)
    }

    pub(crate) fn description(&self) -> &str {
        self.description.as_deref().unwrap_or_default()
    }

    /// Whether its publication failed: there is nothing to call.
    pub(crate) fn has_failed(&self) -> bool {
        self.status.as_deref().is_some_and(|status| status.ends_with("Failed"))
    }
}

/// A version's number as the platform writes it.
pub(crate) fn number(version: &str) -> Option<u64> {
    version.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == version)
}

/// A name that leads to one version, or to two.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Alias {
    pub(crate) function_version: String,
    routing_config: Option<Routed>,
    description: Option<String>,
    mod_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Routed {
    additional_version_weights: Option<Vec<VersionWeight>>,
    #[serde(rename = "AddtionVersionMatchs")]
    matches: Option<Vec<serde_json::Value>>,
}

impl Alias {
    pub(crate) fn description(&self) -> &str {
        self.description.as_deref().unwrap_or_default()
    }

    /// The versions beside the first one, with their shares.
    pub(crate) fn additional(&self) -> &[VersionWeight] {
        let weights =
            self.routing_config.as_ref().and_then(|routed| routed.additional_version_weights.as_deref());
        weights.unwrap_or_default()
    }

    /// Whether some calls are chosen by what is in them, past the shares.
    pub(crate) fn has_matches(&self) -> bool {
        let matches = self.routing_config.as_ref().and_then(|routed| routed.matches.as_ref());
        matches.is_some_and(|matches| !matches.is_empty())
    }

    pub(crate) fn leads_to(&self, version: &str) -> bool {
        self.function_version == version || self.additional().iter().any(|one| one.version == version)
    }

    /// When it was changed last; none where the platform does not say.
    pub(crate) fn changed(&self) -> Option<Timestamp> {
        let told = DateTime::strptime("%Y-%m-%d %H:%M:%S", self.mod_time.as_deref()?).ok()?;
        // Beijing's time, without saying so.
        Offset::constant(8).to_timestamp(told).ok()
    }
}

/// A trigger as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TriggerRow {
    pub(crate) trigger_name: String,
    pub(crate) r#type: String,
    pub(crate) trigger_desc: Option<String>,
    pub(crate) qualifier: Option<String>,
    /// 1 or 0, though it is set by a text.
    pub(crate) enable: i64,
    pub(crate) custom_argument: Option<String>,
}

impl TriggerRow {
    /// What it calls; without a word that is what is not published.
    pub(crate) fn bound_to(&self) -> &str {
        self.qualifier.as_deref().filter(|qualifier| !qualifier.is_empty()).unwrap_or(LATEST)
    }
}

/// Instances of a version that stand ready, or will.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Allocated {
    pub(crate) qualifier: String,
    pub(crate) allocated_provisioned_concurrency_num: u32,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
}

/// How a call of a function ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Outcome {
    pub(crate) ret_msg: Option<String>,
    pub(crate) err_msg: Option<String>,
    /// No longer kept up by the platform, so it counts only against a call.
    pub(crate) invoke_result: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_tells_its_times_in_beijing() {
        let alias: Alias = serde_json::from_str(
            r#"{"FunctionVersion":"2","ModTime":"2026-11-30 20:00:00","RoutingConfig":
                {"AdditionalVersionWeights":[{"Version":"3","Weight":0.1}],"AddtionVersionMatchs":null}}"#,
        )
        .unwrap();
        assert_eq!(alias.changed(), Some("2026-11-30T12:00:00Z".parse().unwrap()));
        assert!(alias.leads_to("2") && alias.leads_to("3") && !alias.leads_to("1") && !alias.has_matches());
    }

    #[test]
    fn a_failed_change_tells_its_reasons_and_one_under_way_none() {
        let function = |status: &str| -> Function {
            let reasons = r#"[{"ErrorCode":"InvalidZip","ErrorMessage":"no handler"}]"#;
            let text = format!(r#"{{"Status":"{status}","StatusReasons":{reasons},"Timeout":3}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let failed = function("UpdateFailed").failure("shop").unwrap();
        assert!(failed.to_string().contains("reasons: `InvalidZip: no handler`"), "{failed}");
        assert!(
            function("Updating").failure("shop").is_none() && function("Active").failure("shop").is_none()
        );
    }

    #[test]
    fn a_number_is_written_as_the_platform_does() {
        assert_eq!(number("12"), Some(12));
        for none in ["", "0", "01", "+1", "$LATEST", "live", "1.0"] {
            assert_eq!(number(none), None, "{none}");
        }
    }
}

use std::time::Duration;

use flow_core::Problems;
use flow_tencent::{CosConfig, ObjectKey};
use serde::{Deserialize, Serialize};

/// The alias that every function has, which cannot be deleted.
pub(crate) const DEFAULT_ALIAS: &str = "$DEFAULT";

/// The longest name of a function.
const FUNCTION_MAX: usize = 60;

/// How functions of one region and namespace are deployed. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScfConfig {
    /// The region, such as `ap-guangzhou`.
    pub region: String,
    /// The namespace of the functions.
    #[serde(default = "namespace")]
    pub namespace: String,
    /// The alias that callers use and that triggers are bound to. It leads to the live version.
    #[serde(default = "alias")]
    pub alias: String,
    /// Another address than `https://scf.tencentcloudapi.com`. Plain `http://` is for this machine's loopback only.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The bucket through which packages go that are too large for a request; without one they are refused.
    #[serde(default)]
    pub code_bucket: Option<CodeBucket>,
    /// What a function is made with that does not exist yet; without it such a function is not found.
    #[serde(default)]
    pub new_functions: Option<NewFunction>,
    /// So many instances of the live version stand ready; none without it.
    #[serde(default)]
    pub provisioned: Option<u32>,
    /// How many of the newest versions [`prune`](crate::ScfFunctions::prune) leaves.
    #[serde(default = "kept_versions")]
    pub kept_versions: u32,
    /// How long a function may take to come to rest after a change.
    #[serde(default = "patience")]
    pub patience: Duration,
}

/// A bucket for packages. What is in it is kept: an earlier package can be put in place again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeBucket {
    /// The bucket's name without the account's number.
    pub bucket: String,
    /// The account's number.
    pub appid: String,
    /// What the keys of packages begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Another address to connect to than the bucket's own.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// What a new function is made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFunction {
    /// The runtime, such as `Nodejs18.15`.
    pub runtime: String,
    /// What is called in the code, such as `index.main_handler`.
    pub handler: String,
    /// Its memory in MB: 64, or a multiple of 128 up to 3072.
    #[serde(default = "memory_mb")]
    pub memory_mb: u32,
    /// How long one call may take, in seconds: 1 to 900.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u32,
    /// The role that it runs with.
    #[serde(default)]
    pub role: Option<String>,
}

impl ScfConfig {
    /// Functions of `region` in the default namespace, called by the alias `live`.
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            namespace: namespace(),
            alias: alias(),
            endpoint: None,
            code_bucket: None,
            new_functions: None,
            provisioned: None,
            kept_versions: kept_versions(),
            patience: patience(),
        }
    }

    /// Finds everything wrong with it but what only a connection tells.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let region = !self.region.is_empty()
            && self
                .region
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        problems.check(region, "region", "must be a region such as `ap-guangzhou`");
        problems.check(
            is_word(&self.namespace, 30),
            "namespace",
            "must be at most 30 letters, digits, `-` and `_`, beginning with a letter",
        );
        problems.check(
            self.alias == DEFAULT_ALIAS || is_word(&self.alias, 64),
            "alias",
            "must be `$DEFAULT` or at most 64 letters, digits, `-` and `_`, beginning with a letter",
        );
        problems.check(self.provisioned != Some(0), "provisioned", "must be at least 1, or absent");
        problems.check(
            self.kept_versions >= 2,
            "kept_versions",
            "must be at least 2: the live version and the one before",
        );
        problems.check(!self.patience.is_zero(), "patience", "must be longer than nothing");
        if let Some(bucket) = &self.code_bucket {
            // As long a key as any: one that is refused later would be met on the way back.
            let key = format!("{}{}/{}.zip", bucket.prefix, "f".repeat(FUNCTION_MAX), "0".repeat(64));
            if let Err(found) = ObjectKey::new(key) {
                for problem in found.as_slice() {
                    problems.add("code_bucket.prefix", format!("gives a bad key: {}", problem.problem));
                }
            }
        }
        if let Some(new) = &self.new_functions {
            new.check(&mut problems);
        }
        problems.into_result()
    }
}

impl CodeBucket {
    pub(crate) fn cos(&self, region: &str) -> CosConfig {
        CosConfig {
            bucket: self.bucket.clone(),
            appid: self.appid.clone(),
            region: region.to_owned(),
            endpoint: self.endpoint.clone(),
        }
    }
}

impl NewFunction {
    /// A function of `runtime` that calls `handler`, with 128 MB and 3 seconds.
    pub fn new(runtime: impl Into<String>, handler: impl Into<String>) -> Self {
        Self {
            runtime: runtime.into(),
            handler: handler.into(),
            memory_mb: memory_mb(),
            timeout_seconds: timeout_seconds(),
            role: None,
        }
    }

    fn check(&self, problems: &mut Problems) {
        problems.check(!self.runtime.is_empty(), "new_functions.runtime", "is missing");
        problems.check(!self.handler.is_empty(), "new_functions.handler", "is missing");
        let memory = self.memory_mb;
        problems.check(
            memory == 64 || ((128..=3072).contains(&memory) && memory.is_multiple_of(128)),
            "new_functions.memory_mb",
            "must be 64, or a multiple of 128 up to 3072",
        );
        let timeout = (1..=900).contains(&self.timeout_seconds);
        problems.check(timeout, "new_functions.timeout_seconds", "must be 1 to 900");
    }
}

/// Letters, digits, `-` and `_`, at most `max` of them, beginning with a letter.
fn is_word(text: &str, max: usize) -> bool {
    text.len() <= max
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether the platform takes `name` for a function.
pub(crate) fn check_function(name: &str) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let ends = name.bytes().next_back().is_some_and(|last| last.is_ascii_alphanumeric());
    problems.check(
        name.len() >= 2 && is_word(name, FUNCTION_MAX) && ends,
        "function",
        "must be 2 to 60 letters, digits, `-` and `_`, from a letter to a letter or digit",
    );
    problems.into_result()
}

fn namespace() -> String {
    "default".to_owned()
}

fn alias() -> String {
    "live".to_owned()
}

fn prefix() -> String {
    "flow/functions/".to_owned()
}

const fn memory_mb() -> u32 {
    128
}

const fn timeout_seconds() -> u32 {
    3
}

const fn kept_versions() -> u32 {
    10
}

const fn patience() -> Duration {
    Duration::from_secs(600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_said_at_once() {
        let config = ScfConfig {
            namespace: "9".into(),
            alias: "$LATEST".into(),
            provisioned: Some(0),
            kept_versions: 1,
            patience: Duration::ZERO,
            code_bucket: Some(CodeBucket {
                bucket: "code".into(),
                appid: "1250000000".into(),
                prefix: "/packages/".into(),
                endpoint: None,
            }),
            new_functions: Some(NewFunction {
                memory_mb: 100,
                timeout_seconds: 901,
                ..NewFunction::new("", "")
            }),
            ..ScfConfig::new("Guangzhou!")
        };
        let problems = config.check().unwrap_err();
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        let expected = "region namespace alias provisioned kept_versions patience code_bucket.prefix new_functions.runtime \
                        new_functions.handler new_functions.memory_mb new_functions.timeout_seconds";
        assert_eq!(fields.join(" "), expected);
        assert_eq!(ScfConfig::new("ap-guangzhou").check(), Ok(()));
        assert_eq!(ScfConfig { alias: "$DEFAULT".into(), ..ScfConfig::new("ap-guangzhou") }.check(), Ok(()));
    }

    #[test]
    fn the_names_of_functions_are_the_platforms() {
        for good in ["ab", "shop-2_a", &"a".repeat(60)] {
            assert_eq!(check_function(good), Ok(()), "{good}");
        }
        for bad in ["a", "2shop", "shop-", "sh.op", "", &"a".repeat(61)] {
            assert!(check_function(bad).is_err(), "{bad}");
        }
    }
}

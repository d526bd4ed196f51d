use std::fmt;
use std::path::PathBuf;

use flow_core::port::{HealthCheck, InstanceId, LaunchSpec};
use flow_core::{Digest, Name};
use serde::{Deserialize, Serialize};

/// What the description of a version begins with that is an instance of a service.
const WRITTEN: &str = "flow instance ";

/// The longest description that a version can have, in bytes.
pub(crate) const DESCRIPTION_MAX: usize = 1000;

/// What a version was launched with, as its description tells it: all but the function, and the environment, which is the version's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launched {
    pub(crate) instance: InstanceId,
    pub(crate) version: Name,
    pub(crate) digest: Digest,
    program: PathBuf,
    args: Vec<String>,
    directory: PathBuf,
    health: HealthCheck,
}

impl Launched {
    pub(crate) fn of(spec: &LaunchSpec) -> Self {
        let LaunchSpec { service: _, instance, version, digest, program, args, env: _, directory, health } =
            spec.clone();
        Self { instance, version, digest, program, args, directory, health }
    }

    pub(crate) fn parse(description: &str) -> Option<Self> {
        serde_json::from_str(description.strip_prefix(WRITTEN)?).ok()
    }

    /// The whole specification, with what the description does not tell.
    pub(crate) fn spec(self, service: Name, env: std::collections::BTreeMap<String, String>) -> LaunchSpec {
        let Self { instance, version, digest, program, args, directory, health } = self;
        LaunchSpec { service, instance, version, digest, program, args, env, directory, health }
    }
}

impl fmt::Display for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WRITTEN}{}", serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flow_core::name;

    use super::*;

    #[test]
    fn what_was_launched_reads_back_without_its_environment() {
        let spec = LaunchSpec {
            service: name!("shop"),
            instance: name!("1.0.0-abc-0"),
            version: name!("1.0.0"),
            digest: Digest::of(b"zip"),
            program: "/releases/shop.zip".into(),
            args: Vec::new(),
            env: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
            directory: "/releases".into(),
            health: HealthCheck { path: "/health".into(), timeout: Duration::from_secs(1) },
        };
        let written = Launched::of(&spec).to_string();
        assert!(!written.contains("hunter2") && written.len() < DESCRIPTION_MAX, "{written}");
        assert_eq!(Launched::parse(&written).unwrap().spec(name!("shop"), spec.env.clone()), spec);
        assert_eq!(Launched::parse("flow kept code="), None);
    }
}

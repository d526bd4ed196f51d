//! One service that a rollout replaces.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Problems;
use crate::name::{Digest, Name};
use crate::port::HealthCheck;

/// One service: what it runs, how many of it, and how it is asked for its health.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// How many instances it has.
    pub size: u32,
    /// The name of the built artefact that it runs.
    pub artifact: Name,
    /// The program below the artefact's directory; none where the artefact is the program, a single file.
    pub program: Option<crate::port::HostPath>,
    /// Where releases stand on the machine that runs it, an absolute path: an instance then runs the artefact from
    /// `<releases>/<hexadecimal digest>`, and in that directory. None where it runs it from where stage 2 left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<PathBuf>,
    /// The arguments; `{address}` in one becomes the instance's address.
    pub args: Vec<String>,
    /// The environment of each instance. Values may be secret and are never shown.
    pub env: BTreeMap<String, String>,
    /// How an instance is asked for its health.
    pub health: HealthCheck,
    /// How long an instance may take to become healthy.
    pub ready_within: Duration,
    /// How long requests under way may take to end before an instance is stopped all the same.
    pub drain_within: Duration,
    /// How long an instance may take to end when asked.
    pub stop_within: Duration,
    /// The services that must be up before this one is replaced.
    pub needs: Vec<Name>,
}

/// The most instances of one service.
const SIZE_MAX: u32 = 10_000;
/// The longest time that one instance may be given for anything.
const LONGEST: Duration = Duration::from_hours(24);

impl Service {
    /// A service of one instance that runs the artefact of its own name and answers its health at `/health`.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self {
            artifact: name.clone(),
            name,
            size: 1,
            program: None,
            releases: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(2) },
            ready_within: Duration::from_secs(60),
            drain_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(10),
            needs: Vec::new(),
        }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        problems.check(self.size > 0, "size", "must be at least 1");
        problems.check(self.health.path.starts_with('/'), "health.path", "must begin with `/`");
        problems.check(!self.health.timeout.is_zero(), "health.timeout", "must be above 0");
        problems.check(self.size <= SIZE_MAX, "size", "must be at most 10000");
        problems.check(!self.ready_within.is_zero(), "ready_within", "must be above 0");
        problems.check(!self.stop_within.is_zero(), "stop_within", "must be above 0");
        for (field, time) in [
            ("health.timeout", self.health.timeout),
            ("ready_within", self.ready_within),
            ("drain_within", self.drain_within),
            ("stop_within", self.stop_within),
        ] {
            problems.check(time <= LONGEST, field, "must be at most a day");
        }
        let absolute = self.releases.as_ref().is_none_or(|releases| releases.is_absolute());
        problems.check(absolute, "releases", "must be an absolute path");
        problems.check(!self.needs.contains(&self.name), "needs", "a service cannot need itself");
        problems.into_result()
    }

    /// The parameters for the plan's fingerprint. Values of the environment enter as one digest, never in clear.
    pub(crate) fn definition(&self) -> Value {
        let mut definition = json!(self);
        if let Some(env) = definition.get_mut("env") {
            let names: Vec<&String> = self.env.keys().collect();
            *env = json!({ "names": names, "values": Digest::of(json!(self.env).to_string().as_bytes()) });
        }
        definition
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.definition()).finish()
    }
}

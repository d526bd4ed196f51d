use std::path::PathBuf;

use flow_core::port::{Instance, LaunchSpec};
use flow_core::{ErrorKind, Problems, StepError};
use serde::{Deserialize, Serialize};

use crate::os::{Process, check_environment};

/// The environment variable by which an instance's processes are known: its state file and digest.
pub(super) const MARKER: &str = "FLOW_INSTANCE";

const FORMAT: u32 = 1;

/// What stands in an instance's state file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    /// What it was launched with. Its environment may be secret: the file is readable by this user alone.
    pub(super) spec: LaunchSpec,
    /// Where it listens.
    pub(super) address: String,
    /// The value of [`MARKER`] in its environment.
    pub(super) marker: String,
    /// Its process; none between the intent to start it and the record that it runs.
    pub(super) process: Option<Leader>,
}

/// The first process of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leader {
    pub(super) pid: u32,
    /// When it started, in clock ticks since that boot.
    pub(super) start_time: u64,
    pub(super) boot_id: String,
    /// When that was, for people.
    pub(super) started: String,
}

impl Record {
    pub(super) const fn intent(spec: LaunchSpec, address: String, marker: String) -> Self {
        Self { format: FORMAT, spec, address, marker, process: None }
    }

    /// Reads a state file.
    ///
    /// # Errors
    /// A typed refusal for one that is damaged or of another format: it is left as it is.
    pub(super) fn parse(content: &[u8]) -> Result<Self, StepError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error| {
            StepError::new(ErrorKind::Conflict, "the state file of an instance is damaged").because(error)
        };
        let Format { format } = serde_json::from_slice(content).map_err(damaged)?;
        if format != FORMAT {
            return Err(StepError::new(ErrorKind::Conflict, "the state file is of another format")
                .fact("format", format)
                .fact("known", FORMAT));
        }
        serde_json::from_slice(content).map_err(damaged)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StepError> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the instance has no JSON form").because(error)
        })
    }

    /// The instance as which `process` runs.
    pub(super) fn instance(&self, process: Process) -> Instance {
        Instance {
            id: self.spec.instance.clone(),
            version: self.spec.version.clone(),
            digest: self.spec.digest,
            address: self.address.clone(),
            pid: Some(process.pid),
        }
    }

    /// The Unix socket on which it listens, if it does.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        self.address.strip_prefix("unix:").map(PathBuf::from)
    }

    /// Its arguments, with its address in them.
    pub(super) fn args(&self) -> impl Iterator<Item = String> {
        self.spec.args.iter().map(|arg| arg.replace("{address}", &self.address))
    }
}

/// Finds everything wrong with a specification.
pub(super) fn check(spec: &LaunchSpec) -> Result<(), Problems> {
    let mut problems = Problems::default();
    problems.check(spec.program.is_absolute(), "program", "must be an absolute path");
    problems.check(spec.directory.is_absolute(), "directory", "must be an absolute path");
    for (index, arg) in spec.args.iter().enumerate() {
        if arg.contains('\0') {
            problems.add(format!("args.{index}"), "holds a zero byte");
        }
    }
    check_environment(&mut problems, "env", &spec.env);
    if spec.env.contains_key(MARKER) {
        problems.add(format!("env.{MARKER}"), "is the name by which instances are found again");
    }
    let path = &spec.health.path;
    problems.check(
        path.starts_with('/') && path.parse::<hyper::Uri>().is_ok(),
        "health.path",
        "must be the path of a URL, beginning with `/`",
    );
    problems.check(!spec.health.timeout.is_zero(), "health.timeout", "must be longer than nothing");
    problems.into_result()
}

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use flow_core::Problems;
use serde_json::{Map, Value};

use super::deploy::DeployBlock;
use super::read::Fields;

/// What an ecosystem file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecosystem {
    /// The apps, in the file's order.
    pub apps: Vec<EcosystemApp>,
    /// The deployment blocks by environment: what `pm2 deploy` reads.
    pub deploy: BTreeMap<String, DeployBlock>,
    /// The fields that were not taken over, such as `apps.0.watch`: known to PM2 or not, none is dropped without a word.
    pub left: Vec<String>,
}

/// An app of an ecosystem file. `Debug` shows the names of its environment and no value.
#[derive(Clone, PartialEq, Eq)]
pub struct EcosystemApp {
    /// Its name; PM2 takes the script's without one.
    pub name: Option<String>,
    /// PM2's group of it.
    pub namespace: Option<String>,
    /// What it runs, as written: relative to `cwd`.
    pub script: String,
    /// The script's arguments.
    pub args: Vec<String>,
    /// What runs the script.
    pub interpreter: Option<String>,
    /// The interpreter's arguments.
    pub interpreter_args: Vec<String>,
    /// The working directory, as written.
    pub cwd: Option<String>,
    /// How many of it.
    pub instances: Option<Instances>,
    /// How it runs.
    pub mode: Option<EcosystemMode>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What `env_NAME` adds for `--env NAME`, by that name.
    pub env_of: BTreeMap<String, BTreeMap<String, String>>,
    /// How long it may take to end before it is killed.
    pub kill_timeout: Option<Duration>,
    /// How long it may take to be ready.
    pub listen_timeout: Option<Duration>,
    /// Whether it says itself when it is ready.
    pub wait_ready: Option<bool>,
    /// Whether PM2 starts it again.
    pub autorestart: Option<bool>,
}

/// How many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// So many.
    Count(u32),
    /// One for each processor.
    Max,
    /// One for each processor but so many.
    AllBut(u32),
}

/// How an app runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcosystemMode {
    /// As a process of its own.
    Fork,
    /// As a worker of Node's cluster.
    Cluster,
}

impl fmt::Debug for EcosystemApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env_of: BTreeMap<_, Vec<_>> =
            self.env_of.iter().map(|(name, env)| (name, env.keys().collect())).collect();
        f.debug_struct("EcosystemApp")
            .field("name", &self.name)
            .field("script", &self.script)
            .field("args", &self.args)
            .field("cwd", &self.cwd)
            .field("instances", &self.instances)
            .field("mode", &self.mode)
            .field("env", &self.env.keys())
            .field("env_of", &env_of)
            .finish_non_exhaustive()
    }
}

impl Ecosystem {
    /// Reads what stands in a file.
    pub(super) fn read(root: Value) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut left = Vec::new();
        let (apps, deploy) = match root {
            Value::Array(apps) => (apps, Map::new()),
            Value::Object(root) => split(root, &mut problems, &mut left),
            _ => {
                problems.add("apps", "must be a list of apps");
                (Vec::new(), Map::new())
            }
        };
        let apps = apps.into_iter().enumerate().filter_map(|(place, app)| {
            EcosystemApp::read(Fields::of(app, format!("apps.{place}"), &mut problems, &mut left)?)
        });
        let apps = apps.collect();
        let deploy = deploy.into_iter().filter_map(|(name, block)| {
            let fields = Fields::of(block, format!("deploy.{name}"), &mut problems, &mut left)?;
            Some((name, DeployBlock::read(fields)?))
        });
        let deploy = deploy.collect();
        problems.into_result()?;
        Ok(Self { apps, deploy, left })
    }
}

/// The apps and the deployment blocks of a file.
fn split(
    mut root: Map<String, Value>,
    problems: &mut Problems,
    left: &mut Vec<String>,
) -> (Vec<Value>, Map<String, Value>) {
    let deploy = match root.remove("deploy") {
        None => Map::new(),
        Some(Value::Object(deploy)) => deploy,
        Some(_) => {
            problems.add("deploy", "must be a mapping of environments");
            Map::new()
        }
    };
    let apps = match root.remove("apps").or_else(|| root.remove("pm2")) {
        Some(Value::Array(apps)) => apps,
        Some(app @ Value::Object(_)) => vec![app],
        Some(_) => {
            problems.add("apps", "must be a list of apps");
            Vec::new()
        }
        // The whole file is one app.
        None if root.contains_key("script") => return (vec![Value::Object(root)], deploy),
        None => Vec::new(),
    };
    left.extend(root.into_iter().map(|(name, _)| name));
    (apps, deploy)
}

impl EcosystemApp {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let mut env_of = BTreeMap::new();
        for name in fields.names("env_") {
            let env = fields.variables(&name);
            env_of.insert(name.trim_start_matches("env_").to_owned(), env);
        }
        let app = Self {
            name: fields.text(&["name"]),
            namespace: fields.text(&["namespace"]),
            args: fields.words(&["args"]),
            interpreter: fields.text(&["interpreter", "exec_interpreter"]),
            interpreter_args: fields.words(&["interpreter_args", "node_args", "interpreterArgs"]),
            cwd: fields.text(&["cwd"]),
            instances: fields.instances(),
            mode: fields.mode(),
            env: fields.variables("env"),
            env_of,
            kill_timeout: fields.milliseconds("kill_timeout"),
            listen_timeout: fields.milliseconds("listen_timeout"),
            wait_ready: fields.truth("wait_ready"),
            autorestart: fields.truth("autorestart"),
            script: fields.needed(&["script", "exec"])?,
        };
        Some(app)
    }
}

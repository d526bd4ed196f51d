//! The calls that are made of the daemon: typed, each with its number of arguments.
//!
//! The daemon appends its own callback to whatever arguments come, so a call with one too few or too many throws inside it;
//! it then deletes every app, starts itself anew and starts the apps again. Nothing but a [`Call`] is ever sent, and only
//! behind the [`Gate`].
//!
//! `sendSignalToProcessId` is no [`Call`]: where an app's process has just ended PM2 has 0 for its id, and the signal goes to PM2's own
//! process group, to the daemon and every worker of its cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::amp;
use super::error::CallError;

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call<'c> {
    /// Answers `pong`.
    Ping,
    /// The daemon's version.
    Version,
    /// Every app that it knows, workers parked by a reload aside.
    List,
    /// Starts an app that it does not know yet.
    Prepare(&'c Prepare),
    /// Starts an app's process again.
    Restart(u64),
    /// Stops an app and forgets it. The answer comes when its process is gone.
    Delete(u64),
}

/// How many arguments each call has.
const ARITY: usize = 1;

impl Call<'_> {
    const fn method(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Version => "getVersion",
            Self::List => "getMonitorData",
            Self::Prepare(_) => "prepare",
            Self::Restart(_) => "restartProcessId",
            Self::Delete(_) => "deleteProcessId",
        }
    }

    fn argument(&self) -> Result<Value, CallError> {
        Ok(match self {
            Self::Ping | Self::Version | Self::List => json!({}),
            Self::Prepare(app) => serde_json::to_value(app).map_err(|_| CallError::Unwritable)?,
            Self::Restart(id) => json!({ "id": id }),
            Self::Delete(id) => json!(id),
        })
    }

    fn request(&self) -> Result<Bytes, CallError> {
        let args: [Value; ARITY] = [self.argument()?];
        Ok(amp::json(&json!({ "type": "call", "method": self.method(), "args": args })))
    }
}

/// The request that asks which methods there are. It calls none.
pub(crate) fn discovery() -> Bytes {
    amp::json(&json!({ "type": "methods" }))
}

/// The methods that a daemon has, each with the number of arguments that it takes.
#[derive(Debug)]
pub(crate) struct Gate(BTreeMap<String, usize>);

impl Gate {
    /// Reads the answer to [`discovery`]. The last parameter of each method is the daemon's own callback.
    pub(crate) fn read(answer: &Value) -> Option<Self> {
        let methods = answer.get("methods")?.as_object()?;
        let arity = |method: &Value| Some(method.get("params")?.as_array()?.len().saturating_sub(1));
        Some(Self(methods.iter().filter_map(|(name, method)| Some((name.clone(), arity(method)?))).collect()))
    }

    /// What to send for `call`, if this daemon takes it as it is.
    pub(crate) fn pass(&self, call: &Call<'_>) -> Result<Bytes, CallError> {
        let takes = self.0.get(call.method()).copied();
        if takes == Some(ARITY) {
            call.request()
        } else {
            Err(CallError::Unsupported { method: call.method(), takes })
        }
    }
}

/// How PM2 runs an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExecMode {
    ForkMode,
    ClusterMode,
}

/// An app to start. Each field is one that the daemon needs or whose absence was seen to do harm: without `env` or
/// `pm_pid_path` it dies. `wait_ready` is not among them: PM2 7 starts such an app again when it is deleted before it is
/// ready, and then does not know it. Nor is `instances`: without it there is one process.
#[derive(Clone, Serialize)]
pub(crate) struct Prepare {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) exec_mode: ExecMode,
    pub(crate) exec_interpreter: PathBuf,
    pub(crate) pm_exec_path: PathBuf,
    pub(crate) pm_cwd: PathBuf,
    pub(crate) pm_out_log_path: PathBuf,
    pub(crate) pm_err_log_path: PathBuf,
    pub(crate) pm_pid_path: PathBuf,
    pub(crate) args: Vec<String>,
    /// Always there: PM2 would give a cluster app those of the one before.
    pub(crate) node_args: [String; 0],
    pub(crate) autorestart: bool,
    pub(crate) kill_timeout: u64,
    pub(crate) kill_retry_time: u64,
    pub(crate) env: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(crate) fixed: Fixed,
}

/// What is the same for every app.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Fixed {
    autostart: bool,
    merge_logs: bool,
    /// The library that PM2 would put into the program ends it within two seconds after the daemon has died.
    pmx: bool,
    vizion: bool,
    wait_ready: bool,
    watch: bool,
    /// PM2 would ask `ps` for the tree, and ask nobody to end where there is no `ps`. What is left of a tree is found by
    /// its marker.
    treekill: bool,
}

impl Fixed {
    pub(crate) const fn new() -> Self {
        Self {
            autostart: true,
            merge_logs: true,
            pmx: false,
            vizion: false,
            wait_ready: false,
            watch: false,
            treekill: false,
        }
    }
}

impl std::fmt::Debug for Prepare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepare")
            .field("name", &self.name)
            .field("exec_mode", &self.exec_mode)
            .field("pm_exec_path", &self.pm_exec_path)
            .field("args", &self.args)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}

impl Prepare {
    /// Where PM2 keeps what it keeps for an app.
    pub(crate) fn log_paths(home: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
        let log = |kind: &str| home.join("logs").join(format!("{name}-{kind}.log"));
        (log("out"), log("error"), home.join("pids").join(format!("{name}.pid")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(methods: &Value) -> Gate {
        Gate::read(&json!({ "methods": methods })).unwrap()
    }

    #[test]
    fn a_call_passes_only_where_the_daemon_takes_its_number_of_arguments() {
        let right = gate(&json!({ "ping": { "params": ["env", "cb"] } }));
        assert!(right.pass(&Call::Ping).is_ok());
        for (params, takes) in
            [(json!(["cb"]), Some(0)), (json!(["a", "b", "cb"]), Some(2)), (json!([]), Some(0))]
        {
            let refused = gate(&json!({ "ping": { "params": params } })).pass(&Call::Ping).unwrap_err();
            assert_eq!(refused, CallError::Unsupported { method: "ping", takes });
        }
        let absent = gate(&json!({ "pong": { "params": ["a", "b"] } })).pass(&Call::Ping).unwrap_err();
        assert_eq!(absent, CallError::Unsupported { method: "ping", takes: None });
    }

    #[test]
    fn an_app_is_written_with_every_field_whose_absence_kills_the_daemon() {
        let (out, err, pid) = Prepare::log_paths(Path::new("/home/.pm2"), "web:1");
        let app = Prepare {
            name: "web:1".to_owned(),
            namespace: "web".to_owned(),
            exec_mode: ExecMode::ForkMode,
            exec_interpreter: "none".into(),
            pm_exec_path: "/bin/web".into(),
            pm_cwd: "/".into(),
            pm_out_log_path: out,
            pm_err_log_path: err,
            pm_pid_path: pid,
            args: Vec::new(),
            node_args: [],
            autorestart: true,
            kill_timeout: 1600,
            kill_retry_time: 10,
            env: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
            fixed: Fixed::new(),
        };
        let written = serde_json::to_value(&app).unwrap();
        assert_eq!(written["env"], json!({ "TOKEN": "hunter2" }));
        assert_eq!(written["pm_pid_path"], "/home/.pm2/pids/web:1.pid");
        assert_eq!((&written["exec_mode"], &written["wait_ready"]), (&json!("fork_mode"), &json!(false)));
        assert!(written.get("instances").is_none());
        assert!(!format!("{app:?}").contains("hunter2"));
    }
}

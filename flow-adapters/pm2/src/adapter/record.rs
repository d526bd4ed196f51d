use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flow_core::port::{Instance, InstanceId, LaunchSpec};
use flow_core::{ErrorKind, Name, Problems, StepError};
use serde::{Deserialize, Serialize};

use crate::client::{ExecMode, Fixed, Prepare};
use crate::config::{Mode, Pm2Config, Restart};

/// The environment variable that makes a process an instance: its [`Record`]. PM2 keeps it with the app, and the process and its children
/// have it, whether PM2 knows them or not.
pub(crate) const VARIABLE: &str = "FLOW_PM2_INSTANCE";
/// Where the instance's address is for programs that take it from there.
const ADDRESS_VARIABLES: [&str; 2] = ["SOCKET_PATH", "PORT"];

const FORMAT: u32 = 1;
/// The longest argument or environment variable that Linux takes, its terminating zero included, see execve(2).
const STRING_MAX: usize = 128 * 1024;
/// PM2 looks so often whether a process that it stops is gone.
const KILL_RETRY: u64 = 10;
/// Names in lower case that are no fields of PM2's and that programs do read.
const LOWER_CASE: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// What an instance is, as it stands in its own environment. It holds what it was launched with, which may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    /// The PM2 that it was launched in.
    home: PathBuf,
    pub(crate) spec: LaunchSpec,
    /// Where it listens.
    pub(crate) address: String,
}

impl Record {
    pub(crate) fn new(home: &Path, spec: &LaunchSpec, address: String) -> Self {
        Self { format: FORMAT, home: home.to_owned(), spec: spec.clone(), address }
    }

    /// Reads the value of [`VARIABLE`], if it is one of `home`'s. What it is otherwise is not ours.
    pub(crate) fn read(value: &str, home: &Path) -> Option<Self> {
        let record: Self = serde_json::from_str(value).ok()?;
        (record.format == FORMAT && record.home == home).then_some(record)
    }

    /// The instance, as which this process runs.
    pub(crate) fn instance(&self, pid: Option<u32>) -> Instance {
        Instance {
            id: self.spec.instance.clone(),
            version: self.spec.version.clone(),
            digest: self.spec.digest,
            address: self.address.clone(),
            pid,
        }
    }

    /// The Unix socket on which it listens, if it does.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.address.strip_prefix("unix:").map(Path::new)
    }

    pub(crate) fn is(&self, service: &Name, instance: &InstanceId) -> bool {
        self.spec.service == *service && self.spec.instance == *instance
    }

    /// The app that PM2 is told to start.
    pub(crate) fn app(&self, config: &Pm2Config) -> Result<Prepare, StepError> {
        let spec = &self.spec;
        let name = app_name(&spec.service, &spec.instance);
        let (pm_out_log_path, pm_err_log_path, pm_pid_path) = Prepare::log_paths(&config.home, &name);
        let mut env = spec.env.clone();
        let (variable, value) = match (self.socket(), self.address.rsplit_once(':')) {
            (None, Some((_, port))) => ("PORT", port),
            (Some(socket), _) => ("SOCKET_PATH", socket.to_str().unwrap_or_default()),
            (None, None) => ("PORT", ""),
        };
        env.insert(variable.to_owned(), value.to_owned());
        let record = serde_json::to_string(self).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the instance has no JSON form").because(error)
        })?;
        env.insert(VARIABLE.to_owned(), record);
        let none = || PathBuf::from("none");
        let (exec_mode, exec_interpreter) = match config.mode {
            Mode::Colours { .. } => (ExecMode::ForkMode, config.interpreter.clone().unwrap_or_else(none)),
            Mode::Cluster { .. } => (ExecMode::ClusterMode, PathBuf::from("node")),
        };
        let app = Prepare {
            name,
            namespace: spec.service.to_string(),
            exec_mode,
            exec_interpreter,
            pm_exec_path: spec.program.clone(),
            pm_cwd: spec.directory.clone(),
            pm_out_log_path,
            pm_err_log_path,
            pm_pid_path,
            args: spec.args.iter().map(|arg| arg.replace("{address}", &self.address)).collect(),
            node_args: [],
            autorestart: config.restart == Restart::Always,
            kill_timeout: milliseconds(config.longest_grace),
            kill_retry_time: KILL_RETRY,
            env,
            fixed: Fixed::new(),
        };
        check_size(&app, exec_mode)?;
        Ok(app)
    }
}

/// The name by which PM2 knows an instance. No part of it can hold the colon.
pub(crate) fn app_name(service: &Name, instance: &InstanceId) -> String {
    format!("{service}:{instance}")
}

/// Finds everything wrong with a specification.
pub(crate) fn check(spec: &LaunchSpec) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (field, path) in [("program", &spec.program), ("directory", &spec.directory)] {
        problems.check(path.is_absolute(), field, "must be an absolute path");
        problems.check(path.to_str().is_some_and(|path| !path.contains('\0')), field, "must be text");
    }
    for (index, arg) in spec.args.iter().enumerate() {
        problems.check(!arg.contains('\0'), &format!("args.{index}"), "holds a zero byte");
        problems.check(arg.len() < STRING_MAX, &format!("args.{index}"), "is longer than 131071 bytes");
    }
    check_environment(&mut problems, &spec.env);
    let path = &spec.health.path;
    problems.check(
        path.starts_with('/') && path.parse::<hyper::Uri>().is_ok(),
        "health.path",
        "must be the path of a URL, beginning with `/`",
    );
    problems.check(!spec.health.timeout.is_zero(), "health.timeout", "must be longer than nothing");
    problems.into_result()
}

/// PM2 writes the environment over its own fields of the app, whose names are in lower case, before it starts it: a variable `name` or
/// `pm_exec_path` would change what is started, and one called `hasOwnProperty` would throw in the daemon.
fn check_environment(problems: &mut Problems, env: &BTreeMap<String, String>) {
    for (name, value) in env {
        let field = format!("env.{name}");
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let is_plain = name.bytes().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit());
        problems.check(
            is_plain || LOWER_CASE.contains(&name.as_str()),
            &field,
            "must be of capital letters, digits and `_`: PM2 takes others for fields of its own",
        );
        problems.check(
            name != VARIABLE && !ADDRESS_VARIABLES.contains(&name.as_str()),
            &field,
            "is set by the adapter",
        );
        problems.check(!value.contains('\0'), &field, "holds a zero byte");
        problems.check(value != "[object Object]", &field, "is a value that PM2 loses");
        problems.check(name.len() + value.len() + 1 < STRING_MAX, &field, "is longer than 131071 bytes");
    }
}

/// The record is one variable, and a cluster's worker gets its whole app as one.
fn check_size(app: &Prepare, mode: ExecMode) -> Result<(), Problems> {
    let longest = match mode {
        ExecMode::ForkMode => app.env.get(VARIABLE).map_or(0, |record| VARIABLE.len() + record.len() + 2),
        // PM2 writes the environment a second time, and adds fields of its own.
        ExecMode::ClusterMode => {
            let length = |json: serde_json::Result<String>| json.map_or(STRING_MAX, |json| json.len());
            length(serde_json::to_string(app)) + length(serde_json::to_string(&app.env)) + 8 * 1024
        }
    };
    let mut problems = Problems::default();
    problems.check(longest < STRING_MAX, "env", "is with all else longer than PM2 can hand to a process");
    problems.into_result()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use flow_core::port::HealthCheck;
    use flow_core::{Digest, name};

    use super::*;
    use crate::config::Addresses;

    fn spec() -> LaunchSpec {
        LaunchSpec {
            service: name!("web"),
            instance: name!("1"),
            version: name!("v1"),
            digest: Digest::of(b"1"),
            program: "/bin/web".into(),
            args: vec!["--listen={address}".to_owned()],
            env: BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]),
            directory: "/".into(),
            health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(1) },
        }
    }

    fn config() -> Pm2Config {
        Pm2Config::new("/pm2", "/state", Addresses::Ports { first: 20_000, last: 20_001 })
    }

    #[test]
    fn a_record_is_read_back_exactly_and_only_in_its_own_home() {
        let record = Record::new(Path::new("/pm2"), &spec(), "unix:/run/1.sock".to_owned());
        let app = record.app(&config()).unwrap();
        let read = Record::read(&app.env[VARIABLE], Path::new("/pm2")).unwrap();
        assert!(read == record && read.spec == spec());
        assert!(Record::read(&app.env[VARIABLE], Path::new("/other")).is_none());
        assert_eq!(
            (app.env["SOCKET_PATH"].as_str(), app.args[0].as_str()),
            ("/run/1.sock", "--listen=unix:/run/1.sock")
        );
        let record = Record::new(Path::new("/pm2"), &spec(), "127.0.0.1:20000".to_owned());
        assert_eq!(record.app(&config()).unwrap().env["PORT"], "20000");
    }

    #[test]
    fn names_that_pm2_would_take_for_its_own_fields_are_refused_and_no_value_is_shown() {
        for name in [
            "name",
            "pm_exec_path",
            "hasOwnProperty",
            "__proto__",
            "windowsHide",
            "A=B",
            "",
            "1A",
            VARIABLE,
            "PORT",
            "SOCKET_PATH",
        ] {
            let mut odd = spec();
            odd.env = BTreeMap::from([(name.to_owned(), "hunter2".to_owned())]);
            let text = check(&odd).unwrap_err().to_string();
            assert!(text.contains(&format!("`env.{name}`")) && !text.contains("hunter2"), "{text}");
        }
        let mut usual = spec();
        usual.env =
            ["PATH", "_", "NODE_ENV", "http_proxy", "A1"].map(|name| (name.to_owned(), String::new())).into();
        assert!(check(&usual).is_ok());
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        let mut large = spec();
        large.env.insert("A".to_owned(), "x".repeat(STRING_MAX));
        large.args.push("x".repeat(STRING_MAX));
        large.env.insert("B".to_owned(), "[object Object]".to_owned());
        let text = check(&large).unwrap_err().to_string();
        assert!(["env.A", "args.1", "env.B"].iter().all(|field| text.contains(field)), "{text}");
        let mut many = spec();
        many.env.extend((0..20).map(|place| (format!("A{place}"), "x".repeat(7000))));
        assert!(check(&many).is_ok());
        let record = Record::new(Path::new("/pm2"), &many, "unix:/run/1.sock".to_owned());
        assert!(record.app(&config()).is_err(), "the record is one variable");
    }
}

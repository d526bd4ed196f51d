use std::fmt;

use serde_json::Value;

use super::call::Call;
use super::error::CallError;
use super::rpc::Rpc;

/// An app as the daemon lists it. `Debug` shows nothing of its environment, which PM2 mixes with its own fields.
#[derive(Clone)]
pub(crate) struct App {
    /// PM2's number for it. Numbers are used again.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) pid: Option<u32>,
    pub(crate) status: Status,
    /// How often PM2 has started it again.
    pub(crate) restarts: u64,
    /// All that PM2 has of it.
    raw: Value,
}

/// What PM2 believes of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Its process was started, which says nothing of whether it works.
    Started,
    /// Its process was asked to end.
    Stopping,
    /// It has no process: it was stopped, or PM2 has given up on it, or will start it again.
    Down,
}

impl App {
    fn read(raw: Value) -> Option<Self> {
        let conf = raw.get("pm2_env")?;
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        let status = match conf.get("status")?.as_str()? {
            "online" | "launching" | "one-launch-status" => Status::Started,
            "stopping" => Status::Stopping,
            _ => Status::Down,
        };
        let pid = number(raw.get("pid")).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 1);
        Some(Self {
            id: number(raw.get("pm_id"))?,
            name: raw.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            pid: pid.filter(|_| status != Status::Down),
            status,
            restarts: number(conf.get("restart_time")).unwrap_or_default(),
            raw,
        })
    }

    /// A variable of the environment that it was prepared with.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.raw.get("pm2_env")?.get("env")?.get(name)?.as_str()
    }

    /// What PM2 calls its status.
    pub(crate) fn status_text(&self) -> &str {
        self.raw.pointer("/pm2_env/status").and_then(Value::as_str).unwrap_or_default()
    }

    /// All that PM2 has of it, secrets included: what `pm2 resurrect` needs. None for PM2's own modules.
    pub(crate) fn into_dump(self) -> Option<Value> {
        let Value::Object(mut conf) = self.raw.get("pm2_env")?.clone() else { return None };
        if conf.get("pmx_module").is_some_and(|module| *module != Value::Bool(false)) {
            return None;
        }
        conf.remove("instances");
        conf.remove("pm_id");
        Some(Value::Object(conf))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, pid, status, restarts, raw: _ } = self;
        f.debug_struct("App")
            .field("id", id)
            .field("name", name)
            .field("pid", pid)
            .field("status", status)
            .field("restarts", restarts)
            .finish_non_exhaustive()
    }
}

/// All apps that the daemon lists. One that cannot be read is left out: what others do to it is not ours.
pub(crate) async fn list(rpc: &Rpc) -> Result<Vec<App>, CallError> {
    match rpc.call(&Call::List).await? {
        Value::Array(apps) => Ok(apps.into_iter().filter_map(App::read).collect()),
        _ => Err(CallError::Unreadable("getMonitorData")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(status: &str, pid: u32) -> Option<App> {
        App::read(json!({
            "pid": pid, "name": "web:1", "pm_id": 3,
            "pm2_env": {
                "status": status, "restart_time": 2, "instances": 1, "pm_id": 3, "TOKEN": "hunter2",
                "env": { "TOKEN": "hunter2" },
            },
        }))
    }

    #[test]
    fn an_app_without_a_process_has_no_pid_whatever_is_left_in_its_row() {
        for status in ["stopped", "errored", "waiting restart", "something new"] {
            assert_eq!(listed(status, 77).unwrap().pid, None, "{status}");
        }
        assert_eq!(listed("online", 77).unwrap().pid, Some(77));
        assert_eq!(listed("stopping", 77).unwrap().pid, Some(77));
        assert_eq!(listed("online", 0).unwrap().pid, None);
    }

    #[test]
    fn what_is_shown_of_an_app_holds_no_value_of_its_environment() {
        let app = listed("online", 77).unwrap();
        assert!(!format!("{app:?} {app:#?}").contains("hunter2"));
        assert_eq!(app.variable("TOKEN"), Some("hunter2"));
        let dump = app.into_dump().unwrap();
        assert_eq!(dump["TOKEN"], "hunter2");
        assert!(dump.get("instances").is_none() && dump.get("pm_id").is_none());
    }

    #[test]
    fn modules_of_pm2_are_not_saved() {
        let module = json!({ "pid": 1, "name": "m", "pm_id": 0, "pm2_env": { "status": "online", "pmx_module": true } });
        assert!(App::read(module).unwrap().into_dump().is_none());
    }
}

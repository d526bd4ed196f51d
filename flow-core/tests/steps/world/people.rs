//! Alert rules, messages, pages and a host.

use std::path::Path;
use std::time::Duration;

use flow_core::port::{
    AlertRules, Command, CommandOutput, Host, HostPath, Notification, NotificationReceipt, Notifier,
    ProbeReply, ProbeRequest, Prober, RuleSet,
};
use flow_core::prelude::*;

use super::{Page, SITE, World, argv};

impl World {
    /// Lets `url` answer like this for ever.
    pub(crate) fn page(&self, url: &str, status: u16, body: &str, ms: u64) {
        self.pages(url, [(status, body, ms)]);
    }

    /// Lets `url` give these answers one after the other, and then the last one for ever.
    pub(crate) fn pages<'a>(&self, url: &str, answers: impl IntoIterator<Item = (u16, &'a str, u64)>) {
        let page = |(status, body, ms): (u16, &str, u64)| Page {
            status,
            body: body.to_owned(),
            elapsed: Duration::from_millis(ms),
        };
        self.state().pages.insert(url.to_owned(), answers.into_iter().map(page).collect());
    }
}

#[async_trait]
impl Prober for World {
    /// The site is answered from the cache, which fills from what the store serves.
    async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError> {
        let mut state = self.state();
        state.asked.push(request.url.clone());
        let (status, body, elapsed) = if let Some(path) = request.url.strip_prefix(&format!("{SITE}/")) {
            let path = path.replace("%20", " ");
            let found = self.cdn.fetch(&path);
            let status = if found.is_some() { 200 } else { 404 };
            (status, found.unwrap_or_default(), Duration::from_millis(1))
        } else {
            let unreachable = || StepError::new(ErrorKind::Unavailable, "nothing listens there");
            let pages = state.pages.get_mut(&request.url).ok_or_else(unreachable)?;
            let page = if pages.len() > 1 { pages.remove(0) } else { pages[0].clone() };
            (page.status, page.body.into_bytes(), page.elapsed)
        };
        // A site is served with its own rule for caches.
        let kept = request.url.contains("11111111").then_some(("cache-control", "public, immutable"));
        let headers = kept.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(ProbeReply { status, headers, body, elapsed })
    }
}

#[async_trait]
impl AlertRules for World {
    async fn read(&self, name: &Name) -> Result<Option<RuleSet>, StepError> {
        Ok(self.state().rules.get(name).cloned())
    }

    async fn apply(&self, _: &Permit, rules: &RuleSet) -> Result<(), StepError> {
        if !rules.rules.starts_with("groups:") {
            return Err(StepError::new(ErrorKind::Invalid, "the rules are not well-formed"));
        }
        self.change("apply rules", |state| state.rules.insert(rules.name.clone(), rules.clone())).map(drop)
    }

    async fn remove(&self, _: &Permit, name: &Name) -> Result<(), StepError> {
        self.change("remove rules", |state| state.rules.remove(name)).map(drop)
    }
}

#[async_trait]
impl Notifier for World {
    async fn notify(
        &self,
        permit: &Permit,
        notification: &Notification,
    ) -> Result<NotificationReceipt, StepError> {
        let key = permit.idempotency_key().to_owned();
        self.change("notify", |state| state.messages.insert(key, notification.clone()))?;
        Ok(NotificationReceipt { answer: "200".to_owned() })
    }
}

fn output(code: i32) -> CommandOutput {
    CommandOutput { code: Some(code), stdout: Vec::new(), stderr: b"npm ERR! missing".to_vec() }
}

#[async_trait]
impl Host for World {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        Ok(output(self.state().exit_codes.get(&argv(command)).copied().unwrap_or(0)))
    }

    /// `clean` removes what the command that it names installed.
    async fn run(&self, _: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        let line = argv(command);
        let code = self.state().exit_codes.get(&line).copied().unwrap_or(0);
        self.change(format!("run {line}"), |state| {
            if command.program == "clean" {
                state.installed.remove(&command.args.join(" "));
            } else {
                state.installed.insert(line);
            }
        })?;
        Ok(output(code))
    }

    async fn read(&self, _: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        Ok(None)
    }

    async fn write(&self, _: &Permit, _: &HostPath, _: &[u8]) -> Result<(), StepError> {
        panic!("no step writes a host's files")
    }

    async fn copy(&self, _: &Permit, _: &Path, _: &HostPath) -> Result<(), StepError> {
        panic!("no step of flow-core copies files to a host")
    }

    async fn remove(&self, _: &Permit, _: &HostPath) -> Result<(), StepError> {
        panic!("no step removes a host's files")
    }

    async fn read_link(&self, _: &HostPath) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    async fn link(&self, _: &Permit, _: &HostPath, _: &HostPath) -> Result<(), StepError> {
        panic!("no step links a host's files")
    }

    async fn list(&self, _: &HostPath) -> Result<Vec<String>, StepError> {
        Ok(Vec::new())
    }
}

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use jiff::Timestamp;

use super::super::envelope::ApiError;
use super::super::faults::Outcome;
use super::super::params::Params;
use super::aliases::Alias;
use super::concurrency::Provisioned;
use super::requests::Ran;
use super::snapshot::Snapshot;
use super::triggers::Trigger;

/// All functions, by namespace and name.
#[derive(Debug, Default)]
pub(in super::super) struct Functions(pub(super) BTreeMap<(String, String), Function>);

impl Functions {
    pub(in super::super) fn settle(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|function| function.settle(now));
    }

    /// Code that some version holds, by its digest.
    pub(in super::super) fn code(&self, sha256: &str) -> Option<Bytes> {
        let versions = |function: &'_ Function| {
            let numbered = function.versions.values().map(|version| &version.snapshot);
            numbered
                .chain([&function.live])
                .find(|snapshot| snapshot.sha256 == sha256)
                .map(|found| found.code.clone())
        };
        self.0.values().find_map(versions)
    }

    pub(super) fn find(&mut self, params: &Params<'_>) -> Result<&mut Function, ApiError> {
        let (namespace, name) = key(params);
        let message = format!("the function `{name}` does not exist in `{namespace}`");
        self.0.get_mut(&(namespace, name)).ok_or_else(|| ApiError::new("ResourceNotFound.Function", message))
    }
}

/// The namespace and the name of the function that is meant.
pub(super) fn key(params: &Params<'_>) -> (String, String) {
    (params.text("Namespace").unwrap_or("default").to_owned(), params.needed("FunctionName").to_owned())
}

/// A function with all that belongs to it.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    /// `$LATEST`.
    pub(super) live: Snapshot,
    pub(super) status: &'static str,
    /// Why the last change failed.
    pub(super) reason: Option<&'static str>,
    change: Option<Change>,
    pub(super) versions: BTreeMap<u64, Version>,
    pub(super) aliases: BTreeMap<String, Alias>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) provisioned: BTreeMap<String, Provisioned>,
    pub(super) reserved: Option<i64>,
    /// The last calls.
    pub(super) ran: VecDeque<Ran>,
    /// Of the version that was published last.
    last: u64,
}

/// What never changes again.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) snapshot: Snapshot,
    pub(super) status: &'static str,
    pub(super) created: Timestamp,
}

#[derive(Debug)]
struct Change {
    /// Never, without one.
    until: Option<Timestamp>,
    fails: bool,
    becomes: Becomes,
}

/// What a change makes, once it succeeds.
#[derive(Debug)]
pub(super) enum Becomes {
    /// This code and configuration.
    Live(Box<Snapshot>),
    /// The same, published at once.
    LiveAndPublished(Box<Snapshot>),
    /// A version that can be called.
    Published(u64),
}

impl Function {
    pub(super) fn new(namespace: String, name: String, id: String, now: Timestamp) -> Self {
        let mut aliases = BTreeMap::new();
        aliases.insert("$DEFAULT".to_owned(), Alias::of("$LATEST", now));
        Self {
            name,
            namespace,
            id,
            created: now,
            modified: now,
            live: Snapshot::new(),
            status: "Active",
            reason: None,
            change: None,
            versions: BTreeMap::new(),
            aliases,
            triggers: Vec::new(),
            provisioned: BTreeMap::new(),
            reserved: None,
            ran: VecDeque::new(),
            last: 0,
        }
    }

    /// Begins a change, which ends when it is due, or as a fault wants it.
    pub(super) fn begin(
        &mut self,
        status: &'static str,
        becomes: Becomes,
        due: Timestamp,
        fault: Option<Outcome>,
    ) {
        self.status = status;
        self.reason = None;
        let until = (fault != Some(Outcome::Stuck)).then_some(due);
        self.change = Some(Change { until, fails: fault == Some(Outcome::Fail), becomes });
    }

    /// Refuses a change beside another. Assumed: after a failed update or publication the next one may be tried.
    pub(super) fn check_ready(&self, action: &str) -> Result<(), ApiError> {
        let message = format!("Function status {} is not allowed to do {action}", self.status);
        match self.status {
            "Active" | "UpdateFailed" | "PublishFailed" => Ok(()),
            "CreateFailed" => Err(ApiError::new("FailedOperation.FunctionStatusError", message)),
            _ => Err(ApiError::new(format!("FailedOperation.{action}"), message)),
        }
    }

    pub(super) fn settle(&mut self, now: Timestamp) {
        self.provisioned.values_mut().for_each(|provisioned| provisioned.settle(now));
        let Some(change) = self.change.take_if(|change| change.until.is_some_and(|until| until <= now))
        else {
            return;
        };
        self.modified = now;
        if change.fails {
            self.status = match self.status {
                "Creating" => "CreateFailed",
                "Publishing" => "PublishFailed",
                _ => "UpdateFailed",
            };
            self.reason = Some("the change failed because a fault was asked for");
            if let Becomes::Published(number) = change.becomes {
                self.version_becomes(number, "PublishFailed");
            }
            return;
        }
        self.status = "Active";
        match change.becomes {
            Becomes::Live(snapshot) => self.live = *snapshot,
            Becomes::LiveAndPublished(snapshot) => {
                self.live = *snapshot;
                let number = self.add_version(None, now);
                self.version_becomes(number, "Active");
            }
            Becomes::Published(number) => self.version_becomes(number, "Active"),
        }
    }

    /// Freezes what is live as the next version.
    pub(super) fn add_version(&mut self, description: Option<&str>, now: Timestamp) -> u64 {
        self.last += 1;
        let mut snapshot = self.live.clone();
        if let Some(description) = description {
            description.clone_into(&mut snapshot.description);
        }
        self.versions.insert(self.last, Version { snapshot, status: "Publishing", created: now });
        self.last
    }

    fn version_becomes(&mut self, number: u64, status: &'static str) {
        if let Some(version) = self.versions.get_mut(&number) {
            version.status = status;
        }
    }

    /// What runs under a version's name, and its status.
    pub(super) fn version(&self, version: &str) -> Option<(&Snapshot, &'static str)> {
        if version == "$LATEST" {
            return Some((&self.live, self.status));
        }
        // Only as the API writes numbers: no sign, no zero before them.
        let number: u64 = version.parse().ok().filter(|number: &u64| number.to_string() == version)?;
        self.versions.get(&number).map(|version| (&version.snapshot, version.status))
    }

    pub(super) fn check_version(&self, version: &str) -> Result<(), ApiError> {
        match self.version(version) {
            Some(_) => Ok(()),
            None => Err(no_version(version)),
        }
    }

    /// Refuses an alias on a version whose publication has not ended well. Assumed: which code tells it.
    pub(super) fn check_routable(&self, version: &str) -> Result<(), ApiError> {
        self.check_version(version)?;
        match self.version(version) {
            Some((_, status)) if version != "$LATEST" && status != "Active" => Err(ApiError::new(
                "FailedOperation.UpdateAlias",
                format!("the version `{version}` is {status}, not Active"),
            )),
            _ => Ok(()),
        }
    }
}

pub(super) fn no_version(version: &str) -> ApiError {
    ApiError::new("ResourceNotFound.FunctionVersion", format!("there is no version `{version}`"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::clock::after;
    use super::*;

    fn function() -> Function {
        Function::new("default".to_owned(), "shop".to_owned(), "lam-1".to_owned(), Timestamp::UNIX_EPOCH)
    }

    fn second(number: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, Duration::from_secs(number))
    }

    fn coded(function: &Function, code: &'static [u8]) -> Becomes {
        let mut snapshot = function.live.clone();
        snapshot.holds(&Bytes::from_static(code));
        Becomes::Live(Box::new(snapshot))
    }

    #[test]
    fn an_update_shows_when_it_is_due_and_not_before() {
        let mut shop = function();
        let (old, new) = (shop.live.sha256.clone(), coded(&shop, b"new"));
        shop.begin("Updating", new, second(2), None);
        shop.settle(second(1));
        assert_eq!((shop.status, &shop.live.sha256), ("Updating", &old));
        assert_eq!(
            shop.check_ready("UpdateFunctionCode").unwrap_err().code,
            "FailedOperation.UpdateFunctionCode"
        );
        shop.settle(second(2));
        assert_eq!(shop.status, "Active");
        assert_ne!(shop.live.sha256, old);
    }

    #[test]
    fn a_failed_update_leaves_the_old_code() {
        let mut shop = function();
        let (old, new) = (shop.live.sha256.clone(), coded(&shop, b"new"));
        shop.begin("Updating", new, second(2), Some(Outcome::Fail));
        shop.settle(second(2));
        assert_eq!((shop.status, shop.live.sha256), ("UpdateFailed", old));
        assert!(shop.reason.is_some());
    }

    #[test]
    fn a_stuck_update_never_ends() {
        let mut shop = function();
        let new = coded(&shop, b"new");
        shop.begin("Updating", new, second(2), Some(Outcome::Stuck));
        shop.settle(second(1_000_000));
        assert_eq!(shop.status, "Updating");
    }

    #[test]
    fn a_version_keeps_what_was_live_when_it_was_published() {
        let mut shop = function();
        let number = shop.add_version(Some("first"), second(1));
        shop.begin("Publishing", Becomes::Published(number), second(2), None);
        assert_eq!(shop.version("1").unwrap().1, "Publishing");
        shop.settle(second(2));
        let new = coded(&shop, b"new");
        shop.begin("Updating", new, second(3), None);
        shop.settle(second(3));
        let (first, status) = shop.version("1").unwrap();
        assert_eq!(status, "Active");
        assert_ne!(first.sha256, shop.live.sha256);
        assert!(shop.version("01").is_none());
        assert!(shop.version("2").is_none());
    }
}

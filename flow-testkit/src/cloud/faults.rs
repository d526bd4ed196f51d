use std::time::Duration;

use serde::Deserialize;

/// What goes wrong, and how often. An absent service or action matches all of them.
///
/// In JSON the `kind` is the variant's name in snake case.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The action is refused with this code and not carried out.
    Error {
        /// Whom it strikes.
        #[serde(flatten)]
        target: Target,
        /// The error's code.
        code: String,
        /// The error's text.
        #[serde(default)]
        message: Option<String>,
        /// The HTTP status; by itself 200, and for COS the code's own.
        #[serde(default)]
        status: Option<u16>,
    },
    /// A page of HTML with this status; not carried out.
    Http {
        /// Whom it strikes.
        #[serde(flatten)]
        target: Target,
        /// The HTTP status.
        status: u16,
    },
    /// The connection ends without an answer; not carried out.
    Drop(Target),
    /// Carried out; then the connection ends without an answer.
    DropAfter(Target),
    /// Carried out after so many seconds of real time.
    Delay {
        /// Whom it strikes.
        #[serde(flatten)]
        target: Target,
        /// How long, of the machine's time.
        seconds: f64,
    },
    /// Carried out; the connection ends in the middle of the answer's body, and before an answer that has none.
    Truncate(Target),
    /// The next changes of a function end otherwise than in `Active`.
    ScfStatus {
        /// The function's name.
        subject: (String,),
        /// How they end.
        outcome: Outcome,
        /// How often.
        #[serde(default = "once")]
        times: u32,
    },
    /// The last URL or path of the next tasks of the CDN ends in `fail`.
    CdnTask {
        /// `url`, `path` or `push`.
        subject: (String,),
        /// How often.
        #[serde(default = "once")]
        times: u32,
    },
    /// A byte of what is stored next under a key is not the one that was sent.
    CosCorrupt {
        /// The object's key.
        subject: (String,),
        /// How often.
        #[serde(default = "once")]
        times: u32,
    },
    /// A key is not deleted by the next requests that delete many at once; the others of the request are.
    CosDelete {
        /// The object's key.
        subject: (String,),
        /// The code that is answered for the key.
        code: String,
        /// How often.
        #[serde(default = "once")]
        times: u32,
    },
    /// The next runs of a version of a function fail.
    ScfInvoke {
        /// The function's name and the version.
        subject: (String, String),
        /// How often.
        #[serde(default = "once")]
        times: u32,
    },
}

/// Which requests a fault strikes, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The service; all, if it is absent.
    #[serde(default)]
    pub service: Option<String>,
    /// The action; all, if it is absent.
    #[serde(default)]
    pub action: Option<String>,
    /// How many requests.
    #[serde(default = "once")]
    pub times: u32,
}

/// How a function's change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// In the failed state.
    Fail,
    /// Never.
    Stuck,
}

const fn once() -> u32 {
    1
}

/// What strikes a request on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Strike {
    Error { code: String, message: Option<String>, status: Option<u16> },
    Http(u16),
    Drop,
    DropAfter,
    Delay(Duration),
    Truncate,
}

impl Strike {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Http(_) => "http",
            Self::Drop => "drop",
            Self::DropAfter => "drop_after",
            Self::Delay(_) => "delay",
            Self::Truncate => "truncate",
        }
    }
}

/// The faults that still stand, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What strikes this request: the oldest fault that matches it.
    pub(super) fn strike(&mut self, service: &str, action: &str) -> Option<Strike> {
        self.take(|fault| {
            let target = fault.target()?;
            let hit = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
            (hit(&target.service, service) && hit(&target.action, action)).then(|| fault.strike()).flatten()
        })
    }

    /// How the next change of this function ends, if not in `Active`.
    pub(super) fn outcome(&mut self, function: &str) -> Option<Outcome> {
        self.take(|fault| match fault {
            Fault::ScfStatus { subject, outcome, .. } if subject.0 == function => Some(*outcome),
            _ => None,
        })
    }

    pub(super) fn fails_invoke(&mut self, function: &str, version: &str) -> bool {
        self.take(|fault| match fault {
            Fault::ScfInvoke { subject, .. } => (subject.0 == function && subject.1 == version).then_some(()),
            _ => None,
        })
        .is_some()
    }

    pub(super) fn fails_task(&mut self, kind: &str) -> bool {
        self.take(|fault| match fault {
            Fault::CdnTask { subject, .. } => (subject.0 == kind).then_some(()),
            _ => None,
        })
        .is_some()
    }

    pub(super) fn corrupts(&mut self, key: &str) -> bool {
        self.take(|fault| match fault {
            Fault::CosCorrupt { subject, .. } => (subject.0 == key).then_some(()),
            _ => None,
        })
        .is_some()
    }

    /// The code with which a key among many is not deleted.
    pub(super) fn keeps(&mut self, key: &str) -> Option<String> {
        self.take(|fault| match fault {
            Fault::CosDelete { subject, code, .. } => (subject.0 == key).then(|| code.clone()),
            _ => None,
        })
    }

    fn take<T>(&mut self, matches: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        for (index, fault) in self.0.iter_mut().enumerate() {
            let Some(found) = matches(fault) else { continue };
            let left = fault.times();
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.0.remove(index);
            }
            return Some(found);
        }
        None
    }
}

impl Fault {
    fn target(&self) -> Option<&Target> {
        match self {
            Self::Error { target, .. } | Self::Http { target, .. } | Self::Delay { target, .. } => {
                Some(target)
            }
            Self::Drop(target) | Self::DropAfter(target) | Self::Truncate(target) => Some(target),
            Self::ScfStatus { .. }
            | Self::CdnTask { .. }
            | Self::CosCorrupt { .. }
            | Self::CosDelete { .. }
            | Self::ScfInvoke { .. } => None,
        }
    }

    fn strike(&self) -> Option<Strike> {
        Some(match self {
            Self::Error { code, message, status, .. } => {
                Strike::Error { code: code.clone(), message: message.clone(), status: *status }
            }
            Self::Http { status, .. } => Strike::Http(*status),
            Self::Drop(_) => Strike::Drop,
            Self::DropAfter(_) => Strike::DropAfter,
            Self::Truncate(_) => Strike::Truncate,
            Self::Delay { seconds, .. } => {
                Strike::Delay(Duration::try_from_secs_f64(*seconds).unwrap_or_default())
            }
            _ => return None,
        })
    }

    fn times(&mut self) -> &mut u32 {
        match self {
            Self::Error { target, .. } | Self::Http { target, .. } | Self::Delay { target, .. } => {
                &mut target.times
            }
            Self::Drop(target) | Self::DropAfter(target) | Self::Truncate(target) => &mut target.times,
            Self::ScfStatus { times, .. }
            | Self::CdnTask { times, .. }
            | Self::CosCorrupt { times, .. }
            | Self::CosDelete { times, .. }
            | Self::ScfInvoke { times, .. } => times,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(all: &[serde_json::Value]) -> Faults {
        Faults(all.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect())
    }

    #[test]
    fn a_fault_strikes_its_action_so_many_times_and_no_other() {
        let fault = json!({ "kind": "error", "service": "scf", "action": "Invoke", "code": "RequestLimitExceeded", "times": 2 });
        let mut faults = faults(&[fault]);
        assert_eq!(faults.strike("scf", "GetFunction"), None);
        assert_eq!(faults.strike("cdn", "Invoke"), None);
        for _ in 0..2 {
            assert_eq!(faults.strike("scf", "Invoke").unwrap().kind(), "error");
        }
        assert_eq!(faults.strike("scf", "Invoke"), None);
    }

    #[test]
    fn an_absent_service_or_action_matches_all() {
        let mut faults = faults(&[json!({ "kind": "drop", "times": 1 }), json!({ "kind": "drop_after" })]);
        assert_eq!(faults.strike("cos", "PUT object"), Some(Strike::Drop));
        assert_eq!(faults.strike("scf", "Invoke"), Some(Strike::DropAfter));
        assert_eq!(faults.strike("scf", "Invoke"), None);
    }

    #[test]
    fn a_fault_of_a_subject_leaves_the_others() {
        let mut faults = faults(&[
            json!({ "kind": "scf_status", "subject": ["shop"], "outcome": "stuck", "times": 1 }),
            json!({ "kind": "scf_invoke", "subject": ["shop", "2"], "times": 1 }),
            json!({ "kind": "cos_corrupt", "subject": ["a.js"], "times": 1 }),
            json!({ "kind": "cdn_task", "subject": ["url"], "times": 1 }),
        ]);
        assert_eq!(faults.outcome("mail"), None);
        assert_eq!(faults.outcome("shop"), Some(Outcome::Stuck));
        assert_eq!(faults.outcome("shop"), None);
        assert!(!faults.fails_invoke("shop", "1"));
        assert!(faults.fails_invoke("shop", "2"));
        assert!(!faults.corrupts("b.js"));
        assert!(faults.corrupts("a.js"));
        assert!(faults.fails_task("url"));
        assert!(!faults.fails_task("url"));
        assert!(faults.0.is_empty());
    }
}

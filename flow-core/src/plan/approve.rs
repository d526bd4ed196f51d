use std::collections::BTreeSet;
use std::ops::Deref;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{Actor, Digest, Name};
use crate::plan::{ApprovalError, Plan, Refusal, RefusedApproval};
use crate::rollback::Reversibility;
use crate::setting::Setting;

/// One person's approval of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who.
    pub by: Actor,
    /// The hash of the plan that was approved.
    pub plan: Digest,
    /// Until when it counts.
    pub expires: Timestamp,
}

/// What people said of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// The approvals.
    pub given: Vec<Approval>,
    /// The steps without a way back that are accepted.
    pub accepted: BTreeSet<Name>,
}

impl Approvals {
    /// Nobody said anything.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds an approval.
    #[must_use]
    pub fn by(mut self, by: Actor, plan: Digest, expires: Timestamp) -> Self {
        self.given.push(Approval { by, plan, expires });
        self
    }

    /// Accepts that a step has no way back.
    #[must_use]
    pub fn accepting(mut self, step: Name) -> Self {
        self.accepted.insert(step);
        self
    }
}

/// A plan that nobody has approved yet.
#[derive(Debug, Clone)]
pub struct ProposedPlan {
    pub(crate) plan: Plan,
    pub(crate) setting: Setting,
}

impl Deref for ProposedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl ProposedPlan {
    /// Checks the approvals: enough people, none of them the initiator, none expired, all for this very plan, and every step
    /// without a way back accepted by name.
    ///
    /// # Errors
    /// Everything that is missing, at once.
    pub fn approve(self, approvals: &Approvals) -> Result<ApprovedPlan, Vec<ApprovalError>> {
        let mut errors = Vec::new();
        errors.extend(count(&self.plan, &approvals.given, self.setting.clock.now()).err());
        for (_, item) in self.plan.items() {
            if let Reversibility::Irreversible { reason } = &item.reversibility
                && !approvals.accepted.contains(&item.name)
            {
                errors.push(ApprovalError::NotAccepted { step: item.name.clone(), reason: reason.clone() });
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(ApprovedPlan { plan: self.plan, setting: self.setting, approvals: approvals.given.clone() })
    }
}

/// Who approves `plan` at `now`, each once; refused where those are too few.
fn count(plan: &Plan, given: &[Approval], now: Timestamp) -> Result<Vec<Actor>, ApprovalError> {
    let mut counted = BTreeSet::new();
    let mut refused = Vec::new();
    for approval in given {
        match refusal(plan, approval, now) {
            None => drop(counted.insert(approval.by.clone())),
            Some(reason) => refused.push(RefusedApproval { by: approval.by.clone(), reason }),
        }
    }
    let given = u32::try_from(counted.len()).unwrap_or(u32::MAX);
    if given < plan.approvals {
        return Err(ApprovalError::TooFew { given, needed: plan.approvals, refused });
    }
    Ok(counted.into_iter().collect())
}

fn refusal(plan: &Plan, approval: &Approval, now: Timestamp) -> Option<Refusal> {
    if approval.plan != plan.hash {
        Some(Refusal::AnotherPlan { plan: approval.plan })
    } else if approval.expires <= now {
        Some(Refusal::Expired { at: approval.expires })
    } else if approval.by == plan.initiator {
        Some(Refusal::OwnRun)
    } else {
        None
    }
}

/// A plan that may be carried out, as long as its approvals last: they are counted once more when the run begins.
#[derive(Debug, Clone)]
pub struct ApprovedPlan {
    pub(crate) plan: Plan,
    pub(crate) setting: Setting,
    approvals: Vec<Approval>,
}

impl ApprovedPlan {
    /// Who approves it now: an approval may have expired since.
    pub(crate) fn approved_by(&self) -> Result<Vec<Actor>, ApprovalError> {
        count(&self.plan, &self.approvals, self.setting.clock.now())
    }
}

impl Deref for ApprovedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Cause;
use crate::stage::{Activity, ActivityName, MigrateActivity, PrepareActivity, StageName, VerifyActivity};

/// What a run can prove, for its own later stages and for later runs.
///
/// A step says beforehand what it will prove ([`Step::proves`](crate::Step::proves)), its receipt says that it has
/// ([`Receipt::proved`](crate::Receipt::proved)), and the border before whatever depends on it checks that. The three
/// tests and the rollback plan need no word of their own: they lie in the evidence for their activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Proof {
    /// Every part of the plan has its way back written down, and somebody to call.
    RollbackPlan,
    /// The security configuration is the one that must be: encryption, firewall, audit.
    SecurityConfiguration,
    /// The rights are the ones that must be: whoever deploys may do this, and no more.
    Permissions,
    /// A backup was made, and restoring it gave the same data.
    BackupRestored,
    /// The migration was applied, and the data is consistent.
    MigrationVerified,
    /// The deployed functions do what they must.
    FunctionalTest,
    /// The performance was measured.
    PerformanceTest,
    /// The users' main paths work.
    UserJourney,
}

/// Where the lack of a proof stops a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Border {
    /// Behind stage 1: before anything is built, written or changed.
    Prepared,
    /// Before the first step that applies a migration.
    BeforeApply,
    /// Behind stage 3: before anything that relies on the new schema.
    Migrated,
    /// At the end of stage 8: before the run counts as completed.
    Verified,
}

impl Proof {
    /// All of them, in the order in which a run proves them.
    pub const ALL: [Self; 8] = [
        Self::RollbackPlan,
        Self::SecurityConfiguration,
        Self::Permissions,
        Self::BackupRestored,
        Self::MigrationVerified,
        Self::FunctionalTest,
        Self::PerformanceTest,
        Self::UserJourney,
    ];

    /// The three that make tests complete.
    pub const TESTS: [Self; 3] = [Self::FunctionalTest, Self::PerformanceTest, Self::UserJourney];

    /// The activity of the standard that it belongs to.
    #[must_use]
    pub fn activity(self) -> ActivityName {
        match self {
            Self::RollbackPlan => PrepareActivity::RollbackPlan.name(),
            Self::SecurityConfiguration | Self::Permissions => PrepareActivity::EnvironmentState.name(),
            Self::BackupRestored => MigrateActivity::Backup.name(),
            Self::MigrationVerified => MigrateActivity::Apply.name(),
            Self::FunctionalTest => VerifyActivity::Functional.name(),
            Self::PerformanceTest => VerifyActivity::Performance.name(),
            Self::UserJourney => VerifyActivity::UserJourney.name(),
        }
    }

    /// Where its lack stops a run.
    #[must_use]
    pub const fn border(self) -> Border {
        match self {
            Self::RollbackPlan | Self::SecurityConfiguration | Self::Permissions => Border::Prepared,
            Self::BackupRestored => Border::BeforeApply,
            Self::MigrationVerified => Border::Migrated,
            Self::FunctionalTest | Self::PerformanceTest | Self::UserJourney => Border::Verified,
        }
    }

    /// The proof that lies in the evidence for `activity` alone, if one does.
    ///
    /// Not so for backup and migration: evidence that something was written is no proof that it can be restored.
    #[must_use]
    pub fn of_evidence(activity: &ActivityName) -> Option<Self> {
        let evident = [Self::RollbackPlan, Self::FunctionalTest, Self::PerformanceTest, Self::UserJourney];
        evident.into_iter().find(|proof| proof.activity() == *activity)
    }

    /// The proof as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RollbackPlan => "rollback plan",
            Self::SecurityConfiguration => "security configuration",
            Self::Permissions => "permissions",
            Self::BackupRestored => "restored backup",
            Self::MigrationVerified => "verified migration",
            Self::FunctionalTest => "functional test",
            Self::PerformanceTest => "performance test",
            Self::UserJourney => "user journey",
        }
    }
}

impl Border {
    const ALL: [Self; 4] = [Self::Prepared, Self::BeforeApply, Self::Migrated, Self::Verified];

    /// What a run that broke its policy here stopped for, as its errors and its journal say it.
    pub(crate) fn broken(self) -> String {
        format!("the policy is broken {self}, which no retry of this run can mend")
    }

    /// The border that `cause` tells of, if a broken policy is what it tells of. Older journals say nothing of retries.
    pub(crate) fn told_by(cause: &Cause) -> Option<Self> {
        let told = |border: &Self| cause.message.starts_with(&format!("the policy is broken {border}"));
        Self::ALL.into_iter().find(told)
    }

    /// The border that closes `stage`, if one does.
    #[must_use]
    pub(crate) const fn behind(stage: StageName) -> Option<Self> {
        match stage {
            StageName::Prepare => Some(Self::Prepared),
            StageName::Migrate => Some(Self::Migrated),
            StageName::Verify => Some(Self::Verified),
            _ => None,
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Border {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prepared => "behind stage Prepare",
            Self::BeforeApply => "before a migration is applied",
            Self::Migrated => "behind stage Migrate",
            Self::Verified => "at the end of stage Verify",
        })
    }
}

//! The eight stages, their order and the activities that the standard demands in each.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::receipt;

mod sealed {
    pub trait Sealed {}
}

/// The name of a stage, as a value. [`Stage`] is the same as a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Stage 1: scope, state of the environment, order of dependencies, rollback plan.
    Prepare,
    /// Stage 2: code version, build, configuration, image.
    Build,
    /// Stage 3: migration scripts, backup, apply, impact.
    Migrate,
    /// Stage 4: upload, cache purge, domain, reachability.
    Assets,
    /// Stage 5: stop, update, dependencies, start, health.
    Services,
    /// Stage 6: function code, triggers, variables, version, test.
    Functions,
    /// Stage 7: alerts, logs, APM, notification test, dashboards.
    Monitoring,
    /// Stage 8: functional, performance and journey checks, documents, handover.
    Verify,
}

impl StageName {
    /// All eight, in order.
    pub const ALL: [Self; 8] = [
        Self::Prepare,
        Self::Build,
        Self::Migrate,
        Self::Assets,
        Self::Services,
        Self::Functions,
        Self::Monitoring,
        Self::Verify,
    ];

    /// The stage's number in the standard, from 1 to 8.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The stage that follows, if one does.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::ALL.get(usize::from(self.number())).copied()
    }

    /// The names of the stage's activities, in the standard's order.
    #[must_use]
    pub fn activities(self) -> Vec<ActivityName> {
        fn names<A: Activity>() -> Vec<ActivityName> {
            A::ALL.iter().map(|activity| activity.name()).collect()
        }
        match self {
            Self::Prepare => names::<PrepareActivity>(),
            Self::Build => names::<BuildActivity>(),
            Self::Migrate => names::<MigrateActivity>(),
            Self::Assets => names::<AssetsActivity>(),
            Self::Services => names::<ServicesActivity>(),
            Self::Functions => names::<FunctionsActivity>(),
            Self::Monitoring => names::<MonitoringActivity>(),
            Self::Verify => names::<VerifyActivity>(),
        }
    }

    /// Whether a whole run may declare this stage not applicable.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        !matches!(self, Self::Prepare | Self::Verify)
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prepare => "Prepare",
            Self::Build => "Build",
            Self::Migrate => "Migrate",
            Self::Assets => "Assets",
            Self::Services => "Services",
            Self::Functions => "Functions",
            Self::Monitoring => "Monitoring",
            Self::Verify => "Verify",
        })
    }
}

/// The name of an activity together with its stage, as a value: `Migrate.Backup`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityName {
    /// The activity's stage.
    pub stage: StageName,
    /// The activity's own name.
    pub activity: std::borrow::Cow<'static, str>,
}

impl fmt::Display for ActivityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stage, self.activity)
    }
}

/// One of the things that the standard demands inside a stage.
pub trait Activity:
    sealed::Sealed + Copy + Ord + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// All of the stage's activities, in the standard's order.
    const ALL: &'static [Self];

    /// The activity with its stage, as a value.
    fn name(self) -> ActivityName;
}

/// Where a [`Deployment`](crate::Deployment) can stand: at one of the eight stages, or [`Complete`].
pub trait Position: sealed::Sealed + Send + Sync + 'static {}

/// One of the eight stages, as a type. Sealed: the standard has these eight and no other.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stage",
    label = "expected one of `Prepare`, `Build`, `Migrate`, `Assets`, `Services`, `Functions`, `Monitoring`, `Verify`"
)]
pub trait Stage: Position + Copy + PartialEq + fmt::Debug {
    /// Where a run stands when this stage is done.
    type Next: Position;
    /// The stage's activities.
    type Activity: Activity;
    /// What a step of this stage hands to later ones, beyond its evidence.
    type Facts: Default
        + Clone
        + PartialEq
        + fmt::Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// The stage as a value.
    const NAME: StageName;
}

/// A stage that a run may declare not applicable: every one but [`Prepare`] and [`Verify`].
#[diagnostic::on_unimplemented(
    message = "stage `{Self}` can never be declared not applicable",
    label = "`Prepare` and `Verify` belong to every deployment"
)]
pub trait Optional: Stage {}

/// A stage whose work may be a rollout: [`Services`] and [`Functions`].
#[diagnostic::on_unimplemented(
    message = "stage `{Self}` replaces nothing, so it has no rollouts",
    label = "only `Services` and `Functions` have rollouts"
)]
pub trait Rolls: Stage {
    /// The activities that a rollout does.
    const ROLLOUT: &'static [Self::Activity];

    /// What a rollout of `service` to `version` lets later stages rely on.
    fn rolled_out(service: &Name, version: &Name) -> Self::Facts;
}

impl Rolls for Services {
    const ROLLOUT: &'static [ServicesActivity] = &[
        ServicesActivity::Stop,
        ServicesActivity::Update,
        ServicesActivity::Start,
        ServicesActivity::Health,
    ];

    fn rolled_out(service: &Name, version: &Name) -> receipt::ServicesFacts {
        receipt::ServicesFacts { serving: [(service.clone(), version.clone())].into() }
    }
}

impl Rolls for Functions {
    const ROLLOUT: &'static [FunctionsActivity] =
        &[FunctionsActivity::Code, FunctionsActivity::Publish, FunctionsActivity::Test];

    fn rolled_out(service: &Name, version: &Name) -> receipt::FunctionsFacts {
        receipt::FunctionsFacts { versions: [(service.clone(), version.to_string())].into() }
    }
}

/// Stage `Self` comes before stage `S`, so its receipts can be read there.
#[diagnostic::on_unimplemented(
    message = "stage `{Self}` does not come before stage `{S}`",
    label = "only receipts of an earlier stage can be read here"
)]
pub trait Before<S: Stage>: Stage {}

/// The end of the line: all eight stages are done.
#[derive(Debug, Clone, Copy)]
pub enum Complete {}

impl sealed::Sealed for Complete {}
impl Position for Complete {}

macro_rules! stages {
    ($($stage:ident -> $next:ident, $activities:ident { $($activity:ident = $what:literal),+ $(,)? }, $facts:ty;)+) => {$(
        #[doc = concat!("The stage [`StageName::", stringify!($stage), "`], as a type.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $stage {}

        #[doc = concat!("The activities of stage [`", stringify!($stage), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $activities { $(#[doc = $what] $activity),+ }

        impl sealed::Sealed for $activities {}
        impl Activity for $activities {
            const ALL: &'static [Self] = &[$(Self::$activity),+];

            fn name(self) -> ActivityName {
                let activity = match self { $(Self::$activity => stringify!($activity)),+ };
                ActivityName { stage: StageName::$stage, activity: activity.into() }
            }
        }

        impl sealed::Sealed for $stage {}
        impl Position for $stage {}
        impl Stage for $stage {
            type Next = $next;
            type Activity = $activities;
            type Facts = $facts;
            const NAME: StageName = StageName::$stage;
        }
    )+};
}

stages! {
    Prepare -> Build, PrepareActivity {
        Scope = "What is deployed, and what it touches.",
        EnvironmentState = "The state of the environment before the run.",
        DependencyOrder = "Which service needs which, and the order they start in.",
        RollbackPlan = "The way back of every step, and what to do in an emergency.",
    }, receipt::PrepareFacts;
    Build -> Migrate, BuildActivity {
        CodeVersion = "Version, tag and commit of the code.",
        BuildScripts = "Front-end build and back-end package.",
        Configuration = "The environment's own configuration.",
        Image = "A container image, if one is needed.",
    }, receipt::BuildFacts;
    Migrate -> Assets, MigrateActivity {
        Scripts = "The migration scripts, up and down.",
        Backup = "A full backup, proved by restoring it.",
        Apply = "The migration, and proof that the data is consistent.",
        Impact = "What the migration does to the running service.",
    }, receipt::MigrateFacts;
    Assets -> Services, AssetsActivity {
        Upload = "The built files, in a CDN or an object store.",
        CachePurge = "The cache's old copies are gone.",
        Domain = "Name resolution and CDN configuration.",
        Reachability = "Every file can be fetched.",
    }, receipt::AssetsFacts;
    Services -> Functions, ServicesActivity {
        Stop = "The old processes no longer serve.",
        Update = "The new code is in place.",
        InstallDependencies = "The packages that the code needs.",
        Start = "The new processes run.",
        Health = "The service is up and healthy.",
    }, receipt::ServicesFacts;
    Functions -> Monitoring, FunctionsActivity {
        Code = "Code and configuration of the functions.",
        Triggers = "The functions' triggers.",
        FunctionVariables = "The functions' environment variables.",
        Publish = "A published version.",
        Test = "The functions answer as they should.",
    }, receipt::FunctionsFacts;
    Monitoring -> Verify, MonitoringActivity {
        Alerts = "Metrics and alert rules.",
        Logs = "Log collection.",
        Apm = "Application performance monitoring.",
        NotificationTest = "A test notification that arrived.",
        Dashboards = "Dashboards.",
    }, receipt::MonitoringFacts;
    Verify -> Complete, VerifyActivity {
        Functional = "The deployed functions work.",
        Performance = "Measured performance.",
        UserJourney = "The users' main paths work.",
        Documentation = "The deployment documents and the change record.",
        Handover = "What the team must know.",
    }, receipt::VerifyFacts;
}

macro_rules! implement {
    ($marker:ident for $($stage:ident),+) => { $(impl $marker for $stage {})+ };
}
implement!(Optional for Build, Migrate, Assets, Services, Functions, Monitoring);

macro_rules! order {
    ($first:ident) => {};
    ($first:ident, $($later:ident),+) => {
        $(impl Before<$later> for $first {})+
        order!($($later),+);
    };
}
order!(Prepare, Build, Migrate, Assets, Services, Functions, Monitoring, Verify);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_has_eight_stages_and_thirty_six_activities() {
        let counts: Vec<usize> = StageName::ALL.iter().map(|stage| stage.activities().len()).collect();
        assert_eq!(counts, [4, 4, 4, 4, 5, 5, 5, 5]);
        assert_eq!(StageName::Verify.next(), None);
        assert_eq!(StageName::Prepare.next(), Some(StageName::Build));
    }
}

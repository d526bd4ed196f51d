//! The standard steps of all eight stages, written over the [ports](crate::port): no network, no process, no file.
//!
//! Every step reads before it changes, reads back what it changed, and hands over what it saw as evidence. Each has a
//! name of its own, which `named` replaces where a plan needs two of a kind, and a deadline, which `within` replaces.
//!
//! Beside the steps stand the whole stages that most deployments want: [`migrations`], [`site`] and [`function`].

mod applying;
mod expectation;
mod heading;
mod replacement;
mod template;

mod assets;
mod build;
mod contract;
mod functions;
mod migrate;
mod monitoring;
mod prepare;
mod security;
mod services;
mod verify;

pub use prepare::{ConfirmOrder, ConfirmRollbackPlan, ConfirmScope, InspectEnvironment};

pub use security::{CheckSecurity, CommandCheck, StrangerCheck};

pub use build::{BuildArtifacts, PushImage, VerifySource, WriteConfiguration};

pub use migrate::{ApplyMigrations, AssessImpact, BackUp, CheckScripts, migrations};

pub use assets::{CheckDomain, CheckReachability, PurgeCache, SiteFiles, UploadAssets, site};

pub use contract::ContractMigrations;
pub use services::InstallDependencies;

pub use functions::{
    FunctionCode, FunctionRelease, FunctionTest, PublishFunction, SetTriggers, SetVariables, TestFunction,
    UpdateFunctionCode, function,
};

pub use monitoring::{ApplyAlertRules, TestNotification};

pub use expectation::Expectation;
pub use verify::{
    CheckFunctions, CheckJourney, HandOver, MeasureFigures, MeasurePerformance, PageLoad, WriteDocuments,
};

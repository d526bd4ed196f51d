use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use flow_core::durable::Journaled;
use flow_core::journal::MemoryJournal;
use flow_core::plan::{Approvals, ApprovedPlan};
use flow_core::report::Report;
use flow_core::stage::{Assets, AssetsActivity, PrepareActivity, Services, ServicesActivity, VerifyActivity};
use flow_core::steps::{ConfirmOrder, ConfirmRollbackPlan, ConfirmScope, WriteDocuments};
use flow_core::{Actor, Environment, Name, RunId, Setting, Work, Workflow, name};
use flow_local::store::{DirectoryConfiguration, DirectoryVault};

/// Eight stages of which only the first and the last have work; the change record goes below `root`. An example puts in
/// what it is about: `Workflow { assets, ..shop::workflow(root)? }`.
///
/// # Errors
/// None in practice: `ann` is an actor.
pub fn workflow(root: &Path) -> Result<Workflow> {
    let ann = Actor::new("ann")?;
    let documents = Arc::new(DirectoryConfiguration::new(root.join("documents")));
    let record = Work::step(WriteDocuments::new(documents, name!("change-record.md")));
    use VerifyActivity::{Functional, Handover, Performance, UserJourney};
    let by_hand = [Functional, Performance, UserJourney, Handover];
    Ok(Workflow {
        prepare: Work::step(ConfirmScope::new())
            .then(ConfirmOrder::new())
            .then(ConfirmRollbackPlan::new("call ann"))
            .without(PrepareActivity::EnvironmentState, "development may be in any state")
            .by(ann.clone()),
        build: Work::not_applicable("nothing is built").by(ann.clone()),
        migrate: Work::not_applicable("there is no database").by(ann.clone()),
        assets: Work::not_applicable("there is no site").by(ann.clone()),
        services: Work::not_applicable("there is no service").by(ann.clone()),
        functions: Work::not_applicable("there are no functions").by(ann.clone()),
        monitoring: Work::not_applicable("development is not watched").by(ann.clone()),
        verify: by_hand.into_iter().fold(record, |work, activity| {
            work.without(activity, "developers try it by hand").by(ann.clone())
        }),
    })
}

/// The work of stage `Services` where nothing is installed.
///
/// # Errors
/// None in practice: `ann` is an actor.
pub fn static_program(work: Work<Services>) -> Result<Work<Services>> {
    let install = ServicesActivity::InstallDependencies;
    Ok(work.without(install, "one static program").by(Actor::new("ann")?))
}

/// The work of stage `Assets` of a site that stands in a directory and nowhere else.
///
/// # Errors
/// None in practice: `ann` is an actor.
pub fn plain_site(work: Work<Assets>) -> Result<Work<Assets>> {
    let ann = Actor::new("ann")?;
    let elsewhere = [AssetsActivity::CachePurge, AssetsActivity::Domain, AssetsActivity::Reachability];
    let leave_out = |work: Work<Assets>, activity| work.without(activity, "nobody serves it").by(ann.clone());
    Ok(elsewhere.into_iter().fold(work, leave_out))
}

/// Who deploys what where: ann, `release` of the shop, to development. What is captured and secret is kept below `root`.
///
/// # Errors
/// When `release` is no name.
pub fn setting(root: &Path, release: &str) -> Result<Setting> {
    let (release, ann) = (Name::new(release)?, Actor::new("ann")?);
    let mut setting = Setting::new(name!("shop"), Environment::Development, release, ann);
    setting.vault = Some(Arc::new(DirectoryVault::new(root.join("vault"))));
    Ok(setting)
}

/// Plans a run. Development asks nobody for an approval.
///
/// # Errors
/// Everything that is wrong with the plan, at once.
pub async fn approved(workflow: &Workflow, setting: &Setting) -> Result<ApprovedPlan> {
    let proposed = workflow.plan(setting).await?;
    proposed.approve(&Approvals::none()).map_err(|missing| anyhow!("{missing:?}"))
}

/// Plans and carries out a run whose journal is only kept in memory.
///
/// # Errors
/// [`Stopped`](flow_core::Stopped) where the run did not complete.
pub async fn deploy(workflow: &Workflow, setting: &Setting) -> Result<Report> {
    let run = RunId::new(setting.release.as_str())?;
    let durable = Journaled::new(Arc::new(MemoryJournal::new()), run);
    Ok(workflow.run(approved(workflow, setting).await?, &durable).await?)
}

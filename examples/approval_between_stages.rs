//! Code of one's own between two stages: when the new page stands a person is asked, and only a yes lets the services
//! follow. A no takes back what was done so far.
#![expect(clippy::print_stdout, reason = "an example")]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use flow_core::durable::Journaled;
use flow_core::journal::{MemoryJournal, Signal};
use flow_core::port::HostPath;
use flow_core::report::ReportOutcome;
use flow_core::strategy::BlueGreen;
use flow_core::{Actor, RunId, Service, SystemClock, Undone, Work, Workflow, name};
use flow_examples::shop;
use flow_local::host::{HostConfig, LocalHost};
use flow_testkit::fake::FakeFleet;
use tokio::sync::oneshot::{Sender, channel};

fn workflow(root: &Path, fleet: &Arc<FakeFleet>) -> Result<Workflow> {
    let host = Arc::new(LocalHost::open(HostConfig::new(root), Arc::new(SystemClock::new()))?);
    let page = shop::WritePage { host, page: HostPath::new("index.html")?, after: || {} };
    let strategy = BlueGreen { bake: Duration::from_millis(100), ..BlueGreen::default() };
    let rollout = Work::rollout(strategy, Service::new(name!("web"))).on(fleet.clone(), fleet.clone());
    Ok(Workflow {
        build: Work::step(shop::TakeArtifact { name: name!("web"), path: root.join("web") }),
        assets: shop::plain_site(Work::step(page))?,
        services: shop::static_program(rollout)?,
        ..shop::workflow(root)?
    })
}

/// Deploys up to the page, asks, and goes on or back.
async fn deploy(workflow: Workflow, root: &Path, ask: Sender<Sender<Signal>>) -> Result<()> {
    let approved = shop::approved(&workflow, &shop::setting(root, "1.0.0")?).await?;
    let durable = Arc::new(Journaled::new(Arc::new(MemoryJournal::new()), RunId::new("one")?));
    let (deployment, work) = workflow.begin(approved, durable).await?;
    let deployment = deployment.run(work.prepare).await?.run(work.build).await?;
    let deployment = deployment.run(work.migrate).await?.run(work.assets).await?;

    // The run rests here for as long as it takes; if this process dies meanwhile, `Workflow::resume` comes back to it.
    let (decide, decided) = channel();
    ensure!(ask.send(decide).is_ok(), "nobody is there to be asked");
    if let Signal::Refused { by, reason } = decided.await? {
        let undone = deployment.roll_back(&by, &reason).await?;
        ensure!(matches!(undone, Undone::RolledBack(_)), "not everything could be undone");
        return Ok(());
    }
    let deployment = deployment.run(work.services).await?.run(work.functions).await?;
    let report = deployment.run(work.monitoring).await?.run(work.verify).await?.finish();
    ensure!(report.outcome() == ReportOutcome::Completed, "{:?}", report.outcome());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let bob = || Actor::new("bob");
    let no = Signal::Refused { by: bob()?, reason: "not on a Friday".to_owned() };
    for (answer, stands) in [(no, false), (Signal::Approved { by: bob()? }, true)] {
        let root = tempfile::tempdir()?;
        let (page, fleet) = (root.path().join("index.html"), Arc::new(FakeFleet::new()));
        std::fs::write(root.path().join("web"), "1.0.0")?;
        let workflow = workflow(root.path(), &fleet)?;
        // Here a person is asked, in a chat or by a form, who looks and answers when they will.
        let (ask, asked) = channel::<Sender<Signal>>();
        let person = async {
            let decide = asked.await?;
            ensure!(page.exists() && fleet.changes().is_empty(), "the services did not wait");
            println!("The new page stands. Shall the services follow? {answer:?}");
            decide.send(answer.clone()).map_err(|answer| anyhow!("nobody waits for {answer:?}"))
        };
        tokio::try_join!(deploy(workflow, root.path(), ask), person)?;
        let found = [page.exists(), !fleet.running(&name!("web")).is_empty()];
        ensure!(found == [stands; 2], "{answer:?}: {found:?}");
    }
    Ok(())
}

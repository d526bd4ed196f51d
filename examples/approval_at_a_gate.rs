//! A rollout that waits for a person before it moves the traffic. The wait is in the journal, so the answer may come from
//! another process, or while nobody works on the run.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use flow_core::durable::Journaled;
use flow_core::event::{EventKind, EventStream, Next};
use flow_core::journal::{Entry, Signal};
use flow_core::machine::CallKey;
use flow_core::strategy::BlueGreen;
use flow_core::{Actor, RunId, Service, Stopped, Work, Workflow, name};
use flow_examples::shop;
use flow_journal::SqliteJournal;
use flow_testkit::fake::FakeFleet;

/// The wait that the run comes to.
async fn wait(events: &mut EventStream) -> Result<CallKey> {
    while let Some(next) = events.next().await {
        if let Next::Event(event) = next
            && let EventKind::Recorded { entry } = event.kind
            && let Entry::WaitBegan { key, .. } = &*entry
        {
            return Ok(key.clone());
        }
    }
    bail!("the run ended and asked nobody")
}

#[tokio::main]
async fn main() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (fleet, path) = (Arc::new(FakeFleet::new()), root.path().join("web"));
    let journal = Arc::new(SqliteJournal::open(root.path().join("journal.db")).await?);
    for (release, approves) in [("1.0.0", true), ("1.1.0", false)] {
        std::fs::write(&path, release)?;
        let strategy =
            BlueGreen { approval: Some(name!("switch")), bake: Duration::from_millis(100), relaunches: 0 };
        let rollout = Work::rollout(strategy, Service::new(name!("web"))).on(fleet.clone(), fleet.clone());
        let workflow = Workflow {
            build: Work::step(shop::TakeArtifact { name: name!("web"), path: path.clone() }),
            services: shop::static_program(rollout)?,
            ..shop::workflow(root.path())?
        };
        let (setting, run) = (shop::setting(root.path(), release)?, RunId::new(release)?);
        let (mut events, approved) = (setting.events.subscribe(), shop::approved(&workflow, &setting).await?);
        // The run has the other handle to the hub: when it ends, the events do.
        drop(setting);
        let durable = Journaled::new(journal.clone(), run.clone());
        let deploying = tokio::spawn(async move { workflow.run(approved, &durable).await });

        let key = wait(&mut events).await?;
        let moved = format!("{release} 100 %");
        ensure!(!fleet.changes().iter().any(|change| change.ends_with(&moved)), "it did not wait");
        let (by, reason) = (Actor::new("bob")?, "a holiday begins tonight".to_owned());
        let signal = if approves { Signal::Approved { by } } else { Signal::Refused { by, reason } };
        println!("`{key}`: {signal:?}");
        Journaled::answer(&*journal, &run, &key, &signal).await?;

        let rolled_back = matches!(deploying.await?, Err(Stopped::RolledBack { .. }));
        ensure!(rolled_back != approves, "rolled back: {rolled_back}");
        ensure!(fleet.running(&name!("web")) == [name!("1.0.0")], "{:?}", fleet.running(&name!("web")));
    }
    Ok(())
}

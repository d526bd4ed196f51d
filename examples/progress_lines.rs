//! One line for each step and stage of a run, from its events. The first event has the whole plan, so the lines can say
//! what will come; whoever reads too slowly gets a counted gap and delays nothing.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flow_core::event::{EventKind, EventStream, Next};
use flow_core::journal::Entry;
use flow_core::machine::Phase;
use flow_core::stage::StageName;
use flow_core::strategy::BlueGreen;
use flow_core::{Service, Work, Workflow, name};
use flow_examples::shop;
use flow_testkit::fake::FakeFleet;

/// The line that an event is worth, if it is worth one.
fn line(kind: &EventKind) -> Option<String> {
    let entry = match kind {
        EventKind::Opened { plan, .. } => {
            return Some(format!("{} {} to {}", plan.application, plan.release, plan.environment));
        }
        EventKind::Retrying { key, attempt, .. } => {
            return Some(format!("  {key}: attempt {attempt} failed"));
        }
        EventKind::Recorded { entry } => &**entry,
        _ => return None,
    };
    match entry {
        Entry::Intended { key, .. } if key.phase == Phase::Undo => Some(format!("  undoing {}", key.step)),
        Entry::Ended { key, ended } if key.phase == Phase::Do => {
            let took = ended.ended.duration_since(ended.began).as_millis();
            Some(format!("  {} ended {:?} after {took} ms", key.step, ended.end))
        }
        Entry::SleepBegan { key, until } => Some(format!("  {} waits until {until}", key.step)),
        Entry::StageFinished { stage } => Some(format!("{}. {stage}", stage.number())),
        Entry::UndoFrozen { cause, .. } => Some(format!("rolling back: {cause}")),
        Entry::Parked { standing, .. } => Some(format!("parked: {} steps still stand", standing.len())),
        Entry::Finished { outcome } => Some(format!("{outcome:?}")),
        _ => None,
    }
}

/// Prints until the run's hub is gone, and returns what was printed.
async fn print(mut events: EventStream) -> Vec<String> {
    let mut printed = Vec::new();
    while let Some(next) = events.next().await {
        let line = match next {
            Next::Event(event) => line(&event.kind),
            Next::Gap(missed) => Some(format!("({missed} events were missed)")),
            Next::Progress(progress) => Some(format!("  .. {}", progress.message)),
        };
        printed.extend(line.inspect(|line| println!("{line}")));
    }
    printed
}

#[tokio::main]
async fn main() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (path, fleet) = (root.path().join("web"), Arc::new(FakeFleet::new()));
    std::fs::write(&path, "1.0.0")?;
    let strategy = BlueGreen { bake: Duration::from_millis(200), ..BlueGreen::default() };
    let rollout = Work::rollout(strategy, Service::new(name!("web")));
    let workflow = Workflow {
        build: Work::step(shop::TakeArtifact { name: name!("web"), path }),
        services: shop::static_program(rollout.on(fleet.clone(), fleet))?,
        ..shop::workflow(root.path())?
    };
    let setting = shop::setting(root.path(), "1.0.0")?;
    let printing = tokio::spawn(print(setting.events.subscribe()));
    shop::deploy(&workflow, &setting).await?;
    drop(setting);
    let printed = printing.await.context("the printing ended badly")?;
    let stages = printed.iter().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    ensure!(stages.eq(&StageName::ALL.map(|stage| format!("{}. {stage}", stage.number()))), "{printed:?}");
    Ok(())
}

//! A strategy of one's own: waves that double, 1, 2, 4, .. instances, so that a fault which shows only under load meets few
//! users first. Pure: it looks at what was observed and says the next move; the engine does the rest.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use flow_core::strategy::{Move, RetireWhen, RolloutView, Strategy};
use flow_core::{Name, Service, Weights, Work, Workflow, name};
use flow_examples::shop;
use flow_testkit::fake::FakeFleet;
use serde_json::{Value, json};

struct Doubling {
    /// How long a wave serves before the next one.
    pause: Duration,
}

impl Strategy for Doubling {
    fn name(&self) -> Name {
        name!("doubling")
    }
    fn definition(&self) -> Value {
        json!({ "pause": self.pause })
    }
    fn decide(&self, view: &RolloutView) -> Move {
        let serving = view.serving(&view.new);
        if serving == view.size {
            let done = view.replaced().all(|old| view.is_retired(&old.id));
            let instances = view.replaced().map(|old| old.id.clone()).collect();
            return if done { Move::Done } else { Move::Retire { instances, when: RetireWhen::KeepWarm } };
        }
        if serving > 0 && view.baked() < self.pause {
            return Move::Bake { duration: self.pause };
        }
        let wave = (2 * serving).clamp(1, view.size);
        match view.ready(&view.new) {
            ready if ready < wave => Move::Launch { count: wave - ready },
            _ => shift(view, 100 * wave / view.size),
        }
    }
}

/// `percent` to the new version, in steps that the router can do, and all of it where there is no old one.
fn shift(view: &RolloutView, percent: u32) -> Move {
    let new = percent as u8 / view.granularity * view.granularity;
    let split = view.old.clone().map(|old| Weights::new([(old, 100 - new), (view.new.clone(), new)]));
    let weights = split.and_then(Result::ok).unwrap_or_else(|| Weights::all_to(view.new.clone()));
    Move::Shift { weights, leaving: Vec::new() }
}

#[tokio::main]
async fn main() -> Result<()> {
    let root = tempfile::tempdir()?;
    let fleet = Arc::new(FakeFleet::new());
    for release in ["1.0.0", "1.1.0"] {
        let path = root.path().join(release);
        std::fs::write(&path, release)?;
        let web = Service { size: 5, ..Service::new(name!("web")) };
        let rollout = Work::rollout(Doubling { pause: Duration::from_millis(100) }, web);
        let workflow = Workflow {
            build: Work::step(shop::TakeArtifact { name: name!("web"), path }),
            services: shop::static_program(rollout.on(fleet.clone(), fleet.clone()))?,
            ..shop::workflow(root.path())?
        };
        shop::deploy(&workflow, &shop::setting(root.path(), release)?).await?;
    }
    let routes = fleet.changes().into_iter().filter(|change| change.contains("1.1.0 ")).collect::<Vec<_>>();
    let waves = ["1.0.0 80 %, 1.1.0 20 %", "1.0.0 60 %, 1.1.0 40 %", "1.0.0 20 %, 1.1.0 80 %", "1.1.0 100 %"];
    ensure!(routes == waves.map(|wave| format!("route web to {wave}")), "{routes:?}");
    ensure!(fleet.running(&name!("web")) == vec![name!("1.1.0"); 5], "{:?}", fleet.running(&name!("web")));
    Ok(())
}

//! Three rules of a team's deploy logic, each proved by a run of all eight stages over strict fakes in milliseconds.
//! `cargo test --example unit_test_deploy_logic` proves them; run as it is, it prints the report of a good release.

use flow_core::gate::{OnSilence, Thresholds};
use flow_core::strategy::{BlueGreen, Canary, CanaryStep};
use flow_testkit::World;
use std::io::Write as _;
use std::time::Duration;

/// How this team replaces its shop: the old version stays beside the new one for five minutes.
fn careful() -> BlueGreen {
    BlueGreen { bake: Duration::from_secs(300), ..BlueGreen::default() }
}

/// How it tries something risky: ten minutes each at 5, 25 and 100 percent, as long as 99 of 100 requests are answered.
fn risky() -> (Canary, Thresholds) {
    let steps = [5, 25, 100].map(|weight| CanaryStep { weight, dwell: Duration::from_secs(600) });
    let (on_insufficient, on_provider_error) = (OnSilence::Wait { times: 3 }, OnSilence::Abort);
    let gate = Thresholds {
        max_failure_ratio: 0.01,
        max_p99_ms: None,
        min_requests: 100,
        on_insufficient,
        on_provider_error,
    };
    (Canary { steps: steps.to_vec(), ..Canary::default() }, gate)
}

fn world() -> World {
    World::new().with_service("web", 4).gated(risky().1).serving("1.0.0")
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> anyhow::Result<()> {
    let world = world();
    world.metrics().traffic("web", 50);
    let report = world.deploy("1.1.0", careful()).await?;
    Ok(std::io::stdout().write_all(report.to_markdown().as_bytes())?)
}

#[cfg(test)]
mod rules {
    use super::*;
    use flow_core::stage::StageName;
    use flow_testkit::fake::Quality;
    use flow_testkit::fault::{At, Fault, Moment};
    use flow_testkit::weights;

    #[tokio::test(start_paused = true)]
    async fn a_failed_health_check_returns_all_traffic_to_blue() {
        let world = World::new().with_service("web", 4).serving("1.0.0");
        world.instances("web").fail_health("1.1.0").after(Duration::from_secs(30));
        let failed = world.deploy("1.1.0", careful()).await.unwrap_err();
        assert_eq!(failed.at(), Some(StageName::Services));
        assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
        assert!(world.instances("web").running("1.1.0").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_canary_that_fails_its_users_is_aborted_at_its_first_step() {
        let world = world();
        world.metrics().traffic("web", 50);
        world.metrics().answers("web", "1.1.0", Quality::good().failing(300));
        world.deploy("1.1.0", risky().0).await.unwrap_err();
        assert_eq!(world.router("web").observed_weights(), weights! { "1.0.0" => 100 });
        let history = world.router("web").history();
        assert!(history.iter().all(|snapshot| !snapshot.change.contains("1.1.0 25 %")), "{history:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_dies_in_the_middle_is_resumed_by_the_next_one() {
        let world = World::new().with_service("web", 4).serving("1.0.0");
        world.faults().inject(At::call("router.route").about("web"), Fault::Crash(Moment::Inside));
        world.deploy("1.1.0", careful()).await.unwrap_err();
        world.resume().await.unwrap();
        assert_eq!(world.router("web").observed_weights(), weights! { "1.1.0" => 100 });
        assert!(world.faults().unfired().is_empty() && world.ledger().refusals().is_empty());
    }
}

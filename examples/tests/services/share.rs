use flow_proving::load::Client;
use flow_proving::load::Load;
use std::time::Duration;

use crate::stage::{Behind, Stage, trials};

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_gets_its_share_to_the_slot() {
    let stage = Stage::set(Behind::Slots).await;
    stage.deploy(&stage.good("old")).await.is("deployed", 0);
    stage.deploy(&stage.good("new")).await.is("deployed", 0);
    let requests = trials(2_000, 20_000) as u64;
    for percent in [1, 5, 25, 50] {
        let told = stage.tell(&["shift", "--percent", &percent.to_string()]).await;
        told.is("deployed", 0);
        let load = Load::of(stage.front.clone(), Client::Careful)
            .at_rate(1_500)
            .at_most(requests, Duration::from_secs(120));
        let log = load.start().unwrap().finish().await.unwrap();
        assert_eq!(log.failures().count(), 0, "{}", log.summary());
        let share = 100.0 * log.answered_by("new") as f64 / log.requests() as f64;
        println!(
            "{percent} %: {share:.3} % of {}, switched in {} ms",
            log.requests(),
            told.line["ms"]["switch"]
        );
        // Two workers of nginx count their rounds apart, so each may stand anywhere in its last round.
        let rounding = 100.0 * 2.0 / requests as f64 * f64::from(percent).min(50.0);
        assert!((share - f64::from(percent)).abs() <= 0.1 + rounding, "{percent} %: {share} %");
    }
    stage.tell(&["shift", "--percent", "0"]).await.is("deployed", 0);
    stage.tell(&["rollback"]).await.is("rolled_back", 3);
}

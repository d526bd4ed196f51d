use flow_proving::load::Client;

use crate::stage::{Behind, Stage, trials};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_deployment_is_resumed_and_no_request_is_lost() {
    let stage = Stage::set(Behind::Link).await;
    stage.deploy(&stage.good("0")).await.is("deployed", 0);
    let before = stage.records().await;
    stage.deploy(&stage.good("1")).await.is("deployed", 0);
    let length = stage.records().await - before;
    assert!(length > 20, "a run has more than {length} records");
    let users = stage.users(Client::Careful, 100);
    let points = trials(10, usize::try_from(length).unwrap());
    let mut killed = 0;
    for point in 1..=points {
        let at = i64::try_from(point).unwrap() * length / i64::try_from(points).unwrap();
        let version = format!("killed-{point}");
        let release = stage.good(&version);
        let begun = stage.records().await;
        let mut child = stage.start_to_deploy(&release);
        stage.until_records(begun + at).await;
        let died = child.try_wait().unwrap().is_none();
        killed += usize::from(died);
        child.kill().unwrap();
        child.wait().unwrap();
        let told = stage.tell(&["resume"]).await;
        println!("killed at record {at} of {length}: {}", told.line);
        told.is("deployed", 0);
        // Before its order was kept nothing was begun.
        if told.line["release"] != version.as_str() {
            stage.deploy(&release).await.is("deployed", 0);
        }
        users.until(|log| log.answered_by(&version) > 0).await.unwrap();
        stage.running(2).await;
    }
    assert!(killed * 2 > points, "only {killed} of {points} were killed in the middle");
    let log = users.stop().await.unwrap();
    assert_eq!(log.failures().count(), 0, "{}", log.summary());
}

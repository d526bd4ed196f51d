//! Servers that are killed while the example works with them.

use flow_proving::load::Client;

use crate::stage::{Behind, Stage, trials};

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_of_pm2_that_is_killed_in_the_middle_costs_no_request_and_doubles_nothing() {
    let stage = Stage::set(Behind::Link).await;
    stage.deploy(&stage.good("0")).await.is("deployed", 0);
    let users = stage.users(Client::Careful, 100);
    let points = trials(3, 20);
    for point in 1..=points {
        let version = format!("killed-{point}");
        let begun = stage.records().await;
        let child = stage.start_to_deploy(&stage.good(&version));
        stage.until_records(begun + i64::try_from(40 * point / points).unwrap()).await;
        stage.pm2().kill_daemon().await.unwrap();
        let told = stage.ended(child).await;
        println!("PM2's daemon killed: {}", told.line);
        // Whether it got by without the daemon or not: what it says is what users meet.
        if told.code == Some(0) {
            users.until(|log| log.answered_by(&version) > 0).await.unwrap();
        } else {
            assert!(matches!(told.code, Some(2..=4)), "{told:?}");
            if told.code == Some(4) {
                stage.tell(&["resume"]).await;
            }
        }
        let next = format!("next-{point}");
        let told = stage.deploy(&stage.good(&next)).await;
        told.is("deployed", 0);
        users.until(|log| log.answered_by(&next) > 0).await.unwrap();
        let expected = told.pids("old_pids").union(&told.pids("new_pids")).copied().collect();
        assert_eq!(stage.running(2).await, expected, "{told:?}");
    }
    let log = users.stop().await.unwrap();
    assert_eq!(log.failures().count(), 0, "{}", log.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_nginx_whose_master_was_killed_are_switched_by_link_and_never_reloaded() {
    for behind in [Behind::Link, Behind::File] {
        let stage = Stage::set(behind).await;
        stage.deploy(&stage.good("old")).await.is("deployed", 0);
        let old = stage.running(1).await;
        let workers = stage.nginx().workers();
        stage.nginx().kill_master();
        let users = stage.users(Client::New, 100);
        let told = stage.deploy(&stage.good("new")).await;
        println!("{behind:?}: {}", told.line);
        if behind == Behind::Link {
            told.is("deployed", 0);
            users.until(|log| log.answered_by("new") > 0).await.unwrap();
        } else {
            told.is("refused", 2);
            let reason = told.line["reason"].as_str().unwrap();
            assert!(reason.contains("workers"), "{reason}");
            assert_eq!(stage.running(1).await, old);
            users.until(|log| log.answered_by("old") > 20).await.unwrap();
        }
        let log = users.stop().await.unwrap();
        assert_eq!(log.failures().count(), 0, "{}", log.summary());
        assert!(workers.iter().all(|worker| worker.runs()), "no worker was ended");
        assert_eq!(stage.masters(), 0, "no second master was started");
    }
}

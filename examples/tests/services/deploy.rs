use flow_examples::private::{Balancer, Machine};
use flow_proving::app::Behaviour;
use flow_proving::load::Client;
use serde_json::json;

use crate::stage::{Behind, Stage, trials};

#[tokio::test(flavor = "multi_thread")]
async fn deployments_under_load_lose_no_request_and_leave_no_process_behind() {
    let stage = Stage::set(Behind::Link).await;
    stage.deploy(&stage.good("0")).await.is("deployed", 0);
    let clients = [Client::Careful, Client::Naive, Client::New];
    let users = clients.map(|client| stage.users(client, if flow_proving::is_long() { 200 } else { 100 }));
    let mut switches = Vec::new();
    for number in 1..=trials(5, 100) {
        let version = number.to_string();
        let told = stage.deploy(&stage.good(&version)).await;
        told.is("deployed", 0);
        // The colour before is kept warm, and the one before that is gone.
        let expected = told.pids("old_pids").union(&told.pids("new_pids")).copied().collect();
        assert_eq!(stage.running(2).await, expected, "{told:?}");
        switches.push(told.line["ms"]["switch"].as_f64().unwrap());
        for users in &users {
            users.until(|log| log.answered_by(&version) > 0).await.unwrap();
        }
    }
    for users in users {
        let log = users.stop().await.unwrap();
        assert_eq!(log.failures().count(), 0, "{}", log.summary());
        println!("{}", log.summary());
    }
    switches.sort_by(f64::total_cmp);
    println!(
        "switch: median {} ms, slowest {} ms",
        switches[switches.len() / 2],
        switches[switches.len() - 1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_take_long_end_where_they_began() {
    let stage = Stage::set(Behind::Link).await;
    let slow = |version: &str| stage.release(&Behaviour { request_ms: 300, ..Behaviour::of(version) });
    stage.deploy(&slow("0")).await.is("deployed", 0);
    let users = [Client::Careful, Client::New].map(|client| stage.users(client, 20));
    for number in 1..=trials(2, 100) {
        let version = number.to_string();
        stage.deploy(&slow(&version)).await.is("deployed", 0);
        for users in &users {
            users.until(|log| log.answered_by(&version) > 0).await.unwrap();
        }
    }
    for users in users {
        let log = users.stop().await.unwrap();
        assert_eq!(log.failures().count(), 0, "{}", log.summary());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_and_changes_nothing() {
    let stage = Stage::set(Behind::Link).await.with("instances", 0).with("probe_path", "health");
    let release = stage.good("1");
    let child = stage.start(&["deploy", "--release", release.to_str().unwrap()]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("app.instances") && said.contains("app.probe_path"), "{said}");
    assert!(!stage.journal().exists());
    stage.running(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_goes_behind_haproxy_and_by_a_reload_of_nginx() {
    for (behind, client) in [(Behind::Haproxy, Client::Careful), (Behind::File, Client::New)] {
        let stage = Stage::set(behind).await;
        stage.deploy(&stage.good("old")).await.is("deployed", 0);
        let users = stage.users(client, 100);
        for number in 1..=trials(2, 10) {
            let version = number.to_string();
            stage.deploy(&stage.good(&version)).await.is("deployed", 0);
            users.until(|log| log.answered_by(&version) > 0).await.unwrap();
        }
        stage.tell(&["rollback"]).await.is("rolled_back", 3);
        let crashing = Behaviour { crash_at_boot: true, ..Behaviour::of("crashing") };
        stage.deploy(&stage.release(&crashing)).await.is("refused", 2);
        let log = users.stop().await.unwrap();
        assert_eq!(log.failures().count(), 0, "{behind:?}: {}", log.summary());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_is_reached_over_ssh_behind_haproxy() {
    let (balancer, there) = (Balancer::start().await.unwrap(), Machine::start().await.unwrap());
    let edges = there.edges.iter().map(
        |(links, address)| json!({ "name": links.service, "links": links.directory, "address": address }),
    );
    let host = json!({
        "ssh": "127.0.0.1", "port": there.sshd.port(), "user": there.sshd.user(), "key": there.sshd.key(),
        "known_hosts": there.sshd.known_hosts(), "sockets": there.root().join("run"), "edges": edges.collect::<Vec<_>>(),
    });
    let stage = Stage::of(balancer, there, &host);
    stage.deploy(&stage.good("old")).await.is("deployed", 0);
    let users = stage.users(Client::Careful, 100);
    stage.deploy(&stage.good("new")).await.is("deployed", 0);
    users.until(|log| log.answered_by("new") > 0).await.unwrap();
    stage.running(2).await;
    stage.tell(&["rollback"]).await.is("rolled_back", 3);
    let log = users.stop().await.unwrap();
    assert_eq!(log.failures().count(), 0, "{}", log.summary());
}

//! Each server comes up, does its work, and leaves nothing behind.

use std::collections::BTreeSet;
use std::process::Stdio;

use flow_proving::app::{App, Behaviour};
use flow_proving::load::{Client, Load};
use flow_proving::server::{
    Caddy, Haproxy, Mariadb, Nginx, PgBouncer, Pm2, Pm2Version, PoolMode, Postgres, PostgresVersion, Sshd,
};
use flow_proving::table::{self, Process};
use flow_proving::{Address, Directory, Outside, Port, Request, exchange, is_long, until};
use serde_json::json;

async fn app(directory: &Directory) -> Outside<App> {
    let address = Address::Unix(directory.path().join("app.sock"));
    App::start(directory, &address, &Behaviour::of("1.0.0")).await
}

fn conf(directory: &Directory) -> String {
    let own = directory.path().display();
    format!(
        "server {{ listen unix:{own}/front.sock; location / {{ proxy_pass http://unix:{own}/app.sock; }} }}"
    )
}

async fn version_at(address: &Address) -> Outside<Option<String>> {
    Ok(exchange(address, &Request::get("/")).await?.header("x-version").map(str::to_owned))
}

fn none_runs(processes: &BTreeSet<Process>) -> bool {
    !processes.is_empty() && processes.iter().all(|process| !process.runs())
}

#[tokio::test]
async fn nginx_passes_requests_on_through_workers_that_are_nobody() -> Outside<()> {
    let directory = Directory::new()?;
    let _app = app(&directory).await?;
    let front = Address::Unix(directory.path().join("front.sock"));
    let nginx = Nginx::start(&directory, &conf(&directory), &front).await?;
    assert_eq!(version_at(&front).await?.as_deref(), Some("1.0.0"));
    let before = nginx.workers();
    assert_eq!(before.len(), 2);
    nginx.hang_up();
    until("new workers took over", || async { Ok(none_runs(&before).then_some(())) }).await?;
    assert_eq!(version_at(&front).await?.as_deref(), Some("1.0.0"));
    let mut all = nginx.workers();
    all.insert(nginx.master());
    nginx.end()?;
    assert!(none_runs(&all), "{all:?}");
    Ok(())
}

#[tokio::test]
async fn the_workers_of_a_killed_nginx_master_are_ended_too() -> Outside<()> {
    let directory = Directory::new()?;
    let front = Address::Unix(directory.path().join("front.sock"));
    let nginx = Nginx::start(&directory, &conf(&directory), &front).await?;
    let workers = nginx.workers();
    nginx.kill_master();
    assert!(!nginx.master().runs() && workers.iter().all(|worker| worker.runs()));
    assert_eq!(exchange(&front, &Request::get("/")).await?.status, 502);
    drop(nginx);
    assert!(none_runs(&workers), "{workers:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() -> Outside<()> {
    let directory = Directory::new()?;
    let front = Address::Unix(directory.path().join("front.sock"));
    let error = Nginx::start(&directory, "no_such_directive;", &front).await.unwrap_err();
    assert!(error.to_string().contains("unknown directive \"no_such_directive\""), "{error}");
    let error = Haproxy::start(&directory, "nonsense", &front).await.unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    Ok(())
}

#[tokio::test]
async fn haproxy_passes_requests_on_and_answers_its_runtime_socket() -> Outside<()> {
    let (directory, port) = (Directory::new()?, Port::free()?);
    let _app = app(&directory).await?;
    let own = directory.path().display();
    let sections = format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n\
         listen web\n    bind {}\n    server one unix@{own}/app.sock\n",
        port.address()
    );
    let haproxy = Haproxy::start(&directory, &sections, &port.address()).await?;
    assert_eq!(version_at(&port.address()).await?.as_deref(), Some("1.0.0"));
    assert!(haproxy.ask("show stat").await?.contains("web,one,"));
    let process = haproxy.process();
    haproxy.end()?;
    assert!(!process.runs());
    Ok(())
}

#[tokio::test]
async fn caddy_passes_requests_on_and_answers_its_admin_api() -> Outside<()> {
    // Caddy is a part of the long tier alone.
    if !is_long() {
        return Ok(());
    }
    let (directory, port) = (Directory::new()?, Port::free()?);
    let _app = app(&directory).await?;
    let dial = format!("unix/{}", directory.path().join("app.sock").display());
    let route = json!({ "handle": [{ "handler": "reverse_proxy", "upstreams": [{ "dial": dial }] }] });
    let server = json!({ "listen": [port.address().to_string()], "routes": [route] });
    let apps = json!({ "http": { "servers": { "web": server } } });
    let caddy = Caddy::start(&directory, &apps, &port.address()).await?;
    assert_eq!(version_at(&port.address()).await?.as_deref(), Some("1.0.0"));
    let read = caddy
        .admin(&Request::get("/config/apps/http/servers/web/routes/0/handle/0/upstreams/0/dial"))
        .await?;
    assert_eq!(read.text().trim(), format!("\"{dial}\""));
    let process = caddy.process();
    caddy.end()?;
    assert!(!process.runs());
    Ok(())
}

#[tokio::test]
async fn sshd_lets_its_user_in_and_ends_with_its_connections() -> Outside<()> {
    let directory = Directory::new()?;
    let sshd = Sshd::start(&directory).await?;
    let output = sshd.ssh()?.args(["echo", "in"]).output()?;
    assert_eq!(String::from_utf8(output.stdout)?, "in\n", "{}", sshd.log()?);
    let mut session = sshd.ssh()?.args(["sleep", "600"]).stderr(Stdio::null()).spawn()?;
    let sleeps = |process: &Process| process.command().contains(&"600".to_owned());
    let listener = sshd.process().pid;
    let asleep = || async { Ok(table::descendants(listener).iter().any(sleeps).then_some(())) };
    until("the command runs", asleep).await?;
    let mut all = table::descendants(listener);
    all.insert(sshd.process());
    sshd.end()?;
    assert!(none_runs(&all), "{all:?}");
    assert!(!session.wait()?.success());
    Ok(())
}

#[tokio::test]
async fn sshd_refuses_another_key() -> Outside<()> {
    let (directory, other) = (Directory::new()?, Directory::new()?);
    let (sshd, stranger) = (Sshd::start(&directory).await?, Sshd::start(&other).await?);
    std::fs::copy(stranger.key(), sshd.key())?;
    let output = sshd.ssh()?.args(["echo", "in"]).output()?;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
    Ok(())
}

#[test]
fn a_free_port_is_given_once_and_lies_below_the_ephemeral_ones() -> Outside<()> {
    let ports = (0..50).map(|_| Port::free()).collect::<Outside<Vec<_>>>()?;
    let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(numbers.len(), 50);
    assert!(numbers.iter().all(|number| *number < 32_768));
    Ok(())
}

/// Fixtures await all of it behind `async_trait`, where a future that is not `Send` does not compile.
#[test]
fn what_starts_and_waits_can_be_awaited_on_any_thread() {
    fn is_send<T: Send>(_: impl FnOnce() -> T) {}
    let (directory, address) = (Directory::new().unwrap(), Address::Unix("/nowhere".into()));
    let (behaviour, request) = (Behaviour::of("1"), Request::get("/"));
    is_send(|| App::start(&directory, &address, &behaviour));
    is_send(|| Nginx::start(&directory, "", &address));
    is_send(|| Haproxy::start(&directory, "", &address));
    is_send(|| Caddy::start(&directory, &serde_json::Value::Null, &address));
    is_send(|| Sshd::start(&directory));
    is_send(|| Pm2::start(&directory, Pm2Version::Seven));
    is_send(|| Mariadb::start(&directory, &[]));
    is_send(|| async {
        let mut server = Postgres::start(&directory, PostgresVersion::Fifteen, &[]).await?;
        server.start_again().await?;
        PgBouncer::start(&directory, &server, PoolMode::Session).await
    });
    is_send(|| exchange(&address, &request));
    let load = Load::of(address.clone(), Client::New);
    is_send(|| async { load.start()?.until(|log| log.requests() > 1).await });
}

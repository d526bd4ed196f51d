//! Files and reloads: what nginx refuses is seen, and what was in force stays so.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flow_core::port::Router;
use flow_core::{ErrorKind, StepError};
use flow_nginx::{FileConfig, FileRouter};
use flow_proving::load::{Client, Load, UnderWay};
use flow_proving::{Outside, is_long, until};

use crate::world::{Files, NEW, OLD, WEB, all_to, clock, nth, routing};

/// What the router may leave in its directory.
const LEFT: [&str; 3] = [".lock", "applied.conf", "intended.conf"];

async fn serving_old() -> Outside<(Files, String, String)> {
    let world = Files::start().await?;
    let (old, new) = (world.tcp_backend(&OLD).await?, world.tcp_backend(&NEW).await?);
    world.route(1, &all_to(&OLD, &old)).await?;
    Ok((world, old, new))
}

fn names(directory: &Path) -> Outside<BTreeSet<String>> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Routes to the new version, which must be refused: the old one serves on, and the file is what it was, byte for byte.
async fn refused(world: &Files, new: &str, kind: ErrorKind, says: &str) -> Outside<StepError> {
    let before = (world.file(), world.router.routing(&WEB).await.ok());
    let error = world.route(2, &all_to(&NEW, new)).await.unwrap_err();
    let text = format!("{error}");
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(says), "`{says}` is not in: {text}");
    assert_eq!((world.file(), world.router.routing(&WEB).await.ok()), before, "{text}");
    assert!(names(&world.config.state_dir)?.iter().all(|name| LEFT.contains(&name.as_str())), "{text}");
    let answer = world.ground.ask("/").await?;
    assert_eq!(answer.map(|(version, _)| version), Some(OLD), "{text}");
    Ok(error)
}

fn change_conf(world: &Files, change: impl FnOnce(String) -> String) -> Outside<String> {
    let before = fs::read_to_string(&world.config.conf)?;
    fs::write(&world.config.conf, change(before.clone()))?;
    Ok(before)
}

#[tokio::test]
async fn a_configuration_that_nginx_rejects_is_refused_before_anything_is_written() -> Outside<()> {
    let (world, _, new) = serving_old().await?;
    let certificate =
        "server { listen 127.0.0.1:1 ssl; ssl_certificate none.pem; ssl_certificate_key none.pem; }\n}";
    let last = |text: &str, with: &str| format!("{}{with}", text.trim_end().strip_suffix('}').unwrap());
    for (with, says) in [
        ("nonsense;\n}", "unknown directive"),
        ("server { location / { proxy_pass http://no.such.host.invalid; } }\n}", "no.such.host.invalid"),
        (certificate, "none.pem"),
        ("server {", "unexpected end of file"),
    ] {
        let before = change_conf(&world, |text| last(&text, with))?;
        let file = fs::metadata(&world.config.file)?.ino();
        refused(&world, &new, ErrorKind::Failed, says).await?;
        assert_eq!(fs::metadata(&world.config.file)?.ino(), file, "it was written: {says}");
        fs::write(&world.config.conf, before)?;
    }
    world.route(3, &all_to(&NEW, &new)).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_seen_though_the_test_of_nginx_accepts_it() -> Outside<()> {
    let (world, _, new) = serving_old().await?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let before = change_conf(&world, |text| {
        let server = format!("server {{ listen {}; }}\n}}", taken.local_addr().unwrap());
        format!("{}{server}", text.trim_end().strip_suffix('}').unwrap())
    })?;
    refused(&world, &new, ErrorKind::Failed, "bind() to").await?;
    fs::write(&world.config.conf, before)?;
    world.route(3, &all_to(&NEW, &new)).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    Ok(())
}

#[tokio::test]
async fn a_file_of_ours_that_somebody_edited_is_refused() -> Outside<()> {
    let (world, _, new) = serving_old().await?;
    let whole = world.file();
    let edited = String::from_utf8(whole.clone())?.replace("max_fails=0", "max_fails=3").into_bytes();
    for content in [edited, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(&world.config.file, content)?;
        refused(&world, &new, ErrorKind::Conflict, "changed by somebody else").await?;
    }
    fs::remove_file(&world.config.file)?;
    refused(&world, &new, ErrorKind::NotFound, "prepare it").await?;
    fs::write(&world.config.file, whole)?;
    world.route(3, &all_to(&NEW, &new)).await?;
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_included_any_more_is_refused() -> Outside<()> {
    let (world, _, new) = serving_old().await?;
    change_conf(&world, |text| text.replace("include ", "# include "))?;
    refused(&world, &new, ErrorKind::Conflict, "does not include our file").await?;
    Ok(())
}

/// A process that SIGHUP ends.
struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_pid_file_is_neither_believed_nor_written() -> Outside<()> {
    let (world, old, new) = serving_old().await?;
    let mut other = Bystander(Command::new("sleep").arg("600").spawn()?);
    let pid_file = world.ground.at("nginx.pid");
    for (number, content) in (2..).zip([Some(other.0.id().to_string()), Some(String::new()), None]) {
        match &content {
            Some(content) => fs::write(&pid_file, content)?,
            None => fs::remove_file(&pid_file)?,
        }
        world.route(2 * number, &all_to(&NEW, &new)).await?;
        assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW), "{content:?}");
        assert_eq!(fs::read_to_string(&pid_file).ok(), content);
        world.route(2 * number + 1, &all_to(&OLD, &old)).await?;
    }
    assert_eq!(other.0.try_wait()?, None, "another process was signalled");
    Ok(())
}

#[tokio::test]
async fn a_dead_master_is_told_from_a_stopped_nginx() -> Outside<()> {
    let (world, old, new) = serving_old().await?;
    let workers: Vec<u32> = world.nginx.workers().iter().map(|worker| worker.pid).collect();
    world.nginx.kill_master();
    let error = refused(&world, &new, ErrorKind::Conflict, "its workers serve on").await?;
    assert!(workers.iter().all(|pid| error.to_string().contains(&pid.to_string())), "{error} {workers:?}");
    assert_eq!(world.router.routing(&WEB).await?, all_to(&OLD, &old), "what serves is still seen");

    let Files { nginx, router, .. } = world;
    nginx.end()?;
    for error in [
        router.routing(&WEB).await.unwrap_err(),
        router.route(&nth(3), &WEB, &all_to(&NEW, &new)).await.unwrap_err(),
        router.in_flight(&WEB).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("does not run"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_dead_controller_left_is_finished() -> Outside<()> {
    let (world, old, new) = serving_old().await?;
    let (to_old, to_new) = (world.file(), all_to(&NEW, &new));
    world.route(2, &to_new).await?;
    let to_new_file = world.file();
    world.route(3, &all_to(&OLD, &old)).await?;
    assert_ne!(world.file(), to_old, "it remembers where requests may be under way");
    // It died after it had written the file and before it told nginx.
    fs::write(world.config.state_dir.join("intended.conf"), &to_new_file)?;
    fs::write(&world.config.file, &to_new_file)?;
    fs::create_dir_all(world.config.state_dir.join("staged/tree"))?;
    let next = FileRouter::new(world.config.clone(), clock())?;
    assert_eq!(next.routing(&WEB).await?, all_to(&OLD, &old), "what is in force, not what was written");
    next.route(&nth(4), &WEB, &to_new).await?;
    assert_eq!((next.routing(&WEB).await?, names(&world.config.state_dir)?.len()), (to_new, 3));
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    Ok(())
}

#[tokio::test]
async fn when_a_route_returns_no_old_worker_takes_connections() -> Outside<()> {
    let (world, old, new) = serving_old().await?;
    for number in 0..4 {
        let before = world.nginx.workers();
        let to = if number % 2 == 0 { all_to(&NEW, &new) } else { all_to(&OLD, &old) };
        world.route(2 + number, &to).await?;
        for worker in before {
            let title = fs::read(format!("/proc/{}/cmdline", worker.pid)).unwrap_or_default();
            let title = String::from_utf8_lossy(&title).trim_end_matches('\0').to_owned();
            assert!(title.is_empty() || title.ends_with("shutting down"), "{worker:?}: {title}");
        }
    }
    Ok(())
}

/// What Debian's configuration looks like: absolute includes, links, modules and files from outside.
#[tokio::test]
async fn a_copy_is_tested_as_the_whole_that_it_is() -> Outside<()> {
    let (world, _, new) = serving_old().await?;
    let at = |name: &str| world.ground.at(name);
    fs::create_dir(at("available"))?;
    fs::create_dir(at("enabled"))?;
    let own = world.config.file.display();
    fs::write(at("available/site"), format!("include '{own}';\n"))?;
    std::os::unix::fs::symlink(at("available/site"), at("enabled/site"))?;
    fs::write(at("key"), "secret")?;
    let (enabled, key) = (at("enabled").display().to_string(), "auth_basic a; auth_basic_user_file key;");
    change_conf(&world, |text| {
        text.replace(&format!("include {own};"), &format!("include {enabled}/*; server {{ {key} }}"))
    })?;
    world.route(2, &all_to(&NEW, &new)).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    let bad = change_conf(&world, |text| text.replace("auth_basic a;", "auth_basic;"))?;
    let error = world.route(3, &all_to(&OLD, &new)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("{}:", world.config.conf.display())), "{error}");
    fs::write(&world.config.conf, bad)?;
    Ok(())
}

#[tokio::test]
async fn bad_applies_under_load_fail_no_request_and_leave_the_file_as_it_was() -> Outside<()> {
    let (world, old, new) = serving_old().await?;
    let load = Load::of(world.ground.listen.address(), Client::New).at_rate(150).start()?;
    let mut ends = Vec::new();
    for number in 0..if is_long() { 20 } else { 4 } {
        if number % 4 == 0 {
            let to = if number % 8 == 0 { all_to(&NEW, &new) } else { all_to(&OLD, &old) };
            world.route(2 + number, &to).await?;
            ends.push("good");
            continue;
        }
        let before = (world.file(), world.router.routing(&WEB).await?);
        let bad = match number % 4 {
            1 => "nonsense;\n}",
            2 => "server {",
            _ => "server { location / { proxy_pass http://no.such.host.invalid; } }\n}",
        };
        let conf =
            change_conf(&world, |text| format!("{}{bad}", text.trim_end().strip_suffix('}').unwrap()))?;
        let put = routing(&[(OLD, 50, std::slice::from_ref(&old)), (NEW, 50, std::slice::from_ref(&new))]);
        let error = world.route(2 + number, &put).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert_eq!((world.file(), world.router.routing(&WEB).await?), before);
        fs::write(&world.config.conf, conf)?;
        ends.push("refused");
    }
    for _ in 0..if is_long() { 20 } else { 1 } {
        further(&load, if is_long() { 1_000 } else { 100 }).await?;
    }
    let summary = load.stop().await?.summary();
    println!("{ends:?}: {summary}");
    assert_eq!(summary.failures(), 0, "{summary}");
    Ok(())
}

/// Clients that keep connections may see one closed under them by any reload: ours must not be worse than nginx's own. Each figure is a line
/// of JSON, for `cargo xtask bench`.
#[tokio::test]
async fn a_reload_costs_clients_that_keep_connections_no_more_than_nginxs_own() -> Outside<()> {
    let (world, old, new) = serving_old().await?;
    let reloads: u32 = if is_long() { 50 } else { 3 };
    for client in [Client::Careful, Client::Naive, Client::New] {
        let load = Load::of(world.ground.listen.address(), client).at_rate(150).start()?;
        for _ in 0..reloads {
            // Every user has a connection again that a reload can close.
            further(&load, 64).await?;
            let before = world.nginx.workers();
            world.nginx.hang_up();
            until("the workers are others", async || {
                let now = world.nginx.workers();
                Ok((!now.is_empty() && now.is_disjoint(&before)).then_some(()))
            })
            .await?;
        }
        let plain = load.stop().await?.summary();
        let load = Load::of(world.ground.listen.address(), client).at_rate(150).start()?;
        let mut taken = Duration::ZERO;
        for number in 0..reloads {
            // Every user has a connection again that a reload can close.
            further(&load, 64).await?;
            let to = if number % 2 == 0 { all_to(&NEW, &new) } else { all_to(&OLD, &old) };
            let begun = Instant::now();
            world.route(10 + number, &to).await?;
            taken += begun.elapsed();
        }
        let each = taken / reloads;
        let own = load.stop().await?.summary();
        println!("{client:?}: plain {plain}; ours, {each:?} each: {own}");
        let (plain, own) = (plain.failures() as f64, own.failures() as f64);
        let a_reload = |failures: f64| failures / f64::from(reloads);
        println!(
            r#"{{"what":"failed requests a proved reload against those a plain one, {client:?} clients, {reloads} each","shown":"{:.2} against {:.2}","goal":"≤ 1.2 ×","met":{}}}"#,
            a_reload(own),
            a_reload(plain),
            own <= 1.2 * plain
        );
        // Three standard deviations of a count, beside the fifth that is allowed.
        assert!(own <= 1.2 * plain + 3.0 * (plain + 1.0).sqrt(), "{own} failed, {plain} with a plain reload");
    }
    Ok(())
}

/// Waits until so many more requests have ended.
async fn further(load: &UnderWay, requests: usize) -> Outside<()> {
    let begun = OnceLock::new();
    load.until(|log| log.requests() >= begun.get_or_init(|| log.requests()) + requests).await
}

#[test]
fn every_field_of_a_bad_configuration_is_named_at_once() {
    let bad = FileConfig {
        program: "nginx".into(),
        conf: "/etc/nginx/../x".into(),
        file: "/etc/a b".into(),
        access_log: "/var/log/x;".into(),
        reload_timeout: Duration::from_secs(2),
        ..FileConfig::debian(WEB, "-state", "192.0.2.1:0".parse().unwrap())
    };
    let problems = bad.location().unwrap_err();
    let fields: Vec<&str> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
    let expected =
        ["program", "conf", "file", "state_dir", "access_log", "marker", "marker", "reload_timeout"];
    assert_eq!(fields, expected);
}

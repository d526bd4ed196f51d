//! PM2's daemon is private, and leaves nothing behind, whatever it forgot.

use flow_proving::app::Behaviour;
use flow_proving::server::{Pm2, Pm2Version};
use flow_proving::table::Process;
use flow_proving::{Address, Directory, Outside, Request, exchange, until};

/// Starts the application under a daemon, as `-i 1` in cluster mode or plainly in fork mode, and gives its process.
async fn started(directory: &Directory, pm2: &Pm2, name: &str, mode: &[&str]) -> Outside<Process> {
    let script = Behaviour::of("1.0.0").write_to(&directory.path().join(name))?;
    let socket = directory.path().join(format!("{name}.sock"));
    let mut command = pm2.command()?;
    command.arg("start").arg(script).args(["--name", name]).args(mode).env("SOCKET_PATH", &socket);
    assert!(command.output()?.status.success());
    let answers = async || Ok(exchange(&Address::Unix(socket.clone()), &Request::get("/")).await.ok());
    let reply = until("the application answers", answers).await?;
    let pid = reply.header("x-pid").unwrap().parse()?;
    Ok(Process::of(pid).unwrap())
}

#[tokio::test]
async fn a_daemon_ends_with_its_applications() -> Outside<()> {
    for version in Pm2Version::of_this_tier() {
        let directory = Directory::new()?;
        let pm2 = Pm2::start(&directory, *version).await?;
        let daemon = pm2.daemon().unwrap();
        let fork = started(&directory, &pm2, "fork", &[]).await?;
        let cluster = started(&directory, &pm2, "cluster", &["-i", "1"]).await?;
        assert!(pm2.started().is_superset(&[fork, cluster].into()), "{:?}", pm2.started());
        pm2.end()?;
        assert!([daemon, fork, cluster].iter().all(|process| !process.runs()), "{version:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_orphan_of_a_killed_daemon_is_found_and_ended() -> Outside<()> {
    let directory = Directory::new()?;
    let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
    let orphan = started(&directory, &pm2, "fork", &[]).await?;
    pm2.kill_daemon().await?;
    assert!(orphan.runs() && pm2.daemon().is_none());
    assert!(pm2.started().contains(&orphan));
    drop(pm2);
    assert!(!orphan.runs());
    Ok(())
}

#[tokio::test]
async fn two_daemons_do_not_know_each_other() -> Outside<()> {
    let (one, other) = (Directory::new()?, Directory::new()?);
    let first = Pm2::start(&one, Pm2Version::Seven).await?;
    let second = Pm2::start(&other, Pm2Version::Seven).await?;
    let application = started(&one, &first, "fork", &[]).await?;
    drop(second);
    assert!(application.runs() && first.daemon().is_some());
    Ok(())
}

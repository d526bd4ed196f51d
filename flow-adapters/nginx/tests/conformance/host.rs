//! The links of another machine, reached through a host: here one whose root is a directory of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath, Router};
use flow_core::{ErrorKind, Permit, StepError};
use flow_nginx::{SocketConfig, SocketRouter};
use flow_proving::Outside;

use crate::world::{NEW, OLD, Sockets, WEB, all_to, clock, nth, routing};

/// Files below a root, and commands, as one at the end of a connection would have them.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn at(&self, path: &HostPath) -> PathBuf {
        self.root.join(path.as_str())
    }
}

fn done(result: std::io::Result<()>) -> Result<(), StepError> {
    result.map_err(|error| StepError::in_doubt("the host refused").because(error))
}

#[async_trait]
impl Host for Machine {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        let mut program = tokio::process::Command::new(&command.program);
        let output = program.args(&command.args).env_clear().env("PATH", "/usr/bin:/bin").output().await;
        let output = output.map_err(|error| StepError::in_doubt("not started").because(error))?;
        Ok(CommandOutput { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    async fn run(&self, _: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        self.query(command).await
    }

    async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        Ok(fs::read(self.at(path)).ok())
    }

    async fn write(&self, _: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
        let beside = self.at(path).with_extension("new");
        done(fs::create_dir_all(beside.parent().unwrap()))?;
        done(fs::write(&beside, content))?;
        done(fs::rename(&beside, self.at(path)))
    }

    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError> {
        let content = fs::read(from).map_err(|error| StepError::in_doubt("not read").because(error))?;
        self.write(permit, to, &content).await
    }

    async fn remove(&self, _: &Permit, path: &HostPath) -> Result<(), StepError> {
        done(fs::remove_file(self.at(path)))
    }

    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        let below = |target: PathBuf| {
            let target = fs::canonicalize(self.at(path)).unwrap_or(target);
            target.strip_prefix(&self.root).unwrap_or(&target).display().to_string()
        };
        Ok(fs::read_link(self.at(path)).ok().map(below))
    }

    async fn link(&self, _: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        let beside = self.at(path).with_extension("new");
        done(fs::create_dir_all(beside.parent().unwrap()))?;
        let _ = fs::remove_file(&beside);
        done(symlink(format!("{}{target}", "../".repeat(path.as_str().matches('/').count())), &beside))?;
        done(fs::rename(&beside, self.at(path)))
    }

    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        Ok(entries.map(|entry| entry.file_name().into_string().unwrap()).collect())
    }
}

async fn there() -> Outside<(Sockets, SocketRouter)> {
    let world = Sockets::start(|config| SocketConfig { places: 20, ..config }).await?;
    let root = world.ground.directory.path().to_owned();
    let host = Arc::new(Machine { root: root.clone() });
    let router = SocketRouter::on_host(world.config.clone(), host, root, clock())?;
    Ok((world, router))
}

#[tokio::test]
async fn links_of_another_machine_are_switched_and_counted_through_its_host() -> Outside<()> {
    let (world, router) = there().await?;
    let old = [world.ground.socket_backend(&OLD).await?];
    let new = [world.ground.socket_backend(&NEW).await?];
    router.route(&nth(1), &WEB, &all_to(&OLD, &old[0])).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(OLD));
    let canary = routing(&[(OLD, 95, &old), (NEW, 5, &new)]);
    router.route(&nth(2), &WEB, &canary).await?;
    assert_eq!(router.routing(&WEB).await?, canary);
    // Both ways see one and the same routing.
    assert_eq!(world.router.routing(&WEB).await?, canary);
    let mut by_new = 0;
    for _ in 0..100 {
        by_new += usize::from(world.ground.ask("/").await?.is_some_and(|(version, _)| version == NEW));
    }
    assert_eq!(by_new, 5);
    router.route(&nth(3), &WEB, &all_to(&NEW, &new[0])).await?;
    assert_eq!(world.ground.ask("/").await?.map(|(version, _)| version), Some(NEW));
    assert!(router.in_flight(&WEB).await?.is_empty());
    let tables = fs::read_dir(world.config.directory.join("tables"))?.count();
    assert_eq!(tables, 2, "the one in force and the one before");
    Ok(())
}

#[tokio::test]
async fn a_socket_that_is_not_below_the_hosts_root_is_refused() -> Outside<()> {
    let (world, router) = there().await?;
    let elsewhere = tempfile::tempdir()?;
    let address = flow_proving::Address::Unix(elsewhere.path().join("x.sock"));
    let address = world.ground.backend(&NEW, &address).await?;
    let error = router.route(&nth(1), &WEB, &all_to(&NEW, &address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(router.routing(&WEB).await?.0.is_empty());
    Ok(())
}

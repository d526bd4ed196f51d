//! Sets a world up before anything is deployed into it, and takes it down again.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flow_core::{Clock, Environment, Name};

use crate::controller::{Controller, Ended, Order};
use crate::release::Watch;
use crate::repository;
use crate::seed::{self, Orders, Seeded};
use crate::world::{Place, World};

/// Lays the repository, and starts what stands around the deployments of each environment.
pub(crate) async fn set_up(world: &World, environments: &[Environment]) -> Result<()> {
    std::fs::create_dir_all(&world.root).with_context(|| format!("`{}`", world.root.display()))?;
    repository::lay(&world.repository())?;
    for environment in environments {
        let place = world.place(*environment);
        place.reserve()?;
        start_infrastructure(&place)?;
        place.await_proxy().await?;
    }
    Ok(())
}

/// Deploys 1.0.0 for the first time, and gives its database its orders.
pub(crate) async fn first_release(controller: &Controller, order: &Order, orders: Orders) -> Result<Seeded> {
    let ended = controller.deploy(order).await?;
    ensure!(matches!(ended, Ended::Completed(_)), "the first release ended with code {}", ended.code());
    Ok(seed::fill(&controller.world.place(order.environment).database(), orders).await?)
}

/// Starts the environment's own process; it outlives this one.
fn start_infrastructure(place: &Place) -> Result<()> {
    let log = place.root.join("infrastructure.log");
    let child = Command::new(std::env::current_exe()?)
        .arg("infrastructure")
        .arg(&place.world.root)
        .arg(place.environment.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).with_context(|| format!("`{}`", log.display()))?)
        .process_group(0)
        .spawn()?;
    std::fs::write(place.root.join("infrastructure.pid"), child.id().to_string())?;
    Ok(())
}

/// Ends every process that runs for the world below `root`, by its own id, and waits until it is gone.
pub(crate) async fn take_down(root: &Path, clock: &dyn Clock) -> Result<()> {
    for round in 0..200 {
        let running = of_world(root)?;
        if running.is_empty() {
            return Ok(());
        }
        for pid in running.iter().filter(|_| round % 20 == 0) {
            if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                // Gone already is as good.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("processes below `{}` do not end", root.display())
}

/// The processes, this one aside, with an argument that lies below `root`: its services and its infrastructure.
fn of_world(root: &Path) -> Result<Vec<i32>> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) =
            name.to_str().filter(|pid| *pid != own && pid.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        // A process that ended meanwhile, or a zombie, has no arguments any more.
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let below = |argument: &[u8]| argument.starts_with(root.as_os_str().as_encoded_bytes());
        if arguments.split(|byte| *byte == 0).any(below) {
            found.extend(pid.parse::<i32>().ok());
        }
    }
    Ok(found)
}

/// The order that deploys `version` to staging, where nothing was proved before and nobody sends requests.
pub(crate) fn staging(version: &str) -> Result<Order> {
    let release = Name::new(version)?;
    Ok(Order { environment: Environment::Staging, release, artifacts: Vec::new(), watch: Watch::Nobody })
}

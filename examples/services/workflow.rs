//! The eight stages of one replacement. All but the first, the second, the fifth and the last have nothing to do here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use flow_core::port::{HealthCheck, HostPath, ProcessManager, Router};
use flow_core::strategy::BlueGreen;
use flow_core::{Service, Setting, Work, Workflow};
use flow_examples::shop;
use flow_host::{LinkRelease, PlaceRelease, ReleaseConfig};

use crate::order::Order;
use crate::release::TakeRelease;
use crate::share::Share;
use crate::timed::{Stopwatch, Timed};
use crate::world::World;

/// How long the old colour is kept: until the next deployment begins, which ends the wait.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// The ports of a run, timed.
struct Ports {
    processes: Arc<dyn ProcessManager>,
    router: Arc<dyn Router>,
}

fn ports(world: &World, watch: &Stopwatch) -> Ports {
    Ports {
        processes: Arc::new(Timed { port: world.processes.clone(), watch: watch.clone() }),
        router: Arc::new(Timed { port: world.router.clone(), watch: watch.clone() }),
    }
}

fn service(world: &World) -> Result<Service> {
    let app = &world.config.app;
    Ok(Service {
        size: app.instances,
        releases: Some(world.releases()),
        program: Some(HostPath::new(app.script.as_str())?),
        health: HealthCheck {
            path: app.probe_path.clone(),
            timeout: app.ready_within().min(Duration::from_secs(2)),
        },
        ready_within: app.ready_within(),
        drain_within: app.drain_within(),
        ..Service::new(app.name.clone())
    })
}

/// A second colour, proved, switched to, watched for a while; the first one kept warm.
pub(crate) fn deployment(world: &World, root: &Path, order: &Order, watch: &Stopwatch) -> Result<Workflow> {
    let app = &world.config.app;
    let Ports { processes, router } = ports(world, watch);
    // A release that dies is taken back: another start of it would only cost users more.
    let releases = ReleaseConfig::new(app.name.clone(), root.join("archives"));
    let strategy = BlueGreen { bake: app.bake(), relaunches: 0, ..BlueGreen::default() };
    Ok(Workflow {
        build: Work::step(TakeRelease {
            artifact: app.name.clone(),
            directory: order.directory.clone(),
            digest: order.digest,
        }),
        services: Work::step(PlaceRelease::new(world.hosts.clone(), releases.clone()))
            .then_work(Work::rollout(strategy, service(world)?).on(processes, router))
            .then(LinkRelease::new(world.hosts.clone(), releases)),
        ..shop::workflow(root)?
    })
}

/// Another share of the traffic for the latest release.
pub(crate) fn share(world: &World, root: &Path, percent: u8, watch: &Stopwatch) -> Result<Workflow> {
    let Ports { processes, router } = ports(world, watch);
    let rollout = Work::rollout(Share { percent }, service(world)?).on(processes, router);
    Ok(Workflow { services: shop::static_program(rollout)?, ..shop::workflow(root)? })
}

/// Who deploys what: the version of `order`.
pub(crate) fn setting(root: &Path, order: &Order) -> Result<Setting> {
    let mut setting = shop::setting(root, order.version.as_str())?;
    setting.keep_warm = KEPT;
    Ok(setting)
}

//! What every [`ProcessManager`] promises, as checks.
//!
//! [`process_conformance!`](crate::process_conformance) makes a test of each. Time here is real: conditions are waited for, and only
//! the grace of an instance that will not end is waited out.

pub mod launch;
pub mod look;
pub mod stop;

use crate::conformance::patience::Patience;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{Name, StepError, name};

use crate::conformance::{Checked, Outside};
use crate::permit;

const WEB: Name = name!("web");
const API: Name = name!("api");
/// Longer than any instance takes that ends when asked.
const GRACE: Duration = Duration::from_secs(600);

/// Makes one `#[tokio::test]` for every promise of [`ProcessManager`].
///
/// It takes an async function without arguments that gives a fresh [`ProcessFixture`]: no instance runs, and nothing that
/// another test does is seen. What the fixture holds lives as long as the test, so its `Drop` is the place to end what is left.
///
/// ```
/// use std::sync::Arc;
///
/// use flow_core::port::{Health, HealthCheck, Instance, InstanceId, LaunchSpec, ProcessManager};
/// use flow_core::{Digest, Name};
/// use flow_testkit::conformance::Outside;
/// use flow_testkit::conformance::process::{AfterKill, ProcessFixture, Program};
/// use flow_testkit::fake::FakeFleet;
///
/// struct Fixture(FakeFleet);
///
/// async fn fresh() -> Fixture {
///     let fleet = FakeFleet::new();
///     for service in ["web", "api"] {
///         let instances = fleet.instances_of(service);
///         instances.fail_health("sick");
///         instances.start_slowly("silent", std::time::Duration::MAX);
///         instances.die_at_launch("ends");
///         instances.lose_the_program("missing");
///         instances.ignore_the_request_to_end("stubborn");
///     }
///     Fixture(fleet)
/// }
///
/// #[async_trait::async_trait]
/// impl ProcessFixture for Fixture {
///     fn processes(&self) -> Arc<dyn ProcessManager> {
///         Arc::new(self.0.clone())
///     }
///
///     fn next_controller(&self) -> Arc<dyn ProcessManager> {
///         Arc::new(self.0.clone())
///     }
///
///     fn spec(&self, service: &Name, instance: &InstanceId, program: Program) -> Option<LaunchSpec> {
///         let version = match program {
///             Program::Serves => flow_core::name!("serves"),
///             Program::Sick => flow_core::name!("sick"),
///             Program::Silent => flow_core::name!("silent"),
///             Program::EndsAtOnce => flow_core::name!("ends"),
///             Program::Stubborn => flow_core::name!("stubborn"),
///             Program::Missing => flow_core::name!("missing"),
///             _ => return None,
///         };
///         Some(LaunchSpec {
///             service: service.clone(),
///             instance: instance.clone(),
///             version,
///             digest: Digest::of(b"one"),
///             program: "/bin/web".into(),
///             args: vec!["--listen={address}".to_owned()],
///             env: [("TOKEN".to_owned(), "secret".to_owned())].into(),
///             directory: "/".into(),
///             health: HealthCheck { path: "/health".to_owned(), timeout: std::time::Duration::from_secs(5) },
///         })
///     }
///
///     async fn running(&self, service: &Name) -> Outside<Vec<InstanceId>> {
///         let instances = self.0.instances_of(service.as_str());
///         let versions = self.0.running(service).into_iter().collect::<std::collections::BTreeSet<_>>();
///         let all = versions.iter().flat_map(|version| instances.running(version.as_str()));
///         Ok(all.map(|instance| instance.id).collect())
///     }
///
///     async fn answers(&self, instance: &Instance) -> Outside<bool> {
///         Ok(instance.version.as_str() != "silent")
///     }
///
///     async fn was_asked_to_end(&self, _: &Name, instance: &InstanceId) -> Outside<bool> {
///         Ok(self.0.changes().contains(&format!("stop {instance}")))
///     }
///
///     async fn kill(&self, service: &Name, instance: &InstanceId) -> Outside<AfterKill> {
///         self.0.instances_of(service.as_str()).kill(instance.as_str());
///         Ok(AfterKill::StaysDead)
///     }
/// }
///
/// flow_testkit::process_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! process_conformance {
    ($fresh:expr) => {
        $crate::process_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { process $with
            launch:
                a_launched_instance_runs_and_is_listed_as_what_it_is
                a_launch_repeated_under_its_permit_is_one_instance
                an_id_that_is_taken_is_refused_to_another_digest
                instances_launched_at_once_have_addresses_of_their_own
                a_bad_specification_is_refused_with_all_its_problems
                a_program_that_does_not_exist_is_not_found
                a_program_that_ends_at_once_is_no_instance
                an_instance_that_has_ended_can_be_launched_again;
            look:
                instances_are_listed_by_service_and_by_id
                what_an_instance_was_launched_with_is_kept_as_it_was
                what_does_not_run_was_not_launched
                only_a_good_answer_is_healthy
                what_does_not_run_is_gone
                looking_changes_nothing
                the_next_controller_finds_what_runs;
            stop:
                a_stopped_instance_is_gone
                stopping_what_is_not_there_is_done_and_touches_nothing_else
                an_instance_is_asked_before_it_is_killed
                an_instance_that_will_not_end_is_killed_after_its_grace
                a_stop_that_is_cancelled_says_so_and_can_be_made_again;
        }
    };
}

/// What an instance of a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// Listens at its address, answers its health check well, and ends when it is asked to, leaving a note that
    /// [it was asked](ProcessFixture::was_asked_to_end).
    Serves,
    /// Listens at its address and answers its health check with a status of 500 or above.
    Sick,
    /// Runs and never listens.
    Silent,
    /// Ends as soon as it is started, with a failure.
    EndsAtOnce,
    /// Listens, answers its health check well, and ignores being asked to end.
    Stubborn,
    /// Does not exist: the path of its program leads nowhere.
    Missing,
}

/// What the platform does when an instance ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterKill {
    /// Nothing: it stays ended until somebody launches it.
    StaysDead,
    /// It starts it again, under the same id.
    StartedAgain,
}

/// A process manager under test, and a way to look at its world from outside.
///
/// The checks use the services `web` and `api` and ids such as `web-1`.
#[async_trait]
pub trait ProcessFixture: Send + Sync {
    /// The manager under test: the same one on every call.
    fn processes(&self) -> Arc<dyn ProcessManager>;

    /// Another manager over the same platform, as the next controller would open it.
    fn next_controller(&self) -> Arc<dyn ProcessManager>;

    /// What launches `instance` of `service` as this program, with a `{address}` in its arguments where it listens and
    /// something in its environment; its health check waits for a few seconds at least. The checks change its id and digest.
    /// None only for [`Program::Missing`], on a platform where programs are no files.
    fn spec(&self, service: &Name, instance: &InstanceId, program: Program) -> Option<LaunchSpec>;

    /// The instances of `service` that run, one entry for each process, read from outside: from the process table, never
    /// through the manager.
    async fn running(&self, service: &Name) -> Outside<Vec<InstanceId>>;

    /// Whether somebody accepts connections at the address of `instance`, tried from outside.
    async fn answers(&self, instance: &Instance) -> Outside<bool>;

    /// Whether `instance` of `service`, which [serves](Program::Serves), was asked to end before it ended.
    async fn was_asked_to_end(&self, service: &Name, instance: &InstanceId) -> Outside<bool>;

    /// Kills `instance` of `service` from outside and returns when it has ended, with what the platform does then.
    async fn kill(&self, service: &Name, instance: &InstanceId) -> Outside<AfterKill>;
}

fn spec(
    fixture: &impl ProcessFixture,
    service: &Name,
    instance: &Name,
    program: Program,
) -> Outside<LaunchSpec> {
    let missing = || format!("the fixture has no specification for {program:?}");
    Ok(fixture.spec(service, instance, program).ok_or_else(missing)?)
}

/// Launches an instance of `web`.
async fn launch(fixture: &impl ProcessFixture, instance: &Name, program: Program) -> Outside<Instance> {
    let spec = spec(fixture, &WEB, instance, program)?;
    Ok(fixture.processes().launch(&permit(), &spec).await?)
}

async fn running(fixture: &impl ProcessFixture, service: &Name) -> Outside<Vec<InstanceId>> {
    let mut running = fixture.running(service).await?;
    running.sort();
    Ok(running)
}

async fn listed(fixture: &impl ProcessFixture, service: &Name) -> Result<Vec<InstanceId>, StepError> {
    let instances = fixture.processes().instances(service).await?;
    Ok(instances.into_iter().map(|instance| instance.id).collect())
}

async fn until_healthy(fixture: &impl ProcessFixture, instance: &Name) -> Checked {
    let (processes, patience) = (fixture.processes(), Patience::until("the instance is healthy"));
    while processes.health(&WEB, instance).await? != Health::Healthy {
        patience.wait().await?;
    }
    Ok(())
}

/// Holds where nothing of `service` runs and nothing is listed.
async fn nothing_of(fixture: &impl ProcessFixture, service: &Name) -> Checked {
    assert_eq!(running(fixture, service).await?, Vec::<Name>::new(), "running");
    assert_eq!(listed(fixture, service).await?, Vec::<Name>::new(), "listed");
    Ok(())
}

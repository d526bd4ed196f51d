//! The fake fleet as a process manager, and managers that break one promise each.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, HealthCheck, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{Digest, ErrorKind, Name, Permit, StepError, name};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::process::{AfterKill, ProcessFixture, Program};
use flow_testkit::fake::FakeFleet;

/// What a manager does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    ReturnsBeforeItRuns,
    StartsTwice,
    AdoptsAnyDigest,
    OneAddressForAll,
    OnlyTheFirstProblem,
    MissingIsUnknown,
    CallsTheDeadHealthy,
    NeverFreesAnId,
    ListsAsLaunched,
    LosesTheEnvironment,
    RemembersWhatWasStopped,
    AnyAnswerIsHealthy,
    GoneIsUnhealthy,
    LookingStartsOne,
    KnowsOnlyItsOwn,
    ReturnsBeforeItEnded,
    StopsInEveryService,
    KillsWithoutAsking,
    KillsBeforeTheGrace,
    CallsACancelledStopDone,
}

#[derive(Clone)]
struct Manager {
    fleet: FakeFleet,
    how: Break,
    /// Processes that run beside the fleet's, each under its id.
    strays: Arc<Mutex<Vec<InstanceId>>>,
    launched: Arc<Mutex<Vec<LaunchSpec>>>,
}

struct Fixture(Manager);

async fn with(how: Break) -> Fixture {
    let fleet = FakeFleet::new();
    for service in ["web", "api"] {
        let instances = fleet.instances_of(service);
        instances.fail_health("sick");
        instances.start_slowly("silent", Duration::MAX);
        instances.die_at_launch("ends");
        instances.lose_the_program("missing");
        instances.ignore_the_request_to_end("stubborn");
    }
    Fixture(Manager { fleet, how, strays: Arc::default(), launched: Arc::default() })
}

async fn fresh() -> Fixture {
    with(Break::Nothing).await
}

#[async_trait]
impl ProcessFixture for Fixture {
    fn processes(&self) -> Arc<dyn ProcessManager> {
        Arc::new(self.0.clone())
    }

    fn next_controller(&self) -> Arc<dyn ProcessManager> {
        let own = self.0.how == Break::KnowsOnlyItsOwn;
        if own { Arc::new(FakeFleet::new()) } else { self.processes() }
    }

    fn spec(&self, service: &Name, instance: &InstanceId, program: Program) -> Option<LaunchSpec> {
        let version = match program {
            Program::Serves => name!("serves"),
            Program::Sick => name!("sick"),
            Program::Silent => name!("silent"),
            Program::EndsAtOnce => name!("ends"),
            Program::Stubborn => name!("stubborn"),
            Program::Missing => name!("missing"),
            _ => return None,
        };
        Some(LaunchSpec {
            service: service.clone(),
            instance: instance.clone(),
            version,
            digest: Digest::of(b"one"),
            program: "/bin/web".into(),
            args: vec!["--listen={address}".to_owned()],
            env: [("TOKEN".to_owned(), "secret".to_owned())].into(),
            directory: "/".into(),
            health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(5) },
        })
    }

    async fn running(&self, service: &Name) -> Outside<Vec<InstanceId>> {
        let instances = self.0.fleet.instances_of(service.as_str());
        let versions: BTreeSet<Name> = self.0.fleet.running(service).into_iter().collect();
        let of_fleet = versions.iter().flat_map(|version| instances.running(version.as_str()));
        let mut running: Vec<InstanceId> = of_fleet.map(|instance| instance.id).collect();
        running.extend(self.0.strays.lock().unwrap().clone());
        Ok(running)
    }

    async fn answers(&self, instance: &Instance) -> Outside<bool> {
        Ok(instance.version.as_str() != "silent")
    }

    async fn was_asked_to_end(&self, _: &Name, instance: &InstanceId) -> Outside<bool> {
        Ok(self.0.fleet.changes().contains(&format!("stop {instance}")))
    }

    async fn kill(&self, service: &Name, instance: &InstanceId) -> Outside<AfterKill> {
        self.0.fleet.instances_of(service.as_str()).kill(instance.as_str());
        Ok(AfterKill::StaysDead)
    }
}

impl Manager {
    fn instance(spec: &LaunchSpec) -> Instance {
        let (id, version) = (spec.instance.clone(), spec.version.clone());
        Instance { id, version, digest: spec.digest, address: "127.0.0.1:20000".to_owned(), pid: None }
    }
}

#[async_trait]
impl ProcessManager for Manager {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let found = self.fleet.instances(&spec.service).await?;
        let found = found.into_iter().find(|instance| instance.id == spec.instance);
        self.launched.lock().unwrap().push(spec.clone());
        match (self.how, found) {
            (Break::ReturnsBeforeItRuns, _) => Ok(Self::instance(spec)),
            (Break::CallsTheDeadHealthy, _) if spec.version.as_str() == "ends" => Ok(Self::instance(spec)),
            (Break::StartsTwice, Some(instance)) => {
                self.strays.lock().unwrap().push(spec.instance.clone());
                Ok(instance)
            }
            (Break::AdoptsAnyDigest, Some(instance)) => Ok(instance),
            (Break::OneAddressForAll, _) => {
                let instance = self.fleet.launch(permit, spec).await?;
                Ok(Instance { address: "127.0.0.1:20000".to_owned(), ..instance })
            }
            (Break::NeverFreesAnId, None) if self.launched.lock().unwrap().len() > 1 => {
                Err(StepError::new(ErrorKind::Conflict, "the id was taken once"))
            }
            (Break::OnlyTheFirstProblem, _) => self.fleet.launch(permit, spec).await.map_err(|error| {
                let kind = error.kind();
                StepError::new(kind, "`program`: must be an absolute path")
            }),
            (Break::MissingIsUnknown, _) => {
                self.fleet.launch(permit, spec).await.map_err(|error| StepError::in_doubt("?").because(error))
            }
            _ => self.fleet.launch(permit, spec).await,
        }
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        let mut instances = self.fleet.instances(service).await?;
        if self.how == Break::ListsAsLaunched {
            instances.sort_by_key(|instance| instance.pid);
        }
        Ok(instances)
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        let kept = self.fleet.launched(service, instance).await;
        match self.how {
            Break::LosesTheEnvironment => kept.map(|spec| LaunchSpec { env: Default::default(), ..spec }),
            Break::RemembersWhatWasStopped => {
                let remembered = self.launched.lock().unwrap().clone();
                let remembered = remembered.into_iter().find(|spec| spec.instance == *instance);
                remembered.map_or(kept, Ok)
            }
            _ => kept,
        }
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        let health = self.fleet.health(service, instance).await?;
        if self.how == Break::LookingStartsOne {
            self.strays.lock().unwrap().push(instance.clone());
        }
        Ok(match (self.how, health) {
            (Break::CallsTheDeadHealthy, Health::Gone) => Health::Healthy,
            (Break::GoneIsUnhealthy, Health::Gone) => Health::Unhealthy { reason: "no answer".to_owned() },
            (Break::AnyAnswerIsHealthy, Health::Unhealthy { reason }) if reason == "status 500" => {
                Health::Healthy
            }
            (_, health) => health,
        })
    }

    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError> {
        let stop = |grace| self.fleet.stop(permit, service, instance, grace);
        match self.how {
            Break::ReturnsBeforeItEnded => Ok(()),
            Break::StopsInEveryService => {
                for service in [name!("web"), name!("api")] {
                    self.fleet.stop(permit, &service, instance, grace).await?;
                }
                Ok(())
            }
            Break::KillsWithoutAsking => {
                self.fleet.instances_of(service.as_str()).kill(instance.as_str());
                Ok(())
            }
            Break::KillsBeforeTheGrace => stop(Duration::ZERO).await,
            Break::CallsACancelledStopDone => match stop(grace).await {
                Err(error) if error.kind() == ErrorKind::Cancelled => Ok(()),
                ended => ended,
            },
            _ => stop(grace).await,
        }
    }
}

mod fake {
    use super::fresh;

    flow_testkit::process_conformance!(fresh);
}

mod broken {
    use super::{Break, with};

    flow_testkit::broken_implementations! { process_conformance, process:
        launch::a_launched_instance_runs_and_is_listed_as_what_it_is => || with(Break::ReturnsBeforeItRuns),
        launch::a_launch_repeated_under_its_permit_is_one_instance => || with(Break::StartsTwice),
        launch::an_id_that_is_taken_is_refused_to_another_digest => || with(Break::AdoptsAnyDigest),
        launch::instances_launched_at_once_have_addresses_of_their_own => || with(Break::OneAddressForAll),
        launch::a_bad_specification_is_refused_with_all_its_problems => || with(Break::OnlyTheFirstProblem),
        launch::a_program_that_does_not_exist_is_not_found => || with(Break::MissingIsUnknown),
        launch::a_program_that_ends_at_once_is_no_instance => || with(Break::CallsTheDeadHealthy),
        launch::an_instance_that_has_ended_can_be_launched_again => || with(Break::NeverFreesAnId),
        look::instances_are_listed_by_service_and_by_id => || with(Break::ListsAsLaunched),
        look::what_an_instance_was_launched_with_is_kept_as_it_was => || with(Break::LosesTheEnvironment),
        look::what_does_not_run_was_not_launched => || with(Break::RemembersWhatWasStopped),
        look::only_a_good_answer_is_healthy => || with(Break::AnyAnswerIsHealthy),
        look::what_does_not_run_is_gone => || with(Break::GoneIsUnhealthy),
        look::looking_changes_nothing => || with(Break::LookingStartsOne),
        look::the_next_controller_finds_what_runs => || with(Break::KnowsOnlyItsOwn),
        stop::a_stopped_instance_is_gone => || with(Break::ReturnsBeforeItEnded),
        stop::stopping_what_is_not_there_is_done_and_touches_nothing_else => || with(Break::StopsInEveryService),
        stop::an_instance_is_asked_before_it_is_killed => || with(Break::KillsWithoutAsking),
        stop::an_instance_that_will_not_end_is_killed_after_its_grace => || with(Break::KillsBeforeTheGrace),
        stop::a_stop_that_is_cancelled_says_so_and_can_be_made_again => || with(Break::CallsACancelledStopDone),
    }
}

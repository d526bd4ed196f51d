//! What can be seen of the instances of a service.

use crate::conformance::patience::Patience;
use crate::conformance::refusal::{refusal, whole};
use std::slice::from_ref;

use flow_core::port::Health;
use flow_core::{ErrorKind, Name, name};

use super::{
    API, AfterKill, GRACE, ProcessFixture, Program, WEB, launch, listed, running, spec, until_healthy,
};
use crate::conformance::Checked;
use crate::permit;

/// Each service has its own instances, ordered by id whatever the order of their launches.
pub async fn instances_are_listed_by_service_and_by_id(fixture: &impl ProcessFixture) -> Checked {
    for id in [name!("web-2"), name!("web-10"), name!("web-1")] {
        launch(fixture, &id, Program::Serves).await?;
    }
    let other = spec(fixture, &API, &name!("web-1"), Program::Serves)?;
    fixture.processes().launch(&permit(), &other).await?;
    assert_eq!(listed(fixture, &WEB).await?, [name!("web-1"), name!("web-10"), name!("web-2")]);
    assert_eq!(listed(fixture, &API).await?, [name!("web-1")]);
    assert_eq!(listed(fixture, &name!("nobody")).await?, Vec::<Name>::new());
    Ok(())
}

/// What an instance was launched with is given back exactly, environment and all.
pub async fn what_an_instance_was_launched_with_is_kept_as_it_was(fixture: &impl ProcessFixture) -> Checked {
    let spec = spec(fixture, &WEB, &name!("web-1"), Program::Serves)?;
    fixture.processes().launch(&permit(), &spec).await?;
    let kept = fixture.processes().launched(&WEB, &spec.instance).await?;
    assert!(kept.env == spec.env, "the environment is another one, of {:?}", kept.env.keys());
    assert_eq!(kept, spec);
    Ok(())
}

/// For an instance that was never launched, was stopped, or is another service's, what it was launched with is not found.
pub async fn what_does_not_run_was_not_launched(fixture: &impl ProcessFixture) -> Checked {
    let processes = fixture.processes();
    launch(fixture, &name!("web-1"), Program::Serves).await?;
    launch(fixture, &name!("web-2"), Program::Serves).await?;
    processes.stop(&permit(), &WEB, &name!("web-2"), GRACE).await?;
    for (service, id) in [(WEB, name!("web-2")), (WEB, name!("web-3")), (API, name!("web-1"))] {
        let error = refusal(processes.launched(&service, &id).await, "what does not run")?;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}", whole(&error));
    }
    Ok(())
}

/// Healthy is who answers well. Who answers badly, or runs and does not listen, is unhealthy, with a reason.
pub async fn only_a_good_answer_is_healthy(fixture: &impl ProcessFixture) -> Checked {
    let processes = fixture.processes();
    launch(fixture, &name!("web-1"), Program::Serves).await?;
    let sick = launch(fixture, &name!("web-2"), Program::Sick).await?;
    launch(fixture, &name!("web-3"), Program::Silent).await?;
    until_healthy(fixture, &name!("web-1")).await?;
    // Before it listens everybody is unhealthy, and its answer has not been looked at.
    let patience = Patience::until("the sick one answers");
    while !fixture.answers(&sick).await? {
        patience.wait().await?;
    }
    for id in [name!("web-2"), name!("web-3")] {
        let health = processes.health(&WEB, &id).await?;
        let Health::Unhealthy { reason } = &health else {
            return Err(format!("{id} is called {health:?}").into());
        };
        assert!(!reason.is_empty(), "{id} is unhealthy without a reason");
    }
    Ok(())
}

/// An instance that was never launched or was killed is gone, and not listed; a platform that starts it again has it healthy
/// soon.
pub async fn what_does_not_run_is_gone(fixture: &impl ProcessFixture) -> Checked {
    let (processes, id) = (fixture.processes(), name!("web-1"));
    assert_eq!(processes.health(&WEB, &id).await?, Health::Gone);
    launch(fixture, &id, Program::Serves).await?;
    until_healthy(fixture, &id).await?;
    if fixture.kill(&WEB, &id).await? == AfterKill::StartedAgain {
        return until_healthy(fixture, &id).await;
    }
    assert_eq!(processes.health(&WEB, &id).await?, Health::Gone);
    assert_eq!(listed(fixture, &WEB).await?, Vec::<Name>::new());
    Ok(())
}

/// Looking, however often, starts nothing, ends nothing and gives the same answer.
pub async fn looking_changes_nothing(fixture: &impl ProcessFixture) -> Checked {
    let (processes, id) = (fixture.processes(), name!("web-1"));
    launch(fixture, &id, Program::Serves).await?;
    until_healthy(fixture, &id).await?;
    let before = (processes.instances(&WEB).await?, processes.launched(&WEB, &id).await?);
    for _ in 0..3 {
        assert_eq!(processes.health(&WEB, &id).await?, Health::Healthy);
        assert_eq!(processes.health(&WEB, &name!("web-2")).await?, Health::Gone);
        let now = (processes.instances(&WEB).await?, processes.launched(&WEB, &id).await?);
        assert_eq!(now, before);
    }
    assert_eq!(running(fixture, &WEB).await?, [id]);
    Ok(())
}

/// A manager that is opened later on the same platform sees the same instances and stops them.
pub async fn the_next_controller_finds_what_runs(fixture: &impl ProcessFixture) -> Checked {
    let launched = launch(fixture, &name!("web-1"), Program::Serves).await?;
    let next = fixture.next_controller();
    assert_eq!(next.instances(&WEB).await?, from_ref(&launched));
    assert_eq!(
        next.launched(&WEB, &launched.id).await?,
        fixture.processes().launched(&WEB, &launched.id).await?
    );
    next.stop(&permit(), &WEB, &launched.id, GRACE).await?;
    super::nothing_of(fixture, &WEB).await
}

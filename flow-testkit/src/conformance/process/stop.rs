//! How an instance ends.

use crate::conformance::patience::PATIENCE;
use crate::conformance::refusal::{refusal, whole};
use std::slice::from_ref;
use std::time::{Duration, Instant};

use flow_core::port::Health;
use flow_core::{ErrorKind, name};

use super::{
    API, GRACE, ProcessFixture, Program, WEB, launch, listed, nothing_of, running, spec, until_healthy,
};
use crate::conformance::Checked;
use crate::permit;

/// When a stop has returned, the instance does not run, is not listed and is gone; stopping it again is done.
pub async fn a_stopped_instance_is_gone(fixture: &impl ProcessFixture) -> Checked {
    let (processes, id, permit) = (fixture.processes(), name!("web-1"), permit());
    launch(fixture, &id, Program::Serves).await?;
    until_healthy(fixture, &id).await?;
    processes.stop(&permit, &WEB, &id, GRACE).await?;
    nothing_of(fixture, &WEB).await?;
    assert_eq!(processes.health(&WEB, &id).await?, Health::Gone);
    processes.stop(&permit, &WEB, &id, GRACE).await?;
    nothing_of(fixture, &WEB).await
}

/// Stopping an id that does not run is done, and touches neither other ids nor the same id of another service.
pub async fn stopping_what_is_not_there_is_done_and_touches_nothing_else(
    fixture: &impl ProcessFixture,
) -> Checked {
    let processes = fixture.processes();
    launch(fixture, &name!("web-1"), Program::Serves).await?;
    let other = spec(fixture, &API, &name!("web-2"), Program::Serves)?;
    processes.launch(&permit(), &other).await?;
    processes.stop(&permit(), &WEB, &name!("web-2"), GRACE).await?;
    processes.stop(&permit(), &API, &name!("web-1"), GRACE).await?;
    for (service, id) in [(WEB, name!("web-1")), (API, name!("web-2"))] {
        assert_eq!(running(fixture, &service).await?, from_ref(&id));
        assert_eq!(listed(fixture, &service).await?, [id]);
    }
    Ok(())
}

/// An instance is asked to end, and has the time to do it well.
pub async fn an_instance_is_asked_before_it_is_killed(fixture: &impl ProcessFixture) -> Checked {
    let id = name!("web-1");
    launch(fixture, &id, Program::Serves).await?;
    until_healthy(fixture, &id).await?;
    fixture.processes().stop(&permit(), &WEB, &id, GRACE).await?;
    assert!(fixture.was_asked_to_end(&WEB, &id).await?, "it was ended without being asked");
    nothing_of(fixture, &WEB).await
}

/// An instance that ignores being asked is killed, after its grace and not before.
pub async fn an_instance_that_will_not_end_is_killed_after_its_grace(
    fixture: &impl ProcessFixture,
) -> Checked {
    let (id, grace) = (name!("web-1"), Duration::from_millis(300));
    launch(fixture, &id, Program::Stubborn).await?;
    until_healthy(fixture, &id).await?;
    let begun = Instant::now();
    fixture.processes().stop(&permit(), &WEB, &id, grace).await?;
    // A platform may count in whole milliseconds.
    let took = begun.elapsed() + Duration::from_millis(5);
    assert!(took >= grace, "killed after {took:?}");
    nothing_of(fixture, &WEB).await
}

/// A stop whose permit is cancelled ends at once and leaves open how far it came; the next stop finishes it.
pub async fn a_stop_that_is_cancelled_says_so_and_can_be_made_again(
    fixture: &impl ProcessFixture,
) -> Checked {
    let (processes, service, id, cancelled) = (fixture.processes(), WEB, name!("web-1"), permit());
    launch(fixture, &id, Program::Stubborn).await?;
    until_healthy(fixture, &id).await?;
    let stop = tokio::time::timeout(PATIENCE, processes.stop(&cancelled, &service, &id, GRACE));
    let (ended, ()) = tokio::join!(stop, async { cancelled.cancel().cancel() });
    let ended = ended.map_err(|_| "a cancelled stop goes on")?;
    let error = refusal(ended, "a cancelled stop")?;
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{}", whole(&error));
    processes.stop(&permit(), &WEB, &id, Duration::ZERO).await?;
    nothing_of(fixture, &WEB).await
}

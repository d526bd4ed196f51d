//! What a launch starts, and what it refuses.

use crate::conformance::patience::Patience;
use crate::conformance::refusal::{refusal, whole};
use std::slice::from_ref;
use std::time::Duration;

use flow_core::port::{Health, LaunchSpec};
use flow_core::{Digest, ErrorKind, name};

use super::{API, AfterKill, ProcessFixture, Program, WEB, launch, listed, nothing_of, running, spec};
use crate::conformance::Checked;
use crate::permit;

/// When a launch has returned, its instance runs, and it is listed under its id, version and digest, at one address.
pub async fn a_launched_instance_runs_and_is_listed_as_what_it_is(fixture: &impl ProcessFixture) -> Checked {
    let spec = spec(fixture, &WEB, &name!("web-1"), Program::Serves)?;
    let launched = fixture.processes().launch(&permit(), &spec).await?;
    assert_eq!(running(fixture, &WEB).await?, [name!("web-1")]);
    assert_eq!(
        (&launched.id, &launched.version, launched.digest),
        (&spec.instance, &spec.version, spec.digest)
    );
    let is_address = match launched.address.strip_prefix("unix:") {
        Some(path) => path.starts_with('/'),
        None => launched.address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()),
    };
    assert!(is_address, "`{}` is neither `host:port` nor `unix:PATH`", launched.address);
    assert_eq!(fixture.processes().instances(&WEB).await?, from_ref(&launched));
    let patience = Patience::until("it listens at its address");
    while !fixture.answers(&launched).await? {
        patience.wait().await?;
    }
    Ok(())
}

/// The same launch under the same permit is the same instance, and one process.
pub async fn a_launch_repeated_under_its_permit_is_one_instance(fixture: &impl ProcessFixture) -> Checked {
    let spec = spec(fixture, &WEB, &name!("web-1"), Program::Serves)?;
    let permit = permit();
    let first = fixture.processes().launch(&permit, &spec).await?;
    let again = fixture.processes().launch(&permit, &spec).await?;
    assert_eq!(first, again);
    assert_eq!(running(fixture, &WEB).await?, [name!("web-1")]);
    assert_eq!(fixture.processes().instances(&WEB).await?, [first]);
    Ok(())
}

/// An id under which another digest runs is a conflict, and what runs there runs on.
pub async fn an_id_that_is_taken_is_refused_to_another_digest(fixture: &impl ProcessFixture) -> Checked {
    let first = launch(fixture, &name!("web-1"), Program::Serves).await?;
    let other = LaunchSpec {
        digest: Digest::of(b"another artefact"),
        ..spec(fixture, &WEB, &name!("web-1"), Program::Serves)?
    };
    let error = refusal(fixture.processes().launch(&permit(), &other).await, "a taken id")?;
    assert_eq!(error.kind(), ErrorKind::Conflict, "{}", whole(&error));
    assert_eq!(running(fixture, &WEB).await?, [name!("web-1")]);
    assert_eq!(fixture.processes().instances(&WEB).await?, [first]);
    Ok(())
}

/// Instances that are launched at the same time, also of two services, each have an address of their own.
pub async fn instances_launched_at_once_have_addresses_of_their_own(
    fixture: &impl ProcessFixture,
) -> Checked {
    let processes = fixture.processes();
    let specs = [(WEB, name!("web-1")), (WEB, name!("web-2")), (API, name!("web-1"))];
    let specs = specs.map(|(service, instance)| spec(fixture, &service, &instance, Program::Serves));
    let [one, two, three] = specs;
    let (one, two, three, permit) = (one?, two?, three?, permit());
    let launched = tokio::try_join!(
        processes.launch(&permit, &one),
        processes.launch(&permit, &two),
        processes.launch(&permit, &three)
    )?;
    let mut addresses = [launched.0.address, launched.1.address, launched.2.address];
    addresses.sort();
    let [first, second, third] = &addresses;
    assert!(first != second && second != third, "{addresses:?}");
    assert_eq!(running(fixture, &WEB).await?, [name!("web-1"), name!("web-2")]);
    Ok(())
}

/// A specification with several mistakes is invalid, the error names the field of each, and nothing was started.
pub async fn a_bad_specification_is_refused_with_all_its_problems(fixture: &impl ProcessFixture) -> Checked {
    let mut bad = spec(fixture, &WEB, &name!("web-1"), Program::Serves)?;
    bad.program = "relative".into();
    bad.health.path = "no slash".to_owned();
    bad.health.timeout = Duration::ZERO;
    let error = refusal(fixture.processes().launch(&permit(), &bad).await, "a bad specification")?;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", whole(&error));
    for field in ["`program`", "`health.path`", "`health.timeout`"] {
        assert!(whole(&error).contains(field), "{field} is not in: {}", whole(&error));
    }
    nothing_of(fixture, &WEB).await
}

/// A program that does not exist is not found, and nothing was started.
pub async fn a_program_that_does_not_exist_is_not_found(fixture: &impl ProcessFixture) -> Checked {
    let missing = match fixture.spec(&WEB, &name!("web-1"), Program::Missing) {
        Some(missing) => missing,
        // Without files there is nothing to miss; what is no program at all is refused all the same.
        None => LaunchSpec { program: "".into(), ..spec(fixture, &WEB, &name!("web-1"), Program::Serves)? },
    };
    let wanted =
        if missing.program.as_os_str().is_empty() { ErrorKind::Invalid } else { ErrorKind::NotFound };
    let error = refusal(fixture.processes().launch(&permit(), &missing).await, "a missing program")?;
    assert_eq!(error.kind(), wanted, "{}", whole(&error));
    nothing_of(fixture, &WEB).await
}

/// A program that ends at once fails its launch and leaves nothing; where that was not noticed it is soon gone. It is never
/// healthy.
pub async fn a_program_that_ends_at_once_is_no_instance(fixture: &impl ProcessFixture) -> Checked {
    let (processes, id) = (fixture.processes(), name!("web-1"));
    let spec = spec(fixture, &WEB, &id, Program::EndsAtOnce)?;
    match processes.launch(&permit(), &spec).await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Failed, "{}", whole(&error));
            nothing_of(fixture, &WEB).await
        }
        Ok(_) => {
            let patience = Patience::until("it is gone");
            loop {
                match processes.health(&WEB, &id).await? {
                    Health::Healthy => return Err("it has ended and is called healthy".into()),
                    Health::Gone if listed(fixture, &WEB).await?.is_empty() => return Ok(()),
                    _ => patience.wait().await?,
                }
            }
        }
    }
}

/// An instance that was killed leaves its id free, also for another digest; a platform that starts it again keeps it taken.
pub async fn an_instance_that_has_ended_can_be_launched_again(fixture: &impl ProcessFixture) -> Checked {
    let (processes, id) = (fixture.processes(), name!("web-1"));
    launch(fixture, &id, Program::Serves).await?;
    let after = fixture.kill(&WEB, &id).await?;
    let other =
        LaunchSpec { digest: Digest::of(b"another artefact"), ..spec(fixture, &WEB, &id, Program::Serves)? };
    match after {
        AfterKill::StaysDead => {
            let again = processes.launch(&permit(), &other).await?;
            assert_eq!(again.digest, other.digest);
        }
        AfterKill::StartedAgain => {
            super::until_healthy(fixture, &id).await?;
            let error = refusal(processes.launch(&permit(), &other).await, "a taken id")?;
            assert_eq!(error.kind(), ErrorKind::Conflict, "{}", whole(&error));
        }
    }
    assert_eq!(running(fixture, &WEB).await?, from_ref(&id));
    assert_eq!(listed(fixture, &WEB).await?, [id]);
    Ok(())
}

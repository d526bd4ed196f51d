//! What a router refuses, with nothing changed.

use crate::conformance::refusal::{refusal, whole};
use flow_core::port::Routing;
use flow_core::{ErrorKind, StepError};

use super::{NEW, OLD, RouterFixture, all_to, nth, routing};
use crate::conformance::{Checked, Outside};

/// Puts `bad` after a good routing: it must be invalid and change nothing.
async fn is_refused(fixture: &impl RouterFixture, bad: &Routing, before: &Routing) -> Outside<StepError> {
    let (service, router) = (fixture.service(), fixture.router());
    let error = refusal(router.route(&nth(9), &service, bad).await, &format!("{bad:?}"))?;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{bad:?}: {}", whole(&error));
    assert_eq!(router.routing(&service).await?, *before, "{bad:?}");
    let answer = fixture.request(&service).await?;
    assert_eq!(answer.map(|answer| answer.version), Some(OLD), "{bad:?}");
    Ok(error)
}

/// Weights that do not sum to 100 and a share without an address are invalid; a routing with both names both.
pub async fn a_bad_routing_is_refused_with_all_its_problems(fixture: &impl RouterFixture) -> Checked {
    let service = fixture.service();
    let old = [all_to(fixture, &OLD, 1).await?];
    let new = [fixture.backend(&service, &NEW).await?];
    let before = routing(&[(OLD, 100, &old)]);
    let bad = [
        routing(&[(OLD, 0, &old)]),
        routing(&[(NEW, 100, &[])]),
        routing(&[(OLD, 100, &old), (NEW, 100, &new)]),
        routing(&[(OLD, 200, &old)]),
    ];
    for bad in bad {
        is_refused(fixture, &bad, &before).await?;
    }
    let both = routing(&[(OLD, 100, &old), (NEW, 100, &[])]);
    let error = is_refused(fixture, &both, &before).await?;
    for part in ["200", "addresses"] {
        assert!(whole(&error).contains(part), "`{part}` is not in: {}", whole(&error));
    }
    Ok(())
}

/// An address that is neither `host:port` nor `unix:PATH` is invalid, and the error shows it.
pub async fn every_address_that_is_none_is_refused(fixture: &impl RouterFixture) -> Checked {
    let old = [all_to(fixture, &OLD, 1).await?];
    let before = routing(&[(OLD, 100, &old)]);
    for none in ["", "nonsense", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "unix:", "unix:run/web.sock"]
    {
        let bad = routing(&[(NEW, 100, &[none.to_owned()])]);
        let error = is_refused(fixture, &bad, &before).await?;
        assert!(whole(&error).contains(&format!("`{none}`")), "`{none}` is not in: {}", whole(&error));
    }
    let line = routing(&[(NEW, 100, &["unix:/run/web.sock;\nserver 127.0.0.1:9".to_owned()])]);
    is_refused(fixture, &line, &before).await?;
    Ok(())
}

/// One address in two versions would give one's failures to the other: it is invalid.
pub async fn an_address_that_stands_twice_is_refused(fixture: &impl RouterFixture) -> Checked {
    let old = [all_to(fixture, &OLD, 1).await?];
    let [address] = &old;
    let before = routing(&[(OLD, 100, &old)]);
    let twice = [address.clone(), address.clone()];
    is_refused(fixture, &routing(&[(OLD, 100, &twice)]), &before).await?;
    is_refused(fixture, &routing(&[(OLD, 100, &old), (NEW, 0, &old)]), &before).await?;
    Ok(())
}

/// A weight between two steps of the granularity is invalid. A router whose step is 1 % takes every whole percent.
pub async fn weights_finer_than_the_granularity_are_refused(fixture: &impl RouterFixture) -> Checked {
    let (service, router) = (fixture.service(), fixture.router());
    let old = [all_to(fixture, &OLD, 1).await?];
    let new = [fixture.backend(&service, &NEW).await?];
    let granularity = router.granularity();
    assert!((1..=100).contains(&granularity) && 100 % granularity == 0, "a granularity of {granularity}");
    let fine = routing(&[(OLD, 99, &old), (NEW, 1, &new)]);
    if granularity == 1 {
        router.route(&nth(2), &service, &fine).await?;
        assert_eq!(router.routing(&service).await?, fine);
        return Ok(());
    }
    let error = is_refused(fixture, &fine, &routing(&[(OLD, 100, &old)])).await?;
    assert!(whole(&error).contains("weight"), "{}", whole(&error));
    Ok(())
}

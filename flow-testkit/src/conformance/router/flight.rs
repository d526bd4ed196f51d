//! Requests under way while the routing changes.

use super::{Counting, NEW, OLD, RouterFixture, all_to, nth, routing};
use crate::conformance::patience::Patience;
use crate::conformance::{Checked, Outside};

/// A request that began before a switch is answered, whole, by the version where it began.
pub async fn a_request_under_way_finishes_where_it_began(fixture: &impl RouterFixture) -> Checked {
    let service = fixture.service();
    all_to(fixture, &OLD, 1).await?;
    let held = fixture.begin(&service).await?;
    all_to(fixture, &NEW, 2).await?;
    assert_eq!(fixture.request(&service).await?.map(|answer| answer.version), Some(NEW));
    let answer = held.finish().await?;
    assert_eq!(answer.map(|answer| answer.version), Some(OLD));
    Ok(())
}

async fn under_way(fixture: &impl RouterFixture, address: &str) -> Outside<u64> {
    let counted = fixture.router().in_flight(&fixture.service()).await?;
    Ok(counted.get(address).copied().unwrap_or(0))
}

/// A request is counted at its address from when it has arrived there until it has ended, also when traffic no longer goes
/// there; afterwards the address has none. Where requests cannot be counted, none is passed over either, and once traffic no longer goes
/// there the address has none at some time.
pub async fn a_request_is_counted_where_it_is_under_way_until_it_ends(
    fixture: &impl RouterFixture,
) -> Checked {
    let service = fixture.service();
    let counts = fixture.counting() == Counting::Exact;
    let one = |count: u64| if counts { count == 1 } else { count > 0 };
    let address = all_to(fixture, &OLD, 1).await?;
    assert!(!counts || under_way(fixture, &address).await? == 0, "before any request");
    let held = fixture.begin(&service).await?;
    assert!(one(under_way(fixture, &address).await?), "while it is under way");
    all_to(fixture, &NEW, 2).await?;
    assert!(one(under_way(fixture, &address).await?), "while it is under way where nothing goes any more");
    assert!(held.finish().await?.is_some(), "the request was cut off");
    let patience = Patience::until("the request is no longer counted");
    while under_way(fixture, &address).await? > 0 {
        patience.wait().await?;
    }
    Ok(())
}

/// The routing that is in force already, put again under the same permit or another, cuts no request off.
pub async fn the_same_routing_again_cuts_nothing_off(fixture: &impl RouterFixture) -> Checked {
    let (service, router) = (fixture.service(), fixture.router());
    let address = [all_to(fixture, &OLD, 1).await?];
    let held = fixture.begin(&service).await?;
    let same = routing(&[(OLD, 100, &address)]);
    for number in [1, 1, 2] {
        router.route(&nth(number), &service, &same).await?;
        assert_eq!(router.routing(&service).await?, same);
        assert_eq!(fixture.request(&service).await?.map(|answer| answer.version), Some(OLD));
    }
    assert_eq!(held.finish().await?.map(|answer| answer.version), Some(OLD), "the request was cut off");
    Ok(())
}

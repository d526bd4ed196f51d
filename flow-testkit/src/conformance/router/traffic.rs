//! Where requests go.

use crate::conformance::refusal::{refusal, whole};
use std::collections::BTreeMap;

use flow_core::port::Routing;
use flow_core::{ErrorKind, name};

use super::{NEW, OLD, RouterFixture, Sharing, all_to, answers, near, nth, routing};
use crate::conformance::Checked;

/// Before anything was routed, the routing is empty and no request is answered.
pub async fn nothing_is_routed_at_first(fixture: &impl RouterFixture) -> Checked {
    let service = fixture.service();
    assert_eq!(fixture.router().routing(&service).await?, Routing::default());
    assert_eq!(fixture.request(&service).await?, None);
    Ok(())
}

/// What was put in force is what is read back, weights and addresses.
pub async fn a_routing_reads_back_as_it_was_put(fixture: &impl RouterFixture) -> Checked {
    let (service, router, share) = (fixture.service(), fixture.router(), near(fixture, 50));
    let mut old = vec![fixture.backend(&service, &OLD).await?];
    if fixture.sharing() == Sharing::Addresses {
        old.push(fixture.backend(&service, &OLD).await?);
    }
    let new = [fixture.backend(&service, &NEW).await?];
    let mut put = routing(&[(OLD, 100 - share, &old), (NEW, share, &new)]);
    put.0.retain(|_, route| route.weight > 0);
    router.route(&nth(1), &service, &put).await?;
    assert_eq!(router.routing(&service).await?, put);
    let put = routing(&[(NEW, 100, &new)]);
    router.route(&nth(2), &service, &put).await?;
    assert_eq!(router.routing(&service).await?, put);
    Ok(())
}

/// Once a route has returned, not one new request goes to what was routed before.
pub async fn the_first_request_after_a_switch_goes_to_the_new_version(
    fixture: &impl RouterFixture,
) -> Checked {
    let service = fixture.service();
    let old = [all_to(fixture, &OLD, 1).await?];
    let new = [fixture.backend(&service, &NEW).await?];
    for number in 0..10 {
        for (version, address, own) in [(NEW, &new, 2 * number + 2), (OLD, &old, 2 * number + 3)] {
            fixture.router().route(&nth(own), &service, &routing(&[(version.clone(), 100, address)])).await?;
            let answer = fixture.request(&service).await?;
            let answered = answer.map(|answer| answer.version);
            assert_eq!(answered, Some(version), "after switch {own}");
        }
    }
    Ok(())
}

/// Each version gets its share of the requests, as near as a random choice would come, and one without a share gets none.
pub async fn traffic_is_divided_as_the_weights_say(fixture: &impl RouterFixture) -> Checked {
    let (service, share) = (fixture.service(), near(fixture, 25));
    let old = [fixture.backend(&service, &OLD).await?];
    let new = [fixture.backend(&service, &NEW).await?];
    let put = routing(&[(OLD, 100 - share, &old), (NEW, share, &new)]);
    fixture.router().route(&nth(1), &service, &put).await?;
    let answered = answers(fixture, &service, 400).await?;
    let [old, new] = [old, new].map(|[address]| answered.get(&Some(address)).copied().unwrap_or(0));
    assert_eq!(old + new, 400, "{answered:?}");
    let expected = 4 * usize::from(share);
    // Five standard deviations of four hundred choices at a quarter are 43 requests.
    let tolerance = if share == 0 { 0 } else { 43 };
    assert!(new.abs_diff(expected) <= tolerance, "{new} of 400 at {share} %");
    Ok(())
}

/// Every address of a version gets a part of its requests. Where a version can have one address only, a second one is invalid.
pub async fn the_addresses_of_a_version_share_its_traffic(fixture: &impl RouterFixture) -> Checked {
    let service = fixture.service();
    if let Sharing::Impossible(_) = fixture.sharing() {
        let both = [all_to(fixture, &OLD, 1).await?, fixture.backend(&service, &OLD).await?];
        let before = fixture.router().routing(&service).await?;
        let ended = fixture.router().route(&nth(2), &service, &routing(&[(OLD, 100, &both)])).await;
        let error = refusal(ended, "a second address")?;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", whole(&error));
        assert!(whole(&error).contains("addresses"), "{}", whole(&error));
        assert_eq!(fixture.router().routing(&service).await?, before);
        return Ok(());
    }
    let mut addresses = Vec::new();
    for _ in 0..3 {
        addresses.push(fixture.backend(&service, &OLD).await?);
    }
    fixture.router().route(&nth(1), &service, &routing(&[(OLD, 100, &addresses)])).await?;
    let answered = answers(fixture, &service, 120).await?;
    for address in addresses {
        assert!(answered.contains_key(&Some(address.clone())), "`{address}` got nothing: {answered:?}");
    }
    assert!(!answered.contains_key(&None), "{answered:?}");
    Ok(())
}

/// The requests that fall to a version that is down fail: they are not sent to another version. A router that can only switch
/// answers nothing then.
pub async fn a_version_that_is_down_is_not_hidden_behind_another(fixture: &impl RouterFixture) -> Checked {
    let (service, share) = (fixture.service(), near(fixture, 50));
    let old = [fixture.backend(&service, &OLD).await?];
    let new = [fixture.backend(&service, &NEW).await?];
    let share = if share == 0 { 100 } else { share };
    let put = routing(&[(OLD, 100 - share, &old), (NEW, share, &new)]);
    fixture.router().route(&nth(1), &service, &put).await?;
    let [address] = &new;
    fixture.kill(address).await?;
    let answered = answers(fixture, &service, 100).await?;
    let failed = answered.get(&None).copied().unwrap_or(0);
    // Five standard deviations of a hundred choices at a half are 25 requests; a mask leaves one or two failures.
    let least = usize::from(share).saturating_sub(25);
    assert!(failed >= least, "{failed} of 100 requests failed with {share} % for a dead version");
    Ok(())
}

/// With an empty routing no request is answered, and what is read back is empty.
pub async fn an_empty_routing_takes_the_service_out(fixture: &impl RouterFixture) -> Checked {
    let service = fixture.service();
    all_to(fixture, &OLD, 1).await?;
    assert!(fixture.request(&service).await?.is_some());
    fixture.router().route(&nth(2), &service, &Routing::default()).await?;
    assert_eq!(fixture.request(&service).await?, None);
    assert_eq!(fixture.router().routing(&service).await?, Routing::default());
    Ok(())
}

/// A change of one service leaves another as it is. A router of one service does not know another, and says so.
pub async fn services_do_not_disturb_each_other(fixture: &impl RouterFixture) -> Checked {
    let (service, router) = (fixture.service(), fixture.router());
    let address = all_to(fixture, &OLD, 1).await?;
    let before = router.routing(&service).await?;
    if let Some(other) = fixture.other_service() {
        let own = [fixture.backend(&other, &NEW).await?];
        router.route(&nth(2), &other, &routing(&[(NEW, 100, &own)])).await?;
        let answer = fixture.request(&other).await?;
        assert_eq!(answer.map(|answer| answer.version), Some(NEW));
        router.route(&nth(3), &other, &Routing::default()).await?;
    } else {
        let other = name!("not-served-here");
        let errors = [
            refusal(router.routing(&other).await, "another service")?,
            refusal(router.route(&nth(2), &other, &Routing::default()).await, "another service")?,
            refusal(router.in_flight(&other).await, "another service")?,
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", whole(&error));
        }
    }
    assert_eq!(router.routing(&service).await?, before);
    assert_eq!(answers(fixture, &service, 5).await?, BTreeMap::from([(Some(address), 5)]));
    Ok(())
}

/// A router that is opened later on the same platform reads the same routing, and changes it.
pub async fn the_next_controller_sees_the_routing_in_force(fixture: &impl RouterFixture) -> Checked {
    let (service, next) = (fixture.service(), fixture.next_controller());
    all_to(fixture, &OLD, 1).await?;
    assert_eq!(next.routing(&service).await?, fixture.router().routing(&service).await?);
    assert_eq!(next.granularity(), fixture.router().granularity());
    let new = [fixture.backend(&service, &NEW).await?];
    let put = routing(&[(NEW, 100, &new)]);
    next.route(&nth(2), &service, &put).await?;
    assert_eq!(fixture.router().routing(&service).await?, put);
    assert_eq!(fixture.request(&service).await?.map(|answer| answer.version), Some(NEW));
    Ok(())
}

/// Looking, however often, gives the same answer and moves no request.
pub async fn looking_at_the_traffic_changes_nothing(fixture: &impl RouterFixture) -> Checked {
    let (service, router) = (fixture.service(), fixture.router());
    let address = all_to(fixture, &OLD, 1).await?;
    let before = (router.routing(&service).await?, router.granularity());
    for _ in 0..3 {
        router.in_flight(&service).await?;
        assert_eq!((router.routing(&service).await?, router.granularity()), before);
        assert_eq!(fixture.request(&service).await?.map(|answer| answer.address).as_ref(), Some(&address));
    }
    Ok(())
}

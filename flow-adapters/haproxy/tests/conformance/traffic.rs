//! What users get, by their own log.

use std::time::{Duration, Instant};

use flow_core::port::Router;
use flow_proving::load::{Client, Load};
use flow_proving::{Outside, is_long};

use super::world::{NEW, OLD, WEB, World, routing};

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_exact_over_thousands_of_requests() -> Outside<()> {
    let world = World::start().await;
    let old = [world.app(OLD).await?, world.app(OLD).await?, world.app(OLD).await?];
    let new = [world.app(NEW).await?, world.app(NEW).await?];
    let requests: usize = if is_long() { 20_000 } else { 2_000 };
    for share in [1, 5, 25, 50] {
        let put = routing(&[(OLD, 100 - share, &old), (NEW, share, &new)]);
        world.route(1, &put).await?;
        let most = u64::try_from(requests)?;
        let load = Load::of(world.web.address(), Client::Careful).at_rate(2_000);
        let log = load.at_most(most, Duration::from_secs(120)).start()?.finish().await?;
        assert_eq!(log.failures().count(), 0, "{}", log.summary());
        assert_eq!(log.answered_by(OLD) + log.answered_by(NEW), requests);
        // A tenth of a percent in the long tier. A cycle of weights that is cut off adds some requests to the short one.
        let expected = requests * usize::from(share) / 100;
        let tolerance = if is_long() { requests / 1_000 } else { 5 };
        assert!(log.answered_by(NEW).abs_diff(expected) <= tolerance, "{share} %: {}", log.summary());
        assert_eq!(world.router.routing(&WEB).await?, put);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_under_load_fails_no_request_and_leaves_none_behind() -> Outside<()> {
    let world = World::start().await;
    let (old, new) = ([world.app(OLD).await?], [world.app(NEW).await?]);
    let switches = if is_long() { 20 } else { 5 };
    for client in [Client::Careful, Client::Naive, Client::New] {
        world.route(1, &routing(&[(OLD, 100, &old)])).await?;
        let load = Load::of(world.web.address(), client).at_rate(400).start()?;
        let mut put = Vec::new();
        for turn in 0..switches {
            let (version, address) = if turn % 2 == 0 { (NEW, &new) } else { (OLD, &old) };
            let begun = Instant::now();
            world.route(1, &routing(&[(version, 100, address)])).await?;
            put.push((begun, Instant::now(), version));
            let since = Instant::now();
            load.until(|log| log.0.iter().filter(|record| record.start > since).count() > 20).await?;
        }
        let log = load.stop().await?;
        assert_eq!(log.failures().count(), 0, "{client:?}: {}", log.summary());
        for (number, (_, from, version)) in put.iter().enumerate() {
            let to = put.get(number + 1).map_or_else(Instant::now, |(next, ..)| *next);
            let settled = log.0.iter().filter(|record| record.start > *from && record.end < to);
            let strays = settled.filter(|record| record.version.as_deref() != Some(*version)).count();
            assert_eq!(strays, 0, "{client:?}, switch {number}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn retired_servers_do_not_pile_up() -> Outside<()> {
    let world = World::start().await;
    for number in 0..6 {
        let address = [world.app(&format!("1.{number}.0")).await?];
        world.route(1, &routing(&[(&format!("1.{number}.0"), 100, &address)])).await?;
        flow_proving::exchange(&world.web.address(), &flow_proving::Request::get("/")).await?;
    }
    let servers = world.servers().await;
    // The one that serves, the one before it, and the fence.
    assert!(servers.len() <= 3, "{servers:?}");
    Ok(())
}

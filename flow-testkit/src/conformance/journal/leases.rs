//! Who may work on a run and its resources, and for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::journal::AcquireError;
use flow_core::{Clock as _, SystemClock, name};
use tokio::task::JoinSet;

use super::{LONG, SHORT, Store, notes, run, take};
use crate::conformance::Checked;
use crate::conformance::patience::Patience;

/// While a lease lasts, its run and each of its resources are refused to others, with the name of who holds them.
pub async fn a_lease_excludes_everybody_else_while_it_lasts(store: &Store) -> Checked {
    let lease = store.acquire(&run("a")?, &[name!("db"), name!("cdn")], "first", LONG).await?;
    assert_eq!(lease.resources, [name!("cdn"), name!("db")], "sorted");
    let attempts =
        [("a", vec![], "a"), ("b", vec![name!("db")], "db"), ("c", vec![name!("x"), name!("cdn")], "cdn")];
    for (id, resources, held) in attempts {
        let refused = store.acquire(&run(id)?, &resources, "second", LONG).await;
        let Err(AcquireError::Held { resource, owner, until }) = refused else {
            return Err(format!("run {id} with {resources:?} got {refused:?}").into());
        };
        assert!(resource.contains(held), "`{resource}` names `{held}`");
        assert_eq!(owner, "first");
        assert!(until > SystemClock::new().now());
    }
    Ok(())
}

/// A lease is no identity: the same owner's second acquire is refused like anybody's.
pub async fn the_same_owner_is_refused_as_well(store: &Store) -> Checked {
    store.acquire(&run("a")?, &[], "owner", LONG).await?;
    let again = store.acquire(&run("a")?, &[], "owner", LONG).await;
    assert!(matches!(again, Err(AcquireError::Held { .. })), "{again:?}");
    Ok(())
}

/// A lease that nobody renewed can be taken once it has expired, and not before.
pub async fn an_expired_lease_can_be_taken_and_not_before(store: &Store) -> Checked {
    let began = Instant::now();
    let late = store.acquire(&run("a")?, &[name!("db")], "late", SHORT).await?;
    let next = take(store, &run("b")?, &[name!("db")]).await?;
    // A store may count in whole milliseconds, and the time of day may be adjusted meanwhile.
    let tolerance = Duration::from_millis(20);
    assert!(began.elapsed() + tolerance >= SHORT, "taken after {:?}", began.elapsed());
    assert!(next.fence > late.fence);
    Ok(())
}

/// Of twenty who acquire at once exactly one gets the lease.
pub async fn of_twenty_acquirers_at_once_one_wins(store: &Store) -> Checked {
    let mut tasks = JoinSet::new();
    for index in 0..20 {
        let store = Arc::clone(store);
        // Half of them want the run, half of them a resource of it.
        let id = if index % 2 == 0 { run("shared")? } else { run(&format!("own-{index}"))? };
        tasks.spawn(async move { store.acquire(&id, &[name!("db")], &index.to_string(), LONG).await });
    }
    let mut won = Vec::new();
    for acquired in tasks.join_all().await {
        match acquired {
            Ok(lease) => won.push(lease),
            Err(AcquireError::Held { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    Ok(())
}

/// An acquire that is refused for one resource takes none of the others.
pub async fn a_refused_acquire_takes_none_of_its_resources(store: &Store) -> Checked {
    store.acquire(&run("a")?, &[name!("m")], "first", LONG).await?;
    let refused = store.acquire(&run("b")?, &[name!("b"), name!("m"), name!("z")], "second", LONG).await;
    assert!(matches!(refused, Err(AcquireError::Held { .. })), "{refused:?}");
    store.acquire(&run("c")?, &[name!("b"), name!("z")], "third", LONG).await?;
    store.acquire(&run("b")?, &[], "fourth", LONG).await?;
    Ok(())
}

/// Runs that share no resource hold their leases and append at the same time.
pub async fn runs_with_disjoint_resources_work_side_by_side(store: &Store) -> Checked {
    let mut tasks = JoinSet::new();
    let leases = [
        store.acquire(&run("a")?, &[name!("staging")], "one", LONG).await?,
        store.acquire(&run("b")?, &[name!("production")], "two", LONG).await?,
        store.acquire(&run("c")?, &[], "three", LONG).await?,
    ];
    for lease in leases {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let mut written = Vec::new();
            for _ in 0..20 {
                let next = notes(&written, lease.fence, 1)?;
                store.append(&lease, written.len() as u64, &next).await?;
                written.extend(next);
            }
            assert_eq!(store.load(&lease.run).await?, written);
            Checked::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Renewing makes a lease last longer than it would have.
pub async fn renewing_extends_the_lease(store: &Store) -> Checked {
    let lease = store.acquire(&run("a")?, &[name!("db")], "first", LONG).await?;
    let other = run("b")?;
    let until = async || match store.acquire(&other, &[name!("db")], "second", LONG).await {
        Err(AcquireError::Held { until, .. }) => Ok(until),
        other => Err(format!("{other:?} while the lease lasts")),
    };
    let before = until().await?;
    let patience = Patience::until("a renewed lease ends later than before");
    while until().await? <= before {
        patience.wait().await?;
        store.renew(&lease).await?;
    }
    Ok(())
}

/// A released lease is free at once, and releasing it again is done.
pub async fn releasing_lets_others_in_at_once_and_twice_is_once(store: &Store) -> Checked {
    let lease = store.acquire(&run("a")?, &[name!("db")], "first", LONG).await?;
    store.release(&lease).await?;
    store.release(&lease).await?;
    store.acquire(&run("a")?, &[], "second", LONG).await?;
    store.acquire(&run("b")?, &[name!("db")], "third", LONG).await?;
    Ok(())
}

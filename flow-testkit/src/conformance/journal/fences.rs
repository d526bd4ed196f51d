//! What becomes of those whose lease was taken.

use flow_core::journal::{AcquireError, AppendError, Lease};
use flow_core::{Fence, name};

use super::{LONG, SHORT, Store, notes, run, take};
use crate::conformance::Checked;

/// The fence of a run grows with every acquire, whether it was released or had expired.
pub async fn the_fence_grows_with_every_acquire_of_a_run(store: &Store) -> Checked {
    let mut latest = Fence(0);
    for _ in 0..5 {
        let lease = store.acquire(&run("a")?, &[], "owner", LONG).await?;
        assert!(lease.fence > latest, "{:?} after {latest:?}", lease.fence);
        latest = lease.fence;
        store.release(&lease).await?;
    }
    let (late, current) = taken_over(store).await?;
    assert!(latest < late.fence && late.fence < current.fence);
    Ok(())
}

/// The fence grows over all runs that use a resource, in whatever order they do.
pub async fn the_fence_grows_over_runs_that_share_a_resource(store: &Store) -> Checked {
    let mut latest = Fence(0);
    // Run `b` is acquired often on its own before, so counting per run would let `a` fall behind it.
    for (id, resources) in [
        ("b", vec![]),
        ("b", vec![]),
        ("b", vec![name!("db")]),
        ("a", vec![name!("db")]),
        ("b", vec![name!("db"), name!("cdn")]),
        ("c", vec![name!("cdn")]),
    ] {
        let lease = store.acquire(&run(id)?, &resources, "owner", LONG).await?;
        assert!(lease.fence > latest, "{id} with {resources:?}: {:?} after {latest:?}", lease.fence);
        latest = lease.fence;
        store.release(&lease).await?;
    }
    Ok(())
}

/// Renewing a lease that somebody else has taken is lost, and says to which fence.
pub async fn renewing_after_a_takeover_is_lost(store: &Store) -> Checked {
    let (late, current) = taken_over(store).await?;
    let lost = store.renew(&late).await;
    let Err(AcquireError::Lost { held, current: to }) = lost else {
        return Err(format!("{lost:?}").into());
    };
    assert_eq!((held, to), (late.fence, current.fence));
    store.renew(&current).await?;
    Ok(())
}

/// Releasing a lease that was taken over does not free it from under its new owner.
pub async fn a_late_owners_release_does_not_free_the_next_ones_lease(store: &Store) -> Checked {
    let (late, current) = taken_over(store).await?;
    store.release(&late).await?;
    let third = store.acquire(&run("a")?, &[], "third", LONG).await;
    assert!(matches!(third, Err(AcquireError::Held { .. })), "{third:?}");
    store.renew(&current).await?;
    store.append(&current, 0, &notes(&[], current.fence, 1)?).await?;
    Ok(())
}

/// A lease that was given back is gone: a late heartbeat must not bring it to life again, and nothing is written under it.
pub async fn a_lease_that_was_given_back_can_be_neither_renewed_nor_written_under(store: &Store) -> Checked {
    let lease = store.acquire(&run("a")?, &[name!("db")], "first", LONG).await?;
    let written = notes(&[], lease.fence, 1)?;
    store.append(&lease, 0, &written).await?;
    store.release(&lease).await?;
    let renewed = store.renew(&lease).await;
    assert!(matches!(renewed, Err(AcquireError::Lost { .. })), "{renewed:?}");
    let appended = store.append(&lease, 1, &notes(&written, lease.fence, 1)?).await;
    assert!(matches!(appended, Err(AppendError::Superseded { .. })), "{appended:?}");
    let closed = store.close(&lease).await;
    assert!(matches!(closed, Err(AppendError::Superseded { .. })), "{closed:?}");
    assert_eq!(store.load(&lease.run).await?, written);
    assert_eq!(store.incomplete(None, 10).await?.len(), 1, "it is not closed");
    store.acquire(&run("b")?, &[name!("db")], "second", LONG).await?;
    Ok(())
}

/// Who was taken over can neither append nor close, and nothing of it stands.
pub async fn a_late_owners_append_and_close_are_superseded(store: &Store) -> Checked {
    let run = run("a")?;
    let late = store.acquire(&run, &[], "late", SHORT).await?;
    let written = notes(&[], late.fence, 2)?;
    store.append(&late, 0, &written).await?;
    let current = take(store, &run, &[]).await?;
    let appended = store.append(&late, 2, &notes(&written, late.fence, 1)?).await;
    assert_superseded(&appended, &late, &current)?;
    assert_superseded(&store.close(&late).await, &late, &current)?;
    assert_eq!(store.load(&run).await?, written);
    assert_eq!(store.incomplete(None, 10).await?.len(), 1, "it is not closed");
    Ok(())
}

/// Whose resource was taken, though not the run, can no longer append either: somebody else works on that resource.
pub async fn an_owner_who_lost_only_a_resource_is_superseded_as_well(store: &Store) -> Checked {
    let late = store.acquire(&run("a")?, &[name!("cdn"), name!("db")], "late", SHORT).await?;
    let current = take(store, &run("b")?, &[name!("db")]).await?;
    let appended = store.append(&late, 0, &notes(&[], late.fence, 1)?).await;
    assert_superseded(&appended, &late, &current)?;
    let renewed = store.renew(&late).await;
    assert!(matches!(renewed, Err(AcquireError::Lost { .. })), "{renewed:?}");
    assert_eq!(store.load(&late.run).await?, []);
    Ok(())
}

/// Whoever takes a run over loads all of it and appends after its end.
pub async fn a_successor_continues_where_the_last_owner_ended(store: &Store) -> Checked {
    let first = store.acquire(&run("a")?, &[], "first", LONG).await?;
    let mut written = notes(&[], first.fence, 3)?;
    store.append(&first, 0, &written).await?;
    store.release(&first).await?;
    let second = store.acquire(&run("a")?, &[], "second", LONG).await?;
    let loaded = store.load(&second.run).await?;
    assert_eq!(loaded, written);
    let next = notes(&loaded, second.fence, 2)?;
    store.append(&second, 3, &next).await?;
    written.extend(next);
    assert_eq!(store.load(&second.run).await?, written);
    Ok(())
}

fn assert_superseded(refused: &Result<(), AppendError>, late: &Lease, by: &Lease) -> Checked {
    let Err(AppendError::Superseded { held, current }) = refused else {
        return Err(format!("{refused:?} instead of superseded").into());
    };
    assert_eq!(*held, late.fence);
    assert!(*current > *held && *current <= by.fence, "superseded by {current:?}, not by {:?}", by.fence);
    Ok(())
}

/// A lease that has expired and its successor's, which lasts.
async fn taken_over(store: &Store) -> Result<(Lease, Lease), Box<dyn std::error::Error + Send + Sync>> {
    let late = store.acquire(&run("a")?, &[], "late", SHORT).await?;
    let current = take(store, &late.run, &[]).await?;
    Ok((late, current))
}

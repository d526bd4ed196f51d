//! Which runs are not over.

use flow_core::{Clock as _, SystemClock, name};

use super::{LONG, Store, notes, run};
use crate::conformance::Checked;

/// The runs that are not over are listed by id, in pages, with the number of their records.
pub async fn incomplete_runs_are_listed_by_id_in_pages(store: &Store) -> Checked {
    assert_eq!(store.incomplete(None, 10).await?, []);
    for (id, records) in [("c", 3), ("a", 1), ("e", 5), ("B", 2), ("d", 4)] {
        let lease = store.acquire(&run(id)?, &[], "owner", LONG).await?;
        store.append(&lease, 0, &notes(&[], lease.fence, records)?).await?;
    }
    let mut listed = Vec::new();
    let mut after = None;
    for expected in [2, 2, 1, 0] {
        let page = store.incomplete(after.as_ref(), 2).await?;
        assert_eq!(page.len(), expected, "after {after:?}: {page:?}");
        after = page.last().map(|summary| summary.run.clone()).or(after);
        listed.extend(page.into_iter().map(|summary| (summary.run.to_string(), summary.records)));
    }
    let expected = [("B", 2), ("a", 1), ("c", 3), ("d", 4), ("e", 5)];
    assert_eq!(listed, expected.map(|(id, records)| (id.to_owned(), records)));
    assert_eq!(store.incomplete(None, 10).await?.len(), 5);
    Ok(())
}

/// The list of runs says which of them somebody holds.
pub async fn the_list_says_who_is_leased(store: &Store) -> Checked {
    let held = store.acquire(&run("held")?, &[name!("db")], "owner", LONG).await?;
    store.append(&held, 0, &notes(&[], held.fence, 1)?).await?;
    let released = store.acquire(&run("released")?, &[], "owner", LONG).await?;
    store.append(&released, 0, &notes(&[], released.fence, 1)?).await?;
    store.release(&released).await?;
    let listed = store.incomplete(None, 10).await?;
    let leased: Vec<_> =
        listed.iter().map(|summary| (summary.run.to_string(), summary.leased_until.is_some())).collect();
    assert_eq!(leased, [("held".to_owned(), true), ("released".to_owned(), false)]);
    let now = SystemClock::new().now();
    assert!(listed.iter().filter_map(|summary| summary.leased_until).all(|until| until > now));
    Ok(())
}

/// A closed run is no longer listed; its records still load, and closing it again is done.
pub async fn a_closed_run_is_no_longer_listed_and_still_loads(store: &Store) -> Checked {
    let over = store.acquire(&run("over")?, &[], "owner", LONG).await?;
    let open = store.acquire(&run("open")?, &[], "owner", LONG).await?;
    let written = notes(&[], over.fence, 2)?;
    store.append(&over, 0, &written).await?;
    store.append(&open, 0, &notes(&[], open.fence, 1)?).await?;
    store.close(&over).await?;
    store.close(&over).await?;
    let listed: Vec<_> = store.incomplete(None, 10).await?.into_iter().map(|summary| summary.run).collect();
    assert_eq!(listed, [open.run]);
    assert_eq!(store.load(&over.run).await?, written);
    Ok(())
}

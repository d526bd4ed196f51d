//! What others leave for whoever works on a run.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Store, run};
use crate::conformance::Checked;

/// What was posted first under a topic stays; topics and runs are apart.
pub async fn the_first_body_posted_under_a_topic_stays(store: &Store) -> Checked {
    let (a, b) = (run("a")?, run("b")?);
    assert_eq!(store.posted(&a, "approval").await?, None);
    assert!(store.post(&a, "approval", "yes").await?);
    assert!(!store.post(&a, "approval", "no").await?, "the second body is not the first");
    assert!(store.post(&a, "approval", "yes").await?, "the same body again is");
    assert_eq!(store.posted(&a, "approval").await?.as_deref(), Some("yes"));
    assert_eq!(store.posted(&a, "approval/2").await?, None);
    assert_eq!(store.posted(&b, "approval").await?, None);
    assert!(store.post(&a, "approval/2", "later").await?);
    assert!(store.post(&b, "approval", "no").await?);
    assert_eq!(store.posted(&b, "approval").await?.as_deref(), Some("no"));
    Ok(())
}

/// Of twenty different bodies posted at once exactly one stays, and its sender is told so.
pub async fn of_twenty_bodies_posted_at_once_one_stays(store: &Store) -> Checked {
    let run = run("a")?;
    let mut tasks = JoinSet::new();
    for index in 0..20 {
        let (store, run, body) = (Arc::clone(store), run.clone(), format!("body {index}"));
        tasks.spawn(async move { store.post(&run, "topic", &body).await.map(|stays| (stays, body)) });
    }
    let mut stayed = Vec::new();
    for posted in tasks.join_all().await {
        let (stays, body) = posted?;
        stayed.extend(stays.then_some(body));
    }
    assert_eq!(stayed.len(), 1, "{stayed:?}");
    assert_eq!(store.posted(&run, "topic").await?, stayed.pop());
    Ok(())
}

//! Flipped bits, on the way up, in the bucket, and on the way down.

use std::sync::Arc;

use flow_core::port::AssetStore as _;
use flow_core::stage::Assets;
use flow_core::steps::CheckReachability;
use flow_core::{Captured, Cause, Step as _};
use flow_proving::is_long;
use flow_testkit::cloud::Fault;
use flow_testkit::{context, permit};

use crate::world::{BUCKET, Edge, URL, World, files, site};

fn flips() -> usize {
    if is_long() { 100 } else { 10 }
}

#[tokio::test]
async fn every_bit_that_flips_on_the_way_up_is_found_and_mended_by_the_next_attempt() {
    let world = World::new().await;
    let store = world.store();
    for flip in 0..flips() {
        let release = site(u32::try_from(flip).unwrap() + 1, 12);
        let (directory, manifest) = world.release(&store, &release).await;
        let serving = store.serving().await.unwrap();
        let changed: Vec<&String> =
            manifest.keys().filter(|path| serving.get(*path) != manifest.get(*path)).collect();
        let key = changed[flip % changed.len()].clone();
        world.cloud.fault(Fault::CosCorrupt { subject: (key.clone(),), times: 1 });
        let error = store.put(&permit(), &directory, &manifest).await.unwrap_err();
        assert!(!error.kind().is_rejection(), "{error}");
        assert!(error.to_string().contains(&key), "{key}: {error}");
        // Another process finds it, too, and goes on.
        assert_ne!(world.store().serving().await.unwrap().get(&key), manifest.get(&key));
        store.put(&permit(), &directory, &manifest).await.unwrap();
        for (path, content) in &release {
            assert_eq!(world.files("").get(path), Some(content), "flip {flip}");
        }
    }
}

#[tokio::test]
async fn every_bit_that_flips_in_a_copy_is_found() {
    let world = World::new().await;
    let store = world.store();
    let before = world.put(&store, &files(&[("index.html", "1")])).await;
    world.put(&store, &files(&[("index.html", "2")])).await;
    for _ in 0..flips() {
        world.cloud.fault(Fault::CosCorrupt { subject: ("index.html".into(),), times: 1 });
        let error = store.restore(&permit(), &before).await.unwrap_err();
        assert!(!error.kind().is_rejection(), "{error}");
    }
    store.restore(&permit(), &before).await.unwrap();
    assert_eq!(world.files("")["index.html"], b"1");
}

/// What the bucket itself spoils without saying so, no listing shows: the reader's look does.
#[tokio::test]
async fn every_bit_that_flips_on_the_way_down_is_found() {
    for flip in 0..flips() {
        let world = World::new().await;
        let store = Arc::new(world.store());
        let release = site(1, 12);
        world.put(&store, &release).await;
        let check = CheckReachability::new(store, Arc::new(Edge(world.cloud.address())), URL);
        let key = release.keys().nth(flip % release.len()).unwrap();
        assert!(world.cloud.corrupt_object(BUCKET, key));
        let run = check.run(&context::<Assets>(), &permit(), &Captured::nothing()).await;
        let text = Cause::from(&run.unwrap_err()).to_string();
        assert!(text.contains(key), "{key}: {text}");
    }
}

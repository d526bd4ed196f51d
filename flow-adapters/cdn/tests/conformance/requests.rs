//! How many requests a deployment needs, by the cloud's log.

use flow_core::port::{AssetStore as _, Cdn as _};
use flow_proving::is_long;
use flow_testkit::permit;

use crate::world::{BUCKET, URL, World, site};

fn count() -> usize {
    if is_long() { 2000 } else { 200 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_deployment_sends_each_file_once_and_the_entry_page_last() {
    let (world, count) = (World::new().await, count());
    let store = world.store();
    let (directory, manifest) = world.release(&store, &site(1, count)).await;
    assert_eq!(store.serving().await.unwrap().len(), 0);
    store.put(&permit(), &directory, &manifest).await.unwrap();
    let asked = world.since(0);
    let puts = asked.of_files("PUT object");
    assert_eq!(asked.count("PUT object"), count + 1, "and the record");
    assert_eq!(puts.len(), count);
    assert_eq!(puts.last().map(String::as_str), Some("index.html"));
    let hashed = puts.iter().filter(|key| key.starts_with("assets/")).count();
    assert_eq!(puts.get(hashed).map(String::as_str), Some("site.css"), "hashed names first");
    let bookkeeping = asked.bookkeeping();
    assert!(bookkeeping.len() <= 2, "{bookkeeping:?}");
    assert_eq!(asked.count("HEAD object"), 0);
    assert_eq!(world.files(""), site(1, count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_deployment_lists_and_does_nothing_else() {
    let (world, count) = (World::new().await, count());
    world.put(&world.store(), &site(1, count)).await;
    // Another process: it knows nothing but what the bucket tells and the directory has.
    let store = world.store();
    let (directory, manifest) = world.release(&store, &site(1, count)).await;
    let begun = world.asked();
    store.put(&permit(), &directory, &manifest).await.unwrap();
    let asked = world.since(begun);
    assert!(asked.count("GET bucket") <= 2, "{} listings", asked.count("GET bucket"));
    assert_eq!(asked.0.len(), asked.count("GET bucket"), "{:?}", asked.0);
    // And it is told what is served without a look into any file, by the record alone.
    let begun = world.asked();
    assert_eq!(world.store().serving().await.unwrap(), manifest);
    let asked = world.since(begun);
    assert!(asked.count("GET bucket") <= 2);
    assert_eq!(asked.of("GET object"), [".flow/manifest.json"]);
    assert_eq!(asked.0.len(), asked.count("GET bucket") + 1);
}

#[tokio::test]
async fn what_is_kept_costs_no_listing() {
    let world = World::new().await;
    let manifest = world.put(&world.store(), &site(1, 5)).await;
    for kept in 0..1000 {
        world.cloud.change_object(BUCKET, &format!(".flow/kept/{kept:064}"), Some(b"old"));
    }
    let begun = world.asked();
    assert_eq!(world.store().serving().await.unwrap(), manifest);
    assert_eq!(world.since(begun).count("GET bucket"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_changed_page_is_one_file_one_copy_and_a_purge_of_its_urls() {
    let (world, count) = (World::new().await, count());
    let store = world.store();
    let mut files = site(1, count);
    files.insert("docs/index.html".to_owned(), b"docs 1".to_vec());
    world.put(&store, &files).await;
    files.insert("docs/index.html".to_owned(), b"docs 2".to_vec());
    let (directory, manifest) = world.release(&store, &files).await;
    let begun = world.asked();
    store.put(&permit(), &directory, &manifest).await.unwrap();
    world.cdn().purge(&permit(), &["docs/index.html".to_owned()]).await.unwrap();
    let asked = world.since(begun);
    assert_eq!(asked.of_files("PUT object"), ["docs/index.html"]);
    let copies = asked.of("PUT copy");
    assert!(copies.len() == 1 && copies[0].starts_with(".flow/kept/"), "{copies:?}");
    assert_eq!(asked.count("DELETE object"), 0);
    assert_eq!(asked.count("PurgeUrlsCache"), 1);
    assert_eq!(purged(&world).await, [format!("{URL}/docs/"), format!("{URL}/docs/index.html")]);
    assert_eq!(world.cloud.objects(BUCKET)["docs/index.html"], b"docs 2");
}

/// Every URL that was ever purged, as the CDN tells it.
async fn purged(world: &World) -> Vec<String> {
    let rows = crate::purges::rows(world).await;
    let mut urls: Vec<String> = rows.into_iter().map(|(url, _)| url).collect();
    urls.sort();
    urls
}

//! The asset store, judged by the bucket's objects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_cdn::{CosAssets, SiteConfig};
use flow_core::ErrorKind;
use flow_core::port::{AssetStore, Cdn as _};
use flow_testkit::cloud::Fault;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::assets::{AssetsFixture, Files, Obstruction};
use flow_testkit::permit;

use crate::world::{BUCKET, World, files};

struct Fixture {
    world: World,
    store: CosAssets,
    prefix: &'static str,
}

async fn below(prefix: &'static str) -> Fixture {
    let world = World::new().await;
    let store = world.store_of(SiteConfig { prefix: prefix.into(), ..SiteConfig::new() });
    Fixture { world, store, prefix }
}

#[async_trait]
impl AssetsFixture for Fixture {
    fn store(&self) -> &dyn AssetStore {
        &self.store
    }

    async fn lay_out(&self, files: &Files) -> Outside<PathBuf> {
        Ok(self.world.lay_out(files))
    }

    async fn site(&self) -> Outside<Files> {
        Ok(self.world.files(self.prefix))
    }

    async fn obstruct(&self, path: &str) -> Outside<Obstruction> {
        let subject = (format!("{}{path}", self.prefix),);
        self.world.cloud.fault(Fault::CosCorrupt { subject, times: u32::MAX });
        Ok(Obstruction::Stands)
    }
}

mod whole_bucket {
    async fn fresh() -> super::Fixture {
        super::below("").await
    }

    flow_testkit::assets_conformance!(fresh);
}

mod prefix {
    async fn fresh() -> super::Fixture {
        super::below("shop/www/").await
    }

    flow_testkit::assets_conformance!(fresh);
}

#[tokio::test]
async fn objects_outside_of_the_prefix_are_neither_seen_nor_touched() {
    let fixture = below("shop/").await;
    let others = ["index.html", "shop.html", "shopping/index.html", "shop-old/a.js", ".flow/kept/x"];
    for other in others {
        fixture.world.cloud.change_object(BUCKET, other, Some(b"another's"));
    }
    let config = SiteConfig { prefix: "shop/".into(), keep_releases: 1, ..SiteConfig::new() };
    let store = fixture.world.store_of(config);
    let before = fixture.world.put(&store, &files(&[("a.js", "1"), ("index.html", "1")])).await;
    assert_eq!(store.serving().await.unwrap(), before);
    fixture.world.put(&store, &files(&[("b.js", "2"), ("index.html", "2")])).await;
    store.restore(&permit(), &before).await.unwrap();
    let now = fixture.world.cloud.objects(BUCKET);
    let (ours, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
        now.into_iter().partition(|(key, _)| key.starts_with("shop/"));
    assert_eq!(rest.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut sorted = others.to_vec();
        sorted.sort_unstable();
        sorted
    });
    assert!(rest.values().all(|content| content == b"another's"));
    assert!(ours.contains_key("shop/.flow/manifest.json"));
}

#[tokio::test]
async fn what_somebody_else_wrote_is_noticed_and_kept_before_it_is_overwritten() {
    let world = World::new().await;
    let site = files(&[("a.js", "1"), ("index.html", "1")]);
    let manifest = world.put(&world.store(), &site).await;
    // Of the same size, and by a store that knows nothing but what the bucket tells.
    world.cloud.change_object(BUCKET, "index.html", Some(b"X"));
    let serving = world.store().serving().await.unwrap();
    assert_ne!(serving["index.html"], manifest["index.html"]);
    assert_eq!(serving["index.html"].digest, flow_core::Digest::of(b"X"));
    assert_eq!(serving["a.js"], manifest["a.js"]);
    let store = world.store();
    world.put(&store, &site).await;
    assert_eq!(world.files(""), site);
    store.restore(&permit(), &serving).await.unwrap();
    assert_eq!(world.files("")["index.html"], b"X");
}

#[tokio::test]
async fn files_leave_when_the_kept_releases_do_not_have_them_and_come_back_by_restore() {
    let world = World::new().await;
    let store = world.store_of(SiteConfig { keep_releases: 2, ..SiteConfig::new() });
    let release = |number: u32| {
        let (asset, page) = (format!("a{number}.js"), format!("{number}"));
        files(&[(asset.as_str(), "a"), ("index.html", page.as_str())])
    };
    world.put(&store, &release(1)).await;
    world.cloud.change_object(BUCKET, "foreign.txt", Some(b"another's"));
    world.put(&store, &release(2)).await;
    assert!(world.files("").contains_key("a1.js"), "the release before still has it");
    let before = store.serving().await.unwrap();
    let begun = world.asked();
    world.put(&store, &release(3)).await;
    assert_eq!(world.files("").keys().collect::<Vec<_>>(), ["a2.js", "a3.js", "foreign.txt", "index.html"]);
    // Only after the switch.
    let order: Vec<_> = world.since(begun).0.into_iter().map(|entry| (entry.action, entry.subject)).collect();
    let at = |action: &str, key: &str| {
        let subject = format!("{BUCKET}/{key}");
        order.iter().position(|(done, about)| done == action && *about == subject).unwrap()
    };
    assert!(at("DELETE object", "a1.js") > at("PUT object", "index.html"), "{order:?}");
    store.restore(&permit(), &before).await.unwrap();
    let mut expected = release(2);
    expected.extend(files(&[("a1.js", "a"), ("foreign.txt", "another's")]));
    assert_eq!(world.files(""), expected);
}

#[tokio::test]
async fn a_restore_brings_pages_back_behind_their_assets_and_only_then_removes_what_came_later_pages_first() {
    let world = World::new().await;
    let store = world.store();
    let pages = ["site.css", "docs/index.html", "index.html"];
    let before =
        world.put(&store, &pages.iter().map(|path| ((*path).to_owned(), b"1".to_vec())).collect()).await;
    let later = ["new.js", "new/index.html"];
    let second =
        pages.iter().chain(&later).map(|path| ((*path).to_owned(), format!("2 {path}").into_bytes()));
    world.put(&store, &second.collect()).await;
    let begun = world.asked();
    store.restore(&permit(), &before).await.unwrap();
    let asked = world.since(begun);
    assert_eq!(asked.of_files("PUT copy"), pages);
    assert_eq!(asked.of("DELETE object"), ["new/index.html", "new.js"]);
    let last = asked.0.iter().rposition(|entry| entry.action == "PUT copy").unwrap();
    let first = asked.0.iter().position(|entry| entry.action == "DELETE object").unwrap();
    assert!(last < first);
}

#[tokio::test]
async fn kept_content_that_somebody_changed_is_a_conflict_and_the_site_stays_as_it_is() {
    let world = World::new().await;
    let store = world.store();
    let before = world.put(&store, &files(&[("index.html", "1")])).await;
    world.put(&store, &files(&[("index.html", "2")])).await;
    let key = format!(".flow/kept/{}", before["index.html"].digest.hex());
    assert_eq!(world.cloud.objects(BUCKET)[&key], b"1");
    world.cloud.change_object(BUCKET, &key, Some(b"X"));
    let error = store.restore(&permit(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(world.files(""), files(&[("index.html", "2")]));
    world.cloud.change_object(BUCKET, &key, None);
    let error = store.restore(&permit(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(world.files(""), files(&[("index.html", "2")]));
}

#[tokio::test]
async fn a_record_that_is_none_is_told_and_a_lost_one_is_made_anew_by_reading() {
    let world = World::new().await;
    let manifest = world.put(&world.store(), &files(&[("a.js", "1"), ("index.html", "1")])).await;
    world.cloud.change_object(BUCKET, ".flow/manifest.json", Some(b"{}"));
    let error = world.store().serving().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    world.cloud.change_object(BUCKET, ".flow/manifest.json", None);
    assert_eq!(world.store().serving().await.unwrap(), manifest);
}

#[tokio::test]
async fn what_stands_for_folders_and_what_a_site_below_keeps_are_no_files() {
    let world = World::new().await;
    world.cloud.change_object(BUCKET, "docs/", Some(b""));
    world.cloud.change_object(BUCKET, "shop/.flow/kept/1", Some(b"1"));
    let store = world.store();
    let manifest = world.put(&store, &files(&[("docs/index.html", "1")])).await;
    assert_eq!(store.serving().await.unwrap(), manifest);
    store.restore(&permit(), &BTreeMap::new()).await.unwrap();
    assert_eq!(world.files(""), files(&[("docs/", ""), ("shop/.flow/kept/1", "1")]));
}

#[tokio::test]
async fn content_that_two_files_shared_comes_back_with_the_headers_of_each() {
    let world = World::new().await;
    let store = world.store();
    let paths = ["app.3f2a9c1b.js", "app.js", "app.txt"];
    let before = world.put(&store, &paths.map(|path| (path.to_owned(), b"1".to_vec())).into()).await;
    let headers = async || {
        let mut found = Vec::new();
        for path in paths {
            let reply =
                crate::world::get(world.cloud.address(), &format!("{}/{path}", crate::world::URL)).await;
            found.push((reply.headers["content-type"].clone(), reply.headers["cache-control"].clone()));
        }
        found
    };
    let first = headers().await;
    world.put(&store, &paths.map(|path| (path.to_owned(), b"2".to_vec())).into()).await;
    store.restore(&permit(), &before).await.unwrap();
    world.cdn().purge(&permit(), &paths.map(str::to_owned)).await.unwrap();
    assert_eq!(headers().await, first);
}

#[tokio::test]
async fn every_class_of_files_is_served_with_its_headers() {
    let world = World::new().await;
    let store = world.store();
    let site = files(&[("app.3f2a9c1b.js", "1"), ("a.png", "1"), ("about.html", "1"), ("index.html", "1")]);
    world.put(&store, &site).await;
    for (path, content_type, cache_control) in [
        ("app.3f2a9c1b.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        ("a.png", "image/png", "public, max-age=300"),
        ("about.html", "text/html; charset=utf-8", "no-cache"),
        ("index.html", "text/html; charset=utf-8", "no-cache"),
    ] {
        let reply = crate::world::get(world.cloud.address(), &format!("{}/{path}", crate::world::URL)).await;
        assert_eq!(reply.headers["content-type"], content_type, "{path}");
        assert_eq!(reply.headers["cache-control"], cache_control, "{path}");
    }
}

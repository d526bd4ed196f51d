use std::path::PathBuf;
use std::sync::Arc;

use flow_core::port::AssetRank;
use flow_core::prelude::*;
use flow_core::receipt::{AssetsFacts, BuildFacts};
use flow_core::stage::{Assets, Build};
use flow_core::steps::{CheckDomain, CheckReachability, PurgeCache, SiteFiles, UploadAssets};
use flow_core::{Artifact, Digest, Outcome, StepContext};
use flow_testkit::fake::{FakeAssets, FakeCdn};
use flow_testkit::{context, permit};

use crate::contract::{obeys, run};
use crate::whole::Shop;
use crate::world::{SITE, World};

/// A site that serves an old page; the new release changes it and adds a file.
fn site() -> World {
    let world = World::new();
    world.assets.serve([("index.html", "old"), ("about us.html", "about")]);
    world.assets.lay_out("/dist", [("index.html", "new"), ("about us.html", "about"), ("app.js", "code")]);
    world
}

fn store(world: &World) -> Arc<FakeAssets> {
    Arc::new(world.assets.clone())
}

fn cdn(world: &World) -> Arc<FakeCdn> {
    Arc::new(world.cdn.clone())
}

fn upload(world: &World) -> UploadAssets {
    UploadAssets::new(store(world), SiteFiles::Directory("/dist".into())).behind(cdn(world))
}

fn uploaded(paths: &[&str]) -> StepContext<Assets> {
    let changed = paths.iter().map(|path| (*path).to_owned()).collect();
    context().following(name!("upload-assets"), &Receipt::new().facts(AssetsFacts { changed })).unwrap()
}

fn reader_gets(world: &World, path: &str) -> Option<String> {
    world.cdn.fetch(path).map(|content| String::from_utf8(content).unwrap())
}

#[tokio::test]
async fn an_upload_names_what_changed_and_its_undo_serves_the_old_files() {
    let world = site();
    let receipt = obeys(&world, &Arc::new(upload(&world)), &context()).await;
    assert_eq!(receipt.facts.changed, ["app.js", "index.html"]);
    assert_eq!(world.assets.served()["index.html"], b"new");
}

#[tokio::test]
async fn after_an_undo_readers_get_the_old_page_past_the_cache() {
    for finished in [true, false] {
        let world = site();
        let step = upload(&world);
        let before = step.capture(&context()).await.unwrap();
        let receipt = step.run(&context(), &permit(), &before).await.unwrap();
        assert_eq!(reader_gets(&world, "index.html").as_deref(), Some("new"));
        let outcome = if finished { Outcome::Finished(receipt) } else { Outcome::InDoubt(None) };
        // The first attempt of the undo breaks after the files are back and before the cache is purged.
        world.doubt("assets.restore");
        step.roll_back(&context(), &permit(), &before, &outcome).await.unwrap_err();
        assert!(world.ledger.faults().unfired().is_empty());
        step.roll_back(&context(), &permit(), &before, &outcome).await.unwrap();
        assert_eq!(reader_gets(&world, "index.html").as_deref(), Some("old"));
        assert_eq!(reader_gets(&world, "app.js"), None, "it was not there before");
    }
}

#[tokio::test]
async fn an_undo_in_doubt_whose_directory_is_gone_purges_all_that_the_cache_may_have() {
    let world = site();
    let step = upload(&world);
    let before = step.capture(&context()).await.unwrap();
    step.run(&context(), &permit(), &before).await.unwrap();
    world.assets.clear("/dist".as_ref());
    reader_gets(&world, "index.html");
    world.doubt("assets.restore");
    step.roll_back(&context(), &permit(), &before, &Outcome::InDoubt(None)).await.unwrap_err();
    step.roll_back(&context(), &permit(), &before, &Outcome::InDoubt(None)).await.unwrap();
    assert_eq!(reader_gets(&world, "index.html").as_deref(), Some("old"));
}

#[tokio::test]
async fn an_upload_takes_the_directory_of_a_built_artefact() {
    let world = site();
    let step = UploadAssets::new(store(&world), SiteFiles::Artifact(name!("site")));
    assert_eq!(run(&step, &context()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!step.preview(&context()).await.unwrap().unknowns.is_empty());
    let artifact = |path: &str| Artifact { digest: Digest::of(b"site"), path: PathBuf::from(path) };
    let built = |path: &str| {
        let artifacts = [(name!("site"), artifact(path))].into();
        Receipt::<Build>::new().facts(BuildFacts { artifacts, ..BuildFacts::default() })
    };
    let cx = context::<Assets>().after(name!("build"), &built("/dist")).unwrap();
    assert_eq!(run(&step, &cx).await.unwrap().facts.changed, ["app.js", "index.html"]);
    let two = cx.after(name!("build-again"), &built("/other")).unwrap();
    assert_eq!(run(&step, &two).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_directory_that_is_not_the_plans_any_more_is_refused() {
    let mut shop = Shop::new();
    shop.world.assets.lay_out("/dist", [("index.html", "approved")]);
    shop.files = Some(SiteFiles::Directory("/dist".into()));
    let plan = shop.plan().await;
    let item = plan.item(flow_core::stage::StageName::Assets, &name!("upload-assets")).unwrap();
    assert_eq!(item.preview.deploys.len(), 1, "production asks for evidence of it");
    let cx = context::<Assets>().planned(plan);
    shop.world.assets.lay_out("/dist", [("index.html", "edited")]);
    assert_eq!(run(&upload(&shop.world), &cx).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(shop.world.changes().is_empty());
}

#[tokio::test]
async fn an_empty_site_is_refused() {
    let world = site();
    world.assets.lay_out::<&str, &str>("/dist", []);
    assert_eq!(run(&upload(&world), &context()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn exactly_the_changed_paths_are_purged_and_purged_again_by_the_undo() {
    let world = site();
    let step = Arc::new(PurgeCache::new(cdn(&world)));
    obeys(&world, &step, &uploaded(&["app.js", "index.html"])).await;
    assert!(world.changes().iter().all(|change| change == "cdn.purge app.js index.html"));

    let quiet = site();
    obeys(&quiet, &Arc::new(PurgeCache::new(cdn(&quiet))), &uploaded(&[])).await;
    assert!(quiet.changes().is_empty());
}

#[tokio::test]
async fn a_domain_that_is_not_as_it_must_be_fails() {
    let world = site();
    obeys(&world, &Arc::new(CheckDomain::new(cdn(&world))), &context()).await;
    world.cdn.break_domain("the certificate has expired");
    let error = run(&CheckDomain::new(cdn(&world)), &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("the certificate has expired"));
}

fn reach(world: &World) -> CheckReachability {
    CheckReachability::new(store(world), Arc::new(world.clone()), format!("{SITE}/"))
}

#[tokio::test]
async fn every_changed_file_is_fetched_and_compared() {
    let world = site();
    let cx = uploaded(&["about us.html", "index.html"]);
    let receipt = obeys(&world, &Arc::new(reach(&world)), &cx).await;
    assert_eq!(receipt.evidence[0].observed["fetched"], serde_json::json!(2));
    assert!(world.state().asked.contains(&format!("{SITE}/about%20us.html")));

    world.assets.serve([("index.html", "changed behind the cache"), ("about us.html", "about")]);
    let error = run(&reach(&world), &cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.facts().collect::<Vec<_>>(), [("files", "index.html: another content")]);
}

#[tokio::test]
async fn without_a_change_every_served_file_is_fetched_and_without_files_it_fails() {
    let world = site();
    let receipt = run(&reach(&world), &context()).await.unwrap();
    assert_eq!(receipt.evidence[0].observed["fetched"], serde_json::json!(2));
    world.assets.serve::<&str, &str>([]);
    assert_eq!(run(&reach(&world), &context()).await.unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(run(&reach(&world), &uploaded(&["index.html"])).await.unwrap_err().kind(), ErrorKind::Failed);
}

#[tokio::test]
async fn a_base_url_that_is_none_is_refused_by_the_plan() {
    let world = site();
    for base in ["shop.test", "https://shop.test/?a=b", ""] {
        let step = CheckReachability::new(store(&world), Arc::new(world.clone()), base);
        assert_eq!(step.preview(&context()).await.unwrap_err().kind(), ErrorKind::Invalid, "{base}");
    }
}

#[tokio::test]
async fn files_of_a_rank_must_come_with_the_headers_that_are_demanded_of_it() {
    let world = site();
    world.assets.serve([("index.html", "old"), ("app.11111111.js", "app"), ("app.js", "app")]);
    let demanding = |rank| reach(&world).with_header(rank, "Cache-Control", "immutable");
    run(&demanding(AssetRank::Hashed), &context()).await.unwrap();
    for (rank, file) in [(AssetRank::Asset, "app.js"), (AssetRank::Entry, "index.html")] {
        let error = run(&demanding(rank), &context()).await.unwrap_err();
        let problem = format!("{file}: no `immutable` in the header `cache-control`");
        assert_eq!(error.facts().collect::<Vec<_>>(), [("files", problem.as_str())]);
    }
    let odd = reach(&world).with_header(AssetRank::Page, "Cache Control", "");
    let error = odd.preview(&context()).await.unwrap_err();
    let problems = std::error::Error::source(&error).unwrap().to_string();
    assert!(problems.contains("no HTTP token") && problems.contains("a value is empty"), "{problems}");
}

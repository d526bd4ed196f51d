//! The asset store on a host, judged by the files in the web root.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use flow_core::port::{AssetStore, Manifest};
use flow_core::{ErrorKind, name};
use flow_host::HostAssets;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::assets::{AssetsFixture, Files, Obstruction};
use flow_testkit::permit;

use crate::world::{World, at};

struct Fixture {
    world: World,
    store: HostAssets,
    releases: AtomicU32,
}

async fn fresh() -> Fixture {
    let world = World::new();
    let store = HostAssets::new(name!("site"), world.host("web-1"), at("public/www")).unwrap();
    Fixture { world, store, releases: AtomicU32::new(0) }
}

impl Fixture {
    fn root(&self) -> PathBuf {
        self.world.root("web-1").join("public/www")
    }

    fn files(&self) -> Files {
        let mut files = Files::new();
        let mut left = vec![self.root()];
        while let Some(directory) = left.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    left.push(path);
                } else {
                    let name = path.strip_prefix(self.root()).unwrap().display().to_string();
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

#[async_trait]
impl AssetsFixture for Fixture {
    fn store(&self) -> &dyn AssetStore {
        &self.store
    }

    async fn lay_out(&self, files: &Files) -> Outside<PathBuf> {
        let number = self.releases.fetch_add(1, Ordering::Relaxed);
        let root = self.world.directory.path().join(format!("site-{number}"));
        fs::create_dir(&root)?;
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().ok_or("the path has no parent")?)?;
            fs::write(path, content)?;
        }
        Ok(root)
    }

    async fn site(&self) -> Outside<Files> {
        Ok(self.files())
    }

    async fn obstruct(&self, path: &str) -> Outside<Obstruction> {
        fs::create_dir(self.root().join(path))?;
        Ok(Obstruction::Stands)
    }
}

flow_testkit::assets_conformance!(fresh);

fn release(number: u8) -> Files {
    let page = format!("page of {number}: app.1111111{number}.js site.css\n");
    BTreeMap::from([
        ("index.html".to_owned(), page.clone().into_bytes()),
        ("docs/index.html".to_owned(), page.into_bytes()),
        (format!("app.1111111{number}.js"), format!("app {number}").into_bytes()),
        ("-rf; $(x) 'ü'.css".to_owned(), format!("css {number}").into_bytes()),
    ])
}

/// Wherever the connection breaks, a page that is served finds what it names, and the site is brought back whole.
#[tokio::test]
async fn a_put_that_broke_at_any_change_leaves_a_whole_site_and_is_taken_back() {
    // With nothing kept yet, what will be overwritten is kept first; with all of it kept, only files are put.
    for (kept, changes) in [(false, 5), (true, 4)] {
        let fixture = fresh().await;
        let (store, breaks) = (&fixture.store, &fixture.world.breaks);
        let [(_, one), (directory, two)] = releases(&fixture).await;
        if kept {
            store.put(&permit(), &directory, &two).await.unwrap();
            store.restore(&permit(), &one).await.unwrap();
        }
        let mut broke = 0;
        for nth in 1.. {
            breaks.at(nth);
            let put = store.put(&permit(), &directory, &two).await;
            if !breaks.mend() {
                put.unwrap();
                break;
            }
            broke += 1;
            assert!(!put.unwrap_err().kind().is_rejection(), "change {nth} stands, and the put is rejected");
            whole(&fixture.files());
            store.restore(&permit(), &one).await.unwrap();
            assert_eq!(fixture.files(), release(1), "restored after change {nth} of a put");
        }
        assert!(broke >= changes, "{broke} changes were broken");
    }
}

/// No page is put that names what is not there as it was meant to be.
#[tokio::test]
async fn a_file_that_arrived_as_something_else_is_in_doubt_and_no_page_names_it() {
    let fixture = fresh().await;
    let [(_, one), (directory, two)] = releases(&fixture).await;
    fixture.world.breaks.spoiled.store(1, Ordering::SeqCst);
    let put = fixture.store.put(&permit(), &directory, &two).await.unwrap_err();
    assert!(!put.kind().is_rejection(), "{put}");
    assert_eq!(fixture.files()["index.html"], release(1)["index.html"]);
    fixture.store.restore(&permit(), &one).await.unwrap();
    assert_eq!(fixture.files(), release(1));
}

/// A restore that broke says so, and the next one finishes it.
#[tokio::test]
async fn a_restore_that_broke_at_any_change_is_finished_by_the_next_one() {
    let fixture = fresh().await;
    let (store, breaks) = (&fixture.store, &fixture.world.breaks);
    let [(_, one), (directory, two)] = releases(&fixture).await;
    let mut broke = 0;
    for nth in 1.. {
        store.put(&permit(), &directory, &two).await.unwrap();
        breaks.at(nth);
        let restored = store.restore(&permit(), &one).await;
        if !breaks.mend() {
            restored.unwrap();
            break;
        }
        broke += 1;
        assert!(!restored.unwrap_err().kind().is_rejection(), "change {nth} stands, and it is rejected");
        whole(&fixture.files());
        store.restore(&permit(), &one).await.unwrap();
        assert_eq!(fixture.files(), release(1), "restored once more after change {nth}");
    }
    assert!(broke > 4, "{broke} changes were broken");
}

/// Two releases, each with its directory, of which the first is served.
async fn releases(fixture: &Fixture) -> [(PathBuf, Manifest); 2] {
    let mut releases = Vec::new();
    for number in [1, 2] {
        let directory = fixture.lay_out(&release(number)).await.unwrap();
        let manifest = fixture.store.read(&directory).await.unwrap();
        releases.push((directory, manifest));
    }
    let releases: [_; 2] = releases.try_into().unwrap();
    fixture.store.put(&permit(), &releases[0].0, &releases[0].1).await.unwrap();
    releases
}

fn whole(files: &Files) {
    for page in ["index.html", "docs/index.html"] {
        let text = String::from_utf8(files[page].clone()).unwrap();
        let names = text.split([' ', '\n']).find(|word| word.starts_with("app.")).unwrap();
        assert!(files.contains_key(names), "{page} names {names}, which is not there");
    }
}

#[tokio::test]
async fn kept_content_that_somebody_changed_is_a_conflict_and_the_site_stays_as_it_is() {
    let fixture = fresh().await;
    let store = &fixture.store;
    let [(_, one), (directory, two)] = releases(&fixture).await;
    store.put(&permit(), &directory, &two).await.unwrap();
    let kept = fixture.world.root("web-1").join("public/www.kept");
    let page = kept.join(one["index.html"].digest.hex());
    assert_eq!(fs::read(&page).unwrap(), release(1)["index.html"], "kept outside of what is served");
    fs::write(page, "somebody's").unwrap();
    let before = fixture.files();
    let error = store.restore(&permit(), &one).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(fixture.files(), before);
}

#[tokio::test]
async fn a_link_in_a_release_is_refused_and_nothing_is_served_of_it() {
    let fixture = fresh().await;
    let directory = fixture.lay_out(&release(1)).await.unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.join("passwd.html")).unwrap();
    let error = fixture.store.read(&directory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(fixture.files().is_empty());
}

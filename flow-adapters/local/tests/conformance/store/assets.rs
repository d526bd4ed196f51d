use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flow_core::port::{AssetFile, AssetStore, Manifest};
use flow_core::{Digest, ErrorKind};
use flow_local::store::DirectoryAssets;
use flow_testkit::permit;
use tempfile::TempDir;

use super::tree::{mode, plant, tree, whole};

struct Place {
    _directory: TempDir,
    site: PathBuf,
    release: PathBuf,
    store: DirectoryAssets,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let site = directory.path().join("www/site");
        let release = directory.path().join("release");
        fs::create_dir(&release).unwrap();
        Self { store: DirectoryAssets::new(&site), site, release, _directory: directory }
    }

    /// Lays out a release anew.
    fn release(&self, files: &[(&str, &str)]) {
        fs::remove_dir_all(&self.release).unwrap();
        fs::create_dir(&self.release).unwrap();
        plant(&self.release, files);
    }

    async fn put(&self, files: &[(&str, &str)]) -> Manifest {
        self.release(files);
        let manifest = self.store.read(&self.release).await.unwrap();
        self.store.put(&permit(), &self.release, &manifest).await.unwrap();
        manifest
    }

    fn kept(&self, content: &str) -> PathBuf {
        self.site.join(".flow/kept").join(Digest::of(content.as_bytes()).hex())
    }
}

fn file(content: &str) -> AssetFile {
    AssetFile { digest: Digest::of(content.as_bytes()), bytes: content.len() as u64 }
}

fn inode(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

const FIRST: [(&str, &str); 4] = [
    ("index.html", "first: app.11111111.js"),
    ("app.11111111.js", "first app"),
    ("css/site.css", "body {}"),
    ("robots.txt", "all"),
];
const SECOND: [(&str, &str); 4] = [
    ("index.html", "second: app.22222222.js"),
    ("app.22222222.js", "second app"),
    ("css/site.css", "body {}"),
    ("docs/guide/page.html", "guide"),
];

#[tokio::test]
async fn a_release_is_served_whole_and_taking_it_back_leaves_the_tree_as_it_was() {
    let place = Place::new();
    assert_eq!(place.store.serving().await.unwrap(), Manifest::new());
    let before = place.put(&FIRST).await;
    assert_eq!(before.get("css/site.css"), Some(&file("body {}")));
    assert_eq!(place.store.serving().await.unwrap(), before);
    let tree_before = tree(&place.site);

    place.put(&SECOND).await;
    let during = tree(&place.site);
    assert_eq!(during["index.html"].as_deref(), Some(&b"second: app.22222222.js"[..]));
    assert_eq!(during["app.11111111.js"].as_deref(), Some(&b"first app"[..]), "old files stay");
    assert_eq!(fs::read_to_string(place.kept("first: app.11111111.js")).unwrap(), "first: app.11111111.js");
    assert_eq!(mode(&place.site.join(".flow")), 0o700);

    place.store.restore(&permit(), &before).await.unwrap();
    assert_eq!(tree(&place.site), tree_before);
    assert_eq!(place.store.serving().await.unwrap(), before);
}

#[tokio::test]
async fn putting_or_restoring_twice_writes_nothing_the_second_time() {
    let place = Place::new();
    let before = place.put(&FIRST).await;
    let untouched = inode(&place.site.join("css/site.css"));
    let manifest = place.put(&SECOND).await;
    assert_eq!(inode(&place.site.join("css/site.css")), untouched, "an unchanged file was written");
    let page = inode(&place.site.join("index.html"));
    place.store.put(&permit(), &place.release, &manifest).await.unwrap();
    assert_eq!(inode(&place.site.join("index.html")), page);

    place.store.restore(&permit(), &before).await.unwrap();
    let page = inode(&place.site.join("index.html"));
    place.store.restore(&permit(), &before).await.unwrap();
    assert_eq!(inode(&place.site.join("index.html")), page);
    assert_eq!(fs::read_dir(place.site.join(".flow/staged")).unwrap().count(), 0);
}

/// Loads both pages and all that they name, over and over, and counts the loads. A page is found wanting only while it
/// is one that the site serves: no release brings an earlier page back with its assets gone.
fn browse(site: &Path, stop: &AtomicBool, loads: &AtomicU64) -> Vec<String> {
    let mut wanting = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for name in ["index.html", "news/index.html"] {
            let Ok(page) = fs::read_to_string(site.join(name)) else { continue };
            let missing: Vec<&str> =
                page.split_whitespace().filter(|asset| !site.join(asset).is_file()).collect();
            if !missing.is_empty() && fs::read_to_string(site.join(name)).is_ok_and(|now| now == page) {
                wanting.push(format!("`{page}` lacks {missing:?}"));
            }
        }
        loads.fetch_add(1, Ordering::Relaxed);
    }
    wanting
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_meets_a_page_whose_assets_are_missing() {
    let place = Place::new();
    let before =
        place.put(&[("index.html", "a.00000000.js b.css"), ("a.00000000.js", "0"), ("b.css", "0")]).await;
    let (stop, loads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let reader = std::thread::spawn({
        let (site, stop, loads) = (place.site.clone(), Arc::clone(&stop), Arc::clone(&loads));
        move || browse(&site, &stop, &loads)
    });
    for round in 1..=50 {
        // Inner pages and assets of every kind, named anew in each round, so that a lost one would be noticed.
        let names: Vec<String> = (0..4)
            .map(|n| format!("js/chunk{n}.{round:08x}.js"))
            .chain([format!("css/{round}.css")])
            .collect();
        let page = names.join(" ");
        let mut files =
            vec![("index.html", page.as_str()), ("news/index.html", page.as_str()), ("b.css", "0")];
        files.extend(names.iter().map(|name| (name.as_str(), page.as_str())));
        let seen = loads.load(Ordering::Relaxed);
        place.put(&files).await;
        place.store.restore(&permit(), &before).await.unwrap();
        while loads.load(Ordering::Relaxed) == seen && !reader.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(reader.join().unwrap(), Vec::<String>::new());
    assert!(loads.load(Ordering::Relaxed) >= 50);
}

#[tokio::test]
async fn a_directory_that_changed_since_its_manifest_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    place.put(&FIRST).await;
    let before = tree(&place.site);
    place.release(&SECOND);
    let manifest = place.store.read(&place.release).await.unwrap();
    // A flipped byte in a new file, one in a file that the site has already, a file more and a file less.
    plant(
        &place.release,
        &[("app.22222222.js", "second bpp"), ("css/site.css", "body {;"), ("more.txt", "")],
    );
    fs::remove_file(place.release.join("docs/guide/page.html")).unwrap();

    let error = place.store.put(&permit(), &place.release, &manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = whole(&error);
    for path in [
        "`app.22222222.js`: holds",
        "`css/site.css`: holds",
        "`more.txt`: is not in",
        "page.html`: is missing",
    ] {
        assert!(text.contains(path), "{path} in {text}");
    }
    assert_eq!(tree(&place.site), before);
    assert_eq!(fs::read_dir(place.site.join(".flow/staged")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_put_that_fails_half_way_is_in_doubt_and_restore_makes_it_good() {
    let place = Place::new();
    let before = place.put(&FIRST).await;
    // An empty directory is in nobody's manifest, and a page cannot take its name: the assets are in force by then.
    fs::create_dir(place.site.join("about.html")).unwrap();
    let tree_before = tree(&place.site);
    place.release(&[SECOND[0], SECOND[1], ("about.html", "about")]);
    let manifest = place.store.read(&place.release).await.unwrap();

    let error = place.store.put(&permit(), &place.release, &manifest).await.unwrap_err();
    assert!(!error.kind().is_rejection(), "{error}");
    let half_way = tree(&place.site);
    assert!(half_way.contains_key("app.22222222.js"), "the fault did not strike half-way");
    assert_eq!(half_way["index.html"].as_deref(), Some(FIRST[0].1.as_bytes()));

    place.store.restore(&permit(), &before).await.unwrap();
    assert_eq!(tree(&place.site), tree_before);
}

const KILLED: &str = "FLOW_LOCAL_TEST_KILLED_PUT";

#[tokio::test]
#[ignore = "it is the process that the next test starts and kills"]
async fn the_put_that_is_killed() {
    let Some(place) = std::env::var_os(KILLED).map(PathBuf::from) else { return };
    let store = DirectoryAssets::new(place.join("site"));
    let release = place.join("release");
    let manifest = store.read(&release).await.unwrap();
    store.put(&permit(), &release, &manifest).await.unwrap();
}

#[tokio::test]
async fn a_put_killed_at_any_moment_is_taken_back_or_finished() {
    let mut half_way = 0;
    for round in 0..12_usize {
        let directory = TempDir::new().unwrap();
        let (site, release) = (directory.path().join("site"), directory.path().join("release"));
        let store = DirectoryAssets::new(&site);
        let files = |version: &str| -> Vec<(String, String)> {
            let page = |n: usize| (format!("{n}/index.html"), format!("{version} page {n}"));
            let asset = |n: usize| (format!("{n}/{version}.{n:08x}.js"), format!("{version} asset {n}"));
            (0..12).map(page).chain((0..12).map(asset)).collect()
        };
        let lay_out = |version: &str| {
            for (path, content) in files(version) {
                plant(&release, &[(&path, &content)]);
            }
        };
        lay_out("old");
        let before = store.read(&release).await.unwrap();
        store.put(&permit(), &release, &before).await.unwrap();
        let tree_before = tree(&site);
        fs::remove_dir_all(&release).unwrap();
        lay_out("new");
        let manifest = store.read(&release).await.unwrap();

        let in_force = || manifest.keys().filter(|path| is_new(&site.join(path))).count();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::assets::the_put_that_is_killed"])
            .env(KILLED, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while in_force() < round * 2 && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        let reached = in_force();
        half_way += usize::from(reached > 0 && reached < manifest.len());

        if round % 2 == 0 {
            store.restore(&permit(), &before).await.unwrap();
            assert_eq!(tree(&site), tree_before, "killed with {reached} files in force");
        } else {
            store.put(&permit(), &release, &manifest).await.unwrap();
            store.restore(&permit(), &before).await.unwrap();
            assert_eq!(tree(&site), tree_before, "finished from {reached} files in force, then taken back");
        }
    }
    assert!(half_way > 0, "no kill struck half-way");
}

fn is_new(path: &Path) -> bool {
    fs::read(path).is_ok_and(|content| content.starts_with(b"new"))
}

#[tokio::test]
async fn restore_without_kept_content_names_all_of_it_and_touches_nothing() {
    let place = Place::new();
    let before = place.put(&[("index.html", "one"), ("a.css", "one"), ("b.css", "uno")]).await;
    place.put(&[("index.html", "two"), ("a.css", "two"), ("b.css", "due")]).await;
    let during = tree(&place.site);
    fs::remove_file(place.kept("one")).unwrap();
    let error = place.store.restore(&permit(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = whole(&error);
    assert!(text.contains("`index.html`") && text.contains("`a.css`") && !text.contains("`b.css`"), "{text}");
    assert_eq!(tree(&place.site), during);

    fs::write(place.kept("one"), "0ne").unwrap();
    let error = place.store.restore(&permit(), &before).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(tree(&place.site), during);
}

#[tokio::test]
async fn a_release_with_links_odd_names_and_other_things_is_refused_with_all_of_them() {
    let place = Place::new();
    let secret = place.release.parent().unwrap().join("secret");
    plant(place.release.parent().unwrap(), &[("secret", "secret"), ("outside/file", "x")]);
    plant(
        &place.release,
        &[("index.html", "x"), (".flow/kept/x", "x"), ("line\nbreak", "x"), ("back\\slash", "x")],
    );
    symlink(&secret, place.release.join("link.txt")).unwrap();
    symlink(place.release.parent().unwrap().join("outside"), place.release.join("linked")).unwrap();
    symlink("nowhere", place.release.join("dangling")).unwrap();
    fs::write(place.release.join(OsStr::from_bytes(b"latin\xe9")), "x").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.release.join("pipe"), 0o600.into()).unwrap();

    let error = place.store.read(&place.release).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = whole(&error);
    for field in
        ["`.flow`", "`line\\nbreak`", "slash`", "`link.txt`", "`linked`", "`dangling`", "`latin", "`pipe`"]
    {
        assert!(text.contains(field), "{field} in {text}");
    }
    assert!(!text.contains("`index.html`"), "{text}");
    let gone = place.store.read(&place.release.join("nowhere-at-all")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_manifest_whose_paths_leave_the_site_is_refused_with_all_of_them() {
    let place = Place::new();
    let paths = ["../x", "/etc/x", "a/../../x", ".flow/kept/x", "a//b", "", "a\nb"];
    let manifest: Manifest = paths.iter().map(|path| ((*path).to_owned(), file("x"))).collect();
    let put = place.store.put(&permit(), &place.release, &manifest).await.unwrap_err();
    let restore = place.store.restore(&permit(), &manifest).await.unwrap_err();
    for error in [put, restore] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = whole(&error);
        for path in ["`../x`", "`/etc/x`", "`a/../../x`", "`.flow/kept/x`", "`a//b`", "``", "`a\\nb`"] {
            assert!(text.contains(path), "{path} in {text}");
        }
    }
    assert!(!place.site.exists());
}

#[tokio::test]
async fn a_link_inside_the_site_is_never_written_through() {
    let place = Place::new();
    place.put(&FIRST).await;
    let outside = place.site.parent().unwrap().join("outside");
    plant(&outside, &[("file", "theirs")]);
    symlink(&outside, place.site.join("docs")).unwrap();
    place.release(&[("index.html", "x"), ("docs/file", "ours")]);
    let manifest = place.store.read(&place.release).await.unwrap();
    let error = place.store.put(&permit(), &place.release, &manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(whole(&error).contains("`docs`: is a link"), "{}", whole(&error));
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "theirs");
    assert_eq!(place.store.serving().await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_file_in_place_of_a_directory_is_a_conflict_that_changes_nothing() {
    let place = Place::new();
    place.put(&[("a", "file"), ("d/e", "file")]).await;
    let before = tree(&place.site);
    place.release(&[("a/b", "x"), ("d", "x")]);
    let manifest = place.store.read(&place.release).await.unwrap();
    let error = place.store.put(&permit(), &place.release, &manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = whole(&error);
    assert!(
        text.contains("`a/b`: the site has a file") && text.contains("`d`: the site has a directory"),
        "{text}"
    );
    assert_eq!(tree(&place.site), before);

    let blocked = DirectoryAssets::new(place.site.join("a"));
    assert_eq!(blocked.serving().await.unwrap_err().kind(), ErrorKind::Conflict);
    let error = blocked.put(&permit(), &place.release, &manifest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("www/site/a"), "{error}");
    assert_eq!(tree(&place.site), before);
}

#[tokio::test]
async fn a_put_that_its_caller_gave_up_writes_nothing_after_a_restore() {
    let place = Place::new();
    let before = place.put(&FIRST).await;
    let tree_before = tree(&place.site);
    place.release(&SECOND);
    let manifest = place.store.read(&place.release).await.unwrap();
    for _ in 0..30 {
        let permit = permit();
        let mut put = place.store.put(&permit, &place.release, &manifest);
        // One poll hands the work to a thread; dropping the call then leaves that thread behind.
        assert!(futures::poll!(&mut put).is_pending());
        drop(put);
        place.store.restore(&flow_testkit::permit(), &before).await.unwrap();
        // Whoever holds the site's lock now waited for that thread, so nothing can come after this.
        place.store.restore(&flow_testkit::permit(), &before).await.unwrap();
        assert_eq!(tree(&place.site), tree_before);
    }
}

#[test]
fn a_site_is_one_resource_however_it_is_written() {
    let absolute = std::env::current_dir().unwrap().join("www");
    assert_eq!(DirectoryAssets::new("www").resource(), DirectoryAssets::new(absolute).resource());
    assert_ne!(DirectoryAssets::new("www").resource(), DirectoryAssets::new("other").resource());
}

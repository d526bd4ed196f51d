//! Every store on a disk without room: the error is typed, what stood stands whole, nothing is left beside it, and with
//! room again the next attempt succeeds.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::port::{
    AlertRules, AssetStore, ConfigurationStore, EvidenceStore, Host, HostPath, RuleSet, RunEvidence, Vault,
};
use flow_core::{Digest, Environment, ErrorKind, RunId, StepError, SystemClock, name};
use flow_testkit::permit;
use tempfile::TempDir;

use crate::host::{HostConfig, LocalHost};
use crate::os::{self, FullDisk, Room};
use crate::store::{DirectoryAssets, DirectoryConfiguration, DirectoryEvidence, DirectoryVault, RuleFiles};

/// Where the room ends: before the file, before its first byte, within it, and when it is to be durable.
const ROOMS: [Room; 4] = [Room::NoFile, Room::Bytes(0), Room::Bytes(5), Room::UntilSynced];

/// Longer than any of the rooms.
const OLD: &[u8] = b"the old content";
const NEW: &[u8] = b"the new content";

/// A directory to fill.
struct Place {
    root: PathBuf,
    _directory: TempDir,
}

fn place() -> Place {
    let directory = TempDir::new().unwrap();
    let root = fs::canonicalize(directory.path()).unwrap().join("root");
    fs::create_dir(&root).unwrap();
    Place { root, _directory: directory }
}

impl Place {
    /// Every file and what it holds.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut left = vec![self.root.clone()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    found.insert(path.strip_prefix(&self.root).unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    /// Makes an attempt for each room, holds each to the promises, and then one with room.
    async fn fill<T: std::fmt::Debug>(
        &self,
        rooms: &[Room],
        attempt: impl AsyncFn() -> Result<T, StepError>,
    ) {
        let before = self.files();
        for room in rooms {
            let full = FullDisk::below(&self.root, *room);
            let error = attempt().await.expect_err(&format!("there is no room: {room:?}"));
            assert_full(&error, &self.root);
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{room:?}: {error}");
            assert_eq!(self.files(), before, "{room:?}");
            drop(full);
        }
        attempt().await.unwrap();
        assert_ne!(self.files(), before, "with room it succeeds");
    }
}

/// The error says where, and that there was no room.
fn assert_full(error: &StepError, root: &Path) {
    let at = error.facts().find(|(name, _)| *name == "path").map(|(_, path)| path.to_owned());
    let at = at.unwrap_or_else(|| panic!("no path in {error:?}"));
    assert!(!at.starts_with('/') || Path::new(&at).starts_with(root), "another place: {at}");
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let cause = cause.unwrap_or_else(|| panic!("no cause in {error:?}"));
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull, "{cause}");
}

#[tokio::test]
async fn a_configuration_stands_when_there_is_no_room_for_the_next() {
    let place = place();
    let store = DirectoryConfiguration::new(&place.root);
    store.write(&permit(), &name!("web"), Some(OLD.to_vec())).await.unwrap();
    place.fill(&ROOMS, async || store.write(&permit(), &name!("web"), Some(NEW.to_vec())).await).await;
    assert_eq!(store.read(&name!("web")).await.unwrap().unwrap(), NEW);
}

#[tokio::test]
async fn sealed_state_stands_when_there_is_no_room_for_more() {
    let place = place();
    let root = place.root.join("vault");
    let vault = DirectoryVault::new(&root);
    let old = vault.seal(&permit(), OLD).await.unwrap();
    place.fill(&ROOMS, async || vault.seal(&permit(), NEW).await).await;
    assert_eq!(vault.open(&old).await.unwrap(), OLD);

    fs::write(root.join(old.digest.hex()), "tampered").unwrap();
    place.fill(&ROOMS, async || vault.seal(&permit(), OLD).await).await;
    assert_eq!(vault.open(&old).await.unwrap(), OLD);
}

#[tokio::test]
async fn rules_stand_when_there_is_no_room_for_the_next() {
    let place = place();
    let rules = RuleFiles::new(&place.root);
    let set = |groups: &str| RuleSet { name: name!("shop"), rules: groups.to_owned() };
    rules.apply(&permit(), &set("groups: []\n")).await.unwrap();
    let new = set("groups: [] # new\n");
    place.fill(&ROOMS, async || rules.apply(&permit(), &new).await).await;
    assert_eq!(rules.read(&new.name).await.unwrap(), Some(new));
}

fn proof(run: &str, contents: &[&[u8]]) -> RunEvidence {
    RunEvidence {
        application: name!("shop"),
        environment: Environment::Staging,
        release: name!("1.0.0"),
        digests: contents.iter().map(|content| Digest::of(content)).collect(),
        proved: Vec::new(),
        run: RunId::new(run).unwrap(),
        head: Digest::of(b"head"),
        recorded: "2026-01-02T03:04:05Z".parse().unwrap(),
        expires: "2026-02-02T03:04:05Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn evidence_stands_when_there_is_no_room_for_more() {
    let place = place();
    let store = DirectoryEvidence::new(&place.root);
    let (first, second) = (proof("run-1", &[OLD]), proof("run-2", &[OLD]));
    store.record(&permit(), &first).await.unwrap();
    place.fill(&ROOMS, async || store.record(&permit(), &second).await).await;
    let found = store.find(&first.application, first.environment, &Digest::of(OLD)).await.unwrap();
    assert_eq!(found, [first, second]);
}

#[tokio::test]
async fn evidence_that_is_half_recorded_is_in_doubt_and_the_next_attempt_finishes_it() {
    let place = place();
    let store = DirectoryEvidence::new(&place.root);
    let evidence = proof("run-1", &[OLD, NEW]);
    let one_file = serde_json::to_vec_pretty(&evidence).unwrap().len();
    let full = FullDisk::below(&place.root, Room::Bytes(one_file + 5));
    let error = store.record(&permit(), &evidence).await.unwrap_err();
    assert_full(&error, &place.root);
    assert_eq!(error.kind(), ErrorKind::TimedOut, "not a rejection, and worth another attempt");
    let find = async |content| {
        store.find(&evidence.application, evidence.environment, &Digest::of(content)).await.unwrap()
    };
    assert_eq!((find(OLD).await.len(), find(NEW).await.len(), place.files().len()), (1, 0, 1));
    drop(full);
    store.record(&permit(), &evidence).await.unwrap();
    assert_eq!((find(OLD).await.len(), find(NEW).await.len(), place.files().len()), (1, 1, 2));
}

#[tokio::test]
async fn a_site_serves_what_it_served_when_there_is_no_room_for_the_next_release() {
    let place = place();
    let [old, new] = ["old", "new"].map(|release| place.root.with_file_name(release));
    for (directory, content) in [(&old, OLD), (&new, NEW)] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("app.js"), content).unwrap();
        fs::write(directory.join("index.html"), content).unwrap();
    }
    let site = DirectoryAssets::new(&place.root);
    let before = site.read(&old).await.unwrap();
    site.put(&permit(), &old, &before).await.unwrap();
    let release = site.read(&new).await.unwrap();
    // Within the second file as well, and within the copy that is kept of what is overwritten.
    let within = [NEW.len() + 5, 2 * NEW.len() + 5].map(Room::Bytes);
    let rooms: Vec<Room> = ROOMS.into_iter().chain(within).collect();
    let put = async || site.put(&permit(), &new, &release).await;
    let served = async || site.serving().await.unwrap();
    for room in &rooms {
        let full = FullDisk::below(&place.root, *room);
        let error = put().await.unwrap_err();
        assert_full(&error, &place.root);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{room:?}: {error}");
        assert_eq!(served().await, before, "{room:?}");
        // Whole content that is kept for the way back, under its digest, does no harm.
        let kept = |path: &PathBuf, content: &Vec<u8>| {
            path == &Path::new(".flow/kept").join(Digest::of(content).hex())
        };
        let left = place.files().into_iter().filter(|(path, content)| !kept(path, content));
        let left: Vec<String> = left.map(|(path, _)| path.display().to_string()).collect();
        assert_eq!(left, ["app.js", "index.html"], "{room:?}");
        drop(full);
    }
    put().await.unwrap();
    assert_eq!(served().await, release);

    let full = FullDisk::below(&place.root, Room::Bytes(5));
    let error = site.restore(&permit(), &before).await.unwrap_err();
    assert_full(&error, &place.root);
    assert_eq!((error.kind(), served().await), (ErrorKind::Unavailable, release));
    drop(full);
    site.restore(&permit(), &before).await.unwrap();
    assert_eq!(served().await, before);
}

#[tokio::test]
async fn a_hosts_file_stands_when_there_is_no_room_for_the_next() {
    let place = place();
    let host = LocalHost::open(HostConfig::new(&place.root), Arc::new(SystemClock::new())).unwrap();
    let path = HostPath::new("etc/config").unwrap();
    host.write(&permit(), &path, OLD).await.unwrap();
    place.fill(&ROOMS, async || host.write(&permit(), &path, NEW).await).await;
    assert_eq!(host.read(&path).await.unwrap().unwrap(), NEW);
}

#[tokio::test]
async fn a_record_of_a_process_a_proxy_or_a_function_stands_when_there_is_no_room_for_the_next() {
    let place = place();
    let record = place.root.join("state.json");
    os::replace(&record, OLD).unwrap();
    place.fill(&ROOMS, async || os::replace(&record, NEW)).await;
    assert_eq!(os::read(&record).unwrap().unwrap(), NEW);
}

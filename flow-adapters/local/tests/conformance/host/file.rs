//! Files and links, and the paths that lead out.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use flow_core::port::{Command, Host, HostPath};
use flow_core::{ErrorKind, StepError, SystemClock};
use flow_local::host::{HostConfig, LocalHost};
use flow_testkit::{permit, permit_under};
use tempfile::TempDir;

use crate::outside::tree;

pub(super) fn at(path: &str) -> HostPath {
    HostPath::new(path).unwrap()
}

pub(super) fn open(config: HostConfig) -> Result<LocalHost, StepError> {
    LocalHost::open(config, Arc::new(SystemClock::new()))
}

/// A host, and a directory beside its root that nothing may reach.
struct Fenced {
    directory: TempDir,
    host: LocalHost,
}

impl Fenced {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for part in ["root/inside", "outside"] {
            fs::create_dir_all(directory.path().join(part)).unwrap();
        }
        fs::write(directory.path().join("outside/secret"), "secret").unwrap();
        fs::write(directory.path().join("root/inside/file"), "inside").unwrap();
        let host = open(HostConfig::new(directory.path().join("root"))).unwrap();
        Self { directory, host }
    }

    fn tree(&self) -> BTreeMap<String, String> {
        tree(self.directory.path())
    }

    fn root(&self, path: &str) -> std::path::PathBuf {
        self.directory.path().join("root").join(path)
    }
}

#[tokio::test]
async fn a_directory_that_links_out_of_the_root_is_refused_and_nothing_is_changed() {
    let fenced = Fenced::new();
    symlink("../outside", fenced.root("relative")).unwrap();
    symlink(fenced.directory.path().join("outside"), fenced.root("absolute")).unwrap();
    symlink("../../outside", fenced.root("inside/deep")).unwrap();
    symlink("/proc/self/root", fenced.root("magic")).unwrap();
    let before = fenced.tree();
    for directory in ["relative", "absolute", "inside/deep", "magic"] {
        let path = at(directory).join("secret").unwrap();
        let host = &fenced.host;
        let refused = [
            host.read(&path).await.map(drop),
            host.write(&permit(), &path, b"x").await,
            host.write(&permit(), &path.join("more").unwrap(), b"x").await,
            host.remove(&permit(), &path).await,
            host.read_link(&path).await.map(drop),
            host.link(&permit(), &path, &at("inside")).await,
            host.list(&at(directory)).await.map(drop),
            host.query(&Command::new("pwd", [""; 0]).directory(at(directory))).await.map(drop),
        ];
        for (index, result) in refused.into_iter().enumerate() {
            let error = result.expect_err(&format!("operation {index} through {directory}"));
            assert_eq!(error.kind(), ErrorKind::Invalid, "operation {index} through {directory}: {error}");
        }
    }
    assert_eq!(fenced.tree(), before);
}

#[tokio::test]
async fn a_replaced_file_keeps_who_may_read_it() {
    let fenced = Fenced::new();
    fs::set_permissions(fenced.root("inside/file"), fs::Permissions::from_mode(0o750)).unwrap();
    fenced.host.write(&permit(), &at("inside/file"), b"new").await.unwrap();
    let mode = fs::metadata(fenced.root("inside/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[tokio::test]
async fn what_an_attempt_left_beside_its_file_is_swept_by_the_next_one() {
    let fenced = Fenced::new();
    let attempt = |number| permit_under("run-1/step", flow_core::Fence(1), number);
    fs::create_dir(fenced.root("inside/config")).unwrap();
    // Refused after the content was written beside.
    fenced.host.write(&attempt(1), &at("inside/config"), b"new").await.unwrap_err();
    fs::remove_dir(fenced.root("inside/config")).unwrap();
    assert_eq!(fenced.host.list(&at("inside")).await.unwrap(), ["file"]);

    fenced.host.write(&attempt(2), &at("inside/config"), b"new").await.unwrap();
    assert_eq!(fenced.host.list(&at("inside")).await.unwrap(), ["config", "file"]);
}

#[tokio::test]
async fn a_directory_is_neither_read_nor_replaced_nor_removed_as_a_file() {
    let fenced = Fenced::new();
    let before = fenced.tree();
    let inside = at("inside");
    assert_eq!(fenced.host.read(&inside).await.unwrap_err().kind(), ErrorKind::Invalid);
    for result in [
        fenced.host.write(&permit(), &inside, b"x").await,
        fenced.host.remove(&permit(), &inside).await,
        fenced.host.link(&permit(), &inside, &at("other")).await,
        fenced.host.link(&permit(), &at("inside/file"), &at("other")).await,
        fenced.host.write(&permit(), &at("inside/file/below"), b"x").await,
    ] {
        let error = result.unwrap_err();
        assert!(error.kind().is_rejection(), "{error}");
    }
    assert_eq!(fenced.tree(), before);
}

#[tokio::test]
async fn a_file_over_its_bound_and_a_pipe_without_a_writer_are_refused_at_once() {
    let fenced = Fenced::new();
    let bound = 8 * 1024 * 1024;
    fs::write(fenced.root("full"), vec![b'x'; bound]).unwrap();
    fs::write(fenced.root("over"), vec![b'x'; bound + 1]).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fenced.root("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert_eq!(fenced.host.read(&at("full")).await.unwrap().unwrap().len(), bound);
    assert_eq!(fenced.host.read(&at("over")).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(fenced.host.read(&at("pipe")).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_link_leads_to_its_target_from_wherever_it_stands_and_is_answered_as_it_was_given() {
    let fenced = Fenced::new();
    fs::create_dir(fenced.root("releases")).unwrap();
    for (path, release) in
        [("current", "1"), ("current", "2"), ("web/live/current", "1"), ("releases/last", "2")]
    {
        let target = at("releases").join(release).unwrap();
        fenced.host.write(&permit(), &target.join("version").unwrap(), release.as_bytes()).await.unwrap();
        fenced.host.link(&permit(), &at(path), &target).await.unwrap();
        fenced.host.link(&permit(), &at(path), &target).await.unwrap();

        assert_eq!(fs::read_to_string(fenced.root(path).join("version")).unwrap(), release);
        assert_eq!(fenced.host.read_link(&at(path)).await.unwrap().as_deref(), Some(target.as_str()));
    }
    assert_eq!(fenced.host.list(&at("web/live")).await.unwrap(), ["current"]);

    symlink("/etc", fenced.root("foreign")).unwrap();
    assert_eq!(fenced.host.read_link(&at("foreign")).await.unwrap().as_deref(), Some("/etc"));
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_problems() {
    let bad = HostConfig::new("relative").env("SECRET", "x").env("LANG", "\0");
    let refused = open(bad).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let problems = refused.source().unwrap().to_string();
    for field in ["root", "env.SECRET", "env.LANG"] {
        assert!(problems.contains(&format!("`{field}`")), "{field} in {problems}");
    }
    let missing = open(HostConfig::new("/does/not/exist")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("root"), "{missing}");
}

/// A thread that blocks cannot be stopped from outside: what waits for one when its caller is given up must not begin.
#[test]
fn what_was_given_up_before_it_began_never_begins() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let fenced = Fenced::new();
        fs::write(fenced.directory.path().join("new"), "new").unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let (permit, path, new) = (permit(), at("inside/late"), fenced.directory.path().join("new"));
        let calls = [
            fenced.host.write(&permit, &path, b"late"),
            fenced.host.link(&permit, &path, &path),
            fenced.host.copy(&permit, &new, &path),
        ];
        for mut call in calls {
            assert!(futures::poll!(call.as_mut()).is_pending());
        }
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        // They stand in one line: whatever was before this has had its turn.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(fs::read_dir(fenced.root("inside")).unwrap().count(), 1, "something was written late");
    });
}

/// What runs on though its caller gave it up has ended before the next call begins.
#[tokio::test]
async fn what_was_given_up_at_work_has_ended_before_the_next_call_begins() {
    let fenced = Fenced::new();
    let large = fenced.directory.path().join("large");
    fs::File::create(&large).unwrap().set_len(256 << 20).unwrap();
    let part = || {
        let mut entries = fs::read_dir(fenced.root("inside")).unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.extension().is_some_and(|extension| extension == "part"))
    };
    let (permit, path) = (permit(), at("inside/large"));
    let mut copy = fenced.host.copy(&permit, &large, &path);
    while part().is_none_or(|part| fs::metadata(part).unwrap().len() == 0) {
        assert!(futures::poll!(copy.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(copy);
    fenced.host.list(&at("inside")).await.unwrap();
    // Whoever copies holds what arrives.
    fs::File::open(part().unwrap()).unwrap().try_lock().unwrap();
    assert!(!fenced.root("inside/large").exists());
}

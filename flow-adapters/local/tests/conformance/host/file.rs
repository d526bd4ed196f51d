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

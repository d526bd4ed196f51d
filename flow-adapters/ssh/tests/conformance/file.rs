//! Files and links, beyond what every host promises.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use flow_core::port::{Command, Host, HostPath};
use flow_core::{ErrorKind, Fence};
use flow_proving::is_long;
use flow_ssh::SshConfig;
use flow_testkit::{permit, permit_under};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::machine::{Machine, at, open};

/// Names that a shell, an option parser or a terminal would read, and any other text.
fn names() -> impl Strategy<Value = HostPath> {
    const KNOWN: [&str; 9] =
        ["-rf", "--", "$(touch pwned)", "`touch pwned`", "; touch pwned", "...", " ", "部署", "~"];
    let name = prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        "[-'\"$;`*?!~ #&|<>(){}=%]{1,12}",
        "\\PC{1,20}",
    ];
    let path = |name: String| HostPath::new(name.replace('/', "_")).ok();
    // A name with a replacement character is refused when it is listed: it may have been no text.
    let fit = |path: &HostPath| path.as_str().len() < 200 && !path.as_str().contains('\u{fffd}');
    name.prop_filter_map("no name", path).prop_filter("unfit", fit)
}

async fn used(machine: &Machine, name: &HostPath) {
    let (host, path) = (&machine.host, at("below").join(name.as_str()).unwrap());
    host.write(&permit(), &path, b"content").await.unwrap();
    let stands = fs::read_dir(machine.root("below")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(stands.collect::<Vec<_>>(), [name.as_str()]);
    assert_eq!(host.list(&at("below")).await.unwrap(), [name.as_str()]);
    assert_eq!(host.read(&path).await.unwrap().as_deref(), Some(&b"content"[..]));
    host.link(&permit(), &at("link"), &path).await.unwrap();
    assert_eq!(host.read_link(&at("link")).await.unwrap().as_deref(), Some(path.as_str()));
    host.remove(&permit(), &path).await.unwrap();
    fs::create_dir(machine.root(path.as_str())).unwrap();
    let inside = Command::new("pwd", ["-P"]).directory(path.clone());
    let expected = format!("{}\n", fs::canonicalize(machine.root(path.as_str())).unwrap().display());
    assert_eq!(String::from_utf8(host.query(&inside).await.unwrap().stdout).unwrap(), expected);
    fs::remove_dir(machine.root(path.as_str())).unwrap();
}

#[test]
fn a_file_and_a_directory_of_any_name_are_those_of_that_name() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let machine = runtime.block_on(Machine::start());
    let cases = if is_long() { 1_000 } else { 24 };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 8,
        ..Config::default()
    });
    let tried = runner.run(&names(), |name| {
        runtime.block_on(used(&machine, &name));
        Ok(())
    });
    tried.unwrap();
    assert!(!machine.root("pwned").exists() && !machine.root("below/pwned").exists());
}

#[tokio::test]
async fn a_replaced_file_keeps_who_may_read_it() {
    let machine = Machine::start().await;
    fs::write(machine.root("file"), "old").unwrap();
    fs::set_permissions(machine.root("file"), Permissions::from_mode(0o640)).unwrap();
    machine.host.write(&permit(), &at("file"), b"new").await.unwrap();
    assert_eq!(fs::metadata(machine.root("file")).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[tokio::test]
async fn what_an_attempt_left_beside_its_file_is_swept_by_the_next_one() {
    let machine = Machine::start().await;
    let (host, file, large) = (&machine.host, at("file"), vec![b'x'; 6 << 20]);
    host.reach().await.unwrap();
    let enough = machine.relay.sent() + (1 << 20);
    let cutting = async {
        while machine.relay.sent() < enough {
            tokio::task::yield_now().await;
        }
        machine.relay.cut();
    };
    let attempt = |number| permit_under("run-1/step", Fence(1), number);
    let first = attempt(1);
    let (written, ()) = tokio::join!(host.write(&first, &file, &large), cutting);
    let error = written.unwrap_err();
    assert!(!error.kind().is_rejection(), "what it left is denied: {error}");
    assert!(!machine.root("file").exists());
    assert_eq!(fs::read_dir(machine.at("root")).unwrap().count(), 1, "nothing was left to sweep");
    host.write(&attempt(2), &file, &large).await.unwrap();
    assert_eq!(fs::read_dir(machine.at("root")).unwrap().count(), 1);
    assert!(fs::read(machine.root("file")).unwrap() == large);
}

#[tokio::test]
async fn a_pipe_without_a_writer_and_names_that_are_no_text_are_refused_at_once() {
    let machine = Machine::start().await;
    mknodat(CWD, machine.root("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::create_dir(machine.root("odd")).unwrap();
    let odd = OsStr::from_bytes(b"\xff\xfe");
    fs::write(machine.root("odd").join(odd), "x").unwrap();
    symlink(odd, machine.root("link")).unwrap();
    let begun = Instant::now();
    for error in [
        machine.host.read(&at("pipe")).await.unwrap_err(),
        machine.host.list(&at("odd")).await.unwrap_err(),
        machine.host.read_link(&at("link")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_root_may_be_a_link_and_must_be_a_directory() {
    let machine = Machine::start().await;
    symlink(machine.at("root"), machine.at("linked")).unwrap();
    fs::write(machine.at("file"), "x").unwrap();
    let rooted = |name: &str| open(SshConfig { root: machine.mark(name), ..machine.config.clone() });
    rooted("linked").write(&permit(), &at("file"), b"x").await.unwrap();
    assert!(machine.root("file").exists());
    assert_eq!(rooted("none").reach().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rooted("file").reach().await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn no_directory_is_made_where_a_link_leads_nowhere() {
    let machine = Machine::start().await;
    symlink("gone", machine.root("nowhere")).unwrap();
    let refused = machine.host.write(&permit(), &at("nowhere/file"), b"x").await.unwrap_err();
    assert!(refused.kind().is_rejection(), "{refused}");
    assert!(!machine.root("gone").exists());
}

//! Copied files: of any size, checked, and in force at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use flow_core::{CancelToken, ErrorKind, Fence, Permit};

use super::{HostFixture, HostNode, at, file};
use crate::conformance::refusal::refusal;
use crate::conformance::{Checked, Outside};
use crate::{permit, permit_under};

/// More than any file that is read, and enough to break off half-way.
const LARGE: usize = 32 << 20;

/// A large file: zeros, with its number at the beginning of each mebibyte and a byte behind the last.
fn large() -> Vec<u8> {
    let mut content = vec![0; LARGE];
    for (number, mebibyte) in (1_u64..).zip(content.chunks_mut(1 << 20)) {
        for (place, byte) in mebibyte.iter_mut().zip(number.to_be_bytes()) {
            *place = byte;
        }
    }
    content.push(b'.');
    content
}

/// Lays out a file to copy, which may be executed or not.
fn lay_out(fixture: &impl HostFixture, name: &str, content: &[u8], mode: u32) -> Outside<PathBuf> {
    let path = fixture.local().join(name);
    fs::write(&path, content)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// A file of any bytes and of any size stands at its place, its directories are made, and nothing is left beside it.
pub async fn a_copied_file_stands_whole_with_its_parents_and_nothing_beside(
    fixture: &impl HostFixture,
) -> Checked {
    let path = at("a/b/archive")?;
    for content in [&b"first"[..], b"", b"\r\n\0\xff", &large()] {
        let from = lay_out(fixture, "archive", content, 0o644)?;
        fixture.host().copy(&permit(), &from, &path).await?;
        let expected = BTreeMap::from([
            ("a".to_owned(), HostNode::Directory),
            ("a/b".to_owned(), HostNode::Directory),
            ("a/b/archive".to_owned(), HostNode::File(content.to_vec())),
        ]);
        assert!(fixture.tree().await? == expected, "{} bytes arrived otherwise", content.len());
    }
    Ok(())
}

/// A later attempt under the same permit leaves what the first one left, and the file that is copied stays as it is.
pub async fn copying_twice_is_copying_once(fixture: &impl HostFixture) -> Checked {
    let permit = permit();
    let from = lay_out(fixture, "archive", b"content", 0o644)?;
    fixture.host().copy(&permit, &from, &at("archive")?).await?;
    let once = fixture.tree().await?;
    fixture.host().copy(&permit, &from, &at("archive")?).await?;
    assert_eq!(fixture.tree().await?, once);
    assert_eq!(fs::read(from)?, b"content");
    Ok(())
}

/// What may be executed here may be executed there, and nothing else may, whatever stood in its place.
pub async fn a_copy_may_be_executed_as_its_file_may(fixture: &impl HostFixture) -> Checked {
    for (mode, expected) in [
        (0o755, HostNode::Program(b"content".to_vec())),
        (0o600, file("content")),
        (0o700, HostNode::Program(b"content".to_vec())),
        (0o644, file("content")),
    ] {
        let from = lay_out(fixture, "program", b"content", mode)?;
        fixture.host().copy(&permit(), &from, &at("program")?).await?;
        assert_eq!(fixture.tree().await?, BTreeMap::from([("program".to_owned(), expected)]), "{mode:o}");
    }
    Ok(())
}

/// Whoever reads while a file is copied gets the old content or the new one, whole.
pub async fn a_reader_never_sees_half_of_a_copy(fixture: &impl HostFixture) -> Checked {
    let path = at("archive")?;
    let contents = [vec![b'a'; 256 << 10], vec![b'b'; 192 << 10]];
    let [first, second] = &contents;
    let files = [lay_out(fixture, "first", first, 0o644)?, lay_out(fixture, "second", second, 0o644)?];
    fixture.host().write(&permit(), &path, first).await?;
    let copied = AtomicBool::new(false);
    let copying = async {
        for from in files.iter().cycle().take(24) {
            fixture.host().copy(&permit(), from, &path).await?;
            tokio::task::yield_now().await;
        }
        copied.store(true, Ordering::Relaxed);
        Checked::Ok(())
    };
    let reading = async {
        while !copied.load(Ordering::Relaxed) {
            let found = fixture.host().read(&path).await?;
            assert!(found.is_some_and(|found| contents.contains(&found)), "a reader saw something between");
            tokio::task::yield_now().await;
        }
        Checked::Ok(())
    };
    tokio::try_join!(copying, reading)?;
    Ok(())
}

/// A link is replaced, and what it led to stands; a directory is not, and no file becomes one.
pub async fn a_copy_replaces_files_and_links_alone(fixture: &impl HostFixture) -> Checked {
    fixture.put("directory/file", file("kept")).await?;
    fixture.put("link", HostNode::Link("directory/file".to_owned())).await?;
    fixture.put("out", HostNode::Link("../outside".to_owned())).await?;
    let (mut expected, outside) = (fixture.tree().await?, fixture.outside().await?);
    let from = lay_out(fixture, "archive", b"own", 0o644)?;
    for (path, kind) in
        [("directory", None), ("directory/file/below", None), ("out/x", Some(ErrorKind::Invalid))]
    {
        let error = refusal(fixture.host().copy(&permit(), &from, &at(path)?).await, path)?;
        assert!(error.kind().is_rejection(), "a copy to `{path}` is said to be in doubt: {error}");
        assert!(kind.is_none_or(|kind| error.kind() == kind), "{error}");
        assert_eq!(fixture.tree().await?, expected, "a copy to `{path}` changed something");
    }
    fixture.host().copy(&permit(), &from, &at("link")?).await?;
    expected.insert("link".to_owned(), file("own"));
    assert_eq!(fixture.tree().await?, expected);
    assert_eq!(fixture.outside().await?, outside);
    Ok(())
}

/// What is not there, or is no file, is refused, with the old file standing.
pub async fn what_cannot_be_copied_is_refused_and_changes_nothing(fixture: &impl HostFixture) -> Checked {
    fixture.put("archive", file("old")).await?;
    let before = fixture.tree().await?;
    let directory = fixture.local().join("directory");
    fs::create_dir_all(&directory)?;
    for (from, kind) in [(fixture.local().join("none"), ErrorKind::NotFound), (directory, ErrorKind::Invalid)]
    {
        let answer = fixture.host().copy(&permit(), &from, &at("archive")?).await;
        let error = refusal(answer, "a copy of what is no file")?;
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(fixture.tree().await?, before);
    }
    Ok(())
}

/// What was cancelled before it began never begins.
pub async fn a_cancelled_copy_leaves_the_old_file(fixture: &impl HostFixture) -> Checked {
    fixture.put("archive", file("old")).await?;
    let before = fixture.tree().await?;
    let from = lay_out(fixture, "archive", b"new", 0o644)?;
    let cancel = CancelToken::new();
    cancel.cancel();
    let cancelled = Permit::for_tests("test", Fence(1), 1, cancel);
    let error = refusal(fixture.host().copy(&cancelled, &from, &at("archive")?).await, "a cancelled copy")?;
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_eq!(fixture.tree().await?, before);
    Ok(())
}

/// Breaks a copy off over a file that stands there, and checks that it stands.
async fn break_off(fixture: &impl HostFixture, content: &[u8]) -> Outside<PathBuf> {
    fixture.put("a/archive", file("old")).await?;
    let from = lay_out(fixture, "archive", content, 0o644)?;
    fixture.break_off(&from, &at("a/archive")?).await?;
    let stands = fixture.tree().await?.remove("a/archive");
    assert!(stands == Some(file("old")), "a copy that broke off replaced the old file");
    Ok(from)
}

async fn holds(fixture: &impl HostFixture, content: Vec<u8>) -> Checked {
    let expected = BTreeMap::from([
        ("a".to_owned(), HostNode::Directory),
        ("a/archive".to_owned(), HostNode::File(content)),
    ]);
    let found = fixture.tree().await?;
    assert!(found == expected, "what stands is not the copy alone: {:?}", found.keys());
    Ok(())
}

/// What has arrived is not sent again, whoever goes on.
pub async fn a_copy_that_was_cut_off_goes_on_where_it_was(fixture: &impl HostFixture) -> Checked {
    let content = large();
    let from = break_off(fixture, &content).await?;
    let before = fixture.arrived("a/archive").await?;
    fixture.host().copy(&permit_under("another/run", Fence(2), 1), &from, &at("a/archive")?).await?;
    let sent = fixture.arrived("a/archive").await? - before;
    assert!(sent <= LARGE as u64 * 7 / 8, "{sent} bytes of {LARGE} were sent, though a quarter stood there");
    holds(fixture, content).await
}

/// What an earlier copy left may be of another file, or was changed since: whatever stands there, the copy is right.
pub async fn what_an_earlier_copy_left_is_checked_before_it_is_used(fixture: &impl HostFixture) -> Checked {
    let content = large();
    let from = break_off(fixture, &content).await?;
    let mut other = content.clone();
    other.rotate_left(1);
    fs::write(&from, &other)?;
    fixture.host().copy(&permit(), &from, &at("a/archive")?).await?;
    holds(fixture, other).await?;

    let from = break_off(fixture, &content).await?;
    for (path, node) in fixture.tree().await?.into_iter().filter(|(path, _)| path != "a/archive") {
        let Some(mut left) = node.content().map(<[u8]>::to_vec) else { continue };
        // In its middle, behind what a look at its beginning would find right, and of more than the file has.
        let middle = left.len() / 2;
        left.get_mut(middle..).unwrap_or_default().fill(b'!');
        left.resize(LARGE + 2, b'!');
        fixture.put(&path, HostNode::File(left)).await?;
    }
    fixture.host().copy(&permit(), &from, &at("a/archive")?).await?;
    holds(fixture, content).await
}

//! Files: whole, or as they were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use flow_core::ErrorKind;

use super::{HostFixture, HostNode, at, file};
use crate::conformance::Checked;
use crate::conformance::refusal::refusal;
use crate::permit;

/// A file of any bytes stands at its place, its directories are made, and nothing is left beside it.
pub async fn a_written_file_stands_whole_with_its_parents_and_nothing_beside(
    fixture: &impl HostFixture,
) -> Checked {
    let path = at("a/b/config")?;
    for content in [&b"first"[..], b"", b"\r\n\0\xff", b"second"] {
        fixture.host().write(&permit(), &path, content).await?;
        let expected = BTreeMap::from([
            ("a".to_owned(), HostNode::Directory),
            ("a/b".to_owned(), HostNode::Directory),
            ("a/b/config".to_owned(), HostNode::File(content.to_vec())),
        ]);
        assert_eq!(fixture.tree().await?, expected);
        assert_eq!(fixture.host().read(&path).await?.as_deref(), Some(content));
    }
    Ok(())
}

/// A later attempt under the same permit leaves what the first one left.
pub async fn writing_twice_is_writing_once(fixture: &impl HostFixture) -> Checked {
    let permit = permit();
    fixture.host().write(&permit, &at("config")?, b"content").await?;
    let once = fixture.tree().await?;
    fixture.host().write(&permit, &at("config")?, b"content").await?;
    assert_eq!(fixture.tree().await?, once);
    Ok(())
}

/// Whoever reads while a file is replaced gets the old content or the new one, whole.
pub async fn a_reader_never_sees_half_of_a_file(fixture: &impl HostFixture) -> Checked {
    let path = at("config")?;
    let contents = [vec![b'a'; 256 << 10], vec![b'b'; 192 << 10]];
    let [first, _] = &contents;
    fixture.host().write(&permit(), &path, first).await?;
    let written = AtomicBool::new(false);
    let writing = async {
        for content in contents.iter().cycle().take(64) {
            fixture.host().write(&permit(), &path, content).await?;
            tokio::task::yield_now().await;
        }
        written.store(true, Ordering::Relaxed);
        Checked::Ok(())
    };
    let reading = async {
        while !written.load(Ordering::Relaxed) {
            let found = fixture.host().read(&path).await?;
            assert!(found.is_some_and(|found| contents.contains(&found)), "a reader saw something between");
            tokio::task::yield_now().await;
        }
        Checked::Ok(())
    };
    tokio::try_join!(writing, reading)?;
    Ok(())
}

/// A directory is no file: it is neither read, replaced nor removed as one, and no file becomes a directory.
pub async fn a_refused_change_leaves_what_stood_there(fixture: &impl HostFixture) -> Checked {
    fixture.put("directory/file", file("kept")).await?;
    let before = fixture.tree().await?;
    let (directory, below) = (at("directory")?, at("directory/file/below")?);
    let host = fixture.host();
    for (answer, of) in [
        (host.write(&permit(), &directory, b"x").await, "writing over a directory"),
        (host.write(&permit(), &below, b"x").await, "writing below a file"),
        (host.remove(&permit(), &directory).await, "removing a directory"),
        (host.link(&permit(), &below, &directory).await, "linking below a file"),
    ] {
        let error = refusal(answer, of)?;
        assert!(error.kind().is_rejection(), "{of} is said to be in doubt: {error}");
        assert_eq!(fixture.tree().await?, before, "{of} changed something");
    }
    let error = refusal(host.read(&directory).await, "reading a directory")?;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// Removing is done when nothing stands there, whoever removed it.
pub async fn a_removed_file_is_gone_and_what_is_not_there_is_done(fixture: &impl HostFixture) -> Checked {
    fixture.put("a/file", file("content")).await?;
    let permit = permit();
    for _ in 0..2 {
        fixture.host().remove(&permit, &at("a/file")?).await?;
        assert_eq!(fixture.tree().await?, BTreeMap::from([("a".to_owned(), HostNode::Directory)]));
    }
    for missing in ["none", "none/below", "a/none"] {
        fixture.host().remove(&permit, &at(missing)?).await?;
    }
    fixture.put("a/file", file("content")).await?;
    let before = fixture.tree().await?;
    fixture.host().remove(&permit, &at("a/file/below")?).await?;
    assert_eq!(fixture.tree().await?, before);
    Ok(())
}

/// What is not there is none, not empty and not an error; a directory that is not there lists nothing.
pub async fn what_is_not_there_is_none_or_empty(fixture: &impl HostFixture) -> Checked {
    fixture.put("a/file", file("content")).await?;
    for missing in ["none", "none/below", "a/none", "a/file/below"] {
        assert_eq!(fixture.host().read(&at(missing)?).await?, None, "{missing}");
        assert_eq!(fixture.host().read_link(&at(missing)?).await?, None, "{missing}");
    }
    assert_eq!(fixture.host().read_link(&at("a/file")?).await?, None);
    assert!(fixture.host().list(&at("none")?).await?.is_empty());
    Ok(())
}

/// A file of 8 MiB is read, a larger one is invalid: no file fills the memory.
pub async fn a_file_over_8_mebibytes_is_refused(fixture: &impl HostFixture) -> Checked {
    let bound = 8 << 20;
    fixture.put("full", HostNode::File(vec![b'x'; bound])).await?;
    fixture.put("over", HostNode::File(vec![b'x'; bound + 1])).await?;
    assert_eq!(fixture.host().read(&at("full")?).await?.map(|content| content.len()), Some(bound));
    let error = refusal(fixture.host().read(&at("over")?).await, "a file over its bound")?;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// All names are listed, hidden ones and directories too, in the order of their bytes.
pub async fn names_are_listed_in_order(fixture: &impl HostFixture) -> Checked {
    for name in ["b", "a", "C", ".hidden", "a-b", "directory/below"] {
        fixture.put(&format!("top/{name}"), file(name)).await?;
    }
    assert_eq!(fixture.host().list(&at("top")?).await?, [".hidden", "C", "a", "a-b", "b", "directory"]);
    Ok(())
}

/// Changing one file leaves every other one as it is, also one with a similar name.
pub async fn files_do_not_disturb_each_other(fixture: &impl HostFixture) -> Checked {
    for name in ["config", "config.new", ".config.new", "config~"] {
        fixture.put(&format!("a/{name}"), file(name)).await?;
    }
    let mut expected = fixture.tree().await?;
    fixture.host().write(&permit(), &at("a/config")?, b"new").await?;
    expected.insert("a/config".to_owned(), file("new"));
    assert_eq!(fixture.tree().await?, expected);
    fixture.host().remove(&permit(), &at("a/config")?).await?;
    expected.remove("a/config");
    assert_eq!(fixture.tree().await?, expected);
    Ok(())
}

/// Reading leaves everything as it is, also where there is nothing to read.
pub async fn reading_changes_nothing(fixture: &impl HostFixture) -> Checked {
    fixture.put("a/file", file("content")).await?;
    fixture.put("a/link", HostNode::Link("file".to_owned())).await?;
    let before = fixture.tree().await?;
    for path in ["a/file", "a/link", "none", "none/below"] {
        fixture.host().read(&at(path)?).await?;
        fixture.host().read_link(&at(path)?).await?;
    }
    for path in ["a", "none"] {
        fixture.host().list(&at(path)?).await?;
    }
    assert_eq!(fixture.tree().await?, before);
    Ok(())
}

//! Links: swapped at once, and never a way out.

use std::sync::atomic::{AtomicBool, Ordering};

use flow_core::ErrorKind;

use super::{Behaviour, HostFixture, HostNode, at, file};
use crate::conformance::Checked;
use crate::conformance::refusal::refusal;
use crate::permit;

/// A link leads to its target from wherever it stands, and is answered as it was given: from the root.
pub async fn a_link_leads_to_its_target_and_reads_as_it_was_given(fixture: &impl HostFixture) -> Checked {
    for release in ["1", "2"] {
        fixture.put(&format!("releases/{release}/version"), file(release)).await?;
    }
    for (link, release) in
        [("current", "1"), ("current", "2"), ("web/live/current", "1"), ("releases/last", "2")]
    {
        let (link, target) = (at(link)?, at("releases")?.join(release)?);
        for _ in 0..2 {
            fixture.host().link(&permit(), &link, &target).await?;
            assert_eq!(fixture.host().read_link(&link).await?.as_deref(), Some(target.as_str()));
            let version = fixture.host().read(&link.join("version")?).await?;
            assert_eq!(version.as_deref(), Some(release.as_bytes()));
            let stands = fixture.tree().await?.remove(link.as_str());
            assert!(matches!(stands, Some(HostNode::Link(_))), "no link stands at `{link}`: {stands:?}");
        }
    }
    assert_eq!(fixture.host().list(&at("web/live")?).await?, ["current"]);
    Ok(())
}

/// Whoever follows a link while it is swapped finds the old target or the new one, never none.
pub async fn a_link_is_never_missing_while_it_is_swapped(fixture: &impl HostFixture) -> Checked {
    for release in ["1", "2"] {
        fixture.put(&format!("releases/{release}/version"), file(release)).await?;
    }
    let (link, version) = (at("current")?, at("current/version")?);
    let targets = [at("releases/1")?, at("releases/2")?];
    let [first, _] = &targets;
    fixture.host().link(&permit(), &link, first).await?;
    let swapped = AtomicBool::new(false);
    let swapping = async {
        for target in targets.iter().cycle().take(256) {
            fixture.host().link(&permit(), &link, target).await?;
            tokio::task::yield_now().await;
        }
        swapped.store(true, Ordering::Relaxed);
        Checked::Ok(())
    };
    let following = async {
        while !swapped.load(Ordering::Relaxed) {
            let found = fixture.host().read(&version).await?;
            assert!(matches!(found.as_deref(), Some(b"1" | b"2")), "the link led to {found:?}");
            tokio::task::yield_now().await;
        }
        Checked::Ok(())
    };
    tokio::try_join!(swapping, following)?;
    Ok(())
}

/// A file or a directory in the place of a link is refused and stands.
pub async fn a_link_replaces_links_alone(fixture: &impl HostFixture) -> Checked {
    fixture.put("target/file", file("kept")).await?;
    fixture.put("file", file("kept")).await?;
    fixture.put("directory", HostNode::Directory).await?;
    let before = fixture.tree().await?;
    for path in ["file", "directory", "target/file"] {
        let answer = fixture.host().link(&permit(), &at(path)?, &at("target")?).await;
        let error = refusal(answer, path)?;
        assert!(error.kind().is_rejection(), "{error}");
        assert_eq!(fixture.tree().await?, before);
    }
    Ok(())
}

/// Removing a link removes the link.
pub async fn removing_a_link_leaves_its_target(fixture: &impl HostFixture) -> Checked {
    fixture.put("releases/1/version", file("1")).await?;
    let before = fixture.tree().await?;
    for target in ["releases/1", "releases/1/version"] {
        fixture.host().link(&permit(), &at("current")?, &at(target)?).await?;
        fixture.host().remove(&permit(), &at("current")?).await?;
        assert_eq!(fixture.tree().await?, before);
    }
    Ok(())
}

/// A path may lead through links that stay below the root.
pub async fn a_link_below_the_root_is_followed(fixture: &impl HostFixture) -> Checked {
    fixture.put("releases/1/version", file("1")).await?;
    fixture.put("current", HostNode::Link("releases/1".to_owned())).await?;
    fixture.put("deep/er/link", HostNode::Link("../../current/version".to_owned())).await?;
    let host = fixture.host();
    assert_eq!(host.read(&at("current/version")?).await?.as_deref(), Some(&b"1"[..]));
    assert_eq!(host.read(&at("deep/er/link")?).await?.as_deref(), Some(&b"1"[..]));
    assert_eq!(host.list(&at("current")?).await?, ["version"]);
    host.write(&permit(), &at("current/new")?, b"new").await?;
    assert_eq!(fixture.tree().await?.get("releases/1/new"), Some(&file("new")));
    let command = fixture.command(Behaviour::Writes).await?.directory(at("current")?);
    host.run(&permit(), &command).await?;
    Ok(())
}

/// Whatever is asked of a path that leads out is invalid; nothing out there is read, listed, changed or run in.
pub async fn no_path_leaves_the_root_through_a_link(fixture: &impl HostFixture) -> Checked {
    fixture.put("inside/file", file("inside")).await?;
    for (link, target) in [
        ("relative", "../outside"),
        ("inside/deep", "../../outside"),
        ("absolute", "/etc"),
        ("chain", "relative"),
    ] {
        fixture.put(link, HostNode::Link(target.to_owned())).await?;
    }
    let (before, outside) = (fixture.tree().await?, fixture.outside().await?);
    let command = fixture.command(Behaviour::Writes).await?;
    let (permit, host) = (permit(), fixture.host());
    for directory in ["relative", "inside/deep", "absolute", "chain"] {
        let directory = at(directory)?;
        let secret = directory.join("secret")?;
        for (answer, of) in [
            (host.read(&secret).await.map(drop), "read"),
            (host.write(&permit, &secret, b"x").await, "write"),
            (host.write(&permit, &secret.join("more")?, b"x").await, "write with parents"),
            (host.remove(&permit, &secret).await, "remove"),
            (host.read_link(&secret).await.map(drop), "read_link"),
            (host.link(&permit, &secret, &at("inside")?).await, "link"),
            (host.list(&directory).await.map(drop), "list"),
            (host.run(&permit, &command.clone().directory(directory.clone())).await.map(drop), "run"),
        ] {
            let error = refusal(answer, of)?;
            assert_eq!(error.kind(), ErrorKind::Invalid, "{of} through `{directory}`: {error}");
        }
    }
    assert_eq!(fixture.tree().await?, before);
    assert_eq!(fixture.outside().await?, outside);
    Ok(())
}

/// A file that is written over a link takes its place; what the link led to stands, below the root or outside.
pub async fn a_write_replaces_a_link_and_does_not_follow_it(fixture: &impl HostFixture) -> Checked {
    fixture.put("target", file("kept")).await?;
    fixture.put("inner", HostNode::Link("target".to_owned())).await?;
    fixture.put("outer", HostNode::Link("../outside/secret".to_owned())).await?;
    let outside = fixture.outside().await?;
    let error = refusal(fixture.host().read(&at("outer")?).await, "reading a link that leads out")?;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    for link in ["inner", "outer"] {
        fixture.host().write(&permit(), &at(link)?, b"own").await?;
        assert_eq!(fixture.tree().await?.get(link), Some(&file("own")));
    }
    assert_eq!(fixture.tree().await?.get("target"), Some(&file("kept")));
    assert_eq!(fixture.outside().await?, outside);
    Ok(())
}

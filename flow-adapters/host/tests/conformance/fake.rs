//! Placing a release on the strict fake, which refuses every command that nobody named to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::name;
use flow_core::port::Command;
use flow_core::stage::Services;
use flow_core::{Step, StepContext};
use flow_host::{Hosts, PlaceRelease, ReleaseConfig};
use flow_testkit::conformance::step::StepFixture;
use flow_testkit::fake::{FakeHost, HostNode, Script};
use flow_testkit::fault::{At, Fault};

use crate::world::{World, at};

struct Fake {
    world: World,
    host: FakeHost,
}

const RECORD: &str = r#"{"placed":"2026-01-01T00:00:00Z"}"#;

/// A host that has every command that a placing and its undo need, to the letter, and no other.
async fn fresh() -> Fake {
    let (world, host) = (World::new(), FakeHost::new());
    host.put(&at("shared/uploads"), HostNode::Directory).unwrap();
    let hex = world.artifact.digest.hex();
    let under_way = |what: &str| format!("releases/.release-{hex}.{what}");
    let release = format!("releases/{hex}");
    let (new, old) = (under_way("new"), under_way("old"));
    host.script(
        ["tar", "-x", "-f", &format!("../.release-{hex}.in/archive.tar")],
        Script::ends(0).writes(at("server.js"), "x"),
    );
    host.script(["test", "-f", "server.js"], Script::ends(0));
    host.script(["sync", "-f", "."], Script::ends(0));
    let placed = Script::ends(0)
        .removes(at(&new))
        .writes(at(&format!("{release}/server.js")), "x")
        .writes(at(&format!("{release}/.flow-release")), RECORD);
    host.script(["mv", "-T", "--", &new, &release], placed);
    let taken = Script::ends(0).removes(at(&release)).writes(at(&format!("{old}/server.js")), "x");
    host.script(["mv", "-T", "--", &release, &old], taken);
    for tree in [under_way("in"), new, old] {
        host.script(["rm", "-r", "-f", "--", &tree], Script::ends(0).removes(at(&tree)));
    }
    host.script(["pwd", "-P"], Script::ends(0).stdout("/srv/sh*op\n"));
    let used = [
        "find",
        "/proc",
        "-mindepth",
        "2",
        "-maxdepth",
        "2",
        "(",
        "-name",
        "cwd",
        "-o",
        "-name",
        "exe",
        ")",
        "(",
        "-lname",
        "/srv/sh\\*op",
        "-o",
        "-lname",
        "/srv/sh\\*op/releases/*",
        ")",
        "-printf",
        "%l\\n",
    ];
    // Other users' processes cannot be looked at, and `find` says so by its code.
    host.script(used, Script::ends(1).stdout("/srv/sh*op\n"));
    Fake { world, host }
}

#[async_trait]
impl StepFixture for Fake {
    type Stage = Services;

    fn step(&self) -> Arc<dyn Step<Services>> {
        let config = ReleaseConfig {
            shared: vec![at("uploads")],
            check: Some(Command::new("test", ["-f", "server.js"])),
            ..self.world.config()
        };
        Arc::new(PlaceRelease::new(Hosts::new().and(name!("web"), Arc::new(self.host.clone())), config))
    }
    fn context(&self) -> StepContext<Services> {
        self.world.context()
    }
    async fn seen(&self) -> String {
        let mut tree = self.host.tree();
        tree.retain(|path, _| path != "releases");
        format!("{tree:?}")
    }
    async fn changes(&self) -> Option<usize> {
        Some(self.host.ledger().changes().len())
    }
    async fn break_at(&self, nth: usize) -> Option<()> {
        let at = At::any_change().nth(nth.try_into().ok()?);
        self.host.ledger().faults().inject(at, Fault::InDoubt);
        Some(())
    }
    async fn mend(&self) -> bool {
        self.host.ledger().faults().withdraw() == 0
    }
    async fn forbid(&self) -> Option<&'static str> {
        self.host.clear(&at("shared/uploads"));
        Some("the shared directory is missing")
    }
    fn takes(&self) -> Duration {
        Duration::from_secs(30)
    }
}

flow_testkit::step_conformance!(fresh);

/// Where the process table cannot be read, nothing is known of it, and nothing is removed.
#[tokio::test]
async fn a_host_that_cannot_say_which_releases_run_keeps_them_all() {
    use flow_core::{ErrorKind, Outcome};
    let fake = fresh().await;
    let (step, cx, permit) = (fake.step(), fake.context(), flow_testkit::permit());
    let before = step.capture(&cx).await.unwrap();
    step.run(&cx, &permit, &before).await.unwrap();
    let stands = fake.seen().await;
    fake.host.script(["pwd", "-P"], Script::ends(0).stdout("/elsewhere\n"));
    let found =
        ["find", "/proc", "-mindepth", "2", "-maxdepth", "2", "(", "-name", "cwd", "-o", "-name", "exe", ")"];
    let of = ["(", "-lname", "/elsewhere", "-o", "-lname", "/elsewhere/releases/*", ")", "-printf", "%l\\n"];
    fake.host.script(found.into_iter().chain(of), Script::ends(1));
    let error = step.roll_back(&cx, &permit, &before, &Outcome::InDoubt(None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert_eq!(fake.seen().await, stands);
}

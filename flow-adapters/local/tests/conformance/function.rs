//! `LocalFunctions` is a `FunctionPlatform`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_core::port::{FunctionPlatform, FunctionSpec, FunctionState};
use flow_core::{Digest, ErrorKind, Fence, Name, Permit, SystemClock, name};
use flow_local::function::{FunctionsConfig, LocalFunctions};
use flow_testkit::{permit, permit_under};
use serde_json::json;
use tempfile::TempDir;

use crate::outside::{runs, tree};

static THUMB: Name = name!("thumb");
/// Answers with the event and a variable.
const ECHO: &str =
    "#!/bin/sh\nprintf '{\"event\": %s, \"greeting\": \"%s\"}' \"$(/bin/cat)\" \"$GREETING\"\n";

struct World {
    directory: TempDir,
    functions: LocalFunctions,
}

impl World {
    fn new() -> Self {
        Self::with(|config| config)
    }

    fn with(change: impl FnOnce(FunctionsConfig) -> FunctionsConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = change(FunctionsConfig::new(directory.path().join("root")));
        let functions = LocalFunctions::open(config, Arc::new(SystemClock::new())).unwrap();
        Self { directory, functions }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A function whose code is `code`.
    fn spec(&self, code: &str) -> FunctionSpec {
        let path = self.directory.path().join("code");
        fs::write(&path, code).unwrap();
        FunctionSpec {
            name: THUMB.clone(),
            code: path,
            digest: Digest::of(code.as_bytes()),
            triggers: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    /// Publishes `code` as a version.
    async fn publish(&self, key: &str, code: &str) -> String {
        self.functions.update_code(&permit(), &self.spec(code)).await.unwrap();
        self.functions.publish(&keyed(key), &THUMB).await.unwrap()
    }

    async fn greet(&self, greeting: &str) {
        let variables = BTreeMap::from([("GREETING".to_owned(), greeting.to_owned())]);
        self.functions.set_variables(&permit(), &THUMB, &variables).await.unwrap();
    }

    async fn state(&self) -> FunctionState {
        self.functions.state(&THUMB).await.unwrap()
    }

    fn code(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root().join("code"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn keyed(key: &str) -> Permit {
    permit_under(key, Fence(1), 1)
}

#[tokio::test]
async fn a_function_inherits_no_environment() {
    let world = World::new();
    let show = "#!/bin/sh\nprintf '\"%s\"' \"$(cat /proc/$$/environ | tr '\\0' ' ')\"\n";
    world.functions.update_code(&permit(), &world.spec(show)).await.unwrap();
    world.greet("hello").await;
    let version = world.functions.publish(&keyed("a"), &THUMB).await.unwrap();
    let answer = world.functions.invoke(&THUMB, &version, &json!(null)).await.unwrap();
    assert_eq!(answer.output, json!("GREETING=hello "));
}

#[tokio::test]
async fn publishing_twice_under_one_key_is_one_version() {
    let world = World::new();
    assert_eq!(world.publish("a", ECHO).await, "1");
    let before = tree(&world.root());
    assert_eq!(world.functions.publish(&keyed("a"), &THUMB).await.unwrap(), "1");
    assert_eq!(tree(&world.root()), before);
    assert_eq!(world.functions.publish(&keyed("b"), &THUMB).await.unwrap(), "2");
}

#[tokio::test]
async fn callers_reach_the_live_version_and_no_other() {
    let world = World::new();
    assert_eq!(world.publish("a", "#!/bin/sh\necho '\"one\"'\n").await, "1");
    let unpublished = world.functions.call(&THUMB, &json!({})).await.unwrap_err();
    assert_eq!(unpublished.kind(), ErrorKind::NotFound);

    world.functions.make_live(&permit(), &THUMB, "1").await.unwrap();
    assert_eq!(world.publish("b", "#!/bin/sh\necho '\"two\"'\n").await, "2");
    assert_eq!(world.functions.call(&THUMB, &json!({})).await.unwrap().output, json!("one"));
    world.functions.make_live(&permit(), &THUMB, "2").await.unwrap();
    assert_eq!(world.functions.call(&THUMB, &json!({})).await.unwrap().output, json!("two"));

    for unknown in ["3", "0", "02", "+2", "two", ""] {
        let refused = world.functions.make_live(&permit(), &THUMB, unknown).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{unknown}");
    }
    assert_eq!(world.state().await.live.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_restored_function_is_as_it_was_and_what_was_published_since_is_gone() {
    let world = World::new();
    let first = ECHO.to_owned() + "# first\n";
    world.functions.update_code(&permit(), &world.spec(&first)).await.unwrap();
    world.greet("hello").await;
    let triggers = BTreeMap::from([(name!("nightly"), "0 3 * * *".to_owned())]);
    world.functions.set_triggers(&permit(), &THUMB, &triggers).await.unwrap();
    world.functions.publish(&keyed("a"), &THUMB).await.unwrap();
    world.functions.make_live(&permit(), &THUMB, "1").await.unwrap();
    let (before, code) = (world.state().await, world.code());
    assert_eq!(before.triggers, triggers);

    world.greet("good bye").await;
    world.functions.set_triggers(&permit(), &THUMB, &BTreeMap::new()).await.unwrap();
    let second = world.publish("b", ECHO).await;
    world.functions.make_live(&permit(), &THUMB, &second).await.unwrap();
    assert_ne!(world.state().await, before);
    assert_ne!(world.code(), code);

    for _ in 0..2 {
        world.functions.restore(&permit(), &THUMB, &before).await.unwrap();
        assert_eq!(world.state().await, before);
        assert_eq!(world.code(), code);
        let gone = world.functions.invoke(&THUMB, &second, &json!({})).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }
    let answer = world.functions.call(&THUMB, &json!({})).await.unwrap();
    assert_eq!(answer.output["greeting"], "hello");
    assert_eq!(world.publish("c", ECHO).await, "3", "a number is given once");
}

#[tokio::test]
async fn a_function_that_did_not_exist_is_removed_whole() {
    let world = World::new();
    let (before, files) = (world.state().await, tree(&world.root()));
    assert_eq!(before, FunctionState::default());
    world.publish("a", ECHO).await;
    world.functions.make_live(&permit(), &THUMB, "1").await.unwrap();

    for _ in 0..2 {
        world.functions.restore(&permit(), &THUMB, &before).await.unwrap();
        assert_eq!(world.state().await, before);
        let mut left = tree(&world.root());
        left.remove(".lock");
        assert_eq!(left, files);
    }
}

#[tokio::test]
async fn undoing_one_function_leaves_the_code_that_another_one_is_yet_to_get_back() {
    let world = World::new();
    let old = ECHO.to_owned() + "# old\n";
    world.functions.update_code(&permit(), &world.spec(&old)).await.unwrap();
    let before = world.state().await;
    world.functions.update_code(&permit(), &world.spec(ECHO)).await.unwrap();

    let other = FunctionSpec { name: name!("other"), ..world.spec("#!/bin/sh\n") };
    world.functions.update_code(&permit(), &other).await.unwrap();
    world.functions.restore(&permit(), &other.name, &FunctionState::default()).await.unwrap();
    world.functions.restore(&permit(), &THUMB, &before).await.unwrap();
    assert_eq!(world.state().await, before);
    assert_eq!(world.code(), [Digest::of(old.as_bytes()).hex()]);
}

#[tokio::test]
async fn code_of_another_digest_is_refused_and_nothing_is_changed() {
    let world = World::new();
    world.publish("a", ECHO).await;
    let before = tree(&world.root());
    let mut spec = world.spec("#!/bin/sh\necho 1\n");
    spec.digest = Digest::of(b"something else");
    assert_eq!(world.functions.update_code(&permit(), &spec).await.unwrap_err().kind(), ErrorKind::Conflict);
    spec.code = PathBuf::from("/does/not/exist");
    assert_eq!(world.functions.update_code(&permit(), &spec).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(tree(&world.root()), before);
}

#[tokio::test]
async fn kept_code_that_somebody_changed_is_neither_run_nor_published() {
    let world = World::new();
    world.publish("a", ECHO).await;
    let path = world.root().join("code").join(Digest::of(ECHO.as_bytes()).hex());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o500);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "#!/bin/sh\necho '\"changed\"'\n").unwrap();

    for refused in [
        world.functions.invoke(&THUMB, "1", &json!({})).await.map(drop).unwrap_err(),
        world.functions.publish(&keyed("b"), &THUMB).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    // Put in place again, it is whole.
    assert_eq!(world.publish("b", ECHO).await, "2");
    assert!(world.functions.invoke(&THUMB, "1", &json!({})).await.unwrap().succeeded);
}

#[tokio::test]
async fn a_failing_function_is_an_answer() {
    let world = World::new();
    for (key, code, error) in [
        ("a", "#!/bin/sh\necho out of paper >&2\nexit 7\n", "ended with 7"),
        ("b", "#!/bin/sh\necho not json\n", "not JSON"),
        ("c", "#!/bin/sh\nkill -9 $$\n", "signal"),
    ] {
        let version = world.publish(key, code).await;
        let answer = world.functions.invoke(&THUMB, &version, &json!({})).await.unwrap();
        assert!(!answer.succeeded);
        assert!(answer.output["error"].as_str().unwrap().contains(error), "{answer:?}");
    }
    let answer = world.functions.invoke(&THUMB, "1", &json!({})).await.unwrap();
    assert_eq!(answer.output["stderr"], "out of paper");
}

#[tokio::test]
async fn a_function_out_of_time_is_ended_with_its_children() {
    let world = World::with(|config| config.timeout(Duration::from_millis(500)));
    let file = world.directory.path().join("child");
    let slow = format!("#!/bin/sh\nsleep 1000 &\necho $! > {}\nwait\n", file.display());
    let version = world.publish("a", &slow).await;
    let answer = world.functions.invoke(&THUMB, &version, &json!({})).await.unwrap();
    assert!(!answer.succeeded);
    assert!(answer.output["error"].as_str().unwrap().contains("500ms"), "{answer:?}");
    let child = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    assert!(!runs(child));
}

#[tokio::test]
async fn a_script_runs_by_the_platforms_command() {
    let world = World::with(|config| config.command(["/bin/sh", "{code}", "extra"]));
    let version = world.publish("a", "echo \"\\\"$1\\\"\"\n").await;
    let answer = world.functions.invoke(&THUMB, &version, &json!({})).await.unwrap();
    assert_eq!(answer.output, json!("extra"));
}

#[tokio::test]
async fn a_function_that_does_not_exist_is_a_state_and_cannot_be_changed() {
    let world = World::new();
    let functions = &world.functions;
    assert_eq!(world.state().await, FunctionState::default());
    for refused in [
        functions.set_triggers(&permit(), &THUMB, &BTreeMap::new()).await,
        functions.set_variables(&permit(), &THUMB, &BTreeMap::new()).await,
        functions.publish(&permit(), &THUMB).await.map(drop),
        functions.make_live(&permit(), &THUMB, "1").await,
        functions.invoke(&THUMB, "1", &json!({})).await.map(drop),
        functions.call(&THUMB, &json!({})).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert!(world.code().is_empty());
}

#[tokio::test]
async fn a_damaged_or_newer_state_file_is_refused_and_left_as_it_is() {
    let world = World::new();
    world.publish("a", ECHO).await;
    let path = world.root().join("functions/thumb.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let newer = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 2");
    for bad in ["{", newer.as_str()] {
        fs::write(&path, bad).unwrap();
        for refused in [
            world.functions.state(&THUMB).await.map(drop).unwrap_err(),
            world.functions.publish(&keyed("b"), &THUMB).await.map(drop).unwrap_err(),
            world.functions.restore(&permit(), &THUMB, &FunctionState::default()).await.unwrap_err(),
        ] {
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            assert!(refused.to_string().contains("thumb.json"), "{refused}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
}

#[tokio::test]
async fn bad_variables_and_a_bad_configuration_are_refused_with_all_their_problems() {
    let world = World::new();
    world.publish("a", ECHO).await;
    let bad = BTreeMap::from([("A=B".to_owned(), String::new()), ("C".to_owned(), "\0".to_owned())]);
    let refused = world.functions.set_variables(&permit(), &THUMB, &bad).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let problems = refused.source().unwrap().to_string();
    assert!(problems.contains("`variables.A=B`") && problems.contains("`variables.C`"), "{problems}");

    let config = FunctionsConfig::new("relative").command(["node"]).timeout(Duration::ZERO);
    let refused = LocalFunctions::open(config, Arc::new(SystemClock::new())).unwrap_err();
    let problems = refused.source().unwrap().to_string();
    for field in ["root", "command", "timeout"] {
        assert!(problems.contains(&format!("`{field}`")), "{field} in {problems}");
    }
}

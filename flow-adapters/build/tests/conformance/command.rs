use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flow_build::{CommandBuilder, CommandConfig};
use flow_core::port::{Builder as _, Built, SourceVersion};
use flow_core::{CancelToken, Digest, ErrorKind, Fence, Permit, StepError, SystemClock, name};
use flow_testkit::permit;
use tempfile::TempDir;

use crate::fixture::{Alarm, directory, eventually, listing, names, runs, scratch, set_mode};

/// A checked-out tree, a directory for releases, and a file that counts builds.
struct Bench {
    root: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { root: directory() };
        fs::create_dir(bench.tree()).unwrap();
        fs::write(bench.tree().join("main.txt"), "source\n").unwrap();
        bench
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    fn releases(&self) -> PathBuf {
        self.path("releases")
    }

    fn version(&self) -> SourceVersion {
        SourceVersion { commit: "c".repeat(40), tag: "v1".to_owned(), tree: self.tree() }
    }

    /// A build of `app`, by a shell script that knows the out directory as `$OUT`.
    fn script(&self, script: &str) -> CommandConfig {
        let counted = format!("echo built >> {}; {script}", self.path("count").display());
        CommandConfig::new(self.releases())
            .command(["sh", "-euc", &counted].map(doubled))
            .env("OUT", "{out}")
            .artifact(name!("app"), "app")
    }

    async fn build(&self, config: CommandConfig) -> Result<Built, StepError> {
        builder(config).build(&permit(), &self.version()).await
    }

    async fn refused(&self, script: &str) -> StepError {
        let error = self.build(self.script(script)).await.unwrap_err();
        assert_eq!(names(&self.releases()), [""; 0], "{script}: something was kept");
        assert_eq!(scratch(&self.releases()), [""; 0], "{script}: scratch space is left over");
        assert_eq!(builder(self.script(script)).find(&self.version()).await.unwrap(), None);
        error
    }

    fn builds(&self) -> usize {
        fs::read_to_string(self.path("count")).unwrap_or_default().lines().count()
    }

    fn record(&self) -> PathBuf {
        let builds = self.releases().join(".flow/builds");
        let [record] = names(&builds).try_into().unwrap();
        builds.join::<String>(record)
    }
}

/// A shell's braces, which are no placeholders.
fn doubled(argument: &str) -> String {
    argument.replace('{', "{{").replace('}', "}}")
}

fn builder(config: CommandConfig) -> CommandBuilder {
    CommandBuilder::new(config, Arc::new(SystemClock::new())).unwrap()
}

/// Everything that an error says, its causes included.
fn text(error: &StepError) -> String {
    flow_core::Cause::from(error).to_string()
}

#[tokio::test]
async fn a_file_is_kept_under_the_digest_of_its_bytes_with_its_mode() {
    let bench = Bench::new();
    let config = bench
        .script("cp main.txt $OUT/app; chmod 755 $OUT/app; echo notes > $OUT/notes; chmod 600 $OUT/notes")
        .artifact(name!("notes"), "notes");
    let built = bench.build(config).await.unwrap();
    let (app, notes) = (&built.artifacts[&name!("app")], &built.artifacts[&name!("notes")]);
    assert_eq!(app.digest, Digest::of(b"source\n"));
    assert_eq!(app.path, bench.releases().join(app.digest.hex()).join("app"));
    assert_eq!(fs::read(&app.path).unwrap(), b"source\n");
    assert_eq!(fs::metadata(&app.path).unwrap().mode() & 0o7777, 0o555);
    assert_eq!(notes.digest, Digest::of(b"notes\n"));
    assert_eq!(fs::metadata(&notes.path).unwrap().mode() & 0o7777, 0o444);
    let mut kept = [app.digest.hex(), notes.digest.hex()];
    kept.sort();
    assert_eq!(names(&bench.releases()), kept);
    assert_eq!(scratch(&bench.releases()), [""; 0]);
}

#[tokio::test]
async fn the_same_commit_under_the_same_definition_is_built_once() {
    let bench = Bench::new();
    let config = bench.script("echo out; cp main.txt $OUT/app");
    assert_eq!(builder(config.clone()).find(&bench.version()).await.unwrap(), None);
    assert!(!bench.releases().exists(), "looking for a build made something");
    let first = bench.build(config.clone()).await.unwrap();
    assert_eq!(first.log, "out");
    let again = bench.build(config.clone()).await.unwrap();
    let found = builder(config.clone()).find(&bench.version()).await.unwrap();
    assert_eq!((bench.builds(), Some(&first), &again), (1, found.as_ref(), &first));

    let other = SourceVersion { commit: "d".repeat(40), ..bench.version() };
    assert_eq!(builder(config.clone()).find(&other).await.unwrap(), None);
    builder(config.clone()).build(&permit(), &other).await.unwrap();
    assert_eq!(bench.builds(), 2);
    bench.build(config.env("FLAG", "1")).await.unwrap();
    assert_eq!(bench.builds(), 3);
}

#[tokio::test]
async fn a_flipped_byte_a_changed_mode_and_a_missing_file_are_found_and_repaired() {
    let bench = Bench::new();
    let config = bench
        .script(
            "mkdir $OUT/app $OUT/app/in; echo x > $OUT/app/in/x; echo y > $OUT/one; chmod 755 $OUT/app/in/x",
        )
        .artifact(name!("one"), "one");
    let built = bench.build(config.clone()).await.unwrap();
    let good = listing(&bench.releases());
    let app = built.artifacts[&name!("app")].path.clone();
    let one = built.artifacts[&name!("one")].path.clone();
    let overwrite = |path: &Path, text: &str| {
        set_mode(path, 0o644);
        fs::write(path, text).unwrap();
    };
    let damage: [(&str, &dyn Fn()); 9] = [
        ("a flipped byte in a file", &|| overwrite(&one, "z\n")),
        ("a flipped byte in a directory", &|| overwrite(&app.join("in/x"), "X\n")),
        ("a file that is no longer executable", &|| set_mode(&app.join("in/x"), 0o444)),
        ("a file that became executable", &|| set_mode(&one, 0o555)),
        ("another file in the directory", &|| fs::write(app.join("more"), "").unwrap()),
        ("another directory in the directory", &|| fs::create_dir(app.join("more")).unwrap()),
        ("a missing file in the directory", &|| fs::remove_file(app.join("in/x")).unwrap()),
        ("a missing artefact", &|| fs::remove_dir_all(app.parent().unwrap()).unwrap()),
        ("a link in place of the file", &|| {
            fs::rename(&one, bench.path("elsewhere")).unwrap();
            symlink(bench.path("elsewhere"), &one).unwrap();
        }),
    ];
    for (number, (what, damage)) in damage.into_iter().enumerate() {
        damage();
        assert_eq!(builder(config.clone()).find(&bench.version()).await.unwrap(), None, "{what}");
        assert_eq!(bench.build(config.clone()).await.unwrap().artifacts, built.artifacts, "{what}");
        assert_eq!(listing(&bench.releases()), good, "{what}");
        assert_eq!(bench.builds(), number + 2, "{what}");
    }
}

#[tokio::test]
async fn a_missing_or_damaged_record_is_no_build() {
    let bench = Bench::new();
    let config = bench.script("cp main.txt $OUT/app");
    bench.build(config.clone()).await.unwrap();
    let record = bench.record();
    let good = fs::read_to_string(&record).unwrap();
    let digest = Digest::of(b"source\n").to_string();
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace("\"file_name\": \"app\"", "\"file_name\": \"../app\""),
        good.replace("\"log\"", "\"unknown\": 1, \"log\""),
        good.replace(&digest, &Digest::of(b"other").to_string()),
        good.replace(&"c".repeat(40), &"d".repeat(40)),
    ] {
        assert_ne!(bad, good);
        fs::write(&record, &bad).unwrap();
        assert_eq!(builder(config.clone()).find(&bench.version()).await.unwrap(), None, "{bad}");
    }
    fs::write(&record, &good).unwrap();
    assert!(builder(config.clone()).find(&bench.version()).await.unwrap().is_some());
    fs::remove_file(&record).unwrap();
    assert_eq!(builder(config).find(&bench.version()).await.unwrap(), None);
}

#[tokio::test]
async fn the_digest_of_a_directory_knows_names_modes_and_content_and_no_times() {
    let make = "mkdir -p $OUT/app/b $OUT/app/empty; echo 1 > $OUT/app/b/one; echo 2 > $OUT/app/two";
    let digest = async |script: &str| {
        let bench = Bench::new();
        bench.build(bench.script(script)).await.unwrap().artifacts[&name!("app")].digest
    };
    let first = digest(make).await;
    let same = [
        format!("{make}; touch -d 2001-01-01 $OUT/app/two $OUT/app/b"),
        format!("{make}; chmod 600 $OUT/app/two; chmod 700 $OUT/app/b"),
        "mkdir -p $OUT/app/empty $OUT/app/b; echo 2 > $OUT/app/two; echo 1 > $OUT/app/b/one".to_owned(),
    ];
    for script in same {
        assert_eq!(digest(&script).await, first, "{script}");
    }
    let different = [
        format!("{make}; chmod 755 $OUT/app/two"),
        format!("{make}; mv $OUT/app/two $OUT/app/three"),
        format!("{make}; echo 3 > $OUT/app/two"),
        format!("{make}; rmdir $OUT/app/empty"),
        format!("{make}; mv $OUT/app/b/one $OUT/app/one"),
    ];
    for script in different {
        assert_ne!(digest(&script).await, first, "{script}");
    }
}

#[tokio::test]
async fn a_kept_directory_is_laid_as_it_was_made() {
    let bench = Bench::new();
    let script =
        "mkdir -p $OUT/app/b/empty; echo 1 > $OUT/app/b/one; chmod 700 $OUT/app/b/one; echo 2 > $OUT/app/two";
    let built = bench.build(bench.script(script)).await.unwrap();
    let expected = [("b", "directory"), ("b/empty", "directory"), ("b/one", "111 1\\n"), ("two", "0 2\\n")];
    let expected = expected.map(|(path, shown)| (path.to_owned(), shown.to_owned()));
    assert_eq!(listing(&built.artifacts[&name!("app")].path), expected.into());
}

#[tokio::test]
async fn one_content_under_two_names_is_kept_under_both() {
    let bench = Bench::new();
    let config = bench.script("cp main.txt $OUT/app; cp main.txt $OUT/copy").artifact(name!("copy"), "copy");
    let built = bench.build(config.clone()).await.unwrap();
    assert_eq!(built.artifacts[&name!("app")].digest, built.artifacts[&name!("copy")].digest);
    assert_eq!(names(&bench.releases().join(Digest::of(b"source\n").hex())), ["app", "copy"]);
    assert_eq!(builder(config).find(&bench.version()).await.unwrap(), Some(built));
}

#[tokio::test]
async fn a_failed_build_says_the_end_of_its_output_and_leaves_nothing() {
    let bench = Bench::new();
    let error = bench.refused("cp main.txt $OUT/app; seq 1 3000; echo the reason >&2; exit 7").await;
    assert_eq!(error.kind(), ErrorKind::Failed);
    let output = error.facts().find(|(name, _)| *name == "output").unwrap().1.to_owned();
    assert!(output.ends_with("the reason") && output.contains("\n3000\n"), "{output}");
    assert!(output.len() <= 4096 && output.len() > 4000, "{}", output.len());
    assert!(text(&error).contains("exit status: 7"), "{error}");

    let missing = bench.refused("true").await;
    assert_eq!(missing.kind(), ErrorKind::Failed);
    assert!(text(&missing).contains("app"), "{}", text(&missing));
    let config = CommandConfig::new(bench.releases())
        .command(["no-such-program", "{out}"])
        .artifact(name!("app"), "app");
    assert_eq!(bench.build(config).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_later_command_runs_only_after_an_earlier_one_succeeded() {
    let bench = Bench::new();
    let config = bench.script("cp main.txt $OUT/app; exit 1").command(["sh", "-c", "echo built >> ../count"]);
    bench.build(config).await.unwrap_err();
    assert_eq!(bench.builds(), 1);
    let config =
        bench.script("cp main.txt $OUT/app").command(["sh", "-c", "echo second; echo built >> ../count"]);
    assert_eq!(bench.build(config).await.unwrap().log, "second");
    assert_eq!(bench.builds(), 3);
}

#[tokio::test]
async fn commands_see_the_configured_environment_and_no_other() {
    let bench = Bench::new();
    let config = CommandConfig::new(bench.releases())
        .command(["env"])
        .command(["cp", "{tree}/main.txt", "{out}/app"])
        .env("GIVEN", "two words; $(x)")
        .env("TREE", "{tree}")
        .artifact(name!("app"), "app");
    let built = bench.build(config).await.unwrap();
    let mut seen: Vec<&str> = built.log.lines().collect();
    seen.sort_unstable();
    let tree = format!("TREE={}", bench.tree().display());
    assert_eq!(seen, ["GIVEN=two words; $(x)", &format!("PATH={}", flow_build::SEARCH_PATH), &tree]);
}

#[tokio::test]
async fn links_devices_and_setuid_files_are_refused() {
    let bench = Bench::new();
    for script in [
        "ln -s /etc/passwd $OUT/app",
        "ln -s main $OUT/app; echo 1 > $OUT/main",
        "mkdir $OUT/app; ln -s ../../../tree/main.txt $OUT/app/link",
        "mkdir $OUT/app; echo 1 > $OUT/app/file; ln -s file $OUT/app/link",
        "mkfifo $OUT/app",
        "mkdir $OUT/app; mkfifo $OUT/app/pipe",
        "echo 1 > $OUT/app; chmod 4755 $OUT/app",
        "mkdir $OUT/app; echo 1 > $OUT/app/file; chmod 2755 $OUT/app/file",
    ] {
        let error = bench.refused(script).await;
        assert_eq!(error.kind(), ErrorKind::Failed, "{script}: {error}");
    }
    // A link on the way to the artefact.
    fs::create_dir(bench.path("outside")).unwrap();
    fs::write(bench.path("outside/app"), "secret").unwrap();
    let config = bench.script("ln -s ../../../../../outside $OUT/bin; cat $OUT/bin/app");
    let config = CommandConfig { artifacts: [(name!("app"), "bin/app".to_owned())].into(), ..config };
    let error = bench.build(config).await.unwrap_err();
    assert!(error.to_string().contains("no artefact that can be kept"), "{error}");
    assert_eq!(names(&bench.releases()), [""; 0]);
}

#[tokio::test]
async fn a_path_out_of_the_out_directory_is_refused_before_anything_runs() {
    for path in ["../app", "/etc/passwd", "a/../../b", "", ".", "a//b", "{out}/app"] {
        let bench = Bench::new();
        let config = bench.script("true").artifact(name!("bad"), path);
        let problems = CommandBuilder::new(config, Arc::new(SystemClock::new())).unwrap_err();
        assert!(problems.as_slice().iter().all(|problem| problem.field == "artifacts.bad"), "{problems}");
        assert!(!bench.releases().exists());
    }
}

#[tokio::test]
async fn an_artefact_at_the_limit_is_kept_and_one_above_it_refused() {
    let bench = Bench::new();
    let script = "mkdir $OUT/app; head -c 600 /dev/zero > $OUT/app/a; head -c 400 /dev/zero > $OUT/app/b";
    for (bytes, entries, fits) in [(1000, 2, true), (999, 2, false), (1000, 1, false)] {
        let mut config = bench.script(script);
        config.limits.bytes = bytes;
        config.limits.entries = entries;
        if !fits {
            // The artefact that was kept under wider limits must not stand for this one.
            builder(config.clone()).discard(&permit(), &bench.version()).await.unwrap();
        }
        let built = bench.build(config).await;
        assert_eq!(built.is_ok(), fits, "{bytes} bytes, {entries} entries: {built:?}");
    }
}

#[tokio::test]
async fn discarding_a_build_removes_its_artefacts_and_those_of_no_other_build() {
    let bench = Bench::new();
    let config = bench
        .script("mkdir $OUT/app; cat main.txt > $OUT/app/x; echo shared > $OUT/one")
        .artifact(name!("one"), "one");
    let built = bench.build(config.clone()).await.unwrap();
    let (app, one) = (&built.artifacts[&name!("app")], &built.artifacts[&name!("one")]);
    let builder = builder(config);
    let second = SourceVersion { commit: "5ec0d".to_owned(), tree: bench.path("second"), ..bench.version() };
    fs::create_dir(&second.tree).unwrap();
    fs::write(second.tree.join("main.txt"), "other\n").unwrap();
    let other = builder.build(&permit(), &second).await.unwrap();
    assert_eq!(other.artifacts[&name!("one")], *one, "the same bytes under another commit");

    for _ in 0..2 {
        builder.discard(&permit(), &second).await.unwrap();
        let mut left = [app.digest.hex(), one.digest.hex()];
        left.sort();
        assert_eq!(names(&bench.releases()), left);
        assert_eq!(scratch(&bench.releases()), [""; 0]);
    }
    assert_eq!(builder.find(&second).await.unwrap(), None);
    assert_eq!(builder.find(&bench.version()).await.unwrap().unwrap().artifacts, built.artifacts);
    builder.discard(&permit(), &bench.version()).await.unwrap();
    assert_eq!(names(&bench.releases()), [""; 0]);
}

#[tokio::test]
async fn a_build_that_was_interrupted_while_it_kept_is_discarded_whole() {
    let bench = Bench::new();
    let config = bench.script("mkdir $OUT/app; cp main.txt $OUT/app/x");
    let builder = builder(config.clone());
    let app = bench.build(config).await.unwrap().artifacts[&name!("app")].clone();
    builder.discard(&permit(), &bench.version()).await.unwrap();
    // A link in the place of a release is removed, and not what it points to.
    fs::create_dir(bench.path("outside")).unwrap();
    fs::write(bench.path("outside/file"), "").unwrap();
    symlink(bench.path("outside"), bench.releases().join(app.digest.hex())).unwrap();
    assert_eq!(builder.build(&permit(), &bench.version()).await.unwrap_err().kind(), ErrorKind::Unknown);
    builder.discard(&permit(), &bench.version()).await.unwrap();
    assert_eq!(names(&bench.releases()), [""; 0]);
    assert_eq!(names(&bench.path("outside")), ["file"]);
    assert_eq!(builder.build(&permit(), &bench.version()).await.unwrap().artifacts[&name!("app")], app);
}

#[tokio::test]
async fn beside_a_record_that_cannot_be_read_nothing_is_discarded() {
    let bench = Bench::new();
    let config = bench.script("mkdir $OUT/app; cp main.txt $OUT/app/x");
    let built = bench.build(config.clone()).await.unwrap();
    fs::write(bench.releases().join(".flow/builds/c0ffee-1.json"), "{").unwrap();
    let error = builder(config.clone()).discard(&permit(), &bench.version()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("c0ffee-1.json"), "{error}");
    assert_eq!(builder(config).find(&bench.version()).await.unwrap().unwrap().artifacts, built.artifacts);
}

#[tokio::test]
async fn discarding_where_nothing_was_ever_kept_makes_nothing() {
    let bench = Bench::new();
    builder(bench.script("true")).discard(&permit(), &bench.version()).await.unwrap();
    assert!(!bench.releases().exists());
}

#[tokio::test]
async fn a_version_that_cannot_be_built_is_refused() {
    let bench = Bench::new();
    let builder = builder(bench.script("cp main.txt $OUT/app"));
    let hostile = SourceVersion { commit: "../../etc".to_owned(), ..bench.version() };
    assert_eq!(builder.build(&permit(), &hostile).await.unwrap_err().kind(), ErrorKind::Invalid);
    let missing = SourceVersion { tree: bench.path("nowhere"), ..bench.version() };
    assert_eq!(builder.build(&permit(), &missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!bench.releases().exists());
}

/// A build that starts a grandchild, writes both process ids, and never ends.
const ENDLESS: &str =
    "sleep 1000 & echo $! > ../pids.tmp; echo $$ >> ../pids.tmp; mv ../pids.tmp ../pids; wait";

fn pids(bench: &Bench) -> Vec<u32> {
    let text = fs::read_to_string(bench.path("pids")).unwrap_or_default();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_ended_with_all_its_children() {
    let bench = Bench::new();
    let alarm = Arc::new(Alarm::default());
    let builder = CommandBuilder::new(bench.script(ENDLESS), alarm.clone()).unwrap();
    let version = bench.version();
    let building = tokio::spawn(async move { builder.build(&permit(), &version).await });
    eventually("the build is under way", || pids(&bench).len() == 2).await;
    alarm.ring.cancel();
    assert_eq!(building.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    let pids = pids(&bench);
    assert_eq!(pids.len(), 2);
    eventually("both processes ended", || !pids.iter().any(|pid| runs(*pid))).await;
    assert_eq!((names(&bench.releases()), scratch(&bench.releases())), (vec![], vec![]));
}

#[tokio::test]
async fn all_commands_together_have_one_timeout() {
    let bench = Bench::new();
    let mut config = bench.script("cp main.txt $OUT/app").command(["true"]).command(["true"]);
    config.timeout = Duration::from_secs(100);
    let alarm = Arc::new(Alarm::default());
    let builder = CommandBuilder::new(config, alarm.clone()).unwrap();
    builder.build(&permit(), &bench.version()).await.unwrap();
    // Three looks at the clock have passed between the beginning and the third command.
    let mut waits = alarm.waits.lock().unwrap().clone();
    waits.retain(|wait| *wait > Duration::from_secs(10));
    assert_eq!(waits, [99, 98, 97].map(Duration::from_secs));
}

#[tokio::test]
async fn what_a_build_leaves_unwritable_is_removed_all_the_same() {
    let bench = Bench::new();
    let script = "mkdir -p $OUT/cache/deep; touch $OUT/cache/deep/file; chmod 500 $OUT/cache/deep $OUT/cache; cp main.txt $OUT/app";
    bench.build(bench.script(script)).await.unwrap();
    assert_eq!(scratch(&bench.releases()), [""; 0]);
}

#[tokio::test]
async fn a_cancelled_build_is_ended_with_all_its_children() {
    let bench = Bench::new();
    let token = CancelToken::new();
    let permit = Permit::for_tests("cancel", Fence(1), 1, token.clone());
    let (builder, version) = (builder(bench.script(ENDLESS)), bench.version());
    let building = tokio::spawn(async move { builder.build(&permit, &version).await });
    eventually("the build is under way", || pids(&bench).len() == 2).await;
    token.cancel();
    assert_eq!(building.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    let pids = pids(&bench);
    eventually("both processes ended", || !pids.iter().any(|pid| runs(*pid))).await;
    assert_eq!(scratch(&bench.releases()), [""; 0]);
}

#[tokio::test]
async fn a_build_that_nobody_waits_for_any_more_is_ended_with_all_its_children() {
    let bench = Bench::new();
    let (builder, version) = (builder(bench.script(ENDLESS)), bench.version());
    let building = tokio::spawn(async move { builder.build(&permit(), &version).await });
    eventually("the build is under way", || pids(&bench).len() == 2).await;
    building.abort();
    assert!(building.await.unwrap_err().is_cancelled());
    let pids = pids(&bench);
    eventually("both processes ended", || !pids.iter().any(|pid| runs(*pid))).await;
    assert_eq!(names(&bench.releases()), [""; 0]);
}

#[tokio::test]
async fn a_process_that_a_build_leaves_behind_is_ended() {
    let bench = Bench::new();
    let script = "cp main.txt $OUT/app; sleep 1000 & echo $! > ../pids";
    let begun = SystemTime::now();
    bench.build(bench.script(script)).await.unwrap();
    assert!(begun.elapsed().unwrap() < Duration::from_secs(60));
    let pids = pids(&bench);
    eventually("the process ended", || !runs(pids[0])).await;
}

#[test]
fn descriptions_and_definitions_say_what_would_run() {
    let bench = Bench::new();
    let builder = builder(
        CommandConfig::new(bench.releases())
            .command(["make", "-C", "{tree}", "DESTDIR={out}"])
            .command(["strip", "{out}/app"])
            .env("KEY", "secret")
            .artifact(name!("app"), "app"),
    );
    assert_eq!(builder.describe(), ["make -C {tree} DESTDIR={out}", "strip {out}/app"]);
    let definition = builder.definition();
    assert_eq!(definition["commands"][1][0], "strip");
    assert_eq!(definition["artifacts"]["app"], "app");
    assert!(!definition.to_string().contains("secret") && !format!("{builder:?}").contains("secret"));
}

/// Where the victim of [`a_build_that_is_killed_half_way_leaves_no_half_artefact`] works.
const VICTIM: &str = "FLOW_BUILD_VICTIM";

fn victims_build(root: &Path) -> CommandConfig {
    CommandConfig::new(root.join("releases"))
        .command(["sh", "-c", "mkdir $OUT/app && cp $TREE/* $OUT/app && cp $TREE/big-1 $OUT/one"])
        .env("OUT", "{out}")
        .env("TREE", "{tree}")
        .artifact(name!("app"), "app")
        .artifact(name!("one"), "one")
}

fn victims_version(root: &Path) -> SourceVersion {
    SourceVersion { commit: "c".repeat(40), tag: "v1".to_owned(), tree: root.join("tree") }
}

#[tokio::test]
#[ignore = "the process that another test kills"]
async fn victim() {
    let Some(root) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    builder(victims_build(&root)).build(&permit(), &victims_version(&root)).await.unwrap();
}

#[tokio::test]
#[ignore = "the process that another test kills"]
async fn endless_victim() {
    let Some(root) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    builder(endless_build(&root)).build(&permit(), &victims_version(&root)).await.unwrap();
}

fn endless_build(root: &Path) -> CommandConfig {
    CommandConfig::new(root.join("releases"))
        .command(
            [
                "sh",
                "-c",
                "[ -e ../pids ] || { SCRIPT; }; cp main.txt $OUT/app".replace("SCRIPT", ENDLESS).as_str(),
            ]
            .map(doubled),
        )
        .env("OUT", "{out}")
        .artifact(name!("app"), "app")
}

/// Starts the ignored test `name` of this binary as a process of its own.
fn start_victim(name: &str, root: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored"])
        .env(VICTIM, root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_command_that_outlived_its_controller_is_ended_before_the_next_build() {
    let bench = Bench::new();
    let mut victim = start_victim("command::endless_victim", bench.root.path());
    eventually("the build is under way", || pids(&bench).len() == 2).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    let pids = pids(&bench);
    assert!(pids.iter().all(|pid| runs(*pid)), "the command did not outlive its controller");
    bench.build(endless_build(bench.root.path())).await.unwrap();
    eventually("both processes ended", || !pids.iter().any(|pid| runs(*pid))).await;
}

/// What [`victims_build`] builds from: four files of one mebibyte.
fn victims_tree(root: &Path) {
    fs::create_dir(root.join("tree")).unwrap();
    for number in 1..=4 {
        fs::write(root.join(format!("tree/big-{number}")), big(number)).unwrap();
    }
}

fn big(number: u8) -> Vec<u8> {
    vec![b'0' + number; 1 << 20]
}

/// Builds again where a victim was killed, and holds what stands then to what stood before and to what was to be built.
async fn build_over(root: &Path, what: &str) {
    let releases = root.join("releases");
    let standing: Vec<_> =
        names(&releases).into_iter().map(|name| (listing(&releases.join(&name)), name)).collect();
    let builder = builder(victims_build(root));
    let version = victims_version(root);
    let built = builder.build(&permit(), &version).await.unwrap();
    for number in 1..=4 {
        let content = fs::read(built.artifacts[&name!("app")].path.join(format!("big-{number}"))).unwrap();
        assert!(content == big(number), "{what}");
    }
    assert_eq!(built.artifacts[&name!("one")].digest, Digest::of(&big(1)));
    assert_eq!(names(&releases).len(), 2, "{what}");
    for (before, name) in standing {
        let after = listing(&releases.join(&name));
        assert!(before.is_empty() || before == after, "{what}: `{name}` stood half");
    }
    // A command that outlives its controller may write while it is swept; then the next build sweeps the rest.
    for number in 0..100 {
        if scratch(&releases).is_empty() {
            break;
        }
        let next = SourceVersion { commit: format!("{number:040}"), ..version.clone() };
        builder.build(&permit(), &next).await.unwrap();
    }
    assert_eq!(scratch(&releases), [""; 0], "{what}");
}

#[tokio::test]
async fn a_build_that_is_killed_half_way_leaves_no_half_artefact() {
    type Reached = fn(&Path) -> bool;
    fn any(path: &Path, holds: impl Fn(&Path) -> bool) -> bool {
        names(path).iter().any(|name| holds(&path.join(name)))
    }
    let reached: [(&str, Reached); 5] = [
        ("the out directory is made", |root| {
            any(&root.join("releases/.flow/tmp"), |at| at.join("out-0").exists())
        }),
        ("the commands run", |root| {
            any(&root.join("releases/.flow/tmp"), |at| at.join("out-0/app/big-2").exists())
        }),
        ("a copy has begun", |root| {
            any(&root.join("releases/.flow/tmp"), |at| at.join("kept-0/big-1").exists())
        }),
        ("a copy is half done", |root| {
            any(&root.join("releases/.flow/tmp"), |at| at.join("kept-0/big-3").exists())
        }),
        ("the first artefact stands", |root| !names(&root.join("releases")).is_empty()),
    ];
    for (what, reached) in reached {
        let root = directory();
        victims_tree(root.path());
        let mut victim = start_victim("command::victim", root.path());
        eventually(what, || reached(root.path())).await;
        victim.kill().unwrap();
        victim.wait().unwrap();
        build_over(root.path(), what).await;
    }
}

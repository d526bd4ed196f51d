//! The example's controller is killed with SIGKILL at seeded points, before, inside and after effects, on the way forward
//! and on the way back, and resumed; then the world is read from outside.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use flow_core::journal::{self, JournalStore, RunOutcome};
use flow_core::machine::{Mode, State};
use flow_core::port::{ProcessManager, Router};
use flow_core::{RunId, SystemClock, Weights, name};
use flow_journal::SqliteJournal;
use flow_local::process::{LocalProcesses, ProcessesConfig};
use flow_local::proxy::{LocalRouter, ProxyConfig, RouterConfig};
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, Row};

/// The example's program, built now: `cargo test --test kill` builds no examples. A copy, which nobody rebuilds meanwhile.
fn program(directory: &Path) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--package", "flow-examples", "--example", "deploy"])
        .status()
        .unwrap();
    assert!(built.success());
    let deps = std::env::current_exe().unwrap();
    let program = directory.join("deploy");
    std::fs::copy(deps.ancestors().nth(2).unwrap().join("examples/deploy"), &program).unwrap();
    program
}

struct Shop {
    program: PathBuf,
    root: PathBuf,
    releases: PathBuf,
}

impl Shop {
    fn run(&self, words: &[&str]) -> ExitStatus {
        let log =
            std::fs::File::options().create(true).append(true).open(self.root.with_extension("log")).unwrap();
        Command::new(&self.program)
            .args(words)
            .arg("--releases")
            .arg(&self.releases)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .status()
            .unwrap()
    }

    fn root(&self) -> &str {
        self.root.to_str().unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let ended = Command::new(&self.program).args(["takedown", self.root()]).status();
        assert!(std::thread::panicking() || ended.unwrap().success(), "processes are left");
    }
}

/// What stands in the world, read without the library's own report: schema, rows, files, processes, weights.
#[derive(Debug, PartialEq)]
struct Seen {
    schema: Vec<String>,
    rows: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    versions: Vec<String>,
    processes: usize,
    weights: Weights,
}

impl Seen {
    /// The same without the change record, which tells of one run and its times.
    fn of_any_run(mut self) -> Self {
        self.files.retain(|path, _| !path.starts_with("documents/"));
        self
    }
}

/// How many processes there are with this argument.
fn processes_with(argument: &Path) -> usize {
    let argument = argument.as_os_str().as_encoded_bytes();
    let entries = std::fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let lines = entries.map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == argument)).count()
}

async fn look(shop: &Shop) -> Seen {
    let place = shop.root.join("staging");
    let (schema, rows) = database(&place.join("shop.db")).await;
    let mut files = BTreeMap::new();
    for directory in ["site", "rules", "configuration", "documents"] {
        tree(&place, &place.join(directory), &mut files);
    }
    let clock = std::sync::Arc::new(SystemClock::new());
    let processes = LocalProcesses::open(ProcessesConfig::new(place.join("processes")), clock).unwrap();
    let running = processes.instances(&name!("web")).await.unwrap();
    for instance in &running {
        let pid = instance.pid.unwrap();
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "{} does not run", instance.id);
    }
    let ports: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.join("ports.json")).unwrap()).unwrap();
    let port = u16::try_from(ports.get("proxy").unwrap().as_u64().unwrap()).unwrap();
    let proxy = ProxyConfig::on_loopback(name!("web"), place.join("proxy"), port);
    let router = LocalRouter::new(RouterConfig::new(proxy, &shop.program, ["proxy"])).unwrap();
    let weights = router.routing(&name!("web")).await.unwrap().weights().unwrap();
    let versions = running.into_iter().map(|instance| instance.version.to_string()).collect();
    let processes = processes_with(&place.join("shop.db"));
    Seen { schema, rows, files, versions, processes, weights }
}

/// The schema, and every row of the application's own tables.
async fn database(path: &Path) -> (Vec<String>, BTreeMap<String, String>) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let query = "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_flow%' ESCAPE '\\' ORDER BY name";
    let objects = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    let schema: Vec<String> = objects.iter().map(|row| row.get::<String, _>(1)).collect();
    let columns = sqlx::query("SELECT name FROM pragma_table_info('orders') ORDER BY cid")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let columns: Vec<String> =
        columns.iter().map(|row| format!("quote(\"{}\")", row.get::<String, _>(0))).collect();
    let text = format!("SELECT {} FROM orders ORDER BY id", columns.join(" || '|' || "));
    let orders = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap();
    let mut hasher = Sha256::new();
    for row in &orders {
        hasher.update(row.get::<String, _>(0));
        hasher.update([0]);
    }
    connection.close().await.unwrap();
    (
        schema,
        BTreeMap::from([(format!("orders, {} rows", orders.len()), format!("{:x?}", hasher.finalize()))]),
    )
}

fn tree(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        // What an adapter keeps for the way back is no part of what is served.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            tree(root, &path, files);
        } else {
            let digest = format!("{:x?}", Sha256::digest(std::fs::read(&path).unwrap()));
            files.insert(path.strip_prefix(root).unwrap().display().to_string(), digest);
        }
    }
}

/// How the journal says that the run ended; none while it is not over.
async fn journal_end(shop: &Shop, version: &str) -> (Option<Mode>, usize) {
    let store = SqliteJournal::open(shop.root.join("journal.db")).await.unwrap();
    let raw = store.load(&RunId::new(format!("staging-{version}")).unwrap()).await.unwrap();
    let records = journal::read(&raw).unwrap();
    let state = State::replay(records.iter().map(|record| &record.entry)).unwrap();
    let over = records.iter().any(|record| {
        matches!(
            &record.entry,
            journal::Entry::Finished { outcome: RunOutcome::Completed | RunOutcome::RolledBack }
        )
    });
    (state.running().filter(|_| over).map(|running| running.mode), records.len())
}

/// One point where the controller dies.
#[derive(Debug, Clone)]
struct Point {
    version: &'static str,
    first: String,
    again: Option<String>,
}

/// Seeded points over all appends of both runs; three kinds in turn, and every fourth dies again while it recovers.
fn points(count: u32, appends: &BTreeMap<&'static str, u32>) -> Vec<Point> {
    let mut seed = 0x5eed_u64;
    let mut next = |below: u32| {
        // Knuth's MMIX generator: the same points on every machine.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((seed >> 33) % u64::from(below)).unwrap()
    };
    let spec = |kind: u32, append: u32, ms: u32| match kind % 3 {
        0 => format!("before:{append}"),
        1 => format!("after:{append}"),
        _ => format!("inside:{append}:{ms}"),
    };
    let point = |index: u32| {
        // Two in three on the way back: it is the one that nobody tries out otherwise.
        let version = if index.is_multiple_of(3) { "1.1.0" } else { "1.2.0" };
        let last = appends[version];
        // Spread evenly over the run, with a seeded offset inside each part.
        let part = last.div_ceil(count).max(1);
        let append = (index * last / count + next(part)).min(last - 1);
        let first = spec(index, append, next(40));
        let again = (index % 4 == 3).then(|| spec(index / 4, next(4), next(40)));
        Point { version, first, again }
    };
    (0..count).map(point).collect()
}

fn set_up(program: &Path, directory: &Path, releases: &Path, name: &str) -> Shop {
    let shop =
        Shop { program: program.to_owned(), root: directory.join(name), releases: releases.to_owned() };
    let status = shop.run(&["setup", shop.root(), "production"]);
    assert!(
        status.success(),
        "{}",
        std::fs::read_to_string(shop.root.with_extension("log")).unwrap_or_default()
    );
    shop
}

/// Both runs without a death: how many appends each has, and what the world looks like after the good one.
async fn undisturbed(shop: &Shop) -> (BTreeMap<&'static str, u32>, Seen) {
    assert_eq!(shop.run(&["release", shop.root(), "1.1.0"]).code(), Some(0));
    let good = look(shop).await;
    assert_eq!(shop.run(&["release", shop.root(), "1.2.0"]).code(), Some(3));
    assert_eq!(look(shop).await, good, "the bad release was not taken back whole");
    // An append takes two records on average: a bound that is surely within the run is enough.
    let mut appends = BTreeMap::new();
    for version in ["1.1.0", "1.2.0"] {
        let (_, records) = journal_end(shop, version).await;
        appends.insert(version, u32::try_from(records / 3).unwrap());
    }
    (appends, good.of_any_run())
}

async fn survive(shop: &Shop, point: &Point, good: &Seen) -> Mode {
    if point.version == "1.2.0" {
        assert_eq!(shop.run(&["release", shop.root(), "1.1.0"]).code(), Some(0));
    }
    let before = look(shop).await;
    let died = shop.run(&["release", shop.root(), point.version, "--die", &point.first]);
    assert_eq!(died.signal(), Some(9), "{point:?}: the controller did not die where it was told to: {died}");
    if let Some(again) = &point.again {
        let died = shop.run(&["resume", shop.root(), point.version, "--die", again]);
        assert!(died.signal() == Some(9) || died.code().is_some_and(|code| code != 2), "{point:?}: {died}");
    }
    let ended = shop.run(&["resume", shop.root(), point.version]);
    let mode = match (journal_end(shop, point.version).await.0, ended.code()) {
        // Died before the first record: there is no run to resume, and the first attempt is made again.
        (None, Some(1)) => {
            let code = shop.run(&["release", shop.root(), point.version]).code();
            if code == Some(0) { Mode::Completed } else { Mode::RolledBack }
        }
        (Some(mode), Some(code)) => {
            assert_eq!(code, if mode == Mode::Completed { 0 } else { 3 }, "{point:?}");
            mode
        }
        other => panic!("{point:?}: {other:?}, {ended}"),
    };
    let world = look(shop).await;
    match (point.version, mode) {
        ("1.1.0", Mode::Completed) => assert_eq!(&world.of_any_run(), good, "{point:?}"),
        (_, Mode::RolledBack) => assert_eq!(world, before, "{point:?}"),
        other => panic!("{point:?}: {other:?}"),
    }
    mode
}

#[tokio::test]
async fn a_killed_controller_is_resumed_and_the_world_is_the_one_that_its_end_names() {
    let count = if std::env::var_os("FLOW_LONG").is_some() { 45 } else { 9 };
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path());
    let releases = directory.path().join("releases");
    let shop = set_up(&program, directory.path(), &releases, "shop");
    let (appends, good) = undisturbed(&shop).await;
    drop(shop);
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for (index, point) in points(count, &appends).iter().enumerate() {
        let shop = set_up(&program, directory.path(), &releases, &format!("shop-{index}"));
        let mode = survive(&shop, point, &good).await;
        *ends.entry(format!("{} {mode:?}", point.version)).or_default() += 1;
        println!("{index}: {point:?}: {mode:?}");
    }
    println!("{count} deaths: {ends:?}");
    assert!(ends.len() > 1, "every run ended alike: {ends:?}");
}

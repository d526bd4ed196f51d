//! Hostile values, by the hundred: the daemon lives, nothing is started, and no file appears where none belongs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use flow_core::port::{HealthCheck, LaunchSpec, ProcessManager as _};
use flow_core::{Digest, ErrorKind, name};
use flow_proving::{Outside, is_long};
use flow_testkit::permit;

use super::world::{WEB, World, named};

/// Numbers that look random and are the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Something that some parser on the way takes for more than text.
fn hostile(numbers: &mut Numbers, mark: &Path) -> String {
    let mark = mark.display();
    let pieces = [
        format!("; touch {mark}"),
        format!("$(touch {mark})"),
        format!("`touch {mark}`"),
        format!("\n\ntouch {mark}\n"),
        format!("' && touch {mark} '"),
        format!("\"}}]}});require('fs').writeFileSync('{mark}','')//"),
        "../../../../tmp/x".to_owned(),
        "--eval=process.exit()".to_owned(),
        "-".to_owned(),
        "\u{202e}ünïcödé\u{0}\u{7f}🦀".to_owned(),
        "j:{\"type\":\"call\",\"method\":\"ping\",\"args\":[]}".to_owned(),
        "__proto__".to_owned(),
        "[object Object]".to_owned(),
        "null".to_owned(),
        "NULL".to_owned(),
        "/dev/null".to_owned(),
        "x".repeat(1024 * 1024),
        "x".repeat(100_000),
        String::new(),
    ];
    let count = 1 + numbers.below(2);
    (0..count).map(|_| pieces[numbers.below(pieces.len())].clone()).collect()
}

/// A file that nobody can execute: that is found out by who tries, which is PM2.
const DATA: &str = "data";

const NAMES: &[&str] = &[
    "TOKEN",
    "name",
    "pm_exec_path",
    "pm_id",
    "status",
    "hasOwnProperty",
    "toString",
    "__proto__",
    "constructor",
    "exec_interpreter",
    "wait_ready",
    "instances",
    "NODE_OPTIONS",
    "A=B",
    "",
    "1A",
    "PATH",
    "LD_PRELOAD",
    "FLOW_PM2_INSTANCE",
    "SOCKET_PATH",
    "Ä",
    "A B",
];

/// A specification that must not start anything: its program does not exist, or is none.
fn spec(numbers: &mut Numbers, root: &Path, mark: &Path) -> LaunchSpec {
    let odd = hostile(numbers, mark);
    let program = match numbers.below(4) {
        0 => PathBuf::from(&odd),
        1 => root.join("none").join(odd.trim_start_matches('/')),
        _ => root.join("none/program"),
    };
    LaunchSpec {
        service: WEB.clone(),
        instance: named(["1", "a+b", "0._-"][numbers.below(3)]),
        version: name!("1.0.0"),
        digest: Digest::of(odd.as_bytes()),
        program,
        args: (0..numbers.below(3)).map(|_| hostile(numbers, mark)).collect(),
        env: (0..numbers.below(3)).map(|_| (numbers.of(NAMES).to_owned(), hostile(numbers, mark))).collect(),
        directory: if numbers.below(5) == 0 { hostile(numbers, mark).into() } else { root.to_owned() },
        health: HealthCheck { path: format!("/{}", hostile(numbers, mark)), timeout: Duration::from_secs(1) },
    }
}

/// Makes most specifications ones that pass every check, so that PM2 itself gets the odd values.
fn acceptable(mut spec: LaunchSpec, root: &Path) -> LaunchSpec {
    spec.program = root.join(DATA);
    spec.directory = root.to_owned();
    spec.health.path = "/".to_owned();
    let fits = |text: &String| !text.contains('\0') && text.len() < 20_000 && *text != "[object Object]";
    spec.args.retain(fits);
    spec.env.retain(|name, value| {
        ["TOKEN", "PATH", "NODE_OPTIONS", "LD_PRELOAD"].contains(&name.as_str()) && fits(value)
    });
    spec
}

fn files(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let (mut found, mut left) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path.clone());
            }
            found.insert(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn hostile_values_end_no_daemon_start_no_process_and_write_no_file() -> Outside<()> {
    let world = World::new().await?;
    let (root, mark) = (world.path("root"), world.path("root/mark"));
    fs::create_dir(&root)?;
    fs::write(root.join(DATA), "no program")?;
    let manager = &world.manager;
    let daemon = world.pm2.daemon().ok_or("no daemon")?;
    let mut numbers = Numbers(0x5eed_0004);
    let (mut reached, calls) = (0, if is_long() { 10_000 } else { 500 });
    for call in 0..calls {
        let odd = spec(&mut numbers, &root, &mark);
        let instance = odd.instance.clone();
        match call % 5 {
            0 => {
                let refused = manager.launch(&permit(), &odd).await.err().ok_or("a program was started")?;
                assert!(refused.kind().is_rejection(), "{refused}");
            }
            1 | 2 => {
                let refused = manager.launch(&permit(), &acceptable(odd, &root)).await.err();
                let refused = refused.ok_or("a program was started")?;
                assert_eq!(refused.kind(), ErrorKind::Failed, "{refused}");
                reached += 1;
            }
            3 => drop(manager.health(&WEB, &instance).await?),
            _ => manager.stop(&permit(), &WEB, &instance, Duration::from_millis(numbers.next() % 3)).await?,
        }
        assert_eq!(world.pm2.daemon(), Some(daemon), "call {call}");
    }
    assert!(reached > calls / 4, "PM2 saw only {reached} of {calls}");
    assert!(world.pm2.started().is_empty(), "{:?}", world.pm2.started());
    assert!(world.listed()?.is_empty());
    assert_eq!(files(&root)?, BTreeSet::from([root.join(DATA)]));
    let homes = files(world.pm2.home())?;
    let strange: Vec<_> = homes
        .iter()
        .filter(|path| {
            let place = path.strip_prefix(world.pm2.home()).unwrap();
            !["logs", "pids", "modules"].iter().any(|folder| place.starts_with(folder))
                && !["pm2.log", "pm2.pid", "rpc.sock", "pub.sock", "module_conf.json", "touch"]
                    .iter()
                    .any(|file| place == Path::new(file))
        })
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
    Ok(())
}

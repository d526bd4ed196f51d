//! PM2 over its sockets beside PM2's command, in one run, by turns: `cargo bench -p flow-pm2`. Each figure is a line of JSON.
//!
//! Wall time is the median of each. Processor time is the client's own, from `/proc/self/stat`: for the command, its children's.
#![expect(clippy::print_stdout, reason = "a bench speaks to the terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::port::{HealthCheck, LaunchSpec, ProcessManager as _};
use flow_core::{Digest, SystemClock, name};
use flow_pm2::{Addresses, Pm2Config, Pm2Processes};
use flow_proving::Directory;
use flow_proving::app::Behaviour;
use flow_proving::server::{Pm2, Pm2Version};
use flow_testkit::permit;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 20;
const LISTS: usize = 50;

/// What one way of doing something took.
#[derive(Default)]
struct Taken {
    wall: Vec<Duration>,
    cpu: Duration,
}

impl Taken {
    fn median(&mut self) -> f64 {
        self.wall.sort_unstable();
        self.wall.get(self.wall.len() / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e3)
    }
}

/// The processor time of this process and of the children that it waited for, see proc_pid_stat(5).
fn cpu() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().skip(11).take(4);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

async fn measured<T>(taken: &mut Taken, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let (begun, before) = (Instant::now(), cpu()?);
    let result = work.await?;
    taken.wall.push(begun.elapsed());
    taken.cpu += cpu()? - before;
    Ok(result)
}

fn command(pm2: &Pm2, args: &[&str]) -> Outcome<()> {
    let output = pm2.run(args.iter().copied())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

fn spec(script: &std::path::Path, directory: &std::path::Path) -> Outcome<LaunchSpec> {
    let path = std::env::var_os("PATH").ok_or("no PATH")?;
    let node = std::env::split_paths(&path).map(|folder| folder.join("node")).find(|node| node.exists());
    Ok(LaunchSpec {
        service: name!("web"),
        instance: name!("1"),
        version: name!("1.0.0"),
        digest: Digest::of(b"1.0.0"),
        program: node.ok_or("no node")?,
        args: vec![script.display().to_string()],
        env: BTreeMap::new(),
        directory: directory.to_owned(),
        health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(5) },
    })
}

/// Says how much more the command takes.
fn row(what: &str, [sockets, command]: &mut [Taken; 2], (wall, cpu): (f64, Option<f64>)) {
    let (own, other) = (sockets.median(), command.median());
    let line = |what: String, ratio: f64, goal: f64, shown: String| {
        let met = ratio >= goal;
        println!(r#"{{"what":"{what}","shown":"{shown}","goal":"≥ {goal} ×","met":{met}}}"#);
    };
    let ratio = other / own;
    line(format!("{what}, wall"), ratio, wall, format!("{ratio:.1} × ({own:.2} against {other:.1} ms)"));
    if let Some(goal) = cpu {
        let each = |taken: &Taken| taken.cpu.as_secs_f64() / taken.wall.len() as f64;
        let ratio = each(command) / each(sockets);
        line(format!("{what}, client processor"), ratio, goal, format!("{ratio:.0} ×"));
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let directory = Directory::new()?;
    let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
    let sockets = Addresses::Sockets { directory: directory.path().join("run") };
    let mut config = Pm2Config::new(pm2.home(), directory.path().join("state"), sockets);
    config.watch = Duration::ZERO;
    let processes = Pm2Processes::open(config, Arc::new(SystemClock::new()))?;
    let home: PathBuf = directory.path().join("release");
    let script = Behaviour::of("1.0.0").write_to(&home)?;
    let spec = spec(&script, &home)?;
    let text = script.display().to_string();
    let mut taken: [[Taken; 2]; 4] = Default::default();
    let [list, start, restart, delete] = &mut taken;
    for _ in 0..ROUNDS {
        let permit = permit();
        measured(&mut start[0], async { Ok(processes.launch(&permit, &spec).await?) }).await?;
        measured(&mut restart[0], async {
            Ok(processes.restart(&permit, &spec.service, &spec.instance).await?)
        })
        .await?;
        let grace = Duration::from_secs(10);
        measured(&mut delete[0], async {
            Ok(processes.stop(&permit, &spec.service, &spec.instance, grace).await?)
        })
        .await?;
        measured(&mut start[1], async { command(&pm2, &["start", &text, "--name", "other"]) }).await?;
        measured(&mut restart[1], async { command(&pm2, &["restart", "other"]) }).await?;
        measured(&mut delete[1], async { command(&pm2, &["delete", "other"]) }).await?;
    }
    for number in 0..4 {
        command(&pm2, &["start", &text, "--name", &format!("listed-{number}")])?;
    }
    for _ in 0..LISTS {
        // Often enough that the clock, which counts hundredths of a second, sees it.
        for _ in 0..40 {
            measured(&mut list[0], async { Ok(processes.listed().await?) }).await?;
        }
        measured(&mut list[1], async { command(&pm2, &["jlist"]) }).await?;
    }
    row("PM2: list", list, (30.0, Some(100.0)));
    row("PM2: start", start, (20.0, None));
    row("PM2: restart", restart, (2.0, None));
    row("PM2: delete", delete, (10.0, None));
    Ok(())
}

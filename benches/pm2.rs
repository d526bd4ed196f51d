//! PM2 over its daemon's sockets beside PM2's own command, by turns in one run. Each figure is a line of JSON, for
//! `cargo xtask bench`.
//!
//! A start is measured from the call to the answer, on both sides without a wait for the application: PM2's command makes none. The
//! list is taken over the connection that is kept. Between the calls the application has come up.
#![expect(clippy::print_stdout, reason = "a bench speaks to the terminal")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_benches::{Error, Figure, Samples, runtime};
use flow_core::port::{HealthCheck, LaunchSpec, ProcessManager as _};
use flow_core::{Digest, SystemClock, name};
use flow_pm2::{Addresses, Pm2Config, Pm2Processes};
use flow_proving::app::Behaviour;
use flow_proving::server::{Pm2, Pm2Version};
use flow_proving::{Address, Directory, Request, exchange, until};
use flow_testkit::permit;

/// How often an application is started, restarted and deleted by each.
const ROUNDS: usize = 20;
/// How often the list is taken by each, and how often in a row by the one that takes a millisecond: the system counts processor time in
/// hundredths of a second.
const LISTS: usize = 20;
const IN_A_ROW: u32 = 100;
/// How many applications are listed.
const LISTED: usize = 4;

/// What one way of doing something took.
#[derive(Default)]
struct Taken {
    wall: Samples,
    processor: Duration,
    calls: u32,
}

impl Taken {
    /// Does something a few times.
    async fn by(
        &mut self,
        times: u32,
        mut work: impl AsyncFnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = processor()?;
        for _ in 0..times {
            let begun = Instant::now();
            work().await?;
            self.wall.extend([begun.elapsed()]);
        }
        self.processor += processor()?.saturating_sub(before);
        self.calls += times;
        Ok(())
    }

    fn each(&self) -> f64 {
        self.processor.as_secs_f64() / f64::from(self.calls)
    }
}

/// Both ways of doing something: ours, and PM2's command.
#[derive(Default)]
struct Both([Taken; 2]);

impl Both {
    fn tell(&self, what: &str, goal: f64) {
        let [ours, command] = &self.0;
        let ratio = command.wall.against(&ours.wall);
        let what = format!("PM2's command against its sockets, {what}, time");
        let shown = [ratio, ms(ours.wall.median().as_secs_f64()), ms(command.wall.median().as_secs_f64())];
        tell(&what, shown, goal);
    }

    fn tell_processor(&self, what: &str, goal: f64) {
        let [ours, command] = &self.0;
        let what = format!("PM2's command against its sockets, {what}, the client's processor time");
        tell(&what, [command.each() / ours.each(), ms(ours.each()), ms(command.each())], goal);
    }
}

fn tell(what: &str, [ratio, ours, command]: [f64; 3], goal: f64) {
    let shown = format!("{ratio:.1} × ({command:.1} ms against {ours:.2} ms)");
    println!("{}", Figure::of(what, shown).goal(format!("≥ {goal}"), ratio >= goal));
}

fn ms(seconds: f64) -> f64 {
    seconds * 1e3
}

/// The processor time of this process and of the children that it waited for: proc_pid_stat(5), in ticks of 1/100 s.
fn processor() -> Result<Duration, Error> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().skip(11).take(4);
    Ok(Duration::from_millis(10 * fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?))
}

/// A daemon, our client, and an application for both.
struct World {
    pm2: Pm2,
    processes: Pm2Processes,
    spec: LaunchSpec,
    script: PathBuf,
    directory: Directory,
}

impl World {
    async fn start() -> Result<Self, Error> {
        let directory = Directory::new()?;
        let pm2 = Pm2::start(&directory, Pm2Version::Seven).await?;
        let sockets = Addresses::Sockets { directory: directory.path().join("run") };
        let config = Pm2Config {
            watch: Duration::ZERO,
            ..Pm2Config::new(pm2.home(), directory.path().join("state"), sockets)
        };
        let processes = Pm2Processes::open(config, Arc::new(SystemClock::new()))?;
        let home = directory.path().join("release");
        let script = Behaviour::of("1.0.0").write_to(&home)?;
        let spec = LaunchSpec {
            service: name!("web"),
            instance: name!("1"),
            version: name!("1.0.0"),
            digest: Digest::of(b"1.0.0"),
            program: pm2.command()?.get_program().into(),
            args: vec![script.display().to_string()],
            env: BTreeMap::new(),
            directory: home,
            health: HealthCheck { path: "/".to_owned(), timeout: Duration::from_secs(5) },
        };
        Ok(Self { pm2, processes, spec, script, directory })
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).with_extension("sock")
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Result<(), Error> {
        let mut command = self.pm2.command()?;
        let output = command.args(arguments).env("SOCKET_PATH", self.socket(name)).output()?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }

    fn start_by_command(&self, name: &str) -> Result<(), Error> {
        self.command(name, &["start", &self.script.display().to_string(), "--name", name])
    }
}

async fn answers(address: &Address) -> Result<(), Error> {
    until("it answers", || async { Ok(exchange(address, &Request::get("/")).await.ok().map(|_| ())) }).await
}

fn main() -> Result<(), Error> {
    runtime()?.block_on(async {
        let world = World::start().await?;
        let [mut start, mut restart, mut delete, mut list] = <[Both; 4]>::default();
        for _ in 0..ROUNDS {
            by_sockets(&world, [&mut start, &mut restart, &mut delete].map(|both| &mut both.0[0])).await?;
            by_command(&world, [&mut start, &mut restart, &mut delete].map(|both| &mut both.0[1])).await?;
        }
        for number in 0..LISTED {
            world.start_by_command(&format!("listed-{number}"))?;
        }
        for _ in 0..LISTS {
            let [ours, command] = &mut list.0;
            ours.by(IN_A_ROW, async || match world.processes.listed().await?.len() {
                LISTED => Ok(()),
                other => Err(format!("{other} listed").into()),
            })
            .await?;
            command.by(1, async || world.command("none", &["jlist"])).await?;
        }
        list.tell("list of 4", 30.0);
        list.tell_processor("list of 4", 100.0);
        start.tell("start", 20.0);
        delete.tell("delete", 10.0);
        restart.tell("restart", 2.0);
        Ok(())
    })
}

async fn by_sockets(world: &World, [start, restart, delete]: [&mut Taken; 3]) -> Result<(), Error> {
    let World { processes, spec, .. } = world;
    let (permit, mut address) = (permit(), None);
    start
        .by(1, async || {
            address = Some(processes.launch(&permit, spec).await?.address);
            Ok(())
        })
        .await?;
    let address: Address = address.ok_or("no instance")?.parse()?;
    answers(&address).await?;
    restart.by(1, async || Ok(processes.restart(&permit, &spec.service, &spec.instance).await?)).await?;
    answers(&address).await?;
    let grace = Duration::from_secs(10);
    delete.by(1, async || Ok(processes.stop(&permit, &spec.service, &spec.instance, grace).await?)).await
}

async fn by_command(world: &World, [start, restart, delete]: [&mut Taken; 3]) -> Result<(), Error> {
    let address = Address::Unix(world.socket("other"));
    start.by(1, async || world.start_by_command("other")).await?;
    answers(&address).await?;
    restart.by(1, async || world.command("other", &["restart", "other"])).await?;
    answers(&address).await?;
    delete.by(1, async || world.command("other", &["delete", "other"])).await
}

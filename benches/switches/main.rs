//! Ways to switch a service's traffic between two versions, by turns in one run under the same load: ours beside those of other
//! programs. All but the time of the call is counted from the users' own log.
#![expect(clippy::print_stdout, reason = "a bench speaks to the terminal")]

mod measured;
mod ways;

use std::sync::OnceLock;
use std::time::Instant;

use flow_benches::{Error, Figure, runtime};
use flow_nginx::SocketConfig;
use flow_proving::load::{Client, Load, UnderWay};

use measured::{Measured, Turn};
use ways::{AdminApi, Apps, HaproxyRoute, LinkRoute, Releases, Reload, RuntimeApi, Version, Way};

/// How often the ways take turns, and how often each switches at its turn.
const ROUNDS: usize = 5;
const SWITCHES: usize = 5;
/// Requests a second, and how many of them lie between two switches at least.
const RATE: u32 = 600;
const BETWEEN: usize = 180;

/// A way to switch, who asks meanwhile, and what was seen.
struct Contestant {
    what: &'static str,
    way: Box<dyn Way>,
    client: Client,
    serving: Version,
    measured: Measured,
}

fn main() -> Result<(), Error> {
    runtime()?.block_on(async {
        let apps = Apps::start().await?;
        let mut all = contestants(&apps).await?;
        for _ in 0..ROUNDS {
            for contestant in &mut all {
                contestant.take_turn().await?;
            }
        }
        all.iter().for_each(|one| println!("{}", one.measured.figure(one.what)));
        goals(&all.map(|one| one.measured));
        Ok(())
    })
}

async fn contestants(apps: &Apps) -> Result<[Contestant; 8], Error> {
    let of = |what, client, way| {
        let (serving, measured) = (Version::Old, Measured::default());
        Contestant { what, way, client, serving, measured }
    };
    let (kept, new) = (Client::Careful, Client::New);
    let link = LinkRoute::start(apps, Releases::New, SocketConfig::link).await?;
    let back = LinkRoute::start(apps, Releases::Kept, SocketConfig::link).await?;
    let slots = LinkRoute::start(apps, Releases::New, SocketConfig::slots).await?;
    Ok([
        of("our link, each time to a new release", kept, Box::new(link)),
        of("our link, each time back to the release before", kept, Box::new(back)),
        of("our 100 slots, each time to a new release", kept, Box::new(slots)),
        of("HAProxy's runtime API, the bare commands", kept, Box::new(RuntimeApi::start(apps).await?)),
        of("HAProxy's runtime API, by our router", kept, Box::new(HaproxyRoute::start(apps).await?)),
        of("Caddy's admin API", kept, Box::new(AdminApi::start(apps).await?)),
        of("`nginx -t` and a reload", kept, Box::new(Reload::start(apps).await?)),
        of("`nginx -t` and a reload, new connections", new, Box::new(Reload::start(apps).await?)),
    ])
}

impl Contestant {
    async fn take_turn(&mut self) -> Result<(), Error> {
        let load = Load::of(self.way.address(), self.client).at_rate(RATE).start()?;
        let mut turns = Vec::new();
        for _ in 0..SWITCHES {
            further(&load, self.serving).await?;
            self.serving = self.serving.other();
            let begun = Instant::now();
            self.way.switch(self.serving).await?;
            turns.push(Turn { begun, took: begun.elapsed(), to: self.serving.text() });
        }
        further(&load, self.serving).await?;
        self.measured.add(&load.stop().await?, &turns)
    }
}

/// Waits until many more requests have ended and the last of them were answered by `version`.
async fn further(load: &UnderWay, version: Version) -> Result<(), Error> {
    let begun = OnceLock::new();
    load.until(|log| {
        let last = log.0.iter().rev().take(32);
        log.requests() >= begun.get_or_init(|| log.requests()) + BETWEEN
            && last.filter(|record| record.version.as_deref() != Some(version.text())).count() == 0
    })
    .await
}

fn goals([link, back, slots, runtime, router, _, reload, _]: &[Measured; 8]) {
    let ours = [link, back, slots];
    let failed: usize = ours.iter().map(|one| one.failed()).sum();
    let requests: usize = ours.iter().map(|one| one.requests()).sum();
    let at_most = |what: &str, ratio: f64, goal: f64| {
        println!("{}", Figure::of(what, format!("{ratio:.2} ×")).goal(format!("≤ {goal}"), ratio <= goal));
    };
    let failed = Figure::of("requests that failed at our links and slots", format!("{failed} of {requests}"));
    println!("{}", failed.goal("0", ours.iter().all(|one| one.failed() == 0)));
    at_most(
        "the call of our link against that of our HAProxy router",
        link.action.against(&router.action),
        1.0,
    );
    at_most(
        "the call of our link against HAProxy's bare commands",
        link.action.against(&runtime.action),
        1.0,
    );
    at_most(
        "first answer of the new version, our link against HAProxy's bare commands",
        link.first_new.against(&runtime.first_new),
        1.5,
    );
    let sooner = reload.first_new.against(&link.first_new);
    let figure =
        Figure::of("first answer of the new version, a reload against our link", format!("{sooner:.0} ×"));
    println!("{}", figure.goal("≥ 30", sooner >= 30.0));
    for (what, measured, goal) in [
        ("the call of our link", link, 1.0),
        ("the way back by our link", back, 10.0),
        ("a change of 100 slots", slots, 10.0),
    ] {
        let ms = measured.action.median().as_secs_f64() * 1e3;
        println!("{}", Figure::of(what, format!("{ms:.2} ms")).goal(format!("≤ {goal} ms"), ms <= goal));
    }
}

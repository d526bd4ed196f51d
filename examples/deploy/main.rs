//! The main job: a sample web application goes through all eight stages, in staging and then in production, while
//! users send requests; a bad release takes itself back; an unproved one is refused.
//!
//! ```console
//! $ cargo run --release --example deploy
//! ```
//!
//! The reports stand in `./deploy-report/` afterwards. Exit code 0: everything went as promised; 1: something could not be carried
//! out; 10: a good release did not complete; 11: a request of a user failed in a good release; 12: the bad release was not
//! taken back whole; 13: an unproved release was not refused.
//!
//! The other commands carry out one run each, so that a run can be killed and resumed from outside:
//!
//! ```console
//! $ deploy setup ROOT DATA [--releases DIR]              # 1.0.0 in staging; DATA is `staging` or `production`
//! $ deploy release ROOT VERSION                          # from plan to report
//! $ deploy resume ROOT VERSION                           # goes on with what another process left
//! $ deploy give-up ROOT VERSION                          # undoes a held run
//! $ deploy retry ROOT VERSION                            # tries again what a parked run could not undo
//! $ deploy takedown ROOT
//! ```
//!
//! They exit with 0 completed, 2 refused, 3 rolled back, 4 parked, 5 held, 1 anything else. All of them take `--releases DIR`
//! (where built artefacts are), `--run ID`, `--hold` (a failure holds), `--bake MS`, `--ttl MS`, `--approval NAME` (asked for
//! before the switch), `--trail FILE` and `--die before:RECORD|after:RECORD|inside:CALL@POLL|effect:CALL`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

#[cfg(test)]
mod app_tests;
mod controller;
mod dying;
mod figures;
mod guard;
mod infrastructure;
mod job;
mod load;
mod options;
mod outside;
mod progress;
mod release;
mod repository;
mod seed;
mod setup;
mod world;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use flow_core::Environment;

use crate::controller::Ended;
use crate::options::split;
use crate::seed::Orders;
use crate::setup::staging;
use crate::world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match carry_out(&arguments).await {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("deploy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(arguments: &[String]) -> Result<u8> {
    let (words, options) = split(arguments)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Ok(job::carry_out(Path::new("deploy-report")).await? as u8),
        ["infrastructure", root, environment] => {
            let place = World::at(Path::new(root), None).place(environment.parse()?);
            infrastructure::serve(place).await?;
            Ok(0)
        }
        ["setup", root, data] => {
            let orders = match *data {
                "staging" => Orders::Staging,
                "production" => Orders::Production,
                other => bail!("`{other}` is neither `staging` nor `production`"),
            };
            let controller = options.controller(root);
            setup::set_up(&controller.world, &[Environment::Staging]).await?;
            setup::first_release(&controller, &staging("1.0.0")?, orders).await?;
            Ok(0)
        }
        ["release", root, version] => Ok(told(&options.controller(root).deploy(&staging(version)?).await?)),
        ["resume", root, version] => Ok(told(&options.controller(root).resume(&staging(version)?).await?)),
        ["give-up", root, version] => Ok(told(&options.controller(root).give_up(&staging(version)?).await?)),
        ["retry", root, version] => Ok(told(&options.controller(root).retry(&staging(version)?).await?)),
        ["takedown", root] => {
            let world = World::at(Path::new(root), None);
            setup::take_down(&world.root, &*world.clock).await?;
            Ok(0)
        }
        other => bail!("no such command: {other:?}"),
    }
}

fn told(ended: &Ended) -> u8 {
    if let Ended::Refused(refused) = ended {
        println!("{refused}");
    }
    ended.code()
}

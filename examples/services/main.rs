//! Replaces a Node application under PM2, behind nginx or HAProxy, one command at a time: what an internal deploy tool calls.
//!
//! ```console
//! $ services deploy --release DIR --config FILE.json --journal FILE     # a second colour, switched once it is proved
//! $ services shift --percent N --config FILE.json --journal FILE        # N % to the latest release, the rest to the kept one
//! $ services rollback --config FILE.json --journal FILE                 # back to the colour that is kept warm
//! $ services resume --config FILE.json --journal FILE                   # goes on with what a killed process left
//! $ services status --config FILE.json --journal FILE
//! ```
//!
//! The last line of the output is a JSON object: `{outcome, release, reason, old_pids, new_pids, ms}`, with `outcome` one of
//! `deployed` (exit code 0), `refused` (2: users met nothing of it), `rolled_back` (3) and `parked` (4: somebody must look).
//! Exit code 1: the input is bad; all that is wrong with it is said, and nothing was changed.
//!
//! A deployment ends when the new colour is verified; the old one is kept warm until the next deployment begins. The run stays
//! open in the journal until then, which is what makes `rollback` one switch.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod config;
mod controller;
mod machines;
mod options;
mod order;
mod outcome;
mod release;
mod share;
mod standing;
mod timed;
mod workflow;
mod world;

use std::process::ExitCode;

use anyhow::Result;

use crate::config::Config;
use crate::controller::Controller;
use crate::options::{Command, Options};
use crate::outcome::Outcome;
use crate::world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match carry_out(&arguments).await {
        Ok(outcome) => {
            println!("{}", outcome.to_json());
            outcome.code()
        }
        Err(error) => {
            eprintln!("services: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(arguments: &[String]) -> Result<Outcome> {
    let Options { command, config, journal } = Options::parse(arguments)?;
    let controller = Controller::open(World::of(Config::read(&config)?).await?, journal).await?;
    match command {
        Command::Deploy { release } => controller.deploy(&release).await,
        Command::Shift { percent } => controller.shift(percent).await,
        Command::Rollback => controller.roll_back().await,
        Command::Resume => controller.resume().await,
        Command::Status => controller.status().await,
    }
}

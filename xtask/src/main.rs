//! The project's own commands. `cargo xtask test` installs what the suite needs and runs all of it; CI runs the same.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to the terminal")]

mod args;
mod bench;
mod install;
mod kept_packages;
mod metadata;
mod mutants;
mod no_services;
mod npm_packages;
mod outside;
mod public_api;
mod pypi_packages;
mod rules;
mod suite;
mod system_packages;
mod table;
mod tools;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

use args::Command;
use workspace::Workspace;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("xtask: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match dispatch(&command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &Command) -> Result<ExitCode, Box<dyn Error>> {
    let workspace = Workspace::of_this_checkout();
    match command {
        Command::Help => println!("{}", args::USAGE),
        Command::Install(tier) => install::install(tier)?,
        Command::Table => table::update(&workspace)?,
        Command::Bench => bench::update(&workspace)?,
        Command::Mutants(only) => {
            let outcome = mutants::run(&workspace, only.as_deref())?;
            println!("{outcome}");
            return Ok(if outcome.all_caught() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Rules => {
            let report = rules::check_workspace(&workspace, rules::EXCEPTIONS)?;
            print!("{report}");
            return Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Test(options) => {
            let summary = suite::run(&workspace, options);
            println!("{summary}");
            return Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error with everything that led to it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

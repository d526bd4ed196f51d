//! Migrates a database by a folder of scripts, as a deployment does, from outside.
//!
//! ```console
//! $ flow_migrate up --database-url URL --dir DIR [--to V]
//! $ flow_migrate down --database-url URL --dir DIR [--steps N | --to V | --all]
//! $ flow_migrate plan --database-url URL --dir DIR          # what each pending statement does, measured on a copy where one can be had
//! $ flow_migrate lint --database-url URL --dir DIR          # the same, foretold from the text and the live catalogue
//! $ flow_migrate status --database-url URL --dir DIR        # where each migration stands
//! $ flow_migrate verify --database-url URL --dir DIR        # whether database and scripts agree
//! $ flow_migrate backup --database-url URL --out FILE [--recipient KEY]
//! $ flow_migrate restore-drill --backup FILE --scratch-url URL [--identity FILE]
//! ```
//!
//! Each takes `--lock-timeout S`, `--phase expand|contract` (both, in the order of versions, without it) and `--environment NAME`; in
//! `production` the way to the server must be protected. The output is one JSON object, whose fields are named in [`answer`]. Exit codes:
//! 0 done, 1 a migration failed, 2 bad input, 3 refused (`reason`), 4 locked (`holder`), 5 server unreachable, 6 state unknown.

#![expect(clippy::print_stdout, reason = "a command-line tool")]

mod answer;
mod backups;
mod commands;
mod options;

use std::process::ExitCode;

use crate::answer::Answer;
use crate::options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let answer = match Options::parse(&arguments) {
        Ok(options) => commands::carry_out(&options).await,
        Err(error) => Answer::bad_input(arguments.first().map_or("", String::as_str), &format!("{error:#}")),
    };
    println!("{}", answer.to_json());
    answer.code()
}

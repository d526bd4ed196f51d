//! The command line. It is small enough to be read by hand.

use thiserror::Error;

/// What is printed for `help` and beside a usage error.
pub(crate) const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--long[=NAME]] [--keep-going]
         the whole suite, in order; stops at the first failing step
         --long         the long tier of every test (FLOW_LONG=1)
         --long=NAME    the long tier of the tests whose name contains NAME, and nothing else
         --keep-going   runs the steps after a failing one too
  install [--long]
         only what the suite installs before it runs: Debian and npm packages
  rules  only the dependency rule, the source scan and the table of crates
  table  writes the table of crates and their lines into ARCHITECTURE.md
  bench  runs the benches and writes their figures into benches/README.md
  mutants [--only=NAME]
         makes deliberate mistakes in a copy of the sources, one at a time; for each a named test must fail
         --only=NAME    those whose name contains NAME
  help   this text";

/// One of the project's commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Runs the suite.
    Test(TestOptions),
    /// Installs what the suite of a tier needs, and runs nothing.
    Install(Tier),
    /// Checks the rules alone.
    Rules,
    /// Rewrites the table of crates.
    Table,
    /// Runs the benches and rewrites their figures.
    Bench,
    /// Makes deliberate mistakes: all, or those whose name contains this.
    Mutants(Option<String>),
    /// Prints how to use it.
    Help,
}

/// How the suite is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestOptions {
    /// How long the tests may take.
    pub(crate) tier: Tier,
    /// What a failing step does.
    pub(crate) on_failure: OnFailure,
}

/// How many trials the tests make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// What CI runs.
    Short,
    /// All steps, with the tests' full trial counts.
    Long,
    /// Only the tests whose name contains this, with full trial counts.
    LongOnly(String),
}

/// What a failing step does to those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// They are not run.
    Stop,
    /// They are run all the same.
    KeepGoing,
}

/// A command line that means nothing.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum UsageError {
    /// Nothing was asked for.
    #[error("no command given")]
    NoCommand,
    /// There is no such command.
    #[error("unknown command `{0}`")]
    UnknownCommand(String),
    /// The command takes no such argument.
    #[error("`{command}` takes no argument `{argument}`")]
    UnknownArgument {
        /// The command.
        command: &'static str,
        /// The refused argument.
        argument: String,
    },
    /// `--only=` without a name would be every mutant.
    #[error("`--only=` needs a part of a mutant's name")]
    NoMutant,
    /// `--long=` without a name would run every test and nothing else.
    #[error("`--long=` needs the name of a test, or no `=`")]
    NoTestName,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, UsageError> {
    let mut arguments = arguments.into_iter();
    let command = arguments.next().ok_or(UsageError::NoCommand)?;
    match command.as_str() {
        "test" => parse_test(arguments).map(Command::Test),
        "install" => parse_install(arguments).map(Command::Install),
        "rules" => no_more(arguments, "rules").map(|()| Command::Rules),
        "table" => no_more(arguments, "table").map(|()| Command::Table),
        "bench" => no_more(arguments, "bench").map(|()| Command::Bench),
        "mutants" => parse_mutants(arguments).map(Command::Mutants),
        "help" | "--help" | "-h" => Ok(Command::Help),
        _ => Err(UsageError::UnknownCommand(command)),
    }
}

fn parse_test(arguments: impl Iterator<Item = String>) -> Result<TestOptions, UsageError> {
    let mut options = TestOptions { tier: Tier::Short, on_failure: OnFailure::Stop };
    for argument in arguments {
        match (argument.as_str(), argument.strip_prefix("--long=")) {
            ("--long", _) => options.tier = Tier::Long,
            ("--keep-going", _) => options.on_failure = OnFailure::KeepGoing,
            (_, Some("")) => return Err(UsageError::NoTestName),
            (_, Some(name)) => options.tier = Tier::LongOnly(name.to_owned()),
            (_, None) => return Err(UsageError::UnknownArgument { command: "test", argument }),
        }
    }
    Ok(options)
}

fn parse_install(arguments: impl Iterator<Item = String>) -> Result<Tier, UsageError> {
    let mut tier = Tier::Short;
    for argument in arguments {
        if argument != "--long" {
            return Err(UsageError::UnknownArgument { command: "install", argument });
        }
        tier = Tier::Long;
    }
    Ok(tier)
}

fn parse_mutants(arguments: impl Iterator<Item = String>) -> Result<Option<String>, UsageError> {
    let mut only = None;
    for argument in arguments {
        only = match argument.strip_prefix("--only=") {
            Some("") => return Err(UsageError::NoMutant),
            Some(name) => Some(name.to_owned()),
            None => return Err(UsageError::UnknownArgument { command: "mutants", argument }),
        };
    }
    Ok(only)
}

fn no_more(mut arguments: impl Iterator<Item = String>, command: &'static str) -> Result<(), UsageError> {
    match arguments.next() {
        Some(argument) => Err(UsageError::UnknownArgument { command, argument }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_plain_test_is_the_short_tier_and_stops_at_the_first_failure() {
        let expected = TestOptions { tier: Tier::Short, on_failure: OnFailure::Stop };
        assert_eq!(of("test"), Ok(Command::Test(expected)));
    }

    #[test]
    fn the_long_tier_is_asked_for_whole_or_by_name() {
        let whole = TestOptions { tier: Tier::Long, on_failure: OnFailure::KeepGoing };
        assert_eq!(of("test --long --keep-going"), Ok(Command::Test(whole)));
        let named = TestOptions { tier: Tier::LongOnly("kill".to_owned()), on_failure: OnFailure::Stop };
        assert_eq!(of("test --long=kill"), Ok(Command::Test(named)));
    }

    #[test]
    fn what_a_tier_needs_can_be_installed_alone() {
        assert_eq!(of("install"), Ok(Command::Install(Tier::Short)));
        assert_eq!(of("install --long"), Ok(Command::Install(Tier::Long)));
        let argument = "pm2".to_owned();
        assert_eq!(of("install pm2"), Err(UsageError::UnknownArgument { command: "install", argument }));
    }

    #[test]
    fn mutants_are_made_all_or_by_name() {
        assert_eq!(of("mutants"), Ok(Command::Mutants(None)));
        assert_eq!(of("mutants --only=fence"), Ok(Command::Mutants(Some("fence".to_owned()))));
        assert_eq!(of("mutants --only="), Err(UsageError::NoMutant));
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        assert_eq!(of(""), Err(UsageError::NoCommand));
        assert_eq!(of("tset"), Err(UsageError::UnknownCommand("tset".to_owned())));
        assert_eq!(of("test --long="), Err(UsageError::NoTestName));
        let argument = "--quick".to_owned();
        assert_eq!(of("test --quick"), Err(UsageError::UnknownArgument { command: "test", argument }));
        let argument = "now".to_owned();
        assert_eq!(of("rules now"), Err(UsageError::UnknownArgument { command: "rules", argument }));
    }
}

//! Runs the steps and says how each went.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::steps::{self, Action, Step};
use super::tally::Tally;
use crate::args::{OnFailure, TestOptions, Tier};
use crate::install::{InstallError, install};
use crate::outside::{self, TrialError};
use crate::public_api::{self, PublicApiError};
use crate::rules::{self, RulesError};
use crate::tools::{self, CARGO_DENY, CARGO_SEMVER_CHECKS, ToolError};
use crate::workspace::Workspace;

/// Tells tests to make their full number of trials.
const LONG: &str = "FLOW_LONG";

/// How the suite went.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    lines: Vec<String>,
    passed: usize,
    failed: usize,
}

/// Why a step failed.
#[derive(Debug, Error)]
enum StepFailure {
    #[error("`{program}` could not be started")]
    Start { program: String, source: io::Error },
    #[error("{0}")]
    Ended(ExitStatus),
    #[error("{status}, {failed} tests failed")]
    TestsFailed { status: ExitStatus, failed: usize },
    #[error("no test was run")]
    NoTest,
    #[error("the output could not be read")]
    Output(#[source] io::Error),
    #[error("{0} findings")]
    Findings(usize),
    #[error("`{}` could not be used", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("{failure}; what it wrote is kept in `{}`", kept.display())]
    Example { failure: Box<StepFailure>, kept: PathBuf },
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    PublicApi(#[from] PublicApiError),
}

/// What a step has to say when it went well.
type StepResult = Result<String, StepFailure>;

/// Runs the suite as `options` ask.
pub(crate) fn run(workspace: &Workspace, options: &TestOptions) -> Summary {
    let steps = match options.tier {
        Tier::LongOnly(_) => steps::tests_alone(),
        Tier::Short | Tier::Long => steps::all(),
    };
    let mut summary = Summary::default();
    let started = Instant::now();
    if let Err(failure) = install(&options.tier) {
        summary.add("installation", started.elapsed(), &Err(failure.into()));
        return summary;
    }
    run_steps(steps, options.on_failure, summary, |step| run_step(step, workspace, &options.tier))
}

fn run_steps(
    steps: &[Step],
    on_failure: OnFailure,
    mut summary: Summary,
    mut run_step: impl FnMut(&Step) -> StepResult,
) -> Summary {
    for (index, step) in steps.iter().enumerate() {
        println!("--- {} of {}: {}", index + 1, steps.len(), step.name);
        let started = Instant::now();
        let result = run_step(step);
        println!("{}", summary.add(step.name, started.elapsed(), &result));
        if result.is_err() && on_failure == OnFailure::Stop {
            break;
        }
    }
    summary
}

fn run_step(step: &Step, workspace: &Workspace, tier: &Tier) -> StepResult {
    let mut cargo = workspace.cargo();
    match tier {
        Tier::Short => cargo.env_remove(LONG),
        Tier::Long | Tier::LongOnly(_) => cargo.env(LONG, "1"),
    };
    match &step.action {
        Action::Cargo(args) => run_plainly(cargo.args(*args)),
        Action::Docs(args) => run_plainly(cargo.args(*args).env("RUSTDOCFLAGS", "-D warnings")),
        Action::Tests(args) => {
            cargo.args(*args);
            if let Tier::LongOnly(name) = tier {
                cargo.args(["--", name]);
            }
            run_tests(&mut cargo)
        }
        Action::Rules => check_rules(workspace),
        Action::Examples(names) => {
            // One `cargo` each: what it was told for one example must not reach the next.
            for name in *names {
                run_example(name, workspace, &mut workspace.cargo())?;
            }
            Ok(format!("{} examples", names.len()))
        }
        Action::Deny(args) => {
            let kept = tools::kept_folder(|name| std::env::var_os(name))?;
            let mut deny = Command::new(CARGO_DENY.ensure(&kept, workspace)?);
            run_plainly(deny.current_dir(workspace.root()).stdin(Stdio::null()).args(*args))
        }
        Action::Outside => Ok(outside::run(workspace)?),
        Action::PublicApi => {
            let kept = tools::kept_folder(|name| std::env::var_os(name))?;
            let checker = CARGO_SEMVER_CHECKS.ensure(&kept, workspace)?;
            Ok(public_api::compare(workspace, steps::FEATURES, &checker)?)
        }
    }
}

fn run_plainly(command: &mut Command) -> StepResult {
    let status = command.status().map_err(|source| not_started(command, source))?;
    if status.success() { Ok(String::new()) } else { Err(StepFailure::Ended(status)) }
}

/// Runs tests, shows what they print as it comes, and counts them.
fn run_tests(command: &mut Command) -> StepResult {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|source| not_started(command, source))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(StepFailure::Output)?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.add_line(&line);
        }
    }
    judge(child.wait().map_err(StepFailure::Output)?, tally)
}

fn judge(status: ExitStatus, tally: Tally) -> StepResult {
    match tally {
        _ if !status.success() => Err(StepFailure::TestsFailed { status, failed: tally.failed }),
        Tally { passed: 0, .. } => Err(StepFailure::NoTest),
        Tally { passed, ignored: 0, .. } => Ok(format!("{passed} tests")),
        // The rules say which may be.
        Tally { passed, ignored, .. } => Ok(format!("{passed} tests, {ignored} ignored")),
    }
}

fn check_rules(workspace: &Workspace) -> StepResult {
    let report = rules::check_workspace(workspace, rules::EXCEPTIONS)?;
    print!("{report}");
    if report.is_clean() { Ok(String::new()) } else { Err(StepFailure::Findings(report.count())) }
}

/// Runs an example as a user would, in a directory of its own: its report stays out of the checkout.
fn run_example(name: &str, workspace: &Workspace, cargo: &mut Command) -> StepResult {
    let directory = std::env::temp_dir().join(format!("flow-example-{name}-{}", std::process::id()));
    let unusable = |source| StepFailure::Directory { path: directory.clone(), source };
    fs::create_dir(&directory).map_err(unusable)?;
    cargo.args(["run", "--features", steps::FEATURES, "--locked", "--manifest-path"]);
    cargo.arg(workspace.root().join("Cargo.toml")).args(["--example", name]).current_dir(&directory);
    match run_plainly(cargo) {
        Ok(said) => fs::remove_dir_all(&directory).map_err(unusable).map(|()| said),
        Err(failure) if is_empty(&directory) => {
            fs::remove_dir(&directory).map_err(unusable)?;
            Err(failure)
        }
        Err(failure) => Err(StepFailure::Example { failure: Box::new(failure), kept: directory }),
    }
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

fn not_started(command: &Command, source: io::Error) -> StepFailure {
    StepFailure::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

impl Summary {
    /// Whether every step that was asked for was run and went well.
    pub(crate) fn is_success(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Notes how a step went and returns the line that says so.
    fn add(&mut self, name: &str, took: Duration, result: &StepResult) -> String {
        let (word, said) = match result {
            Ok(said) => ("ok    ", said.clone()),
            Err(failure) => ("FAILED", crate::chain(failure)),
        };
        match result {
            Ok(_) => self.passed += 1,
            Err(_) => self.failed += 1,
        }
        let line = format!("{word} {name:<24} {:>7.1} s  {said}", took.as_secs_f64());
        let line = line.trim_end().to_owned();
        self.lines.push(line.clone());
        line
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[Step] = &[
        Step { name: "first", action: Action::Rules },
        Step { name: "second", action: Action::Rules },
        Step { name: "third", action: Action::Rules },
    ];

    fn with_second_failing(on_failure: OnFailure) -> Summary {
        run_steps(THREE, on_failure, Summary::default(), |step| {
            if step.name == "second" { Err(StepFailure::Findings(2)) } else { Ok("fine".to_owned()) }
        })
    }

    #[test]
    fn the_first_failure_ends_the_suite() {
        let summary = with_second_failing(OnFailure::Stop);
        assert!(!summary.is_success());
        assert!(summary.to_string().ends_with("\n1 passed, 1 failed"), "{summary}");
        assert!(summary.to_string().contains("FAILED second"), "{summary}");
    }

    #[test]
    fn the_steps_after_a_failure_are_run_when_asked_for() {
        let summary = with_second_failing(OnFailure::KeepGoing);
        assert!(!summary.is_success());
        assert!(summary.to_string().ends_with("\n2 passed, 1 failed"), "{summary}");
    }

    #[test]
    fn a_suite_that_ran_nothing_is_no_success() {
        assert!(!Summary::default().is_success());
    }

    #[test]
    fn a_failing_command_is_told_from_one_that_is_not_there() {
        let workspace = Workspace::of_this_checkout();
        assert!(run_plainly(workspace.cargo().args(["--version"]).stdout(Stdio::null())).is_ok());
        let failed = run_plainly(workspace.cargo().args(["--no-such-flag"]).stderr(Stdio::null()));
        assert!(matches!(failed, Err(StepFailure::Ended(_))), "{failed:?}");
        let absent = run_plainly(&mut Command::new("no-such-program-anywhere"));
        assert!(matches!(absent, Err(StepFailure::Start { .. })), "{absent:?}");
    }

    #[test]
    fn a_test_run_without_a_test_is_a_failure() {
        let ended = ExitStatus::default();
        let of = |passed, ignored| judge(ended, Tally { passed, failed: 0, ignored });
        assert!(matches!(of(0, 0), Err(StepFailure::NoTest)));
        assert!(matches!(of(0, 1), Err(StepFailure::NoTest)));
        assert_eq!(of(3, 0).unwrap(), "3 tests");
        assert_eq!(of(3, 1).unwrap(), "3 tests, 1 ignored");
    }

    #[cfg(unix)]
    #[test]
    fn a_test_run_that_ends_badly_is_a_failure_whatever_it_counted() {
        use std::os::unix::process::ExitStatusExt;

        let ended = judge(ExitStatus::from_raw(101 << 8), Tally { passed: 9, failed: 0, ignored: 0 });
        assert!(matches!(ended, Err(StepFailure::TestsFailed { failed: 0, .. })), "{ended:?}");
    }
}

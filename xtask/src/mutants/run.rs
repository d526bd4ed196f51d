//! Breaks the copy, builds it, and runs the one test that must catch the break.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use thiserror::Error;

use super::copy::Copy;
use super::list::MUTANTS;
use super::{Mutant, Test};
use crate::workspace::Workspace;

/// A test that takes longer does not fail: it hangs. The slowest takes a few seconds.
const LONGEST: Duration = Duration::from_secs(300);

/// How much of a failed test's reason is shown, in characters: some print a whole report.
const SHOWN: usize = 200;

/// Why a mutant could not be tried.
#[derive(Debug, Error)]
pub(crate) enum MutantError {
    /// A program could not be started.
    #[error("`{program}` could not be started")]
    Start {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program that must not fail did.
    #[error("`{program}` ended with {status}")]
    Ended {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// A file of the copy could not be read or written.
    #[error("`{}` could not be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such mutant.
    #[error("there is no mutant whose name contains `{0}`")]
    Unknown(String),
    /// The sources have moved on.
    #[error("the mutant `{0}` no longer fits the sources")]
    Stale(&'static str),
    /// The copy does not build.
    #[error("`{0}` does not build")]
    NotBuilt(&'static str),
    /// Cargo built something else.
    #[error("cargo built no test program `{0}`")]
    NoProgram(&'static str),
    /// A test fails without any break.
    #[error("`{0}` fails on the sources as they are")]
    FailsAnyway(&'static str),
}

/// How the tests took each break.
#[derive(Debug, Default)]
pub(crate) struct Outcome(Vec<(&'static Mutant, Verdict, Duration)>);

/// How a test took a break.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It failed, with these words.
    Caught(String),
    /// It held.
    Missed,
    /// It neither held nor failed.
    Hung,
    /// The compiler refused the break: that proves nothing of the test.
    NotBuilt,
}

/// Tries every mutant whose name contains `only`.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> Result<Outcome, MutantError> {
    let chosen: Vec<&Mutant> =
        MUTANTS.iter().filter(|mutant| only.is_none_or(|only| mutant.name.contains(only))).collect();
    if chosen.is_empty() {
        return Err(MutantError::Unknown(only.unwrap_or_default().to_owned()));
    }
    let copy = Copy::of(workspace)?;
    check_unbroken(&copy, &chosen)?;
    let mut outcome = Outcome::default();
    for mutant in chosen {
        println!("==> {}", mutant.name);
        let began = Instant::now();
        let text = copy.read(mutant.file)?;
        let broken = mutant.apply(&text).ok_or(MutantError::Stale(mutant.name))?;
        copy.write(mutant.file, broken.as_bytes())?;
        let verdict = try_test(&copy, mutant.caught_by, mutant.name);
        copy.write(mutant.file, text.as_bytes())?;
        let (verdict, took) = (verdict?, began.elapsed());
        println!("    {verdict:?} after {:.0} s", took.as_secs_f64());
        outcome.0.push((mutant, verdict, took));
    }
    Ok(outcome)
}

/// A test that fails anyway catches nothing.
fn check_unbroken(copy: &Copy, chosen: &[&Mutant]) -> Result<(), MutantError> {
    let tests: BTreeSet<Test> = chosen.iter().map(|mutant| mutant.caught_by).collect();
    let mut programs: BTreeMap<(&str, &str), PathBuf> = BTreeMap::new();
    for test in tests {
        let program = match programs.get(&(test.package, test.program)) {
            Some(program) => program.clone(),
            None => build(copy, test, "the unbroken copy")?,
        };
        if ask(copy, &program, test)? != Verdict::Missed {
            return Err(MutantError::FailsAnyway(test.name));
        }
        programs.insert((test.package, test.program), program);
    }
    Ok(())
}

fn try_test(copy: &Copy, test: Test, name: &'static str) -> Result<Verdict, MutantError> {
    match build(copy, test, name) {
        Ok(program) => ask(copy, &program, test),
        Err(MutantError::NotBuilt(_)) => Ok(Verdict::NotBuilt),
        Err(error) => Err(error),
    }
}

/// The line in which cargo says what it has built.
#[derive(Deserialize)]
struct Built {
    target: BuiltTarget,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct BuiltTarget {
    name: String,
}

/// Builds the test's program, and nothing runs yet: a break that does not compile is no catch.
fn build(copy: &Copy, test: Test, name: &'static str) -> Result<PathBuf, MutantError> {
    let mut command = Workspace::at(copy.tree()).cargo();
    command.env("CARGO_TARGET_DIR", copy.target());
    command.args(["test", "--quiet", "--locked", "--no-run", "--message-format", "json-render-diagnostics"]);
    command.args(["--package", test.package, "--test", test.program]);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|source| MutantError::Start { program: "cargo", source })?;
    if !output.status.success() {
        return Err(MutantError::NotBuilt(name));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let built = said.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    let mut programs = built.filter(|built| built.target.name == test.program);
    programs.find_map(|built| built.executable).ok_or(MutantError::NoProgram(test.program))
}

/// Runs exactly `test`.
fn ask(copy: &Copy, program: &Path, test: Test) -> Result<Verdict, MutantError> {
    let file = copy.target().join("said");
    let unusable = |source| MutantError::File { path: copy.target().join("said"), source };
    let said = std::fs::File::create(&file).map_err(unusable)?;
    let mut command = Command::new(program);
    command.current_dir(copy.tree()).args(["--exact", test.name]).env_remove("FLOW_LONG");
    command.stdin(Stdio::null()).stdout(said.try_clone().map_err(unusable)?).stderr(said);
    let started = command.spawn().map_err(|source| MutantError::Start { program: test.program, source });
    let mut child = started?;
    let began = Instant::now();
    while child.try_wait().map_err(unusable)?.is_none() {
        if began.elapsed() > LONGEST {
            child.kill().and_then(|()| child.wait()).map_err(unusable)?;
            return Ok(Verdict::Hung);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait().map_err(unusable)?;
    let said = std::fs::read_to_string(&file).map_err(unusable)?;
    judge(&said, test).ok_or(MutantError::Ended { program: test.program, status })
}

/// What the test program's words mean: exactly this test ran, and held or failed. None where they mean something else.
fn judge(said: &str, test: Test) -> Option<Verdict> {
    let ended = |how: &str| said.contains(&format!("\ntest {} ... {how}\n", test.name));
    if ended("ok") {
        return Some(Verdict::Missed);
    }
    let mut lines =
        said.lines().skip_while(|line| !line.contains("panicked at ") && !line.starts_with("Error: "));
    let first = lines.next()?;
    let why = if first.starts_with("Error: ") { first } else { lines.next()? };
    ended("FAILED").then(|| Verdict::Caught(why.chars().take(SHOWN).collect()))
}

impl Outcome {
    /// Whether every break was caught.
    pub(crate) fn all_caught(&self) -> bool {
        self.0.iter().all(|(_, verdict, _)| matches!(verdict, Verdict::Caught(_)))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| break | caught by | s |\n|---|---|--:|")?;
        for (mutant, verdict, took) in &self.0 {
            let Test { package, name, .. } = mutant.caught_by;
            let by = match verdict {
                Verdict::Caught(_) => format!("{package} `{name}`"),
                Verdict::Missed => format!("**NOT CAUGHT** by {package} `{name}`"),
                Verdict::NotBuilt => "**DOES NOT BUILD**".to_owned(),
                Verdict::Hung => format!("**HANGS** {package} `{name}`"),
            };
            writeln!(f, "| {} | {by} | {:.0} |", mutant.name, took.as_secs_f64())?;
        }
        writeln!(f)?;
        for (mutant, verdict, _) in &self.0 {
            if let Verdict::Caught(why) = verdict {
                writeln!(f, "{}: {why}", mutant.name)?;
            }
        }
        let caught = self.0.iter().filter(|(_, verdict, _)| matches!(verdict, Verdict::Caught(_))).count();
        write!(f, "{caught} of {} caught", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Test = Test { package: "flow-core", program: "engine", name: "runs::a" };

    #[test]
    fn only_a_test_that_ran_and_failed_has_caught_something() {
        let failed = "running 1 test\ntest runs::a ... FAILED\n\nthread 'a' panicked at a.rs:1:1:\nleft is not right\n";
        assert_eq!(judge(failed, TEST), Some(Verdict::Caught("left is not right".to_owned())));
        assert_eq!(judge("running 1 test\ntest runs::a ... ok\n", TEST), Some(Verdict::Missed));
        let refused = "\ntest runs::a ... FAILED\n\nError: Lost { held: 1 }\n";
        assert_eq!(judge(refused, TEST), Some(Verdict::Caught("Error: Lost { held: 1 }".to_owned())));
        assert_eq!(judge("running 0 tests\n", TEST), None);
        assert_eq!(judge("\ntest runs::b ... FAILED\n\nthread 'b' panicked at a.rs:1:1:\nno\n", TEST), None);
    }
}

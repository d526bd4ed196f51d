//! The figures in `benches/README.md`, made by `cargo xtask bench` with the servers of the long tier.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Deserialize;
use thiserror::Error;

use crate::args::Tier;
use crate::install::{self, InstallError};
use crate::workspace::{FileError, Workspace};

/// The document that holds the figures.
const DOCUMENT: &str = "benches/README.md";

const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- /figures -->";

/// What criterion measures: where it leaves the result, what that is, and the goal in nanoseconds.
const MEASURED: &[(&str, &str, Option<f64>)] = &[
    ("memory_step/10", "a step in a sequence of 10, in memory", Some(20e3)),
    ("memory_step/100", "a step in a sequence of 100, in memory", Some(20e3)),
    ("memory_step/1000", "a step in a sequence of 1,000, in memory", Some(20e3)),
    ("sqlite_step/100", "a step in a sequence of 100, on SQLite", None),
    ("sqlite_resume/10000", "the resume of a run with 10,000 entries, on SQLite", Some(1e9)),
];

/// The benches that make comparisons, in the order of their figures.
const COMPARING: &[&str] = &["side_by_side", "switches", "pm2", "migrate"];

/// The test of flow-nginx whose figures belong in the table: it compares reloads, and judges them too.
const RELOADS: &str = "a_reload_costs_clients_that_keep_connections_no_more_than_nginxs_own";

/// Why there are no figures.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    /// A program could not be started, or what it said could not be read.
    #[error("`{0}` could not be run")]
    Start(&'static str, #[source] io::Error),
    /// What the benches need is missing.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A bench ended badly.
    #[error("`{0}` ended with {1}")]
    Ended(&'static str, ExitStatus),
    /// Criterion left no result, or one that cannot be read.
    #[error("criterion left no figure in `{}`", .0.display())]
    NoFigure(PathBuf),
    /// The document could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The document does not say where the figures go.
    #[error("`{DOCUMENT}` has no `{BEGIN}` with a `{END}` after it")]
    NoMarkers,
}

/// A figure: what it is of, as people read it, and its goal if it has one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Figure {
    what: String,
    shown: String,
    goal: Option<String>,
    met: bool,
}

/// The part of criterion's result that is shown.
#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Runs the benches and writes their figures.
pub(crate) fn update(workspace: &Workspace) -> Result<(), BenchError> {
    let document = workspace.read(DOCUMENT)?;
    install::install(&Tier::Long)?;
    let before = load();
    let mut figures = Vec::new();
    for name in COMPARING {
        figures.extend(compared(name, bench(workspace, name))?);
    }
    figures.extend(compared(RELOADS, reloads(workspace))?);
    figures.extend(measured(workspace)?);
    let table = render(&figures, &machine(&before)?);
    let updated = replace(&document, &table).ok_or(BenchError::NoMarkers)?;
    workspace.write(DOCUMENT, &updated)?;
    println!("wrote the figures in `{DOCUMENT}`");
    Ok(())
}

fn bench(workspace: &Workspace, name: &'static str) -> Command {
    let mut command = workspace.cargo();
    command.args(["bench", "--package", "flow-benches", "--locked", "--bench", name]);
    command.env("CRITERION_HOME", results(workspace));
    command
}

fn reloads(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--package", "flow-nginx", "--locked", "--test", "conformance", RELOADS]);
    command.args(["--", "--nocapture"]).env("FLOW_LONG", "1");
    command
}

fn results(workspace: &Workspace) -> PathBuf {
    workspace.root().join("target").join("criterion")
}

/// The comparisons of one program: it prints each as a line of JSON.
fn compared(name: &'static str, mut command: Command) -> Result<Vec<Figure>, BenchError> {
    let failed = |error| BenchError::Start(name, error);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut figures = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(failed)?;
            println!("{line}");
            figures.extend(serde_json::from_str::<Figure>(&line).ok());
        }
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(figures) } else { Err(BenchError::Ended(name, status)) }
}

fn measured(workspace: &Workspace) -> Result<Vec<Figure>, BenchError> {
    const NAME: &str = "steps";
    let status = bench(workspace, NAME).status().map_err(|error| BenchError::Start(NAME, error))?;
    if !status.success() {
        return Err(BenchError::Ended(NAME, status));
    }
    let figure = |(path, what, goal): &(&str, &str, Option<f64>)| {
        let path = results(workspace).join(path).join("new").join("estimates.json");
        let nanoseconds = median(&path).ok_or(BenchError::NoFigure(path))?;
        Ok(Figure {
            what: (*what).to_owned(),
            shown: duration(nanoseconds),
            goal: goal.map(|goal| format!("< {}", duration(goal))),
            met: goal.is_none_or(|goal| nanoseconds < goal),
        })
    };
    MEASURED.iter().map(figure).collect()
}

fn median(path: &Path) -> Option<f64> {
    let estimates: Estimates = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    Some(estimates.median.point_estimate)
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns >= 1e9 => format!("{:.2} s", ns / 1e9),
        ns if ns >= 1e6 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.1} µs", ns / 1e3),
    }
}

/// Where and when the figures were made.
fn machine(load_before: &str) -> Result<String, BenchError> {
    let mut date = Command::new("date");
    let date = date.args(["-u", "+%Y-%m-%d"]).output().map_err(|error| BenchError::Start("date", error))?;
    let date = String::from_utf8_lossy(&date.stdout);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let (date, after) = (date.trim(), load());
    Ok(format!(
        "Made on {date} on {cores} cores of {model}; mean load {load_before} before the benches and {after} after."
    ))
}

/// How many programs wanted a core in the last minute.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn render(figures: &[Figure], machine: &str) -> String {
    let mut table = format!("{machine}\n\n| what | median | goal | met |\n|---|--:|--:|---|\n");
    for Figure { what, shown, goal, met } in figures {
        let goal = goal.as_deref().unwrap_or("-");
        let met = match (goal, met) {
            ("-", _) => "-",
            (_, true) => "yes",
            (_, false) => "**no**",
        };
        let row = writeln!(table, "| {what} | {shown} | {goal} | {met} |");
        debug_assert!(row.is_ok(), "a text takes every line");
    }
    table
}

/// The document with `table` between its markers; none without both of them.
fn replace(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_misses_its_goal_says_so() {
        let line = r#"{"what":"a step","shown":"1.61 ×","goal":"<= 1.5","met":false}"#;
        let figure: Figure = serde_json::from_str(line).unwrap();
        let without = Figure { what: "b".to_owned(), shown: duration(1.5e6), goal: None, met: true };
        let table = render(&[figure, without], "here");
        assert!(
            table.ends_with("| a step | 1.61 × | <= 1.5 | **no** |\n| b | 1.50 ms | - | - |\n"),
            "{table}"
        );
        let written = replace("a\n<!-- figures --> old <!-- /figures -->\nb", "new\n").unwrap();
        assert_eq!(written, "a\n<!-- figures -->\n\nnew\n\n<!-- /figures -->\nb");
        assert_eq!(replace("<!-- /figures --> <!-- figures -->", ""), None);
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_people_read() {
        assert_eq!([18_049.0, 2.5e6, 1.25e9].map(duration), ["18.0 µs", "2.50 ms", "1.25 s"]);
    }
}

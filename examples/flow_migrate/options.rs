//! The words and options of one call.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flow_migrate::{Goal, Layout, Retreat};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Applies what is pending.
    Up(Goal),
    /// Takes back what was applied.
    Down(Retreat),
    /// Says what is pending, and what it does to a running service, measured on a copy where one can be had.
    Plan,
    /// Says what it does from its text and the live catalogue.
    Lint,
    /// Says where each migration stands.
    Status,
    /// Says whether database and scripts agree.
    Verify,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) word: String,
    pub(crate) command: Command,
    pub(crate) url: String,
    pub(crate) directory: PathBuf,
    /// None to tell by the files.
    pub(crate) layout: Option<Layout>,
    pub(crate) lock_timeout: Duration,
    pub(crate) production: bool,
}

/// What was written behind the command.
#[derive(Debug, Default)]
struct Written {
    url: Option<String>,
    directory: Option<String>,
    format: Option<String>,
    lock_timeout: Option<String>,
    environment: Option<String>,
    to: Option<String>,
    steps: Option<String>,
    all: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let (word, rest) =
            arguments.split_first().context("no command: up, down, plan, lint, status or verify")?;
        let written = Written::read(rest)?;
        let command = match word.as_str() {
            "up" => Command::Up(written.to.clone().map_or(Goal::Latest, Goal::To)),
            "down" => Command::Down(written.retreat()?),
            "plan" => Command::Plan,
            "lint" => Command::Lint,
            "status" => Command::Status,
            "verify" => Command::Verify,
            "backup" | "restore-drill" => bail!("`{word}` is not there yet"),
            other => bail!("no such command: `{other}`"),
        };
        ensure!(
            written.to.is_none() || ["up", "down"].contains(&word.as_str()),
            "`--to` does not go with `{word}`"
        );
        let layout = match written.format.as_deref().unwrap_or("auto") {
            "auto" => None,
            "sqlx" => Some(Layout::Sqlx),
            "diesel" => Some(Layout::Diesel),
            "golang-migrate" => Some(Layout::GolangMigrate),
            "popx" => Some(Layout::Popx),
            "flyway" => Some(Layout::Flyway),
            other => bail!("no such format: `{other}`"),
        };
        let seconds = written.lock_timeout.as_deref().unwrap_or("60");
        let seconds: u64 = seconds
            .parse()
            .with_context(|| format!("`--lock-timeout`: `{seconds}` is no whole number of seconds"))?;
        let environment = written.environment.as_deref().unwrap_or("development");
        ensure!(
            ["development", "testing", "staging", "production"].contains(&environment),
            "no such environment: `{environment}`"
        );
        Ok(Self {
            word: word.clone(),
            command,
            url: written.url.context("`--database-url` is missing")?,
            directory: written.directory.context("`--dir` is missing")?.into(),
            layout,
            lock_timeout: Duration::from_secs(seconds),
            production: environment == "production",
        })
    }
}

impl Written {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut written = Self::default();
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let place = match option.as_str() {
                "--json" => continue,
                "--all" => {
                    written.all = true;
                    continue;
                }
                "--database-url" => &mut written.url,
                "--dir" => &mut written.directory,
                "--format" => &mut written.format,
                "--lock-timeout" => &mut written.lock_timeout,
                "--environment" => &mut written.environment,
                "--to" => &mut written.to,
                "--steps" => &mut written.steps,
                _ => bail!("no such option: `{option}`"),
            };
            let value = rest.next().with_context(|| format!("`{option}` needs a value"))?;
            ensure!(place.replace(value.clone()).is_none(), "`{option}` stands twice");
        }
        Ok(written)
    }

    fn retreat(&self) -> Result<Retreat> {
        match (&self.steps, &self.to, self.all) {
            (None, None, false) => Ok(Retreat::Steps(1)),
            (Some(steps), None, false) => {
                let number =
                    steps.parse().with_context(|| format!("`--steps`: `{steps}` is no whole number"))?;
                Ok(Retreat::Steps(number))
            }
            (None, Some(to), false) => Ok(Retreat::To(to.clone())),
            (None, None, true) => Ok(Retreat::All),
            _ => bail!("`--steps`, `--to` and `--all` do not go together"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    const BASE: &str = "--database-url sqlite:x --dir d";

    #[test]
    fn a_call_says_what_to_do_and_how_far() {
        let command = |line: &str| parse(&format!("{line} {BASE}")).unwrap().command;
        assert_eq!(command("up --json"), Command::Up(Goal::Latest));
        assert_eq!(command("up --to 3 --format auto"), Command::Up(Goal::To("3".into())));
        assert_eq!(command("down"), Command::Down(Retreat::Steps(1)));
        assert_eq!(command("down --steps 4"), Command::Down(Retreat::Steps(4)));
        assert_eq!(command("down --all"), Command::Down(Retreat::All));
        let options = parse(&format!("status {BASE} --lock-timeout 5 --environment production")).unwrap();
        assert_eq!((options.lock_timeout, options.production), (Duration::from_secs(5), true));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, problem) in [
            (String::new(), "no command"),
            (format!("sideways {BASE}"), "no such command"),
            ("up --dir d".to_owned(), "`--database-url` is missing"),
            ("up --database-url x".to_owned(), "`--dir` is missing"),
            (format!("down --all --steps 1 {BASE}"), "do not go together"),
            (format!("down --steps x {BASE}"), "no whole number"),
            (format!("plan --to 1 {BASE}"), "does not go with"),
            (format!("up --to {BASE} --lock-timeout"), "no such option: `sqlite:x`"),
            (format!("up {BASE} --dir e"), "stands twice"),
            (format!("up {BASE} --environment moon"), "no such environment"),
            (format!("up {BASE} --lock-timeout -1"), "seconds"),
        ] {
            let error = format!("{:#}", parse(&line).unwrap_err());
            assert!(error.contains(problem), "{line}: {error}");
        }
    }
}

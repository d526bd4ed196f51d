//! The words and options of one call.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flow_migrate::{Goal, Layout, Phase, Retreat};

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
    /// Makes a backup with proof.
    Backup { out: PathBuf },
    /// Restores a backup and compares it with the proof beside it.
    Drill { backup: PathBuf },
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
    /// None for all migrations in the order of their versions.
    pub(crate) phase: Option<Phase>,
    pub(crate) lock_timeout: Duration,
    pub(crate) production: bool,
    /// Where the tools of the server are.
    pub(crate) tools: Option<PathBuf>,
    pub(crate) recipient: Option<String>,
    /// A file with a secret key of age.
    pub(crate) identity: Option<PathBuf>,
}

/// What was written behind the command.
#[derive(Debug, Default)]
struct Written {
    url: Option<String>,
    directory: Option<String>,
    format: Option<String>,
    phase: Option<String>,
    lock_timeout: Option<String>,
    environment: Option<String>,
    to: Option<String>,
    steps: Option<String>,
    out: Option<String>,
    backup: Option<String>,
    scratch: Option<String>,
    tools: Option<String>,
    recipient: Option<String>,
    identity: Option<String>,
    all: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let (word, rest) = arguments
            .split_first()
            .context("no command: up, down, plan, lint, status, verify, backup or restore-drill")?;
        let written = Written::read(rest)?;
        let command = match word.as_str() {
            "up" => Command::Up(written.to.clone().map_or(Goal::Latest, Goal::To)),
            "down" => Command::Down(written.retreat()?),
            "plan" => Command::Plan,
            "lint" => Command::Lint,
            "status" => Command::Status,
            "verify" => Command::Verify,
            "backup" => Command::Backup { out: written.out.clone().context("`--out` is missing")?.into() },
            "restore-drill" => {
                Command::Drill { backup: written.backup.clone().context("`--backup` is missing")?.into() }
            }
            other => bail!("no such command: `{other}`"),
        };
        ensure!(
            written.to.is_none() || ["up", "down"].contains(&word.as_str()),
            "`--to` does not go with `{word}`"
        );
        let layout = layout(written.format.as_deref().unwrap_or("auto"))?;
        let phase = phase(written.phase.as_deref())?;
        let seconds = written.lock_timeout.as_deref().unwrap_or("60");
        let seconds: u64 = seconds
            .parse()
            .with_context(|| format!("`--lock-timeout`: `{seconds}` is no whole number of seconds"))?;
        let environment = written.environment.as_deref().unwrap_or("development");
        ensure!(
            ["development", "testing", "staging", "production"].contains(&environment),
            "no such environment: `{environment}`"
        );
        let url = match command {
            // A copy needs no database that it was of.
            Command::Drill { .. } => written.scratch.context("`--scratch-url` is missing")?,
            _ => written.url.context("`--database-url` is missing")?,
        };
        let directory = match (written.directory, &command) {
            (Some(directory), _) => directory.into(),
            (None, Command::Backup { .. } | Command::Drill { .. }) => PathBuf::from("."),
            (None, _) => bail!("`--dir` is missing"),
        };
        Ok(Self {
            word: word.clone(),
            command,
            url,
            directory,
            layout,
            phase,
            lock_timeout: Duration::from_secs(seconds),
            production: environment == "production",
            tools: written.tools.map(PathBuf::from),
            recipient: written.recipient,
            identity: written.identity.map(PathBuf::from),
        })
    }
}

/// The format of a folder; none to tell by its files.
fn layout(format: &str) -> Result<Option<Layout>> {
    Ok(match format {
        "auto" => None,
        "sqlx" => Some(Layout::Sqlx),
        "diesel" => Some(Layout::Diesel),
        "golang-migrate" => Some(Layout::GolangMigrate),
        "popx" => Some(Layout::Popx),
        "flyway" => Some(Layout::Flyway),
        other => bail!("no such format: `{other}`"),
    })
}

fn phase(word: Option<&str>) -> Result<Option<Phase>> {
    Ok(match word {
        None => None,
        Some("expand") => Some(Phase::Expand),
        Some("contract") => Some(Phase::Contract),
        Some(other) => bail!("no such phase: `{other}`"),
    })
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
                "--phase" => &mut written.phase,
                "--lock-timeout" => &mut written.lock_timeout,
                "--environment" => &mut written.environment,
                "--to" => &mut written.to,
                "--steps" => &mut written.steps,
                "--out" => &mut written.out,
                "--backup" => &mut written.backup,
                "--scratch-url" => &mut written.scratch,
                "--bin-dir" => &mut written.tools,
                "--recipient" => &mut written.recipient,
                "--identity" => &mut written.identity,
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
        let drill = parse("restore-drill --backup b --scratch-url sqlite:s").unwrap();
        assert_eq!((drill.command, drill.url.as_str()), (Command::Drill { backup: "b".into() }, "sqlite:s"));
        let options =
            parse(&format!("status {BASE} --phase contract --lock-timeout 5 --environment production"))
                .unwrap();
        assert_eq!((options.lock_timeout, options.production), (Duration::from_secs(5), true));
        assert_eq!(options.phase, Some(Phase::Contract));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (line, problem) in [
            (String::new(), "no command"),
            (format!("sideways {BASE}"), "no such command"),
            ("up --dir d".to_owned(), "`--database-url` is missing"),
            ("backup --database-url x".to_owned(), "`--out` is missing"),
            ("restore-drill --backup b --database-url x".to_owned(), "`--scratch-url` is missing"),
            ("up --database-url x".to_owned(), "`--dir` is missing"),
            (format!("down --all --steps 1 {BASE}"), "do not go together"),
            (format!("down --steps x {BASE}"), "no whole number"),
            (format!("plan --to 1 {BASE}"), "does not go with"),
            (format!("up --to {BASE} --lock-timeout"), "no such option: `sqlite:x`"),
            (format!("up {BASE} --dir e"), "stands twice"),
            (format!("up {BASE} --phase later"), "no such phase"),
            (format!("up {BASE} --environment moon"), "no such environment"),
            (format!("up {BASE} --lock-timeout -1"), "seconds"),
        ] {
            let error = format!("{:#}", parse(&line).unwrap_err());
            assert!(error.contains(problem), "{line}: {error}");
        }
    }
}

//! The words and options of one call.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Deploys what stands in a directory.
    Deploy { release: PathBuf },
    /// Gives the latest release this share of the traffic.
    Shift { percent: u8 },
    /// Goes back to the colour that is kept warm.
    Rollback,
    /// Goes on with what another process left.
    Resume,
    /// Says what serves.
    Status,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) config: PathBuf,
    pub(crate) journal: PathBuf,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let (word, rest) =
            arguments.split_first().context("no command: deploy, shift, rollback, resume or status")?;
        let (mut release, mut percent, mut config, mut journal) = (None, None, None, None);
        let mut rest = rest.iter();
        while let Some(option) = rest.next() {
            let value = rest.next().with_context(|| format!("`{option}` needs a value"))?.as_str();
            let place = match option.as_str() {
                "--release" => &mut release,
                "--percent" => &mut percent,
                "--config" => &mut config,
                "--journal" => &mut journal,
                _ => bail!("no such option: `{option}`"),
            };
            ensure!(place.replace(value).is_none(), "`{option}` stands twice");
        }
        let needed = |value: Option<&str>, option| {
            value.map(str::to_owned).with_context(|| format!("`{option}` is missing"))
        };
        let command = match word.as_str() {
            "deploy" => Command::Deploy { release: needed(release.take(), "--release")?.into() },
            "shift" => {
                let percent = needed(percent.take(), "--percent")?;
                let share = percent.parse().ok().filter(|share| *share <= 100);
                Command::Shift {
                    percent: share.with_context(|| {
                        format!("`--percent`: `{percent}` is no whole number from 0 to 100")
                    })?,
                }
            }
            "rollback" => Command::Rollback,
            "resume" => Command::Resume,
            "status" => Command::Status,
            other => bail!("no such command: `{other}`"),
        };
        for (value, option) in [(release, "--release"), (percent, "--percent")] {
            ensure!(value.is_none(), "`{option}` does not go with `{word}`");
        }
        Ok(Self {
            command,
            config: needed(config, "--config")?.into(),
            journal: needed(journal, "--journal")?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Options::parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn every_command_reads_its_options() {
        let read = |line: &str| parse(&format!("{line} --config c --journal j")).unwrap().command;
        assert_eq!(read("deploy --release r"), Command::Deploy { release: "r".into() });
        assert_eq!(read("shift --percent 5"), Command::Shift { percent: 5 });
        assert_eq!(read("rollback"), Command::Rollback);
    }

    #[test]
    fn what_is_missing_unknown_or_twice_is_said() {
        for (line, said) in [
            ("deploy --config c --journal j", "`--release` is missing"),
            ("rollback --release r --config c --journal j", "`--release` does not go with `rollback`"),
            (
                "shift --percent 101 --config c --journal j",
                "`--percent`: `101` is no whole number from 0 to 100",
            ),
            ("status --config c", "`--journal` is missing"),
            ("status --config c --config d", "`--config` stands twice"),
            ("undo --config c --journal j", "no such command: `undo`"),
            ("status --force", "`--force` needs a value"),
        ] {
            assert_eq!(parse(line), Err(said.to_owned()), "{line}");
        }
    }
}

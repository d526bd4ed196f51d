//! The options of the command line.

use anyhow::{Context, Result, bail};
use flow_testkit::cloud::{FakeCloudConfig, Strictness};

/// Reads the options; what is left out is as by default, but lenient to scripts that know the control contract alone.
pub(crate) fn parse(arguments: &[String]) -> Result<FakeCloudConfig> {
    let mut config = FakeCloudConfig { strictness: Strictness::Lenient, ..FakeCloudConfig::default() };
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().with_context(|| format!("`{option}` needs a value"))?;
        match option.as_str() {
            "--listen" => {
                config.listen =
                    value.parse().with_context(|| format!("`--listen`: `{value}` is no ADDRESS:PORT"))?;
            }
            "--secret-id" => config.secret_id.clone_from(value),
            "--secret-key" => config.secret_key.clone_from(value),
            "--region" => config.region.clone_from(value),
            "--bucket" => config.buckets.push(value.clone()),
            _ => bail!("unknown option `{option}`"),
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<FakeCloudConfig> {
        parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_replace_what_is_there_by_default() {
        let config =
            parsed(&["--listen", "127.0.0.1:8070", "--secret-id", "ID", "--bucket", "a-1250000000"]).unwrap();
        assert_eq!((config.listen.port(), config.secret_id.as_str()), (8070, "ID"));
        assert_eq!(config.secret_key, flow_testkit::cloud::SECRET_KEY);
        assert_eq!(config.buckets, ["a-1250000000"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [["--listen", "here"].as_slice(), &["--port", "1"], &["--listen"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}

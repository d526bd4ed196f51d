//! Files beside scripts that say how to run them.

/// What `metadata.toml` or `V1__x.sql.conf` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) transaction: Option<Switch>,
    /// Flyway's.
    pub(super) placeholders: Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    On,
    Off,
}

impl Settings {
    pub(super) const NONE: Self = Self { transaction: None, placeholders: Switch::On };

    /// diesel's `metadata.toml`. Keys that diesel does not know mean nothing to it.
    pub(super) fn metadata(bytes: &[u8]) -> Result<Self, Vec<String>> {
        let mut settings = Self::NONE;
        let found = pairs(bytes, |key, value| {
            if key == "run_in_transaction" {
                settings.transaction = Some(switch(value)?);
            }
            Ok(())
        });
        found.map(|()| settings)
    }

    /// Flyway's `.sql.conf`.
    pub(super) fn conf(bytes: &[u8]) -> Result<Self, Vec<String>> {
        let mut settings = Self::NONE;
        let found = pairs(bytes, |key, value| match key {
            "executeInTransaction" => switch(value).map(|found| settings.transaction = Some(found)),
            "placeholderReplacement" => switch(value).map(|found| settings.placeholders = found),
            "encoding" if value.eq_ignore_ascii_case("UTF-8") => Ok(()),
            "shouldExecute" if value == "true" => Ok(()),
            _ => Err(format!("`{key}={value}` is not supported")),
        });
        found.map(|()| settings)
    }
}

fn switch(value: &str) -> Result<Switch, String> {
    match value {
        "true" => Ok(Switch::On),
        "false" => Ok(Switch::Off),
        _ => Err(format!("`{value}` is neither `true` nor `false`")),
    }
}

/// Reads `key = value` by lines; `#` begins a comment.
fn pairs(bytes: &[u8], mut take: impl FnMut(&str, &str) -> Result<(), String>) -> Result<(), Vec<String>> {
    let text = std::str::from_utf8(bytes).map_err(|_| vec!["is not UTF-8".to_owned()])?;
    let mut problems = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() || (line.starts_with('[') && line.ends_with(']')) {
            continue;
        }
        let taken = match line.split_once('=') {
            Some((key, value)) => take(key.trim(), value.trim()),
            None => Err("has no `=`".to_owned()),
        };
        problems.extend(taken.err().map(|problem| format!("line {number}: {problem}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

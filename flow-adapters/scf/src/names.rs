use std::collections::BTreeMap;
use std::fmt;

use flow_core::{InvalidName, Name};

/// What the description of an alias begins with that was written here.
pub(crate) const ALIAS_MADE: &str = "flow";

/// What the versions are called that an alias leads to. It stands in the alias's description, written together with the shares.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(BTreeMap<String, Name>);

impl Names {
    pub(crate) fn of_versions<'a>(versions: impl IntoIterator<Item = (&'a str, &'a Name)>) -> Self {
        Self(versions.into_iter().map(|(version, name)| (version.to_owned(), name.clone())).collect())
    }

    /// Names in a description; none where it was written by somebody else.
    pub(crate) fn parse(description: &str) -> Self {
        if !is_alias_made_here(description) {
            return Self::default();
        }
        let pair = |word: &str| {
            let (version, name) = word.split_once('=')?;
            Some((version.to_owned(), Name::new(name).ok()?))
        };
        Self(description.split(' ').filter_map(pair).collect())
    }

    /// What a version is called: its number, where nobody said.
    pub(crate) fn of(&self, version: &str) -> Result<Name, InvalidName> {
        self.0.get(version).map_or_else(|| Name::new(version), |name| Ok(name.clone()))
    }
}

/// Whether an alias with this description was made or routed here.
pub(crate) fn is_alias_made_here(description: &str) -> bool {
    description.split(' ').next() == Some(ALIAS_MADE)
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALIAS_MADE)?;
        self.0.iter().try_for_each(|(version, name)| write!(f, " {version}={name}"))
    }
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    #[test]
    fn names_read_back_and_a_version_without_one_is_called_by_its_number() {
        let (old, new) = (name!("1.0.0"), name!("1.1.0+b"));
        let names = Names::of_versions([("1", &old), ("12", &new)]);
        assert_eq!(names.to_string(), "flow 1=1.0.0 12=1.1.0+b");
        assert_eq!(Names::parse(&names.to_string()), names);
        assert_eq!(names.of("3"), Ok(name!("3")));
        assert_eq!(Names::parse("the shop's 1=2"), Names::default());
        assert!(names.of("$LATEST").is_err());
    }
}

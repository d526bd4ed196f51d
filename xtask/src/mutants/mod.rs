//! Deliberate breaks of the engine, the machine and the stores, each with the test that must catch it.
//!
//! `cargo xtask mutants` applies one after the other to a copy of the checkout and demands that the named test fails. The
//! suite's own tests check that every break still fits the sources.

mod copy;
mod list;
mod run;

pub(crate) use run::run;

/// A deliberate break: what a careless change could do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// What it breaks, in few words.
    pub(crate) name: &'static str,
    /// The file.
    file: &'static str,
    /// What stands there, exactly once, and what is put in its place.
    edits: &'static [(&'static str, &'static str)],
    /// The test that must catch it.
    caught_by: Test,
}

/// One test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    package: &'static str,
    /// The package's integration test program.
    program: &'static str,
    /// Its path in that program.
    name: &'static str,
}

impl Mutant {
    /// The file's text with the break in it; none where a text to be replaced does not stand there exactly once.
    fn apply(&self, text: &str) -> Option<String> {
        let replace = |text: String, (old, new): &(&str, &str)| {
            (text.matches(old).count() == 1).then(|| text.replacen(old, new, 1))
        };
        self.edits.iter().try_fold(text.to_owned(), replace)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::list::MUTANTS;
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn there_are_enough_of_them_and_none_has_the_name_of_another() {
        let names: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        assert!(names.len() >= 25, "{}", names.len());
    }

    #[test]
    fn every_break_fits_the_sources_as_they_are() {
        let workspace = Workspace::of_this_checkout();
        for mutant in MUTANTS {
            let text = workspace.read(mutant.file).unwrap();
            let broken = mutant.apply(&text);
            assert!(broken.is_some_and(|broken| broken != text), "`{}` no longer fits", mutant.name);
        }
    }

    #[test]
    fn every_test_that_must_catch_one_exists() {
        let workspace = Workspace::of_this_checkout();
        let files = workspace.rust_files().unwrap();
        for mutant in MUTANTS {
            let Test { package, name, .. } = mutant.caught_by;
            let function = format!("fn {}(", name.rsplit("::").next().unwrap());
            let adapter = package.replacen("flow-", "flow-adapters/", 1);
            // The promises of a suite stand in the testkit.
            let folders = [package, &adapter, "flow-testkit"].map(|folder| format!("{folder}/"));
            let stands = files.iter().any(|file| {
                folders.iter().any(|folder| file.path.starts_with(folder)) && file.text.contains(&function)
            });
            assert!(stands, "`{}`: there is no test `{name}`", mutant.name);
        }
    }

    #[test]
    fn a_break_that_fits_twice_or_not_at_all_does_not_fit() {
        let caught_by = Test { package: "flow-core", program: "engine", name: "a" };
        let mutant = Mutant { name: "a", file: "a.rs", edits: &[("old", "new")], caught_by };
        assert_eq!(mutant.apply("an old one"), Some("an new one".to_owned()));
        assert_eq!(mutant.apply("old and old"), None);
        assert_eq!(mutant.apply("new"), None);
    }
}

//! Where a rule does not hold, and why. The only place to say so.

use super::finding::{Finding, Rule};

/// The rule, the file or crate where it does not hold, and the reason.
pub(crate) type Exception = (Rule, &'static str, &'static str);

/// Why a test is ignored that runs all the same.
const CHILD: &str = "the body of a child process that another test starts and kills";

/// All of them. Few is how it should stay.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    (Rule::Dependencies, "flow-host", "its tests run over this machine's own host, which is flow-local's"),
    (Rule::IgnoredTest, "flow-adapters/build/tests/conformance/command.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/cdn/tests/conformance/kills.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/journal/tests/conformance/kill.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/local/tests/conformance/process/child.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/local/tests/conformance/proxy.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/local/tests/conformance/store/assets.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/migrate/tests/conformance/crash.rs", CHILD),
    (Rule::IgnoredTest, "flow-adapters/pm2/tests/conformance/daemon.rs", CHILD),
    (Rule::IgnoredTest, "proving/tests/proving/database.rs", CHILD),
];

/// What is left of `findings`, with one more for each exception that nothing needs.
pub(crate) fn apply(findings: Vec<Finding>, exceptions: &[Exception]) -> Vec<Finding> {
    let stale = exceptions.iter().filter(|exception| !findings.iter().any(|found| covers(exception, found)));
    let stale = stale.map(|(rule, place, _)| {
        Finding::of(Rule::StaleException, place, format!("nothing here needs the exception from {rule:?}"))
    });
    let stale: Vec<_> = stale.collect();
    let standing = findings.into_iter().filter(|found| !exceptions.iter().any(|one| covers(one, found)));
    standing.chain(stale).collect()
}

fn covers((rule, place, _): &Exception, finding: &Finding) -> bool {
    *rule == finding.rule && *place == finding.place
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[Exception] = &[(Rule::Prints, "a.rs", "it is a command line")];

    #[test]
    fn an_exception_covers_its_rule_in_its_file_and_nothing_else() {
        let covered = Finding::at(Rule::Prints, "a.rs", 3, "prints");
        let elsewhere = Finding::at(Rule::Prints, "b.rs", 3, "prints");
        let otherwise = Finding::at(Rule::AllowsLint, "a.rs", 3, "allows");
        let left = apply(vec![covered, elsewhere.clone(), otherwise.clone()], ONE);
        assert_eq!(left, [elsewhere, otherwise]);
    }

    #[test]
    fn an_exception_that_nothing_needs_is_itself_found() {
        let left = apply(Vec::new(), ONE);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].rule, Rule::StaleException);
    }
}

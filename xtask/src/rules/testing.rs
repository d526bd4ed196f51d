//! Where flow-core's feature `testing` may be on: it hands out permits, so no program that deploys may have it.

use super::finding::{Finding, Rule};
use crate::metadata::{Dependency, Metadata, Package};

const CORE: &str = "flow-core";
const TESTKIT: &str = "flow-testkit";
const EXAMPLES: &str = "flow-examples";
const FEATURE: &str = "testing";

/// Checks every member of the workspace.
pub(crate) fn check(metadata: &Metadata) -> Vec<Finding> {
    metadata.members().flat_map(|(package, _)| check_package(package)).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let mut problems = Vec::new();
    for wanted in package.dependencies.iter().filter(|wanted| !wanted.is_dev()) {
        if turns_it_on(wanted) && package.name != TESTKIT {
            problems.push(format!("turns on `{FEATURE}` of `{CORE}` outside its tests"));
        }
        if wanted.name == TESTKIT && package.name != EXAMPLES {
            problems.push(format!("depends on `{TESTKIT}` outside its tests"));
        }
    }
    for (feature, on) in &package.features {
        if package.name != TESTKIT && on.iter().any(|item| passes_it_on(package, item)) {
            problems.push(format!("its feature `{feature}` turns on `{FEATURE}` of `{CORE}`"));
        }
    }
    problems.into_iter().map(|problem| Finding::of(Rule::TestingFeature, &package.name, problem)).collect()
}

fn turns_it_on(wanted: &Dependency) -> bool {
    wanted.name == CORE && wanted.features.iter().any(|feature| feature == FEATURE)
}

/// Whether an item of a feature's list turns it on: by name within flow-core, with a prefix elsewhere.
fn passes_it_on(package: &Package, item: &str) -> bool {
    match item.split_once('/') {
        Some((from, feature)) => from.trim_end_matches('?') == CORE && feature == FEATURE,
        None => package.name == CORE && item == FEATURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fixture::Fixture;

    fn problems(fixture: Fixture) -> Vec<String> {
        check(&fixture.metadata()).into_iter().map(|found| found.problem).collect()
    }

    fn sound() -> Fixture {
        Fixture::new()
            .member("flow-core", "flow-core")
            .feature("flow-core", "testing", &[])
            .member("flow-local", "flow-adapters/local")
            .member("flow-testkit", "flow-testkit")
            .member("flow-examples", "examples")
            .needs_with("flow-testkit", "flow-core", &["testing"])
            .needs_for_tests("flow-local", "flow-testkit")
            .needs("flow-examples", "flow-testkit")
    }

    #[test]
    fn the_testkit_and_the_examples_may_have_it() {
        assert_eq!(problems(sound()), [""; 0]);
    }

    #[test]
    fn an_adapter_that_turns_it_on_is_found() {
        let found = problems(sound().needs_with("flow-local", "flow-core", &["testing"]));
        assert_eq!(found, ["turns on `testing` of `flow-core` outside its tests"]);
    }

    #[test]
    fn an_adapter_that_needs_the_testkit_outside_its_tests_is_found() {
        let found = problems(sound().needs("flow-local", "flow-testkit"));
        assert_eq!(found, ["depends on `flow-testkit` outside its tests"]);
    }

    #[test]
    fn a_feature_that_passes_it_on_is_found() {
        let found = problems(sound().feature("flow-local", "mock", &["flow-core/testing"]));
        assert_eq!(found, ["its feature `mock` turns on `testing` of `flow-core`"]);
        let found = problems(sound().feature("flow-core", "default", &["testing"]));
        assert_eq!(found, ["its feature `default` turns on `testing` of `flow-core`"]);
    }
}

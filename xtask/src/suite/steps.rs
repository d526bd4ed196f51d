//! Which steps the suite has. To add one, add a line.

/// One step of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// What it is called in the output.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Runs cargo.
    Cargo(&'static [&'static str]),
    /// Runs cargo's tests and counts them: when none was run, the step has failed.
    Tests(&'static [&'static str]),
    /// Builds the documentation; every warning is an error.
    Docs(&'static [&'static str]),
    /// Checks the project's own rules.
    Rules,
    /// Runs examples with the profile and features that the tests have compiled with, each in an empty directory.
    Examples(&'static [&'static str]),
    /// Runs cargo-deny.
    Deny(&'static [&'static str]),
    /// Compares the public API with its baseline.
    PublicApi,
    /// Tests the crates outside the workspace.
    Outside,
}

/// The features that nothing in the workspace turns on by itself; flow-tencent's has a step of its own (docs/adr/0009).
pub(super) const FEATURES: &str = "flow-testkit/mockall,flow-testkit/cloud,flow-local/age";

/// The library, unit and integration tests, UI tests among them. Doctests are a step of their own: none runs twice.
const TESTS: Step = Step {
    name: "tests",
    action: Action::Tests(&[
        "test",
        "--workspace",
        "--features",
        FEATURES,
        "--locked",
        "--no-fail-fast",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
    ]),
};

/// The examples that are one file each; a test compares the list with the folder.
const SHORT_EXAMPLES: &[&str] = &[
    "approval_at_a_gate",
    "approval_between_stages",
    "custom_adapter",
    "custom_strategy",
    "nginx_canary",
    "pm2_nginx_blue_green",
    "progress_lines",
    "resume_after_crash",
    "rolling_over_ssh",
    "unit_test_deploy_logic",
];

/// All steps, in order: what is cheap and often wrong comes first.
const STEPS: &[Step] = &[
    Step { name: "format", action: Action::Cargo(&["fmt", "--all", "--", "--check"]) },
    Step {
        name: "clippy",
        action: Action::Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            FEATURES,
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    },
    Step { name: "rules", action: Action::Rules },
    TESTS,
    Step {
        name: "doctests",
        action: Action::Tests(&[
            "test",
            "--doc",
            "--workspace",
            "--features",
            FEATURES,
            "--locked",
            "--no-fail-fast",
        ]),
    },
    Step {
        name: "flow-tencent with tencentcloud-sdk-rs",
        action: Action::Tests(&[
            "test",
            "--package",
            "flow-tencent",
            "--features",
            "tencentcloud-sdk-rs",
            "--locked",
            "--test",
            "conformance",
            "sdk::",
        ]),
    },
    Step { name: "short examples", action: Action::Examples(SHORT_EXAMPLES) },
    Step { name: "example deploy", action: Action::Examples(&["deploy"]) },
    Step { name: "crates outside", action: Action::Outside },
    Step {
        name: "licences, bans, sources",
        action: Action::Deny(&["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]),
    },
    Step {
        name: "docs",
        action: Action::Docs(&["doc", "--workspace", "--no-deps", "--features", FEATURES, "--locked"]),
    },
    Step { name: "public API", action: Action::PublicApi },
];

/// The suite's steps.
pub(crate) fn all() -> &'static [Step] {
    STEPS
}

/// The step that alone is run when a test is asked for by name.
pub(crate) fn tests_alone() -> &'static [Step] {
    &[TESTS]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_called_something_else() {
        let names: std::collections::BTreeSet<_> = all().iter().map(|step| step.name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn every_short_example_is_run_and_has_fewer_than_80_lines() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let source = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "rs");
        let examples = files.filter(source).filter(|path| !path.ends_with("lib.rs"));
        let mut found: Vec<String> = Vec::new();
        for path in examples {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines < 80, "{} has {lines} lines", path.display());
            found.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
        found.sort();
        assert_eq!(found, SHORT_EXAMPLES);
    }

    #[test]
    fn what_features_add_is_linted_tested_and_documented() {
        let with = all().iter().filter(|step| match &step.action {
            Action::Cargo(args) | Action::Tests(args) | Action::Docs(args) => args.contains(&FEATURES),
            _ => false,
        });
        assert_eq!(with.map(|step| step.name).collect::<Vec<_>>(), ["clippy", "tests", "doctests", "docs"]);
    }

    #[test]
    fn what_tests_build_is_built_with_the_same_features() {
        let program = include_str!("../../../examples/private/program.rs");
        assert!(program.contains(&format!("\"--features\", \"{FEATURES}\"")));
    }

    #[test]
    fn no_step_may_change_the_lock_file() {
        for step in all() {
            if let Action::Cargo(args) | Action::Tests(args) | Action::Docs(args) | Action::Deny(args) =
                &step.action
            {
                assert!(args.contains(&"--locked") || args.contains(&"fmt"), "{step:?}");
            }
        }
    }
}

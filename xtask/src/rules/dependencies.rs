//! Who may depend on whom (ARCHITECTURE.md, section 1).

use std::collections::BTreeSet;
use std::path::Path;

use super::finding::{Finding, Rule};
use crate::metadata::{Dependency, Metadata, Package};

/// What flow-core may ask for by itself.
const CORE_MAY_USE: &[&str] = &[
    "async-trait",
    "backon",
    "futures",
    "jiff",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tracing",
];

/// What flow-core must not be built from, however far away. A name stands for its family too: `hyper` for `hyper-util`.
const CORE_MUST_NOT_REACH: [(&str, &[&str]); 3] = [
    (
        "an HTTP client or server",
        &[
            "actix",
            "attohttpc",
            "awc",
            "axum",
            "curl",
            "h2",
            "h3",
            "hyper",
            "isahc",
            "poem",
            "reqwest",
            "rocket",
            "rouille",
            "salvo",
            "surf",
            "tiny_http",
            "tonic",
            "ureq",
            "warp",
        ],
    ),
    (
        "a database",
        &[
            "diesel",
            "heed",
            "libsqlite3-sys",
            "mongodb",
            "mysql",
            "mysql_async",
            "postgres",
            "redb",
            "redis",
            "rocksdb",
            "rusqlite",
            "sea-orm",
            "sled",
            "sqlx",
            "tokio-postgres",
        ],
    ),
    (
        "a terminal",
        &[
            "anstream",
            "clap",
            "colored",
            "console",
            "crossterm",
            "dialoguer",
            "indicatif",
            "inquire",
            "owo-colors",
            "ratatui",
            "termcolor",
            "termion",
        ],
    ),
];

/// What no adapter brings by default: TLS is rustls, the same everywhere.
const ADAPTERS_MUST_NOT_REACH: &[&str] = &["native-tls", "openssl", "openssl-sys"];

/// What adapters bring once: two of them would be two HTTP stacks in one program.
const ADAPTERS_REACH_ONCE: &[&str] = &["hyper", "reqwest"];

/// Support crates without ports: all that adapters may share.
const SHARED_BY_ADAPTERS: &[&str] = &["flow-linux", "flow-sql", "flow-tencent"];

/// What a member of the workspace is, by its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Core,
    Adapter,
    Testkit,
    Proving,
    Examples,
    Benches,
    Xtask,
}

impl Role {
    fn of(folder: &Path) -> Option<Self> {
        let parts: Vec<_> = folder.iter().filter_map(|part| part.to_str()).collect();
        match parts.as_slice() {
            ["flow-core"] => Some(Self::Core),
            ["flow-adapters", _] => Some(Self::Adapter),
            ["flow-testkit"] => Some(Self::Testkit),
            ["proving"] => Some(Self::Proving),
            ["examples", ..] => Some(Self::Examples),
            ["benches"] => Some(Self::Benches),
            ["xtask"] => Some(Self::Xtask),
            _ => None,
        }
    }
}

/// Checks every member of the workspace.
pub(crate) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, folder) in metadata.members() {
        match Role::of(folder) {
            Some(role) => findings.extend(check_members(package, role, metadata)),
            None => findings.push(found(package, format!("no rule knows a crate in `{}`", folder.display()))),
        }
        match Role::of(folder) {
            Some(Role::Core) => findings.extend(check_core(package, metadata)),
            Some(Role::Adapter) => findings.extend(check_adapter(package, metadata)),
            _ => {}
        }
    }
    findings
}

/// Edges between members. They hold for tests too: a test that needs what its crate must not know is in the wrong place.
fn check_members(package: &Package, role: Role, metadata: &Metadata) -> Vec<Finding> {
    let named: BTreeSet<_> = package.dependencies.iter().map(|wanted| wanted.name.as_str()).collect();
    let members = metadata.members().filter(|(member, _)| named.contains(member.name.as_str()));
    let refused = members.filter_map(|(member, folder)| {
        let to = Role::of(folder)?;
        let why = refusal(role, to, &member.name).or_else(|| {
            let own = |wanted: &Dependency| wanted.name == member.name && !wanted.is_dev();
            let served = matches!(role, Role::Examples | Role::Benches);
            let deployed = to == Role::Proving && !served && package.dependencies.iter().any(own);
            deployed.then_some("only tests, examples and benches may start servers")
        })?;
        Some(found(package, format!("depends on `{}`: {why}", member.name)))
    });
    refused.collect()
}

fn refusal(from: Role, to: Role, name: &str) -> Option<&'static str> {
    match (from, to) {
        (_, Role::Xtask) => Some("nothing depends on xtask"),
        (Role::Examples, Role::Examples) => None,
        (_, Role::Examples) => Some("nothing depends on the examples"),
        (_, Role::Benches) => Some("nothing depends on the benches"),
        (Role::Xtask, _) => Some("xtask depends on nothing that it checks"),
        (Role::Proving, _) => Some("what judges the others knows none of them"),
        (Role::Core, Role::Adapter) => Some("the core knows no adapter"),
        (Role::Adapter, Role::Adapter) if !SHARED_BY_ADAPTERS.contains(&name) => {
            Some("an adapter knows no other adapter")
        }
        (Role::Testkit, other) if !matches!(other, Role::Core | Role::Proving) => {
            Some("the testkit knows only the core")
        }
        _ => None,
    }
}

fn check_core(core: &Package, metadata: &Metadata) -> Vec<Finding> {
    let normal = core.dependencies.iter().filter(|wanted| wanted.is_normal());
    let direct: BTreeSet<_> = normal.map(|wanted| wanted.name.as_str()).collect();
    let strange = direct.into_iter().filter(|name| !CORE_MAY_USE.contains(name));
    let strange = strange
        .map(|name| found(core, format!("depends on `{name}`, which is not on the core's short list")));

    let reached: BTreeSet<_> =
        metadata.built_from(core).iter().map(|package| package.name.as_str()).collect();
    let refused = reached.into_iter().filter_map(|name| {
        let what = forbidden(name)?;
        Some(found(core, format!("is built from `{name}`, {what}")))
    });
    strange.chain(refused).collect()
}

fn check_adapter(adapter: &Package, metadata: &Metadata) -> Vec<Finding> {
    let reached = metadata.built_from(adapter);
    let versions = |name: &&&str| reached.iter().filter(|package| package.name == **name).count();
    let refused = ADAPTERS_MUST_NOT_REACH.iter().filter(|name| versions(name) > 0);
    let refused = refused.map(|name| found(adapter, format!("is built from `{name}` by default")));
    let twice = ADAPTERS_REACH_ONCE.iter().filter(|name| versions(name) > 1);
    refused
        .chain(twice.map(|name| found(adapter, format!("is built from two versions of `{name}` by default"))))
        .collect()
}

fn forbidden(name: &str) -> Option<&'static str> {
    let is_of = |family: &str| {
        name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    };
    let kinds = CORE_MUST_NOT_REACH.iter().find(|(_, families)| families.iter().any(|family| is_of(family)));
    kinds.map(|(what, _)| *what)
}

fn found(package: &Package, problem: String) -> Finding {
    Finding::of(Rule::Dependencies, &package.name, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fixture::Fixture;

    fn problems(fixture: Fixture) -> Vec<String> {
        check(&fixture.metadata()).iter().map(ToString::to_string).collect()
    }

    fn sound() -> Fixture {
        Fixture::new()
            .member("flow-core", "flow-core")
            .member("flow-local", "flow-adapters/local")
            .member("flow-linux", "flow-adapters/linux")
            .member("flow-nginx", "flow-adapters/nginx")
            .member("flow-scf", "flow-adapters/scf")
            .member("flow-tencent", "flow-adapters/tencent")
            .member("flow-testkit", "flow-testkit")
            .member("flow-proving", "proving")
            .member("flow-examples", "examples")
            .member("flow-benches", "benches")
            .member("xtask", "xtask")
            .outside("tokio")
            .outside("hyper")
            .outside("hyper-util")
            .outside("sqlx-core")
            .needs("flow-core", "tokio")
            .needs_for_tests("flow-core", "flow-testkit")
            .needs("flow-local", "flow-core")
            .needs("flow-local", "hyper-util")
            .needs("hyper-util", "hyper")
            .needs("flow-nginx", "flow-linux")
            .needs("flow-scf", "flow-tencent")
            .needs("flow-testkit", "flow-core")
            .needs("flow-examples", "flow-local")
            .needs_for_tests("flow-benches", "flow-local")
            .needs_for_tests("flow-benches", "flow-proving")
            .needs_for_tests("flow-local", "flow-proving")
            .needs("flow-proving", "tokio")
    }

    #[test]
    fn the_intended_layers_are_accepted() {
        assert_eq!(problems(sound()), [""; 0]);
    }

    #[test]
    fn a_core_that_knows_an_adapter_is_found_even_in_its_tests() {
        let found = problems(sound().needs_for_tests("flow-core", "flow-local"));
        assert_eq!(found, ["flow-core: depends on `flow-local`: the core knows no adapter [Dependencies]"]);
    }

    #[test]
    fn a_core_that_reaches_a_client_or_a_database_from_afar_is_found() {
        let found = problems(sound().needs("tokio", "hyper-util").needs("tokio", "sqlx-core"));
        assert_eq!(
            found,
            [
                "flow-core: is built from `hyper`, an HTTP client or server [Dependencies]",
                "flow-core: is built from `hyper-util`, an HTTP client or server [Dependencies]",
                "flow-core: is built from `sqlx-core`, a database [Dependencies]",
            ]
        );
    }

    #[test]
    fn an_adapter_that_brings_openssl_or_a_second_http_stack_is_found() {
        let both = || {
            let both =
                sound().outside("reqwest").outside("reqwest@0.11").outside("hyper@0.14").outside("openssl");
            let both = both.needs("reqwest@0.11", "hyper@0.14").needs("reqwest@0.11", "openssl");
            both.needs("flow-tencent", "reqwest").needs("reqwest", "hyper")
        };
        assert_eq!(problems(both()), [""; 0], "no adapter needs the old one");
        let found = problems(both().needs("flow-tencent", "reqwest@0.11"));
        let of = |adapter| {
            let twice =
                |name| format!("{adapter}: is built from two versions of `{name}` by default [Dependencies]");
            let openssl = format!("{adapter}: is built from `openssl` by default [Dependencies]");
            [openssl, twice("hyper"), twice("reqwest")]
        };
        assert_eq!(found, [of("flow-scf"), of("flow-tencent")].concat());
    }

    #[test]
    fn what_only_the_cores_tests_are_built_from_is_not_held_against_it() {
        assert_eq!(problems(sound().needs_for_tests("flow-core", "hyper")), [""; 0]);
    }

    #[test]
    fn a_core_that_asks_for_a_crate_off_its_list_is_found() {
        let found = problems(sound().outside("regex").needs("flow-core", "regex"));
        let expected = "flow-core: depends on `regex`, which is not on the core's short list [Dependencies]";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn adapters_share_the_support_crates_and_nothing_else() {
        let found = problems(sound().needs("flow-scf", "flow-local"));
        assert_eq!(
            found,
            ["flow-scf: depends on `flow-local`: an adapter knows no other adapter [Dependencies]"]
        );
    }

    #[test]
    fn a_testkit_that_knows_an_adapter_is_found() {
        let found = problems(sound().needs("flow-testkit", "flow-local"));
        assert_eq!(
            found,
            ["flow-testkit: depends on `flow-local`: the testkit knows only the core [Dependencies]"]
        );
    }

    #[test]
    fn the_testkits_own_tests_may_find_what_is_kept_for_tests() {
        let found = problems(sound().needs_for_tests("flow-testkit", "flow-proving"));
        assert_eq!(found, [""; 0]);
        let found = problems(sound().needs("flow-testkit", "flow-proving"));
        let expected = "flow-testkit: depends on `flow-proving`: only tests, examples and benches may start servers [Dependencies]";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn whoever_starts_servers_outside_its_tests_is_found() {
        let found = problems(sound().needs("flow-local", "flow-proving"));
        let expected = "flow-local: depends on `flow-proving`: only tests, examples and benches may start servers \
                        [Dependencies]";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_judge_that_knows_what_it_judges_is_found_even_in_its_tests() {
        let found = problems(sound().needs_for_tests("flow-proving", "flow-core"));
        let expected =
            "flow-proving: depends on `flow-core`: what judges the others knows none of them [Dependencies]";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn whoever_depends_on_the_examples_is_found() {
        let found = problems(sound().needs_for_tests("flow-benches", "flow-examples"));
        let expected =
            "flow-benches: depends on `flow-examples`: nothing depends on the examples [Dependencies]";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_crate_in_a_place_that_no_rule_knows_is_found() {
        let found = problems(sound().member("flow-extra", "extra"));
        assert_eq!(found, ["flow-extra: no rule knows a crate in `extra` [Dependencies]"]);
    }

    #[test]
    fn a_family_is_told_from_a_name_that_begins_like_it() {
        assert!(forbidden("h2").is_some() && forbidden("sqlx-sqlite").is_some());
        assert!(forbidden("h2o").is_none() && forbidden("rediscover").is_none());
    }
}

//! What must not stand in a source file.

use super::finding::{Finding, Rule};
use super::source::{Source, Word};

/// The macros that write to the terminal.
const PRINTING: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<_> = source.words().flat_map(|word| check_word(source, word)).collect();
    findings.extend(check_doctests(source));
    findings
}

fn check_word(source: &Source, word: Word<'_>) -> Option<Finding> {
    let (rule, problem) = everywhere(word).or_else(|| {
        let deployed = source.is_library() && !source.is_test(word);
        deployed.then(|| in_a_library(word)).flatten()
    })?;
    Some(Finding::at(rule, source.path(), source.line_of(word), problem))
}

fn everywhere(word: Word<'_>) -> Option<(Rule, String)> {
    match word.text {
        "allow" if is_attribute(word) => {
            Some((Rule::AllowsLint, "a lint is allowed: expect it with a reason, or mend it".to_owned()))
        }
        "ignore" if is_attribute(word) => Some((Rule::IgnoredTest, "a test that never runs".to_owned())),
        _ => None,
    }
}

/// Whether the word is an attribute of its own, or one that a condition adds.
fn is_attribute(word: Word<'_>) -> bool {
    let line = word.before.rsplit('\n').next().unwrap_or_default();
    word.before.ends_with("#[")
        || word.before.ends_with("#![")
        || (line.contains("cfg_attr(") && word.before.ends_with(','))
}

fn in_a_library(word: Word<'_>) -> Option<(Rule, String)> {
    if PRINTING.contains(&word.text) && word.after.starts_with('!') {
        return Some((Rule::Prints, format!("a library prints with `{}!`", word.text)));
    }
    if let Some(stream) = ["stdout", "stderr"].iter().find(|stream| is_from_std(word, "io", stream)) {
        return Some((Rule::Prints, format!("a library writes to `{stream}`")));
    }
    if is_from_std(word, "std", "env") || word.text == "home_dir" {
        return Some((Rule::ReadsEnvironment, "a library reads its environment".to_owned()));
    }
    None
}

/// Whether the word brings `item` of `module` in: by its path, or at the `use` that imports it.
fn is_from_std(word: Word<'_>, module: &str, item: &str) -> bool {
    let by_path = word.text == item
        && word.before.strip_suffix("::").is_some_and(|path| path.trim_end().ends_with(module))
        && !is_in_use(word);
    by_path || (word.text == "use" && imports(word.after, module, item))
}

fn is_in_use(word: Word<'_>) -> bool {
    let statement = word.before.rsplit(';').next().unwrap_or_default();
    let last = statement.rfind("use ").and_then(|at| statement.get(at..)).unwrap_or_default();
    !last.is_empty() && !last.contains('}') && !last.contains(['=', '('])
}

/// Whether the `use` whose text follows is of the standard library and names `item` below `module`.
fn imports(after: &str, module: &str, item: &str) -> bool {
    let statement = after.split(';').next().unwrap_or_default();
    let mut words = statement.split(|each| !super::text::is_word(each)).filter(|word| !word.is_empty());
    words.next() == Some("std")
        && (module == "std" || words.clone().any(|word| word == module))
        && words.any(|word| word == item)
}

fn check_doctests(source: &Source) -> impl Iterator<Item = Finding> {
    let ignored = source.comments().filter(|(_, line)| is_ignored_fence(line));
    ignored
        .map(|(line, _)| Finding::at(Rule::IgnoredDoctest, source.path(), line, "a doctest that never runs"))
}

fn is_ignored_fence(comment: &str) -> bool {
    let content = comment.trim_start_matches(['/', '!', '*', ' ']);
    let info = content.strip_prefix("```").or_else(|| content.strip_prefix("~~~"));
    let mut words = info.unwrap_or_default().split([',', ' ', '{', '}']).map(str::trim);
    words.any(|word| word == "ignore" || word.starts_with("ignore-"))
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::source;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(Rule, usize)> {
        let findings = check(&source(path, text));
        findings.iter().map(|finding| (finding.rule, finding.line.unwrap())).collect()
    }

    fn in_core(text: &str) -> Vec<(Rule, usize)> {
        found("flow-core/src/some.rs", text)
    }

    #[test]
    fn a_library_that_prints_is_found() {
        assert_eq!(in_core("fn a() {\n    println!(\"x\");\n}"), [(Rule::Prints, 2)]);
        assert_eq!(in_core("fn a() { dbg!(1); }"), [(Rule::Prints, 1)]);
        assert_eq!(in_core("fn a() { std::io::stderr().flush() }"), [(Rule::Prints, 1)]);
        assert_eq!(in_core("use std::io::{self, stdout};"), [(Rule::Prints, 1)]);
        assert_eq!(found("flow-adapters/local/src/lib.rs", "fn a() { print!() }"), [(Rule::Prints, 1)]);
    }

    #[test]
    fn a_library_that_reads_its_environment_is_found() {
        let reads = [(Rule::ReadsEnvironment, 1)];
        assert_eq!(in_core("fn a() { std::env::var(\"X\") }"), reads);
        assert_eq!(in_core("use std::env;"), reads);
        assert_eq!(in_core("use std::{env as e, fs};"), reads);
        assert_eq!(in_core("use std::env::temp_dir;"), reads);
        assert_eq!(in_core("fn a() { dirs::home_dir() }"), reads);
    }

    #[test]
    fn what_only_looks_like_it_is_not_found() {
        assert_eq!(in_core("// println!()\nfn a() { \"std::env\"; }"), []);
        assert_eq!(in_core("fn a(c: Command) { c.env(\"A\", \"b\").stdout(Stdio::null()); }"), []);
        assert_eq!(in_core("const V: &str = env!(\"CARGO_PKG_VERSION\");"), []);
        assert_eq!(in_core("use crate::env::Environment;"), []);
        assert_eq!(in_core("#[cfg(test)]\nmod tests {\n    fn a() { println!() }\n}"), []);
        assert_eq!(found("xtask/src/main.rs", "fn a() { println!(); std::env::args() }"), []);
    }

    #[test]
    fn an_allowed_lint_is_found_everywhere() {
        let allows = [(Rule::AllowsLint, 1)];
        assert_eq!(found("xtask/src/main.rs", "#![allow(dead_code)]"), allows);
        assert_eq!(found("a/tests/it.rs", "#[allow(dead_code)] fn a() {}"), allows);
        assert_eq!(found("a/src/lib.rs", "#[cfg_attr(unix, allow(dead_code))] fn a() {}"), allows);
        assert_eq!(found("a/src/lib.rs", "fn allow(b: u8) { allow(1) } // #[allow(x)]"), []);
    }

    #[test]
    fn a_test_that_never_runs_is_found() {
        assert_eq!(found("a/tests/it.rs", "#[test]\n#[ignore]\nfn a() {}"), [(Rule::IgnoredTest, 2)]);
        assert_eq!(found("a/tests/it.rs", "#[ignore = \"slow\"] fn a() {}"), [(Rule::IgnoredTest, 1)]);
        assert_eq!(found("a/tests/it.rs", "fn ignore() { f(a, ignore) }"), []);
    }

    #[test]
    fn a_doctest_that_never_runs_is_found() {
        let ignored = [(Rule::IgnoredDoctest, 1)];
        assert_eq!(found("a/src/lib.rs", "//! ```ignore"), ignored);
        assert_eq!(found("a/src/lib.rs", "/// ```rust,ignore"), ignored);
        assert_eq!(found("a/src/lib.rs", "/** ```ignore-windows */"), ignored);
        assert_eq!(found("a/src/lib.rs", "/// ```\n/// ignore\n/// ```text"), []);
    }
}

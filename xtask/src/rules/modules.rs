//! What modules must not be called: a name that fits everything collects everything.

use super::finding::{Finding, Rule};
use super::source::Source;

const REFUSED: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// Checks one file: where it stands and which modules it declares.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let parts = source.path().split(['/', '.']).filter(|part| is_refused(part));
    let by_path = parts.map(|part| Finding::of(Rule::ModuleName, source.path(), problem(part)));
    let declared = source.words().filter(|word| word.is_module() && is_refused(word.text));
    let declared = declared
        .map(|word| Finding::at(Rule::ModuleName, source.path(), source.line_of(word), problem(word.text)));
    by_path.chain(declared).collect()
}

fn is_refused(name: &str) -> bool {
    REFUSED.iter().any(|refused| {
        name.strip_suffix(refused).is_some_and(|rest| rest.is_empty() || rest.ends_with(['_', '-']))
    })
}

fn problem(name: &str) -> String {
    format!("`{name}` says nothing of what the module is about")
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::source;
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&source(path, text)).len()
    }

    #[test]
    fn a_module_named_for_nothing_is_found_by_its_file_or_its_declaration() {
        assert_eq!(found("a/src/utils.rs", ""), 1);
        assert_eq!(found("a/tests/common/mod.rs", ""), 1);
        assert_eq!(found("a/src/http_util.rs", ""), 1);
        assert_eq!(found("a/src/lib.rs", "mod a;\npub(crate) mod helpers { }\n"), 1);
    }

    #[test]
    fn a_name_that_only_contains_one_is_not_found() {
        assert_eq!(found("a/src/commonmark.rs", "mod utilities;\nlet helper = 1; // mod utils"), 0);
    }
}

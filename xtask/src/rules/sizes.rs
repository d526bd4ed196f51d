//! How long files and functions may be.

use super::finding::{Finding, Rule};
use super::source::{Source, Word};

/// A file has fewer lines than this, its tests not counted.
const FILE: usize = 500;

/// A function has fewer lines than this, from its name to its closing brace.
const FUNCTION: usize = 60;

/// Checks one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let length = source.length_without_tests();
    let too_long = (length >= FILE).then(|| {
        let problem = format!("{length} lines that are no tests, from {FILE} on it is too long");
        Finding::of(Rule::FileLength, source.path(), problem)
    });
    let functions = source.words().filter_map(|word| check_function(source, word));
    too_long.into_iter().chain(functions).collect()
}

fn check_function(source: &Source, word: Word<'_>) -> Option<Finding> {
    // `fn(` is a type.
    if word.text != "fn" || word.after.starts_with('(') {
        return None;
    }
    let first = source.line_of(word);
    let length = source.end_of_item(word)? - first + 1;
    let name = word.after.split(['(', '<']).next().unwrap_or_default();
    (length >= FUNCTION).then(|| {
        let problem = format!("`{name}` has {length} lines, from {FUNCTION} on it is too long");
        Finding::at(Rule::FunctionLength, source.path(), first, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::source;
    use super::*;

    fn function(lines: usize) -> String {
        format!("fn long<T>(x: [u8; 2]) {{\n{}}}\n", "    if x { \"}\"; }\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_sixty_lines_is_found_by_name() {
        let found = check(&source("a/src/lib.rs", &format!("\n{}", function(60))));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "a/src/lib.rs:2: `long` has 60 lines, from 60 on it is too long [FunctionLength]"
        );
        assert_eq!(check(&source("a/src/lib.rs", &function(59))), []);
    }

    #[test]
    fn a_function_without_a_body_ends_with_its_line() {
        let text = format!("trait A {{\n    fn a(f: fn(u8));\n{}}}\n", "    const B: u8;\n".repeat(80));
        assert_eq!(check(&source("a/src/lib.rs", &text)), []);
    }

    #[test]
    fn a_file_of_five_hundred_lines_is_found_but_its_tests_do_not_count() {
        let code = "const A: u8 = 0;\n";
        let found = check(&source("a/src/lib.rs", &code.repeat(500)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rule, Rule::FileLength);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code.repeat(500));
        assert_eq!(check(&source("a/src/lib.rs", &format!("{}{tests}", code.repeat(499)))), []);
    }
}

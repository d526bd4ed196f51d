//! A source file as the rules read it.

use super::text::{Split, is_word, split};
use crate::workspace::SourceFile;

/// A source file: its code, its comments, and which of its lines are tests.
#[derive(Debug)]
pub(crate) struct Source {
    path: String,
    split: Split,
    tests: Tests,
}

/// Which part of a file is tests.
#[derive(Debug)]
enum Tests {
    /// All of it.
    Everything,
    /// The byte ranges of its test items, in the code.
    Items(Vec<(usize, usize)>),
}

/// A word of the code and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    /// The word.
    pub(crate) text: &'a str,
    /// The code before it, white space at the end cut off.
    pub(crate) before: &'a str,
    /// The code after it, white space at the start cut off.
    pub(crate) after: &'a str,
    at: usize,
}

/// How many lines of each kind a file has. A line that is both counts as code.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Code that is no test.
    pub(crate) code: usize,
    /// Documentation.
    pub(crate) docs: usize,
    /// Code of tests.
    pub(crate) tests: usize,
}

impl Word<'_> {
    /// Whether it is the name in the declaration of a module.
    pub(crate) fn is_module(&self) -> bool {
        let rest = self.before.strip_suffix("mod");
        rest.is_some_and(|rest| !rest.ends_with(is_word))
    }
}

impl Source {
    /// Reads all files. One that another declares for tests alone is a file of tests.
    pub(crate) fn all(files: &[SourceFile]) -> Vec<Self> {
        let mut sources: Vec<_> = files.iter().map(Self::of).collect();
        let declared: Vec<_> = sources.iter().flat_map(Self::test_modules).collect();
        for source in &mut sources {
            let own = |module: &String| {
                source.path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            if declared.iter().any(own) {
                source.tests = Tests::Everything;
            }
        }
        sources
    }

    /// Reads a file by itself.
    pub(crate) fn of(file: &SourceFile) -> Self {
        let split = split(&file.text);
        let tests =
            if is_test_file(&file.path) { Tests::Everything } else { Tests::Items(test_items(&split.code)) };
        Self { path: file.path.clone(), split, tests }
    }

    /// Its path below the workspace's root.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is part of a library: the core or an adapter.
    pub(crate) fn is_library(&self) -> bool {
        let parts: Vec<_> = self.path.split('/').take(3).collect();
        matches!(parts.as_slice(), ["flow-core", "src", ..] | ["flow-adapters", _, "src"])
    }

    /// The comments, line by line, with the lines' numbers.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        self.split.comments.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Every word of the code.
    pub(crate) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        words(&self.split.code)
    }

    /// The number of the line in which a word stands.
    pub(crate) fn line_of(&self, word: Word<'_>) -> usize {
        self.line_at(word.at)
    }

    /// Whether a word stands in a test.
    pub(crate) fn is_test(&self, word: Word<'_>) -> bool {
        self.is_test_at(word.at)
    }

    /// Counts its lines.
    pub(crate) fn lines(&self) -> Lines {
        let mut lines = Lines::default();
        let mut at = 0;
        for (code, comment) in self.split.code.split_inclusive('\n').zip(self.split.comments.lines()) {
            let comment = comment.trim_start();
            if !code.trim().is_empty() {
                let first = at + code.len() - code.trim_start().len();
                let count = if self.is_test_at(first) { &mut lines.tests } else { &mut lines.code };
                *count += 1;
            } else if comment.starts_with("///") || comment.starts_with("//!") {
                lines.docs += 1;
            }
            at += code.len();
        }
        lines
    }

    /// How many lines it has, comments and blank lines too, outside its tests.
    pub(crate) fn length_without_tests(&self) -> usize {
        let all = self.split.code.lines().count();
        match &self.tests {
            Tests::Everything => 0,
            Tests::Items(items) => {
                let of_tests = items.iter().map(|(from, to)| self.line_at(*to) - self.line_at(*from) + 1);
                all.saturating_sub(of_tests.sum())
            }
        }
    }

    /// The line at which the item that `word` begins ends, if it has a body.
    pub(crate) fn end_of_item(&self, word: Word<'_>) -> Option<usize> {
        let (end, closing) = item_end(&self.split.code, word.at)?;
        (closing == '}').then(|| self.line_at(end))
    }

    /// The modules in files of their own that it declares for tests alone, as paths without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let below = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let declared = self
            .words()
            .filter(|word| word.is_module() && word.after.starts_with(';') && self.is_test(*word));
        declared.map(|word| format!("{below}/{}", word.text)).collect()
    }

    fn line_at(&self, at: usize) -> usize {
        self.split.code.get(..at).unwrap_or(&self.split.code).matches('\n').count() + 1
    }

    fn is_test_at(&self, at: usize) -> bool {
        match &self.tests {
            Tests::Everything => true,
            Tests::Items(items) => items.iter().any(|(from, to)| (*from..=*to).contains(&at)),
        }
    }
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

fn words(code: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = code.get(at..)?;
        let start = at + rest.find(is_word)?;
        let length = code.get(start..)?.find(|each| !is_word(each)).unwrap_or(code.len() - start);
        at = start + length;
        let text = code.get(start..at)?;
        Some(Word {
            text,
            before: code.get(..start)?.trim_end(),
            after: code.get(at..)?.trim_start(),
            at: start,
        })
    })
}

/// The items that only tests are built with, as byte ranges.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items: Vec<(usize, usize)> = Vec::new();
    for word in words(code).filter(|word| word.text == "cfg" && is_attribute(word)) {
        let nested = items.last().is_some_and(|(_, end)| word.at < *end);
        if nested || !is_for_tests(word.after) {
            continue;
        }
        if let Some((end, _)) = item_end(code, word.at) {
            let start = word.before.trim_end_matches(['[', '!']).rfind('#').unwrap_or(word.at);
            items.push((start, end));
        }
    }
    items
}

fn is_attribute(word: &Word<'_>) -> bool {
    word.before.ends_with("#[")
}

/// Whether the condition after `cfg` holds in tests alone: `(test)` or `(all(test, ..))`.
fn is_for_tests(after: &str) -> bool {
    let condition = after.trim_start_matches(['(', ' ']);
    let condition = condition.strip_prefix("all(").unwrap_or(condition);
    condition.strip_prefix("test").is_some_and(|rest| rest.trim_start().starts_with([')', ',']))
}

/// Where the item at `from` ends: its closing brace, or its semicolon.
fn item_end(code: &str, from: usize) -> Option<(usize, char)> {
    let mut braces = 0_i32;
    let mut brackets = 0_i32;
    for (offset, each) in code.get(from..)?.char_indices() {
        match each {
            '(' | '[' => brackets += 1,
            // An attribute's own bracket may have been opened before `from`.
            ')' | ']' => brackets = (brackets - 1).max(0),
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces <= 0 && brackets == 0 {
                    return Some((from + offset, each));
                }
            }
            ';' if braces == 0 && brackets == 0 => return Some((from + offset, each)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file that is made up.
    pub(crate) fn source(path: &str, text: &str) -> Source {
        Source::of(&SourceFile { path: path.to_owned(), text: text.to_owned() })
    }

    const MIXED: &str = "\
//! Docs.

/// More docs.
fn code(x: [u8; 3]) -> bool {
    // a comment
    x.is_empty() // and one more
}

#[cfg(test)]
#[expect(dead_code, reason = \"shown\")]
mod tests {
    use super::{a, b};

    #[test]
    fn it() {}
}

fn after() {}
";

    #[test]
    fn lines_are_counted_by_what_they_are_for() {
        let source = source("a/src/lib.rs", MIXED);
        assert_eq!(source.lines(), Lines { code: 4, docs: 2, tests: 7 });
        assert_eq!(source.length_without_tests(), MIXED.lines().count() - 8);
    }

    #[test]
    fn a_file_of_tests_is_nothing_else() {
        for path in ["a/tests/it.rs", "a/src/tests.rs", "a/src/x/machine_tests.rs"] {
            assert_eq!(source(path, MIXED).lines().code, 0, "{path}");
            assert_eq!(source(path, MIXED).length_without_tests(), 0, "{path}");
        }
    }

    #[test]
    fn only_what_tests_alone_are_built_with_is_a_test() {
        let tests = |text: &str| source("a/src/lib.rs", text).lines().tests;
        assert_eq!(tests("#[cfg(test)] mod tests;\nfn a() {}"), 1);
        assert_eq!(tests("#[cfg(all(test, unix))] fn a() {}"), 1);
        assert_eq!(tests("#[cfg(not(test))] fn a() {}"), 0);
        assert_eq!(tests("#[cfg(any(test, feature = \"x\"))] fn a() {}"), 0);
        assert_eq!(tests("#[cfg(testing)] fn a() {}"), 0);
    }

    #[test]
    fn a_file_that_is_declared_for_tests_alone_is_a_file_of_tests() {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let declaring = "#[cfg(test)]\nmod sketch;\nmod code;";
        let tests = |declared_in: &str, path: &str| {
            Source::all(&[file(declared_in, declaring), file(path, "fn a() {}")])[1].lines().tests
        };
        assert_eq!(tests("a/src/x/mod.rs", "a/src/x/sketch.rs"), 1);
        assert_eq!(tests("a/src/x.rs", "a/src/x/sketch/part.rs"), 1);
        assert_eq!(tests("a/src/x/mod.rs", "a/src/x/code.rs"), 0);
        assert_eq!(tests("a/src/x/mod.rs", "a/src/x/sketches.rs"), 0);
        assert_eq!(tests("a/src/x/mod.rs", "a/src/sketch.rs"), 0);
    }

    #[test]
    fn a_text_that_spans_lines_is_code() {
        assert_eq!(source("a/src/lib.rs", "const A: &str = r\"\n// no\n/// no\n\";\n").lines().code, 4);
    }

    #[test]
    fn libraries_are_the_core_and_the_adapters() {
        let is_library = |path: &str| source(path, "").is_library();
        assert!(is_library("flow-core/src/lib.rs") && is_library("flow-adapters/local/src/host/mod.rs"));
        assert!(!is_library("flow-adapters/local/tests/it.rs") && !is_library("xtask/src/main.rs"));
    }
}

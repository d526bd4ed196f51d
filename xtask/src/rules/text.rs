//! Tells code from comments and literals, so that a rule never trips over a text that only speaks of what it forbids.

/// Stands in the code for every character of a literal that is not white space.
const LITERAL: char = '"';

/// A file twice, line by line the same length of lines: once without comments and once with nothing else.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// The code. Comments are white space, literals are runs of quotes.
    pub(crate) code: String,
    /// The comments with their marks. All else is white space.
    pub(crate) comments: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Splits Rust source.
pub(crate) fn split(source: &str) -> Split {
    let mut split = Split::default();
    let mut rest = source;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next_piece(rest, first, before);
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        split.push(kind, piece);
        before = piece.chars().next_back();
        rest = after;
    }
    split
}

impl Split {
    fn push(&mut self, kind: Kind, piece: &str) {
        for each in piece.chars() {
            let blank = if each.is_whitespace() { each } else { ' ' };
            let literal = if each.is_whitespace() { each } else { LITERAL };
            let (code, comment) = match kind {
                Kind::Code => (each, blank),
                Kind::Comment => (blank, each),
                Kind::Literal => (literal, blank),
            };
            self.code.push(code);
            self.comments.push(comment);
        }
    }
}

/// What `rest` begins with and how many bytes of it, never none.
fn next_piece(rest: &str, first: char, before: Option<char>) -> (Kind, usize) {
    let starts_word = !before.is_some_and(is_word);
    if rest.starts_with("//") {
        (Kind::Comment, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Kind::Comment, block_comment(rest))
    } else if let Some(length) = raw_string(rest).filter(|_| starts_word) {
        (Kind::Literal, length)
    } else if first == '"' {
        (Kind::Literal, 1 + quoted(rest.get(1..).unwrap_or_default(), '"'))
    } else if let Some(length) = character(rest) {
        (Kind::Literal, length)
    } else {
        (Kind::Code, first.len_utf8())
    }
}

/// Whether `each` can stand inside an identifier.
pub(crate) fn is_word(each: char) -> bool {
    each == '_' || each.is_alphanumeric()
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        let tail = rest.get(at..).unwrap_or_default();
        if tail.is_empty() {
            return rest.len();
        } else if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            return at;
        }
    }
}

fn raw_string(rest: &str) -> Option<usize> {
    let marked = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let opened = marked.trim_start_matches('#');
    let hashes = marked.len() - opened.len();
    let content = opened.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = content.find(&close).map_or(content.len(), |at| at + close.len());
    Some(rest.len() - content.len() + inside)
}

/// The length of a text up to and with its closing `quote`.
fn quoted(content: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, each) in content.char_indices() {
        if each == quote && !escaped {
            return at + each.len_utf8();
        }
        escaped = each == '\\' && !escaped;
    }
    content.len()
}

/// A character literal; none for a lifetime or a label.
fn character(rest: &str) -> Option<usize> {
    let content = rest.strip_prefix('\'')?;
    let mut each = content.chars();
    let first = each.next()?;
    let is_literal = first == '\\' || each.next() == Some('\'');
    is_literal.then(|| 1 + quoted(content, '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        split(source).code
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"f("{!}", 'x', '\'')"#), r#"f(""""", """, """")"#);
        assert_eq!(code("r#\"{ \" }\"# {"), "\"\"\"\" \" \"\"\" {");
    }

    #[test]
    fn a_lifetime_is_no_character_and_a_raw_name_no_text() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code("r#type"), "r#type");
        assert_eq!(code("'outer: loop {}"), "'outer: loop {}");
    }

    #[test]
    fn an_escaped_quote_does_not_end_a_text() {
        assert_eq!(code(r#""\"{" }"#), "\"\"\"\"\" }");
        assert_eq!(code(r#""\\" }"#), "\"\"\"\" }");
    }

    #[test]
    fn both_halves_keep_the_lines_of_the_file() {
        let source = "//! a\nlet x = \"b\n c\"; /* d\n e */ ü\n";
        let split = split(source);
        assert_eq!(split.code.lines().count(), source.lines().count());
        assert_eq!(split.comments.lines().count(), source.lines().count());
        assert_eq!(split.comments.lines().next(), Some("//! a"));
    }

    #[test]
    fn what_never_ends_ends_with_the_file() {
        for source in ["/* a", "\"a", "r#\"a", "'\\", "'", "b", "//"] {
            assert_eq!(split(source).code.chars().count(), source.chars().count(), "{source}");
        }
    }
}

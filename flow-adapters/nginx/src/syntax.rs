//! The words of an nginx configuration, with their places: enough to find a directive in somebody else's file, and to change a copy of it
//! without losing a byte. Follows `ngx_conf_read_token` in nginx.

use std::ops::Range;

/// One directive: its words, and how deep in blocks it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) words: Vec<Found>,
    pub(crate) depth: usize,
    /// Whether a block follows it.
    pub(crate) opens: bool,
}

/// A word: its value, and where it stands, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) value: String,
    pub(crate) at: Range<usize>,
}

/// Finds the directives of a file. What is not finished at the end is left out, as a file that was cut off would have it.
pub(crate) fn statements(text: &str) -> Vec<Statement> {
    let mut reader = Reader { text, at: 0 };
    let (mut found, mut words, mut depth) = (Vec::new(), Vec::<Found>::new(), 0_usize);
    while let Some(piece) = reader.next() {
        match piece {
            Piece::Word(word) => words.push(word),
            Piece::End => found.push(Statement { words: std::mem::take(&mut words), depth, opens: false }),
            Piece::Close => depth = depth.saturating_sub(1),
            Piece::Open => {
                let lua = words.first().is_some_and(|word| word.value.ends_with("_by_lua_block"));
                found.push(Statement { words: std::mem::take(&mut words), depth, opens: true });
                if lua {
                    reader.skip_braces();
                } else {
                    depth += 1;
                }
            }
        }
    }
    found
}

/// The same text with each word at `changes` replaced.
pub(crate) fn replaced(text: &str, changes: &[(Range<usize>, String)]) -> String {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for (at, new) in changes {
        out.push_str(text.get(from..at.start).unwrap_or_default());
        out.push('"');
        out.push_str(&new.replace('\\', "\\\\").replace('"', "\\\""));
        out.push('"');
        from = at.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

enum Piece {
    Word(Found),
    End,
    Open,
    Close,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> std::str::Chars<'_> {
        self.text.get(self.at..).unwrap_or_default().chars()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.rest().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn next(&mut self) -> Option<Piece> {
        loop {
            let begin = self.at;
            match self.take()? {
                ';' => return Some(Piece::End),
                '{' => return Some(Piece::Open),
                '}' => return Some(Piece::Close),
                '#' => while self.take()? != '\n' {},
                each if each.is_ascii_whitespace() => {}
                quote @ ('"' | '\'') => return self.quoted(begin, quote),
                _ => {
                    self.at = begin;
                    return self.bare(begin);
                }
            }
        }
    }

    fn quoted(&mut self, begin: usize, quote: char) -> Option<Piece> {
        let mut value = String::new();
        loop {
            match self.take()? {
                '\\' => push_escaped(self.take()?, &mut value),
                each if each == quote => return Some(Piece::Word(Found { value, at: begin..self.at })),
                each => value.push(each),
            }
        }
    }

    fn bare(&mut self, begin: usize) -> Option<Piece> {
        let mut value = String::new();
        loop {
            let before = self.at;
            match self.take()? {
                '\\' => push_escaped(self.take()?, &mut value),
                // `${name}` is a variable, not a block.
                '{' if value.ends_with('$') => value.push('{'),
                each if each.is_ascii_whitespace() || matches!(each, ';' | '{') => {
                    self.at = before;
                    return Some(Piece::Word(Found { value, at: begin..before }));
                }
                each => value.push(each),
            }
        }
    }

    /// Skips a block of another language, its opening brace read already.
    fn skip_braces(&mut self) {
        let mut open = 1_usize;
        while open > 0 {
            match self.take() {
                Some('{') => open += 1,
                Some('}') => open -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }
}

/// nginx keeps the backslash before what it does not know.
fn push_escaped(each: char, value: &mut String) {
    match each {
        't' => value.push('\t'),
        'r' => value.push('\r'),
        'n' => value.push('\n'),
        '"' | '\'' | '\\' => value.push(each),
        other => value.extend(['\\', other]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let words = |one: Statement| one.words.into_iter().map(|word| word.value).collect();
        statements(text).into_iter().map(words).collect()
    }

    #[test]
    fn directives_are_found_as_nginx_finds_them() {
        let text = "user www; # include nothing;\nhttp { include 'a b.conf';\n map $x ${y}z { \"\" 1; } log x\\;y#z; }\n";
        let found = words(text);
        let expected: [&[&str]; 5] =
            [&["user", "www"], &["http"], &["include", "a b.conf"], &["map", "$x", "${y}z"], &["", "1"]];
        assert_eq!(
            found[..5],
            expected.map(|words| words.iter().map(ToString::to_string).collect::<Vec<_>>())
        );
        assert_eq!(found[5], ["log", "x\\;y#z"]);
        assert_eq!(statements(text).iter().map(|one| one.depth).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 1]);
    }

    #[test]
    fn a_block_of_another_language_is_no_configuration() {
        let found = words("a_by_lua_block { local t = { include = 1 }; include x; } include y;");
        assert_eq!(found, [vec!["a_by_lua_block"], vec!["include", "y"]]);
    }

    #[test]
    fn what_was_cut_off_is_no_directive() {
        assert_eq!(words("a b;\nc d"), [["a", "b"]]);
        assert_eq!(words("a b;\nc \"d;\n"), [["a", "b"]]);
    }

    proptest! {
        #[test]
        fn a_word_that_is_replaced_reads_back_and_the_rest_stays(new in "[ -~äß\t]{0,20}") {
            let text = "a b;\n# c\ninclude  old.conf ; d { e f; }\n";
            let at = statements(text)[1].words[1].at.clone();
            let changed = replaced(text, &[(at, new.clone())]);
            prop_assert_eq!(&words(&changed)[1], &["include".to_owned(), new]);
            let stays = changed.starts_with("a b;\n# c\ninclude  \"") && changed.ends_with("\" ; d { e f; }\n");
            prop_assert!(stays, "{}", changed);
        }

        #[test]
        fn no_text_is_too_much(text in "[ -~\\n\\\\{};'\"#$]{0,80}") {
            let _ = statements(&text);
        }
    }
}

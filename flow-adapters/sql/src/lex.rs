//! Tokens, as far as finding the ends of statements and their first words needs them.
//!
//! Follows <https://www.sqlite.org/lang_keywords.html>, <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>
//! and <https://dev.mysql.com/doc/refman/8.4/en/comments.html>. Settings that change how text is read
//! (`standard_conforming_strings`, `NO_BACKSLASH_ESCAPES`) are taken to be as servers have them from the start.

use crate::dialect::Dialect;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword, a bare identifier or a number.
    Word,
    /// A quoted identifier: `"x"`, `` `x` `` or `[x]`.
    Quoted,
    /// A string literal: `'x'`, `E'x'`, `$tag$x$tag$`, and `"x"` for MySQL.
    Text,
    /// One character of anything else, or an edge of MySQL's executable comments: `/*!50000` and `*/`.
    Symbol,
}

/// One token with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// As the script has it, with its quotes.
    pub text: &'a str,
    /// Where it begins, in bytes.
    pub start: usize,
    /// The line it begins on, from 1.
    pub line: u32,
}

impl Token<'_> {
    /// Whether it is the bare word `word`, in any case.
    #[must_use]
    pub fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is one of the bare words `words`, in any case.
    #[must_use]
    pub fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// Whether it is the character `symbol`.
    #[must_use]
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// Where it ends, in bytes.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The identifier that it stands for, without its quotes. SQLite also takes a string literal for one.
    #[must_use]
    pub fn identifier(&self) -> Option<String> {
        let inner = || self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default();
        match (self.kind, self.text.chars().next()) {
            (TokenKind::Word, _) => Some(self.text.to_owned()),
            (TokenKind::Symbol, _) | (_, None) => None,
            (_, Some('[')) => Some(inner().to_owned()),
            (_, Some(quote)) => Some(inner().replace(&format!("{quote}{quote}"), &quote.to_string())),
        }
    }

    /// Whether it is an edge of an executable comment, which changes nothing about what is inside it.
    pub(crate) fn is_edge(&self) -> bool {
        self.kind == TokenKind::Symbol && (self.text.starts_with("/*") || self.text == "*/")
    }
}

/// A text that ends inside something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} that begins on line {line} has no end")]
pub struct Unfinished {
    /// What has no end, with its article.
    pub what: &'static str,
    /// The line it begins on, from 1.
    pub line: u32,
}

/// Splits `text` into its tokens; white space and comments are left out.
///
/// # Errors
/// Where the text ends inside a quote or a comment. For SQLite the end of the text ends a comment.
pub fn lex(dialect: Dialect, text: &str) -> Result<Vec<Token<'_>>, Unfinished> {
    Lexer::new(dialect, text).collect()
}

/// Reads one token after the other. Ends after the first that has no end.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    dialect: Dialect,
    text: &'a str,
    at: usize,
    line: u32,
    /// What `DELIMITER` of MySQL's client has named in place of the semicolon: a symbol of its own.
    delimiter: Option<&'a str>,
    /// The line that an executable comment begins on, while inside one.
    executable: Option<u32>,
}

/// What a quote is written as inside its own quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    Doubled,
    DoubledOrBackslash,
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unfinished>;

    fn next(&mut self) -> Option<Self::Item> {
        let token = self.next_token();
        if token.is_err() {
            self.at = self.text.len();
            self.executable = None;
        }
        token.transpose()
    }
}

impl<'a> Lexer<'a> {
    pub(crate) const fn new(dialect: Dialect, text: &'a str) -> Self {
        Self { dialect, text, at: 0, line: 1, delimiter: None, executable: None }
    }

    /// Lets `delimiter` be a symbol from here on; none is the semicolon.
    pub(crate) fn delimit(&mut self, delimiter: Option<&'a str>) {
        self.delimiter = delimiter;
    }

    /// Takes what is left of the line, without its end.
    pub(crate) fn take_line(&mut self) -> &'a str {
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.take(length)
    }

    /// Takes what follows up to and with the first line that is `last`, else all that is left.
    pub(crate) fn take_lines_to(&mut self, last: &str) -> &'a str {
        let mut length = 0;
        for line in self.rest().split_inclusive('\n') {
            length += line.len();
            if line.trim_end_matches(['\r', '\n']) == last {
                break;
            }
        }
        self.take(length)
    }

    /// Whether what comes next is inside an executable comment.
    pub(crate) const fn is_inside_comment(&self) -> bool {
        self.executable.is_some()
    }

    fn next_token(&mut self) -> Result<Option<Token<'a>>, Unfinished> {
        self.skip_blank()?;
        let Some(first) = self.rest().chars().next() else {
            return match self.executable {
                Some(line) => Err(Unfinished { what: "a comment", line }),
                None => Ok(None),
            };
        };
        let (kind, length) = match self.delimiter {
            Some(delimiter) if self.rest().starts_with(delimiter) => (TokenKind::Symbol, delimiter.len()),
            _ => self.measure(first)?,
        };
        let (start, line) = (self.at, self.line);
        Ok(Some(Token { kind, text: self.take(length), start, line }))
    }

    fn measure(&mut self, first: char) -> Result<(TokenKind, usize), Unfinished> {
        use Dialect::{Mysql, Postgres, Sqlite};
        let rest = self.rest();
        let string = |length| (TokenKind::Text, length);
        let name = |length| (TokenKind::Quoted, length);
        match (self.dialect, first) {
            (Mysql, '\'' | '"') => self.quoted(0, Escape::DoubledOrBackslash, "a string").map(string),
            (Postgres | Sqlite, '\'') => self.quoted(0, Escape::Doubled, "a string").map(string),
            (Postgres | Sqlite, '"') | (Mysql | Sqlite, '`') => {
                self.quoted(0, Escape::Doubled, "a quoted identifier").map(name)
            }
            (Sqlite, '[') => self.until("]", "a quoted identifier").map(name),
            (Postgres, 'e' | 'E') if rest.get(1..).is_some_and(|rest| rest.starts_with('\'')) => {
                self.continued_string().map(string)
            }
            (Postgres, '$') => match dollar_tag(rest) {
                Some(tag) => self.until(tag, "a dollar-quoted string").map(string),
                None => Ok((TokenKind::Symbol, 1)),
            },
            (Mysql, '/') if executable_opening(rest).is_some() => {
                self.executable = Some(self.line);
                Ok((TokenKind::Symbol, executable_opening(rest).unwrap_or_default()))
            }
            (Mysql, '*') if self.executable.is_some() && rest.starts_with("*/") => {
                self.executable = None;
                Ok((TokenKind::Symbol, 2))
            }
            _ if is_word(first) => Ok((TokenKind::Word, self.word(first))),
            _ => Ok((TokenKind::Symbol, first.len_utf8())),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += taken.len();
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        taken
    }

    fn skip_blank(&mut self) -> Result<(), Unfinished> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            let length = if blank > 0 { Some(blank) } else { self.comment(rest)? };
            let Some(length) = length else { return Ok(()) };
            self.take(length);
        }
    }

    /// The length of the comment that `rest` begins with.
    fn comment(&self, rest: &str) -> Result<Option<usize>, Unfinished> {
        let line = || Some(rest.find('\n').unwrap_or(rest.len()));
        let spaced =
            |after: &str| after.chars().next().is_none_or(|c| c.is_ascii_whitespace() || c.is_control());
        match (self.dialect, rest.strip_prefix("--"), rest.strip_prefix("/*")) {
            (Dialect::Sqlite, Some(_), _) => Ok(line()),
            (Dialect::Postgres, Some(_), _) => Ok(Some(rest.find(['\n', '\r']).unwrap_or(rest.len()))),
            (Dialect::Mysql, Some(after), _) if spaced(after) => Ok(line()),
            (Dialect::Mysql, ..) if rest.starts_with('#') => Ok(line()),
            (Dialect::Mysql, ..) if executable_opening(rest).is_some() => Ok(None),
            (Dialect::Sqlite, _, Some(inside)) => {
                Ok(Some(inside.find("*/").map_or(rest.len(), |end| end + 4)))
            }
            (Dialect::Mysql, _, Some(inside)) => match inside.find("*/") {
                Some(end) => Ok(Some(end + 4)),
                None => Err(Unfinished { what: "a comment", line: self.line }),
            },
            (Dialect::Postgres, _, Some(_)) => match nested_comment(rest) {
                Some(length) => Ok(Some(length)),
                None => Err(Unfinished { what: "a comment", line: self.line }),
            },
            _ => Ok(None),
        }
    }

    /// The length of a quoted token whose quote stands `before` bytes from here.
    fn quoted(&self, before: usize, escape: Escape, what: &'static str) -> Result<usize, Unfinished> {
        let mut inside = self.rest().get(before..).unwrap_or_default().char_indices().peekable();
        let quote = inside.next().map_or('\'', |(_, quote)| quote);
        while let Some((at, character)) = inside.next() {
            if character == '\\' && escape == Escape::DoubledOrBackslash {
                inside.next();
            } else if character == quote && inside.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(before + at + quote.len_utf8());
            }
        }
        Err(Unfinished { what, line: self.line })
    }

    /// The length of `E'..'` with the strings that continue it on later lines: their backslashes escape too.
    fn continued_string(&self) -> Result<usize, Unfinished> {
        let mut length = self.quoted(1, Escape::DoubledOrBackslash, "a string")?;
        loop {
            let rest = self.rest().get(length..).unwrap_or_default();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            let (space, after) = rest.split_at(blank);
            if !space.contains(['\n', '\r']) || !after.starts_with('\'') {
                return Ok(length);
            }
            length = self.quoted(length + blank, Escape::DoubledOrBackslash, "a string")?;
        }
    }

    /// The length up to and with the next `end` behind the opening, which is as long.
    fn until(&self, end: &str, what: &'static str) -> Result<usize, Unfinished> {
        let inside = self.rest().get(end.len()..).unwrap_or_default();
        let found = inside.find(end).ok_or(Unfinished { what, line: self.line })?;
        Ok(found + 2 * end.len())
    }

    fn word(&self, first: char) -> usize {
        let rest = self.rest();
        // A number ends before a dollar quote, a name does not.
        let no_dollar = self.dialect == Dialect::Postgres && first.is_ascii_digit();
        let ends = |character: char| !is_word(character) || (no_dollar && character == '$');
        let length = rest.find(ends).unwrap_or(rest.len());
        // MySQL's client looks for its delimiter inside words too: `END$$`.
        let Some(delimiter) = self.delimiter else { return length };
        let begins = |at: &usize| rest.get(*at..).is_some_and(|rest| rest.starts_with(delimiter));
        (1..length).find(begins).unwrap_or(length)
    }
}

/// The opening of the dollar quote that `rest` begins with: `$$` or `$tag$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let inside = rest.strip_prefix('$')?;
    let tag = inside.get(..inside.find('$')?)?;
    let named = |character: char| is_word(character) && character != '$';
    let valid = tag.chars().all(named) && !tag.starts_with(|first: char| first.is_ascii_digit());
    if valid { rest.get(..tag.len() + 2) } else { None }
}

/// The length of `/*!`, `/*!50000` or `/*M!100000`, whose content MySQL runs.
fn executable_opening(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!"))?;
    let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
    Some(rest.len() - inside.len() + digits)
}

/// The length of PostgreSQL's comment, inside which others stand whole.
fn nested_comment(rest: &str) -> Option<usize> {
    let (mut at, mut depth) = (2, 1_usize);
    while depth > 0 {
        let inside = rest.get(at..)?;
        let found = inside.find(['/', '*'])?;
        let edge = inside.get(found..)?;
        let (length, after) = match edge {
            _ if edge.starts_with("/*") => (2, depth + 1),
            _ if edge.starts_with("*/") => (2, depth - 1),
            _ => (1, depth),
        };
        at += found + length;
        depth = after;
    }
    Some(at)
}

const fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dialect: Dialect, text: &str) -> Vec<&str> {
        lex(dialect, text).unwrap().into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn every_way_to_quote_is_one_token() {
        use Dialect::{Mysql, Postgres, Sqlite};
        for (dialect, text, expected) in [
            (Sqlite, "'it''s; x' \"a\"\"b;\"", vec!["'it''s; x'", "\"a\"\"b;\""]),
            (Sqlite, "`c``d;` [e;f] x'00'", vec!["`c``d;`", "[e;f]", "x", "'00'"]),
            (Sqlite, r"'\' ';'", vec![r"'\'", "';'"]),
            (Postgres, r"'\' ';'", vec![r"'\'", "';'"]),
            (Postgres, r"E'\';' e'\\' ';'", vec![r"E'\';'", r"e'\\'", "';'"]),
            (Postgres, "E'a'\n  '\\';' 'b'", vec!["E'a'\n  '\\';'", "'b'"]),
            (Postgres, r"E'a' '\' x", vec!["E'a'", r"'\'", "x"]),
            (Postgres, r"some'\' U&'\' x", vec!["some", r"'\'", "U", "&", r"'\'", "x"]),
            (Postgres, "$$a;$b$;$$ x", vec!["$$a;$b$;$$", "x"]),
            (Postgres, "$b$ $$;$$ ; $B$ $b$ $b", vec!["$b$ $$;$$ ; $B$ $b$", "$", "b"]),
            (Postgres, "a$$ $1+1$$;$$ $ü$;$ü$", vec!["a$$", "$", "1", "+", "1", "$$;$$", "$ü$;$ü$"]),
            (Postgres, "a[1;2]", vec!["a", "[", "1", ";", "2", "]"]),
            (Mysql, r#"'\';' "\";" 'a''b'"#, vec![r"'\';'", r#""\";""#, "'a''b'"]),
            (Mysql, r"`\` 'x' `a``;`", vec![r"`\`", "'x'", "`a``;`"]),
        ] {
            assert_eq!(texts(dialect, text), expected, "{dialect:?}");
        }
        let names: Vec<_> = lex(Sqlite, "\"a\"\"b;\" `c``d;` [e;f] x '00' +")
            .unwrap()
            .iter()
            .filter_map(Token::identifier)
            .collect();
        assert_eq!(names, ["a\"b;", "c`d;", "e;f", "x", "00"]);
    }

    #[test]
    fn comments_end_where_each_server_ends_them() {
        use Dialect::{Mysql, Postgres, Sqlite};
        for (dialect, text, expected) in [
            (Sqlite, "a /* x /* y */ b -- c; '", vec!["a", "b"]),
            (Sqlite, "a - -b /* never closed ; '", vec!["a", "-", "-", "b"]),
            (Sqlite, "a --x\rb\nc", vec!["a", "c"]),
            (Postgres, "a /* x /* ' */ ; */ b --c", vec!["a", "b"]),
            (Postgres, "/*/**/*/ a /***/ b /*/*/**/*/*/ c", vec!["a", "b", "c"]),
            (Postgres, "a --x\rb # c", vec!["a", "b", "#", "c"]),
            (Mysql, "5--3 -- c;\n--\tx\n--\n+ # it's\n1 --", vec!["5", "-", "-", "3", "+", "1"]),
            (Mysql, "a /* ; /* */ b /*+ hint */ c", vec!["a", "b", "c"]),
            (
                Mysql,
                "/*!50001 a '*/' ; */ b*/1",
                vec!["/*!50001", "a", "'*/'", ";", "*/", "b", "*", "/", "1"],
            ),
            (Mysql, "/*M!100100 a*/", vec!["/*M!100100", "a", "*/"]),
        ] {
            assert_eq!(texts(dialect, text), expected, "{dialect:?}");
        }
    }

    #[test]
    fn lines_are_counted_inside_strings_and_comments() {
        for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
            let text = "a\r\n'b\nc' d /* \n */ e";
            let lines: Vec<_> = lex(dialect, text).unwrap().iter().map(|token| token.line).collect();
            assert_eq!(lines, [1, 2, 3, 4], "{dialect:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_named_with_the_line_it_begins_on() {
        use Dialect::{Mysql, Postgres, Sqlite};
        for (dialect, text, what) in [
            (Sqlite, "a;\n'b\n", "a string"),
            (Sqlite, "\n[a", "a quoted identifier"),
            (Postgres, "\n$a$ $b$", "a dollar-quoted string"),
            (Postgres, "\n/* /* */", "a comment"),
            (Postgres, "\nE'\\'", "a string"),
            (Mysql, "\n\"a\\\"", "a string"),
            (Mysql, "\n`a\n", "a quoted identifier"),
            (Mysql, "\n/* a", "a comment"),
            (Mysql, "\n/*!50000 a;\n b", "a comment"),
        ] {
            assert_eq!(lex(dialect, text).unwrap_err(), Unfinished { what, line: 2 }, "{dialect:?} {text}");
        }
    }
}

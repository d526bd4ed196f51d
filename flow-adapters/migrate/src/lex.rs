//! SQLite's tokens, as far as finding the ends of statements needs them.
//!
//! Follows <https://www.sqlite.org/lang_keywords.html> (the four ways to quote) and
//! <https://www.sqlite.org/lang_comment.html> (comments do not nest, and the end of the text ends one).

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword, a bare identifier or a number.
    Word,
    /// A quoted identifier: `"x"`, `` `x` `` or `[x]`.
    Quoted,
    /// A string literal.
    Text,
    /// One character of anything else.
    Symbol,
}

/// One token with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
    /// The line it begins on, from 1.
    pub(crate) line: u32,
}

impl Token<'_> {
    /// Whether it is the bare word `word`, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is the character `symbol`.
    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// Where it ends, in bytes.
    pub(crate) const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The identifier that it stands for, without its quotes. SQLite also takes a string literal for one.
    pub(crate) fn identifier(&self) -> Option<String> {
        let inner = || self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default();
        match (self.kind, self.text.chars().next()) {
            (TokenKind::Word, _) => Some(self.text.to_owned()),
            (TokenKind::Symbol, _) | (_, None) => None,
            (_, Some('[')) => Some(inner().to_owned()),
            (_, Some(quote)) => Some(inner().replace(&format!("{quote}{quote}"), &quote.to_string())),
        }
    }
}

/// A text that ends inside something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} that begins on line {line} has no end")]
pub(crate) struct Unfinished {
    pub(crate) what: &'static str,
    pub(crate) line: u32,
}

/// Splits `sql` into its tokens; white space and comments are left out.
pub(crate) fn lex(sql: &str) -> Result<Vec<Token<'_>>, Unfinished> {
    let mut lexer = Lexer { sql, at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next_token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn next_token(&mut self) -> Result<Option<Token<'a>>, Unfinished> {
        self.skip_blank();
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let (kind, length) = match first {
            '\'' => (TokenKind::Text, self.quoted('\'', "a string")?),
            '"' => (TokenKind::Quoted, self.quoted('"', "a quoted identifier")?),
            '`' => (TokenKind::Quoted, self.quoted('`', "a quoted identifier")?),
            '[' => (TokenKind::Quoted, self.bracketed()?),
            _ if is_word(first) => (TokenKind::Word, self.word()),
            _ => (TokenKind::Symbol, first.len_utf8()),
        };
        let (start, line) = (self.at, self.line);
        Ok(Some(Token { kind, text: self.take(length), start, line }))
    }

    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += taken.len();
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        taken
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            let length = if blank > 0 {
                blank
            } else if rest.starts_with("--") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(inside) = rest.strip_prefix("/*") {
                inside.find("*/").map_or(rest.len(), |end| end + 4)
            } else {
                return;
            };
            self.take(length);
        }
    }

    /// The length of a quoted token; the quote inside it is written twice.
    fn quoted(&self, quote: char, what: &'static str) -> Result<usize, Unfinished> {
        let mut inside = self.rest().char_indices().skip(1).peekable();
        while let Some((at, character)) = inside.next() {
            if character == quote && inside.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(at + quote.len_utf8());
            }
        }
        Err(Unfinished { what, line: self.line })
    }

    fn bracketed(&self) -> Result<usize, Unfinished> {
        let end = self.rest().find(']').ok_or(Unfinished { what: "a quoted identifier", line: self.line })?;
        Ok(end + 1)
    }

    fn word(&self) -> usize {
        let rest = self.rest();
        rest.find(|character| !is_word(character)).unwrap_or(rest.len())
    }
}

const fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_quote_is_one_token() {
        let sql = "'it''s; x' \"a\"\"b;\" `c``d;` [e;f] x'00'";
        let texts: Vec<_> = lex(sql).unwrap().into_iter().map(|token| token.text).collect();
        assert_eq!(texts, ["'it''s; x'", "\"a\"\"b;\"", "`c``d;`", "[e;f]", "x", "'00'"]);
        let names: Vec<_> = lex(sql).unwrap().iter().filter_map(Token::identifier).collect();
        assert_eq!(names, ["it's; x", "a\"b;", "c`d;", "e;f", "x", "00"]);
    }

    #[test]
    fn comments_do_not_nest_and_the_end_of_the_text_ends_one() {
        let texts = |sql| lex(sql).unwrap().into_iter().map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(texts("a /* x /* y */ b -- c; '"), ["a", "b"]);
        assert_eq!(texts("a - -b /* never closed ; '"), ["a", "-", "-", "b"]);
    }

    #[test]
    fn lines_are_counted_inside_strings_and_comments() {
        let lines: Vec<_> = lex("a\n'b\nc' d /* \n */ e").unwrap().iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 3, 4]);
    }

    #[test]
    fn an_open_quote_is_named_with_the_line_it_begins_on() {
        assert_eq!(lex("a;\n'b\n").unwrap_err(), Unfinished { what: "a string", line: 2 });
        assert_eq!(lex("[a").unwrap_err().what, "a quoted identifier");
    }
}

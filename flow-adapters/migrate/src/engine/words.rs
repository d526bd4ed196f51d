//! The words of one statement, as far as finding the objects that it names needs them.

/// One word, quoted name or symbol; comments and string literals are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// A keyword, a bare name or a number.
    Bare(String),
    /// A name in `"` or `` ` ``, without them.
    Quoted(String),
    Symbol(char),
}

impl Word {
    /// Whether it is the bare word `word`, in any case.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Bare(text) if text.eq_ignore_ascii_case(word))
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Bare(name) | Self::Quoted(name) => Some(name),
            Self::Symbol(_) => None,
        }
    }
}

/// A name that may be qualified, and how many words it takes.
pub(crate) fn qualified(words: &[Word]) -> Option<(Vec<&str>, usize)> {
    let mut name = vec![words.first()?.name()?];
    let mut taken = 1;
    while let [Word::Symbol('.'), part, ..] = words.get(taken..).unwrap_or_default() {
        name.push(part.name()?);
        taken += 2;
    }
    Some((name, taken))
}

/// Splits `statement`.
pub(crate) fn words(statement: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            _ if first.is_whitespace() => (None, first.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            '\'' => (None, quoted(rest, '\'').1),
            '"' | '`' => {
                let (name, length) = quoted(rest, first);
                (Some(Word::Quoted(name)), length)
            }
            _ if is_word(first) => {
                let length = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
                (rest.get(..length).map(|word| Word::Bare(word.to_owned())), length)
            }
            _ => (Some(Word::Symbol(first)), first.len_utf8()),
        };
        words.extend(word);
        rest = rest.get(length..).unwrap_or_default();
    }
    words
}

const fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

/// The text in quotes at the beginning of `rest`, and how long it is with them; a quote inside is written twice.
fn quoted(rest: &str, quote: char) -> (String, usize) {
    let mut name = String::new();
    let mut inside = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = inside.next() {
        if character == quote && inside.next_if(|(_, next)| *next == quote).is_none() {
            return (name, at + quote.len_utf8());
        }
        name.push(character);
    }
    (name, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_words_and_quoted_names_are() {
        let found = words("DROP /* x */ TABLE `a``b`.\"c d\" -- e\n, f 'g;h'");
        let names: Vec<_> = found.iter().filter_map(Word::name).collect();
        assert_eq!(names, ["DROP", "TABLE", "a`b", "c d", "f"]);
        assert_eq!(qualified(&found[2..]), Some((vec!["a`b", "c d"], 3)));
        assert!(found[1].is("table") && !found[2].is("a`b"));
    }
}

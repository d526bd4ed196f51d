//! The schema as a digest that neither white space nor quoting changes.

use std::collections::BTreeSet;

use flow_core::Digest;

use crate::lex::{Token, TokenKind, lex};

/// One table, index, view or trigger of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) sql: String,
}

/// The catalogue without what belongs to SQLite and to the migrator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schema(BTreeSet<Object>);

impl Schema {
    pub(crate) fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        Self(objects.into_iter().map(|object| Object { sql: normalise(&object.sql), ..object }).collect())
    }

    pub(crate) fn digest(&self) -> Digest {
        let fields =
            self.0.iter().flat_map(|object| [&object.kind, &object.name, &object.table, &object.sql]);
        Digest::of(fields.fold(String::new(), |dump, field| dump + field + "\0").as_bytes())
    }

    /// The names of what stands in one of the two alone, or otherwise.
    pub(crate) fn difference(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.symmetric_difference(&other.0).map(|object| &object.name).collect();
        names.into_iter().cloned().collect()
    }
}

/// One space between tokens, no comments, no needless quotes: `ALTER TABLE .. RENAME` there and back adds quotes.
fn normalise(sql: &str) -> String {
    let bare = |token: &Token<'_>| match (token.kind, token.identifier()) {
        (TokenKind::Quoted, Some(name)) if is_plain(&name) => name,
        _ => token.text.to_owned(),
    };
    lex(sql).map_or_else(|_| sql.to_owned(), |tokens| tokens.iter().map(bare).collect::<Vec<_>>().join(" "))
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(sql: &str) -> Schema {
        let text = |text: &str| text.to_owned();
        Schema::new([Object { kind: text("table"), name: text("t"), table: text("t"), sql: text(sql) }])
    }

    #[test]
    fn space_comments_and_needless_quotes_do_not_change_the_digest() {
        let plain = schema("CREATE TABLE t(a INT, b)").digest();
        assert_eq!(plain, schema("CREATE TABLE \"t\" (\n  a INT, -- x\n  [b]\n)").digest());
    }

    #[test]
    fn a_column_a_default_or_a_needed_quote_changes_the_digest() {
        let plain = schema("CREATE TABLE t(a DEFAULT 'x y')");
        for other in [
            "CREATE TABLE t(a DEFAULT 'x  y')",
            "CREATE TABLE t(a, b)",
            "CREATE TABLE t(\"a DEFAULT 'x y'\")",
        ] {
            assert_ne!(plain.digest(), schema(other).digest(), "{other}");
            assert_eq!(plain.difference(&schema(other)), ["t"]);
        }
    }
}

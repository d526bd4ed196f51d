//! The catalogue as objects.

use flow_core::StepError;
use flow_sql::{Dialect, Token, TokenKind, lex};

use crate::engine::Session;
use crate::schema::{Object, Schema};

const OBJECTS: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master
    WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
    AND tbl_name NOT IN ('_flow_migrations', '_flow_migrations_backfill', '_sqlx_migrations')";

/// The schema now.
pub(crate) async fn read(session: &mut dyn Session) -> Result<Schema, StepError> {
    let rows = session.query(OBJECTS, &[]).await?;
    let objects = rows.into_iter().filter_map(Object::from_row);
    Ok(Schema::new(objects.map(|object| Object { sql: normalise(&object.sql), ..object })))
}

/// One space between tokens, no comments, no needless quotes: `ALTER TABLE .. RENAME` there and back adds quotes.
fn normalise(sql: &str) -> String {
    let bare = |token: &Token<'_>| match (token.kind, token.identifier()) {
        (TokenKind::Quoted, Some(name)) if is_plain(&name) => name,
        _ => token.text.to_owned(),
    };
    lex(Dialect::Sqlite, sql)
        .map_or_else(|_| sql.to_owned(), |tokens| tokens.iter().map(bare).collect::<Vec<_>>().join(" "))
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
        Schema::new([Object { kind: text("table"), name: text("t"), table: text("t"), sql: normalise(sql) }])
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

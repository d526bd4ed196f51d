//! What a statement takes away that a running version may use.

use crate::dialect::Dialect;
use crate::lex::{Lexer, Token};
use crate::split::Statement;

/// How many tokens are looked at: the words that count stand at the beginning.
const OPENING: usize = 4096;

/// What `ALTER TABLE` drops or renames beside columns, which nobody names in queries.
const UNNAMED: [&str; 13] = [
    "CONSTRAINT",
    "DEFAULT",
    "NOT",
    "INDEX",
    "KEY",
    "PRIMARY",
    "FOREIGN",
    "CHECK",
    "EXPRESSION",
    "IDENTITY",
    "PARTITION",
    "PERIOD",
    "SYSTEM",
];

impl Statement {
    /// What it does that a version of the application which does not know of it may fail on, if so.
    #[must_use]
    pub fn removal(&self, dialect: Dialect) -> Option<&'static str> {
        let tokens = Lexer::new(dialect, &self.text).map_while(Result::ok);
        let words: Vec<_> = tokens.filter(|token| !token.is_edge()).take(OPENING).collect();
        let [first, second, ..] = words.as_slice() else { return None };
        let relation = second.is_any(&["TABLE", "VIEW", "MATERIALIZED", "TYPE"]);
        if first.is("TRUNCATE") {
            return Some("it empties a table");
        }
        match () {
            () if first.is("DROP") && relation => Some("it drops what queries name"),
            () if first.is("RENAME") && second.is("TABLE") => Some("it renames what queries name"),
            () if first.is("ALTER") && relation => words.windows(3).find_map(altered),
            () => None,
        }
    }
}

fn altered(three: &[Token<'_>]) -> Option<&'static str> {
    let [first, second, third] = three else { return None };
    let of_column = !second.is_any(&UNNAMED) && second.identifier().is_some();
    match () {
        () if first.is("DROP") && of_column => Some("it drops what queries name"),
        () if first.is("RENAME") && of_column => Some("it renames what queries name"),
        () if first.is("SET") && second.is("NOT") && third.is("NULL") => {
            Some("it refuses rows that were taken before")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_names_away_is_told_from_what_adds_them() {
        for (dialect, sql, removes) in [
            (Dialect::Postgres, "DROP TABLE IF EXISTS t", true),
            (Dialect::Postgres, "DROP MATERIALIZED VIEW v", true),
            (Dialect::Postgres, "DROP INDEX i", false),
            (Dialect::Postgres, "TRUNCATE t", true),
            (Dialect::Postgres, "ALTER TABLE t DROP COLUMN a", true),
            (Dialect::Postgres, "ALTER TABLE t ADD COLUMN \"drop\" text, DROP \"a\" CASCADE", true),
            (Dialect::Postgres, "ALTER TABLE t DROP CONSTRAINT c, ALTER a DROP NOT NULL", false),
            (Dialect::Postgres, "ALTER TABLE t ALTER COLUMN a SET NOT NULL", true),
            (Dialect::Postgres, "ALTER TYPE mood RENAME VALUE 'a' TO 'b'", true),
            (Dialect::Postgres, "ALTER TABLE t ADD COLUMN a text DEFAULT 'DROP COLUMN a'", false),
            (Dialect::Mysql, "RENAME TABLE a TO b", true),
            (Dialect::Mysql, "ALTER TABLE t RENAME INDEX a TO b", false),
            (Dialect::Mysql, "ALTER TABLE t DROP `a`, ADD b int", true),
            (Dialect::Sqlite, "ALTER TABLE t RENAME TO u", true),
            (Dialect::Sqlite, "CREATE TABLE t (a)", false),
        ] {
            let statement = Statement { text: sql.to_owned(), line: 1 };
            assert_eq!(statement.removal(dialect).is_some(), removes, "{sql}");
        }
    }
}

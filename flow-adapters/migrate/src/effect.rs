//! What a statement does to a running service.
//!
//! SQLite has one write lock, and every statement of a migration runs under it; what differs is how much is read and
//! written meanwhile (<https://www.sqlite.org/lang_altertable.html> names what `ALTER TABLE` rewrites).

use flow_sql::{Dialect, Token, lex};

/// What a statement does, apart from how many rows it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Changes the catalogue alone.
    Catalogue,
    /// Reads every row of a table and writes none.
    Scan(String),
    /// Reads every row of a table and writes an index.
    Index(String),
    /// Writes every row of a table anew.
    Rewrite(String),
    /// Drops a table with its rows.
    Drop(String),
    /// Writes rows.
    Write,
    /// Reads.
    Read,
}

/// What was measured around a statement on a restored copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// The rows of the table that the effect names, before.
    pub(crate) rows: u64,
    /// How many rows the statement inserted, updated or deleted.
    pub(crate) changed: u64,
    /// The tables that hold fewer rows than before, or are gone.
    pub(crate) lost: Vec<Loss>,
}

/// A table that lost rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) table: String,
    pub(crate) before: u64,
    /// None where the table is gone.
    pub(crate) after: Option<u64>,
}

impl Effect {
    /// Reads `statement`.
    pub(crate) fn of(statement: &str) -> Self {
        let tokens = lex(Dialect::Sqlite, statement).unwrap_or_default();
        let name_after = |word: &str| name_after(&tokens, word);
        match tokens.first() {
            Some(first) if first.is("CREATE") => create(&tokens),
            Some(first) if first.is("ALTER") => alter(&tokens),
            Some(first) if first.is("DROP") => match tokens.get(1) {
                Some(what) if what.is("TABLE") => name_after("TABLE").map_or(Self::Write, Self::Drop),
                _ => Self::Catalogue,
            },
            Some(first) if ["SELECT", "VALUES", "EXPLAIN", "PRAGMA"].iter().any(|word| first.is(word)) => {
                Self::Read
            }
            _ => Self::Write,
        }
    }

    /// The table whose rows it meets.
    pub(crate) fn table(&self) -> Option<&str> {
        match self {
            Self::Scan(table) | Self::Index(table) | Self::Rewrite(table) | Self::Drop(table) => Some(table),
            Self::Catalogue | Self::Write | Self::Read => None,
        }
    }

    /// Whether rows can be other than before.
    pub(crate) const fn touches_rows(&self) -> bool {
        matches!(self, Self::Write | Self::Drop(_) | Self::Rewrite(_))
    }

    /// In words, with what was measured.
    pub(crate) fn describe(&self, measured: &Measured) -> String {
        let rows = measured.rows;
        let what = match self {
            Self::Catalogue => "changes the catalogue alone".to_owned(),
            Self::Scan(table) => format!("scans `{table}` ({rows} rows)"),
            Self::Index(table) => format!("scans `{table}` ({rows} rows) and writes an index"),
            Self::Rewrite(table) => format!("rewrites `{table}` ({rows} rows)"),
            Self::Drop(table) => format!("drops `{table}` ({rows} rows)"),
            Self::Write => format!("writes {} rows", measured.changed),
            Self::Read => "reads".to_owned(),
        };
        let dropped = |loss: &&Loss| !matches!(self, Self::Drop(table) if *table == loss.table);
        let losses = measured.lost.iter().filter(dropped).map(|loss| match loss.after {
            Some(after) => format!("; `{}` goes from {} to {after} rows", loss.table, loss.before),
            None => format!("; `{}` is gone with {} rows", loss.table, loss.before),
        });
        format!("write lock; {what}{}", losses.collect::<String>())
    }
}

fn create(tokens: &[Token<'_>]) -> Effect {
    let kind = tokens
        .iter()
        .skip(1)
        .find(|token| !["TEMP", "TEMPORARY", "UNIQUE", "VIRTUAL"].iter().any(|word| token.is(word)));
    match kind {
        Some(kind) if kind.is("INDEX") => name_after(tokens, "ON").map_or(Effect::Write, Effect::Index),
        // `CREATE TABLE x AS SELECT`, with the name possibly qualified: no bracket comes before `AS`.
        Some(kind) if kind.is("TABLE") => {
            let head = tokens.iter().take_while(|token| !token.is_symbol("("));
            let copies = head.skip(2).any(|token| token.is("AS"));
            if copies || tokens.iter().any(|token| token.is("VIRTUAL")) {
                Effect::Write
            } else {
                Effect::Catalogue
            }
        }
        _ => Effect::Catalogue,
    }
}

fn alter(tokens: &[Token<'_>]) -> Effect {
    let Some(table) = name_after(tokens, "TABLE") else { return Effect::Write };
    let has = |word: &str| tokens.iter().any(|token| token.is(word));
    let action =
        tokens.iter().skip(3).find(|token| ["ADD", "DROP", "RENAME"].iter().any(|word| token.is(word)));
    match action {
        Some(action) if action.is("DROP") => Effect::Rewrite(table),
        // These are checked against every row that stands there.
        Some(action)
            if action.is("ADD") && (has("CHECK") || has("NOT") || has("AS") || has("REFERENCES")) =>
        {
            Effect::Scan(table)
        }
        Some(_) => Effect::Catalogue,
        None => Effect::Write,
    }
}

/// The table named after `word`, without its schema.
fn name_after(tokens: &[Token<'_>], word: &str) -> Option<String> {
    let mut rest = tokens.iter().skip_while(|token| !token.is(word)).skip(1).peekable();
    while rest.next_if(|token| ["IF", "NOT", "EXISTS"].iter().any(|noise| token.is(noise))).is_some() {}
    let name = rest.next()?;
    let qualified = rest.next_if(|token| token.is_symbol(".")).and_then(|_| rest.next());
    qualified.unwrap_or(name).identifier()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_is_put_where_sqlite_puts_it() {
        let table = || "t x".to_owned();
        for (sql, effect) in [
            ("CREATE TABLE t(a, b AS (a + 1))", Effect::Catalogue),
            ("CREATE TABLE IF NOT EXISTS main.t AS SELECT 1", Effect::Write),
            ("CREATE VIRTUAL TABLE t USING fts5(a)", Effect::Write),
            ("create unique index if not exists i on \"t x\"(a)", Effect::Index(table())),
            ("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END", Effect::Catalogue),
            ("ALTER TABLE [t x] ADD COLUMN a DEFAULT 1", Effect::Catalogue),
            ("ALTER TABLE main.[t x] ADD a INT NOT NULL DEFAULT 1", Effect::Scan(table())),
            ("ALTER TABLE `t x` DROP COLUMN a", Effect::Rewrite(table())),
            ("ALTER TABLE t RENAME TO u", Effect::Catalogue),
            ("DROP TABLE IF EXISTS main.'t x'", Effect::Drop(table())),
            ("DROP INDEX i", Effect::Catalogue),
            ("WITH x AS (SELECT 1) DELETE FROM t", Effect::Write),
            ("REINDEX t", Effect::Write),
            ("SELECT 1", Effect::Read),
        ] {
            assert_eq!(Effect::of(sql), effect, "{sql}");
        }
    }

    #[test]
    fn rows_lost_beyond_the_named_table_are_said() {
        let lost = |table: &str, after| Loss { table: table.to_owned(), before: 3, after };
        let measured = Measured { rows: 3, changed: 0, lost: vec![lost("t", None), lost("child", Some(0))] };
        assert_eq!(
            Effect::Drop("t".to_owned()).describe(&measured),
            "write lock; drops `t` (3 rows); `child` goes from 3 to 0 rows"
        );
    }
}

//! What no server can run, whatever migration it stands in.

use crate::dialect::Dialect;
use crate::lex::{Lexer, Token, TokenKind};
use crate::split::{AtStatement, Statement, is_for_client};

impl Statement {
    /// Why no server can be given this statement, if so: it is for a client, takes rows from one, or changes how the rest of
    /// its script is to be read.
    #[must_use]
    pub fn refusal(&self, dialect: Dialect) -> Option<String> {
        let opening: Vec<_> = Lexer::new(dialect, &self.text).map_while(Result::ok).take(OPENING).collect();
        let first = opening.iter().find(|token| !token.is_edge())?;
        if is_for_client(dialect, first, AtStatement::Begin) {
            let command = self.text.split_whitespace().next().unwrap_or_default();
            return Some(format!("`{command}` is a command for {}, not for a server", client(dialect)));
        }
        let copies =
            |pair: &[Token<'_>]| matches!(pair, [from, stdin] if from.is("FROM") && stdin.is("STDIN"));
        if dialect == Dialect::Postgres && first.is("COPY") && opening.windows(2).any(copies) {
            return Some(
                "the rows of `COPY .. FROM STDIN` come from a client; write them as `INSERT`".to_owned(),
            );
        }
        let setting = first
            .is("SET")
            .then(|| opening.iter().find(|token| changes_reading(dialect, token, &opening)))??;
        Some(format!("{} changes how the rest of the script is read", setting.text))
    }
}

/// How many tokens are looked at: the words that count stand at the beginning.
const OPENING: usize = 4096;

const fn client(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "the client psql",
        Dialect::Mysql => "the client mysql",
        Dialect::Sqlite => "the client sqlite3",
    }
}

fn changes_reading(dialect: Dialect, token: &Token<'_>, opening: &[Token<'_>]) -> bool {
    match dialect {
        Dialect::Postgres => {
            let off = |token: &Token<'_>| {
                let value = token.text.trim_matches('\'');
                ["off", "false", "no", "0"].iter().any(|off| value.eq_ignore_ascii_case(off))
            };
            token.is("standard_conforming_strings") && opening.iter().any(off)
        }
        Dialect::Mysql => {
            matches!(token.kind, TokenKind::Text | TokenKind::Word)
                && token.text.to_ascii_uppercase().contains("NO_BACKSLASH_ESCAPES")
        }
        Dialect::Sqlite => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::split;

    fn refusals(dialect: Dialect, script: &str) -> Vec<(u32, String)> {
        let statements = split(dialect, script).unwrap();
        statements.iter().filter_map(|found| Some((found.line, found.refusal(dialect)?))).collect()
    }

    #[test]
    fn commands_for_clients_are_refused_by_name_and_what_follows_is_read_on() {
        use Dialect::{Mysql, Postgres, Sqlite};
        for (dialect, script, expected) in [
            (
                Postgres,
                "\\i a.sql\nSELECT 1;\n\\echo it's\nSELECT 2 \\gexec\n",
                vec![(1, "\\i"), (3, "\\echo"), (4, "\\gexec")],
            ),
            (
                Mysql,
                "SOURCE a'.sql\nSELECT 1;\nsource b;\nSELECT 2\\G\n\\. c\n",
                vec![(1, "SOURCE"), (3, "source"), (4, "\\G"), (5, "\\.")],
            ),
            (Mysql, "DELIMITER\nSELECT 1;\ndelimiter \\\\\n", vec![(1, "DELIMITER"), (3, "delimiter")]),
            (Sqlite, ".read a'\nSELECT 1;\n.quit", vec![(1, ".read"), (3, ".quit")]),
        ] {
            let found = refusals(dialect, script);
            let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, expected.iter().map(|(line, _)| *line).collect::<Vec<_>>(), "{script}");
            for ((_, problem), (_, command)) in found.iter().zip(expected) {
                assert!(
                    problem.starts_with(&format!("`{command}` is a command for the client")),
                    "{problem}"
                );
            }
        }
    }

    #[test]
    fn rows_behind_copy_are_refused_as_one_statement() {
        let script =
            "COPY t (a, b) FROM stdin WITH (FORMAT csv);\nit's;1\n\"\n\\.\n\nSELECT 1;\nCOPY t FROM '/x'";
        assert_eq!(split(Dialect::Postgres, script).unwrap().len(), 3);
        let found = refusals(Dialect::Postgres, script);
        assert!(
            matches!(found.as_slice(), [(1, problem)] if problem.contains("COPY .. FROM STDIN")),
            "{found:?}"
        );
    }

    #[test]
    fn what_changes_how_text_is_read_is_refused_and_dumps_preambles_are_not() {
        for (dialect, sql, refused) in [
            (Dialect::Postgres, "SET standard_conforming_strings = off", true),
            (Dialect::Postgres, "SET LOCAL standard_conforming_strings TO 'off'", true),
            (Dialect::Postgres, "SET standard_conforming_strings = on", false),
            (Dialect::Mysql, "SET sql_mode = 'ANSI,no_backslash_escapes'", true),
            (Dialect::Mysql, "/*!40101 SET @@sql_mode=NO_BACKSLASH_ESCAPES */", true),
            (Dialect::Mysql, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", false),
            (Dialect::Mysql, "INSERT INTO t VALUES ('NO_BACKSLASH_ESCAPES', \\N)", false),
            (Dialect::Sqlite, "PRAGMA foreign_keys = off", false),
        ] {
            assert_eq!(!refusals(dialect, sql).is_empty(), refused, "{sql}");
        }
    }
}

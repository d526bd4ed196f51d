//! Splits a script for SQLite into its statements.
//!
//! A statement ends at a semicolon, and a trigger at `; END ;`: the rule of `sqlite3_complete`
//! (<https://www.sqlite.org/c3ref/complete.html>). The `END` of a `CASE` never follows a semicolon, so no
//! expression, however nested, ends a trigger early.

use crate::lex::{Token, Unfinished, lex};

/// One statement with its place in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text without the closing semicolon.
    pub(crate) text: String,
    /// The line it begins on, from 1.
    pub(crate) line: u32,
}

/// The statements of `script`, in order; empty ones are left out.
pub(crate) fn split(script: &str) -> Result<Vec<Statement>, Unfinished> {
    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in lex(script)? {
        if token.is_symbol(";") && !inside_trigger(&current) {
            statements.extend(statement(script, &current));
            current.clear();
        } else {
            current.push(token);
        }
    }
    match current.first() {
        Some(first) if inside_trigger(&current) => Err(Unfinished { what: "a trigger", line: first.line }),
        _ => {
            statements.extend(statement(script, &current));
            Ok(statements)
        }
    }
}

fn statement(script: &str, tokens: &[Token<'_>]) -> Option<Statement> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    Some(Statement { text: script.get(first.start..last.end())?.to_owned(), line: first.line })
}

/// Whether `tokens` begin a trigger whose `; END` has not come yet.
fn inside_trigger(tokens: &[Token<'_>]) -> bool {
    let ended = matches!(tokens, [.., semicolon, end] if semicolon.is_symbol(";") && end.is("END"));
    is_trigger(tokens) && !ended
}

fn is_trigger(tokens: &[Token<'_>]) -> bool {
    let mut words = tokens.iter().peekable();
    if words.next_if(|token| token.is("EXPLAIN")).is_some()
        && words.next_if(|token| token.is("QUERY")).is_some()
    {
        words.next_if(|token| token.is("PLAN"));
    }
    let create = words.next_if(|token| token.is("CREATE")).is_some();
    words.next_if(|token| token.is("TEMP") || token.is("TEMPORARY"));
    create && words.next().is_some_and(|token| token.is("TRIGGER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<String> {
        split(script).unwrap().into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_semicolon_inside_quotes_or_comments_ends_nothing() {
        assert_eq!(
            texts("INSERT INTO t VALUES(';');-- a; b\nSELECT \";\", [;], `;` /* ; */ FROM t;;  ;"),
            ["INSERT INTO t VALUES(';')", "SELECT \";\", [;], `;` /* ; */ FROM t"]
        );
    }

    #[test]
    fn a_trigger_ends_at_its_own_end_and_not_at_a_case() {
        let trigger = "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN
            UPDATE t SET a = CASE WHEN b THEN CASE c WHEN 1 THEN 2 END ELSE 3 END;
            SELECT CASE WHEN 1 THEN 2 END;
            -- END;
            INSERT INTO t VALUES('; END;');
            /* here */ END";
        assert_eq!(texts(&format!("{trigger} ; SELECT 1")), [trigger, "SELECT 1"]);
        assert_eq!(texts(trigger), [trigger]);
    }

    #[test]
    fn a_table_called_trigger_and_a_column_called_end_start_no_trigger() {
        assert_eq!(texts("CREATE TABLE trigger(begin, end); SELECT 1").len(), 2);
        assert_eq!(texts("SELECT 1 AS end; SELECT 2").len(), 2);
    }

    #[test]
    fn a_trigger_without_its_end_is_named_with_its_line() {
        let unfinished = split("SELECT 1;\nCREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1;").unwrap_err();
        assert_eq!(unfinished, Unfinished { what: "a trigger", line: 2 });
    }

    #[test]
    fn each_statement_has_the_line_of_its_first_word() {
        let lines: Vec<_> =
            split("-- x\n\nSELECT\n1;\nSELECT 2; SELECT 3").unwrap().iter().map(|found| found.line).collect();
        assert_eq!(lines, [3, 5, 5]);
    }

    mod properties {
        use futures::TryStreamExt as _;
        use proptest::prelude::*;
        use sqlx::{AssertSqlSafe, Connection as _, Either, Executor as _, SqliteConnection};

        use super::texts;
        use crate::split::split;

        /// One statement that SQLite runs, whatever stands inside its quotes.
        fn statement() -> impl Strategy<Value = String> {
            let simple = prop_oneof![
                "[^\\x00]{0,8}".prop_map(|text| format!("SELECT '{}'", text.replace('\'', "''"))),
                "[^\\x00]{1,8}".prop_map(|text| format!("SELECT 1 AS \"{}\"", text.replace('"', "\"\""))),
                "[^\\x00]{1,8}".prop_map(|text| format!("SELECT 1 AS `{}`", text.replace('`', "``"))),
                "[^\\x00\\]]{1,8}".prop_map(|text| format!("SELECT 1 AS [{text}]")),
                "[^\\x00*/]{0,8}".prop_map(|text| format!("SELECT /*{text};*/ 1")),
                "[^\\x00\n]{0,8}".prop_map(|text| format!("SELECT --{text};\n 1")),
                Just("SELECT CASE WHEN 1 THEN CASE 2 WHEN 2 THEN 'x;' END ELSE 0 END".to_owned()),
            ];
            let body = proptest::collection::vec(simple.clone(), 1..4);
            let trigger = (any::<u64>(), body).prop_map(|(number, body)| {
                let body = body.join(" ; ");
                format!("CREATE TEMP TRIGGER IF NOT EXISTS g{number} AFTER INSERT ON t BEGIN {body}; END")
            });
            prop_oneof![3 => simple, 1 => trigger]
        }

        fn between() -> impl Strategy<Value = String> {
            let piece = prop_oneof![
                Just(";"),
                Just(" "),
                Just("\r\n"),
                Just("-- it's; \"\n"),
                Just("/* ' ; [ -- */"),
            ];
            proptest::collection::vec(piece, 0..4).prop_map(|pieces| format!(";{}", pieces.concat()))
        }

        /// How many statements SQLite itself finds and runs in `script`.
        async fn run_by_sqlite(script: &str) -> usize {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            connection.execute("CREATE TABLE t(a)").await.unwrap();
            let ends = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(script)));
            ends.try_fold(0, async |ends, end| Ok(ends + usize::from(matches!(end, Either::Left(_)))))
                .await
                .unwrap()
        }

        proptest! {
            #[test]
            fn what_is_split_is_what_was_joined_and_what_sqlite_runs(
                parts in proptest::collection::vec((statement(), between()), 0..8)
            ) {
                let script: String = parts.iter().flat_map(|(text, between)| [text.as_str(), between]).collect();
                let expected: Vec<_> = parts.into_iter().map(|(text, _)| text).collect();
                prop_assert_eq!(texts(&script), expected.clone());
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                prop_assert_eq!(runtime.block_on(run_by_sqlite(&script)), expected.len());
            }

            #[test]
            fn any_text_is_split_or_refused_and_its_statements_split_into_themselves(
                pieces in proptest::collection::vec(prop_oneof![
                    "[ -~\n]{0,3}", Just("CREATE ".into()), Just(" TRIGGER ".into()), Just(";END;".into()),
                    Just("/*".into()), Just("*/".into()), Just("--".into()), Just("'".into()), Just("ü".into()),
                ], 0..24)
            ) {
                if let Ok(statements) = split(&pieces.concat()) {
                    let found: Vec<_> = statements.into_iter().map(|statement| statement.text).collect();
                    prop_assert_eq!(texts(&found.join(";\n")), found);
                }
            }
        }
    }
}

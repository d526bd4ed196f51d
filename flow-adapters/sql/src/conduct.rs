//! How a statement stands to transactions and to its session.
//!
//! What is not known is taken for the more careful: for MySQL whatever is not known to leave a transaction open commits it.

mod mysql;
mod postgres;
mod sqlite;

use crate::dialect::Dialect;
use crate::lex::{Lexer, Token};
use crate::split::Statement;

/// How a statement stands to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It may stand in one.
    Within,
    /// It commits the one it stands in and itself, or may do so: schema statements of MySQL, and calls.
    Commits,
    /// It must stand outside: `CREATE INDEX CONCURRENTLY`, `VACUUM`.
    Outside,
    /// It begins or ends one, or a part of one.
    Control,
}

/// How many tokens at a statement's beginning are looked at: the rest of a longer one is rows.
const OPENING: usize = 4096;

impl Statement {
    /// How it stands to a transaction.
    #[must_use]
    pub fn conduct(&self, dialect: Dialect) -> Conduct {
        let words = Words::of(dialect, &self.text);
        match dialect {
            Dialect::Postgres => postgres::conduct(&words),
            Dialect::Mysql => mysql::conduct(&words),
            Dialect::Sqlite => sqlite::conduct(&words),
        }
    }

    /// Whether it leaves, or may leave, something behind in its session that later statements meet: settings, variables,
    /// locks, temporary tables.
    #[must_use]
    pub fn changes_session(&self, dialect: Dialect) -> bool {
        let words = Words::of(dialect, &self.text);
        match dialect {
            Dialect::Postgres => postgres::changes_session(&words),
            Dialect::Mysql => mysql::changes_session(&words),
            Dialect::Sqlite => sqlite::changes_session(&words),
        }
    }
}

/// The beginning of a statement.
struct Words<'a>(Vec<Token<'a>>);

impl<'a> Words<'a> {
    fn of(dialect: Dialect, statement: &'a str) -> Self {
        let tokens = Lexer::new(dialect, statement).map_while(Result::ok);
        Self(tokens.filter(|token| !token.is_edge()).take(OPENING).collect())
    }

    fn get(&self, at: usize) -> Option<&Token<'a>> {
        self.0.get(at)
    }

    /// Whether the word at `at` is one of `any`.
    fn is(&self, at: usize, any: &[&str]) -> bool {
        self.get(at).is_some_and(|token| token.is_any(any))
    }

    /// Whether it begins with `words`.
    fn begin(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(at, word)| self.is(at, &[word]))
    }

    /// Whether it creates, or drops, what ends with the session.
    fn are_temporary(&self) -> bool {
        let mut words =
            self.0.iter().skip(1).skip_while(|word| word.is_any(&["OR", "REPLACE", "LOCAL", "GLOBAL"]));
        words.next().is_some_and(|word| word.is_any(&["TEMP", "TEMPORARY"]))
    }

    fn have(&self, any: &[&str]) -> bool {
        self.0.iter().any(|token| token.is_any(any))
    }

    /// Whether `words` stand somewhere, one behind the other.
    fn have_in_row(&self, words: &[&str]) -> bool {
        self.0
            .windows(words.len())
            .any(|window| window.iter().zip(words).all(|(token, word)| token.text.eq_ignore_ascii_case(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::split;

    fn only(dialect: Dialect, sql: &str) -> Statement {
        let mut statements = split(dialect, sql).unwrap();
        assert_eq!(statements.len(), 1, "{sql}");
        statements.remove(0)
    }

    fn hold(dialect: Dialect, conduct: Conduct, statements: &[&str]) {
        for sql in statements {
            assert_eq!(only(dialect, sql).conduct(dialect), conduct, "{sql}");
        }
    }

    #[test]
    fn postgres_runs_what_it_names_outside_of_transactions() {
        let statements = [
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t(a)",
            "create index /* x */ concurrently on t(a)",
            "DROP INDEX CONCURRENTLY i",
            "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
            "REINDEX INDEX CONCURRENTLY i",
            "REINDEX SYSTEM x",
            "VACUUM FULL t",
            "CREATE DATABASE x",
            "DROP TABLESPACE x",
            "ALTER SYSTEM SET work_mem = '1MB'",
            "ALTER DATABASE x SET TABLESPACE y",
            "ALTER TABLE t DETACH PARTITION u CONCURRENTLY",
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
            "CLUSTER",
            "DISCARD ALL",
        ];
        hold(Dialect::Postgres, Conduct::Outside, &statements);
    }

    #[test]
    fn postgres_knows_what_controls_transactions() {
        let statements = [
            "BEGIN",
            "start transaction isolation level serializable",
            "COMMIT AND CHAIN",
            "END",
            "ABORT",
            "ROLLBACK TO SAVEPOINT x",
            "SAVEPOINT x",
            "RELEASE x",
            "PREPARE TRANSACTION 'x'",
            "COMMIT PREPARED 'x'",
        ];
        hold(Dialect::Postgres, Conduct::Control, &statements);
    }

    #[test]
    fn postgres_runs_all_else_in_transactions() {
        let statements = [
            "CREATE INDEX \"concurrently\" ON t(a)",
            "CREATE TABLE commit(a)",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "ALTER TYPE e ADD VALUE 'x'",
            "ALTER TABLE t DETACH PARTITION u FINALIZE",
            "CLUSTER t USING i",
            "REINDEX TABLE t",
            "DO $$ BEGIN COMMIT; END $$",
            "PREPARE x AS SELECT 1",
            "LOCK TABLE t",
            "SET LOCAL lock_timeout = 1",
            "TRUNCATE t",
            "(SELECT 1)",
        ];
        hold(Dialect::Postgres, Conduct::Within, &statements);
    }

    #[test]
    fn mysql_commits_with_all_but_what_is_known_to_leave_a_transaction_open() {
        let statements = [
            "CREATE TABLE t(a int)",
            "/*!50003 CREATE*/ /*!50020 DEFINER=`a`@`b`*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1 */",
            "/*!40000 ALTER TABLE t DISABLE KEYS */",
            "CREATE OR REPLACE TABLE t(a int)",
            "DROP TABLE t",
            "TRUNCATE t",
            "GRANT ALL ON *.* TO a",
            "RENAME TABLE a TO b",
            "LOCK TABLES a WRITE",
            "UNLOCK TABLES",
            "ANALYZE TABLE t",
            "FLUSH TABLES",
            "SET PASSWORD FOR a = 'x'",
            "SET STATEMENT max_statement_time = 1 FOR ALTER TABLE t ADD a int",
            "LOAD INDEX INTO CACHE t",
            "EXECUTE s",
            "CALL p()",
            "BEGIN NOT ATOMIC DROP TABLE t; END",
            "IF a THEN DROP TABLE t; END IF",
            "START REPLICA",
        ];
        hold(Dialect::Mysql, Conduct::Commits, &statements);
    }

    #[test]
    fn mysql_knows_what_controls_transactions() {
        let statements = [
            "BEGIN",
            "BEGIN WORK",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT x",
            "RELEASE SAVEPOINT x",
            "XA START 'x'",
            "SET autocommit = 0",
            "SET @@session.autocommit = 1",
        ];
        hold(Dialect::Mysql, Conduct::Control, &statements);
    }

    #[test]
    fn mysql_runs_what_changes_rows_or_the_session_in_transactions() {
        let statements = [
            "CREATE TEMPORARY TABLE t(a int)",
            "CREATE OR REPLACE TEMPORARY TABLE t(a int)",
            "DROP TEMPORARY TABLE t",
            "INSERT INTO t VALUES (1)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "(SELECT 1)",
            "SET FOREIGN_KEY_CHECKS = 0",
            "/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS */",
            "PREPARE s FROM @s",
            "LOAD DATA INFILE 'x' INTO TABLE t",
        ];
        hold(Dialect::Mysql, Conduct::Within, &statements);
    }

    #[test]
    fn sqlite_runs_all_in_transactions_but_what_works_on_files() {
        use Conduct::{Control, Outside, Within};
        for (sql, conduct) in [
            ("VACUUM", Outside),
            ("ATTACH 'x' AS y", Outside),
            ("DETACH y", Outside),
            ("PRAGMA journal_mode = WAL", Outside),
            ("PRAGMA main.journal_mode = WAL", Outside),
            ("pragma \"synchronous\" = off", Outside),
            ("PRAGMA writable_schema=1", Outside),
            ("begin immediate", Control),
            ("/* x */ COMMIT", Control),
            ("End Transaction", Control),
            ("ROLLBACK TO x", Control),
            ("SAVEPOINT x", Control),
            ("release x", Control),
            ("PRAGMA foreign_keys = OFF", Within),
            ("PRAGMA main.user_version = 3", Within),
            ("CREATE TABLE commits(begin_at)", Within),
            ("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", Within),
        ] {
            assert_eq!(only(Dialect::Sqlite, sql).conduct(Dialect::Sqlite), conduct, "{sql}");
        }
    }

    #[test]
    fn what_later_statements_meet_changes_the_session() {
        use Dialect::{Mysql, Postgres, Sqlite};
        for (dialect, sql, changes) in [
            (Postgres, "SET search_path = ''", true),
            (Postgres, "SELECT pg_catalog.set_config('search_path', '', false)", true),
            (Postgres, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", true),
            (Postgres, "CREATE LOCAL TEMP TABLE t(a int)", true),
            (Postgres, "RESET ALL", true),
            (Postgres, "SET LOCAL search_path = ''", false),
            (Postgres, "SET TRANSACTION READ ONLY", false),
            (Postgres, "CREATE TABLE temporary(a int)", false),
            (Postgres, "UPDATE t SET a = 1", false),
            (Mysql, "SET FOREIGN_KEY_CHECKS = 0", true),
            (Mysql, "/*!40101 SET NAMES utf8 */", true),
            (Mysql, "SELECT 1 INTO @a", true),
            (Mysql, "SELECT @a := 1", true),
            (Mysql, "UPDATE t SET a = (@n := @n + 1)", true),
            (Mysql, "UPDATE t SET a = @n", false),
            (Mysql, "DO get_lock('x', 1)", true),
            (Mysql, "USE x", true),
            (Mysql, "LOCK TABLES a READ", true),
            (Mysql, "CREATE TEMPORARY TABLE t(a int)", true),
            (Mysql, "SET GLOBAL x = 1", false),
            (Mysql, "SELECT 1", false),
            (Mysql, "CREATE TABLE t(a int)", false),
            (Sqlite, "PRAGMA foreign_keys = OFF", true),
            (Sqlite, "CREATE TEMP TABLE t(a)", true),
            (Sqlite, "CREATE TABLE temp(a)", false),
            (Sqlite, "SELECT 1", false),
        ] {
            assert_eq!(only(dialect, sql).changes_session(dialect), changes, "{sql}");
        }
    }
}

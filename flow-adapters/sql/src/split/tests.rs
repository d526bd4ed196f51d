use proptest::prelude::*;

use super::*;
use crate::lex::lex;

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite];

fn texts(dialect: Dialect, script: &str) -> Vec<String> {
    split(dialect, script).unwrap().into_iter().map(|statement| statement.text).collect()
}

/// Holds that `statements` are found where they stand between semicolons, each alone, and all without the last semicolon.
fn stand(dialect: Dialect, statements: &[&str]) {
    for statement in statements {
        assert_eq!(texts(dialect, statement), [*statement], "{dialect:?}");
        assert_eq!(
            texts(dialect, &format!("SELECT 1;\n{statement} ;")),
            ["SELECT 1", statement],
            "{dialect:?}"
        );
    }
    assert_eq!(texts(dialect, &statements.join(";\n-- ;\n;")), statements, "{dialect:?}");
}

#[test]
fn a_semicolon_inside_quotes_or_comments_ends_nothing() {
    let sqlite = "INSERT INTO t VALUES(';');-- a; b\nSELECT \";\", [;], `;` /* ; */ FROM t;;  ;";
    let expected = ["INSERT INTO t VALUES(';')", "SELECT \";\", [;], `;` /* ; */ FROM t"];
    assert_eq!(texts(Dialect::Sqlite, sqlite), expected);
    stand(
        Dialect::Postgres,
        &[
            "DO $$ BEGIN PERFORM 1; END $$",
            "CREATE FUNCTION f() RETURNS text AS $body$ SELECT '$$;$$'; $body$ LANGUAGE sql",
            "CREATE FUNCTION f() RETURNS int AS 'SELECT 1; SELECT '';''; ' LANGUAGE sql",
            "SELECT E'it\\'s;', '\\', \";\" /* ; /* ; */ ' */ x",
            "INSERT INTO t VALUES ('a'\n';')",
            "SELECT $1, $2$$;$$",
        ],
    );
    stand(
        Dialect::Mysql,
        &[
            "INSERT INTO t VALUES ('it\\'s;', \"\\\";\", `;`) # it's;\n, (1) -- it's;\n, (2)",
            "SELECT 5--3",
            "SELECT /*+ MAX_EXECUTION_TIME(1); */ 1",
            "/*!40101 SET NAMES utf8; */",
            "/*!50000 SELECT \\x\n, 1 */",
            "INSERT INTO t VALUES (\\N)",
        ],
    );
}

#[test]
fn crlf_and_comments_alone_make_no_statement() {
    for dialect in ALL {
        assert_eq!(texts(dialect, ""), Vec::<String>::new());
        assert_eq!(texts(dialect, "\r\n-- a; b\r\n/* ; */ ;\r\n;"), Vec::<String>::new());
        let found = split(dialect, "-- x\r\n\r\nSELECT\r\n1;\r\nSELECT 2; SELECT 3\r\n").unwrap();
        let found: Vec<_> = found.iter().map(|found| (found.line, found.text.as_str())).collect();
        assert_eq!(found, [(3, "SELECT\r\n1"), (5, "SELECT 2"), (5, "SELECT 3")]);
    }
}

#[test]
fn a_trigger_of_sqlite_ends_at_its_own_end_and_not_at_a_case() {
    stand(
        Dialect::Sqlite,
        &[
            "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN
                UPDATE t SET a = CASE WHEN b THEN CASE c WHEN 1 THEN 2 END ELSE 3 END;
                SELECT CASE WHEN 1 THEN 2 END;
                -- END;
                INSERT INTO t VALUES('; END;');
                /* here */ END",
            "EXPLAIN QUERY PLAN CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE TABLE trigger(begin, end)",
            "SELECT 1 AS end",
        ],
    );
}

#[test]
fn routines_and_rules_of_postgres_end_behind_their_bodies() {
    stand(
        Dialect::Postgres,
        &[
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC
                SELECT CASE WHEN a > 1 THEN CASE a WHEN 2 THEN 1 END END;
                SELECT 1 AS end, t.case FROM t;
             END",
            "create or replace procedure p() begin atomic insert into t values (1); delete from t; end",
            "CREATE FUNCTION f() RETURNS int RETURN 1",
            "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO u VALUES (1); DELETE FROM v)",
            "CREATE OR REPLACE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
            "CREATE TABLE t(begin int)",
            "BEGIN",
            "COMMIT",
        ],
    );
    // What is wrong is left to the server, statement by statement.
    assert_eq!(texts(Dialect::Postgres, "CREATE TABLE t (; SELECT 1").len(), 2);
}

#[test]
fn programs_of_mysql_end_behind_their_bodies_without_a_delimiter() {
    stand(
        Dialect::Mysql,
        &[
            "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = IF(NEW.b, 1, CASE WHEN 1 THEN 2 END)",
            "CREATE DEFINER=`root`@`localhost` TRIGGER g BEFORE UPDATE ON t FOR EACH ROW BEGIN
                IF NEW.a IS NULL THEN SET NEW.a = CASE NEW.end WHEN 1 THEN IF(1, 2, 3) ELSE IF(4, 5, 6) END;
                ELSEIF NEW.b THEN SET NEW.b = 1; ELSE IF NEW.c THEN SET NEW.c = 2; END IF; END IF;
                INSERT INTO log(begin, end) SELECT start, end FROM event WHERE begin < end;
             END",
            "CREATE TRIGGER g AFTER DELETE ON t FOR EACH ROW FOLLOWS h IF OLD.a THEN DELETE FROM u; END IF",
            "CREATE PROCEDURE IF NOT EXISTS p(IN a INT, OUT b DECIMAL(10, 2)) COMMENT 'x; y' MODIFIES SQL DATA
             main: BEGIN
                DECLARE done INT DEFAULT FALSE;
                DECLARE c CURSOR FOR SELECT a FROM t;
                DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
                DECLARE EXIT HANDLER FOR SQLEXCEPTION, 1062 BEGIN ROLLBACK; RESIGNAL; END;
                OPEN c;
                again: LOOP FETCH c INTO a; IF done THEN LEAVE again; END IF; END LOOP again;
                WHILE a < 3 DO SET a = a + 1; IF a = 2 THEN ITERATE x; END IF; END WHILE;
                REPEAT SET a = a - 1; SELECT REPEAT('-', a); UNTIL a < CASE WHEN 1 THEN 2 END END REPEAT;
                CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE;
                DROP TABLE IF EXISTS u;
                IF NOT EXISTS (SELECT 1 FROM t) THEN DO SLEEP(1); END IF;
                BEGIN SELECT 1; END;
             END main",
            "CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC RETURN CASE a WHEN 1 THEN 2 ELSE 3 END",
            "CREATE FUNCTION f(a INT) RETURNS VARCHAR(20) CHARSET utf8 DETERMINISTIC BEGIN RETURN a; END",
            "CREATE FUNCTION f(a INT) RETURNS INT IF a THEN RETURN 1; ELSE RETURN 2; END IF",
            "CREATE PROCEDURE p(a INT) CASE a WHEN 1 THEN SELECT 1; SELECT 2; END CASE",
            "CREATE PROCEDURE p() SELECT 1 FROM t WHERE a IN (1) FOR UPDATE",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY COMMENT 'x' DO BEGIN DELETE FROM t; DELETE FROM u; END",
            "ALTER EVENT e DO IF 1 THEN DELETE FROM t; END IF",
            "BEGIN NOT ATOMIC DECLARE a INT; FOR i IN 1..3 DO SELECT i; END FOR; END",
            "IF EXISTS (SELECT 1) THEN DROP TABLE t; END IF",
            "/*!50003 CREATE*/ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW */ BEGIN SET @a = 1; END",
            "CREATE TABLE event(trigger_id INT, begin INT, end INT)",
            "CREATE DEFINER=a@b SQL SECURITY INVOKER VIEW v AS SELECT begin, end FROM event",
            "BEGIN",
            "DROP TRIGGER IF EXISTS g",
        ],
    );
}

#[test]
fn delimiters_of_mysqls_client_are_followed_and_are_no_statements() {
    let script = "SELECT 1;
DELIMITER //
CREATE PROCEDURE p() BEGIN SELECT '//'; SELECT 4/2; END //
SELECT 2; SELECT 3 //
delimiter $$
CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END$$
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER h BEFORE INSERT ON t FOR EACH ROW BEGIN
SET @b = 1; END */;;
DELIMITER ;
SELECT 4;";
    let found = split(Dialect::Mysql, script).unwrap();
    let found: Vec<_> = found.iter().map(|found| (found.line, found.text.as_str())).collect();
    let expected = [
        (1, "SELECT 1"),
        (3, "CREATE PROCEDURE p() BEGIN SELECT '//'; SELECT 4/2; END"),
        (4, "SELECT 2"),
        (4, "SELECT 3"),
        (6, "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END"),
        (
            8,
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER h BEFORE INSERT ON t FOR EACH ROW BEGIN
SET @b = 1; END */",
        ),
        (11, "SELECT 4"),
    ];
    assert_eq!(found, expected);
    // What a delimiter has ended is found again without one.
    for (_, text) in expected {
        assert_eq!(texts(Dialect::Mysql, text), [text]);
    }
}

#[test]
fn a_body_without_its_end_is_named_with_its_line() {
    for (dialect, script, what) in [
        (Dialect::Sqlite, "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1;", "a trigger"),
        (Dialect::Postgres, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "a body"),
        (Dialect::Postgres, "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2", "a rule"),
        (Dialect::Mysql, "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END;", "a body"),
    ] {
        let unfinished = split(dialect, &format!("SELECT 1;\n{script}")).unwrap_err();
        assert_eq!(unfinished, Unfinished { what, line: 2 });
    }
}

/// Pieces of which most texts are wrong in some way.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "CREATE ",
        " TRIGGER x ",
        " PROCEDURE p() ",
        " FUNCTION f() ",
        " BEGIN ",
        " ATOMIC ",
        " END ",
        "END;",
        " CASE ",
        " IF ",
        " THEN ",
        " REPEAT ",
        " UNTIL ",
        " LOOP ",
        " DO ",
        ";",
        ";",
        ";",
        "/*",
        "*/",
        "/*!50000 ",
        "--",
        "-- ",
        "#",
        "'",
        "\"",
        "`",
        "[",
        "]",
        "$$",
        "$a$",
        "E'",
        "\\",
        "\n",
        "\r\n",
        "(",
        ")",
        "COPY t FROM STDIN",
        "\\.\n",
        "RULE ",
        "DEFINER=",
        "ü",
        "\u{a0}",
        "\0",
    ];
    let piece = prop_oneof![3 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => "[ -~\n]{0,3}"];
    proptest::collection::vec(piece, 0..32).prop_map(|pieces| pieces.concat())
}

/// MySQL takes two hyphens at the very end for a comment, and before a semicolon not: nothing that it could run.
fn ends_in_hyphens(statements: &[Statement]) -> bool {
    statements.iter().any(|statement| statement.text.ends_with("--"))
}

/// The tokens without semicolons, and lines for clients as words: what no splitting may lose.
fn kept(dialect: Dialect, texts: &[String]) -> Vec<String> {
    let tokens = texts.iter().flat_map(|text| lex(dialect, text).unwrap_or_default());
    tokens.filter(|token| !token.is_symbol(";")).map(|token| token.text.to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("FLOW_LONG").is_some() { 100_000 } else { 1_000 }))]

    #[test]
    fn any_text_is_split_or_refused(text in ".*", delimiter in ".{0,3}", pieces in pieces()) {
        for dialect in ALL {
            for script in [&text, &pieces, &format!("DELIMITER {delimiter}\n{pieces}{text}{delimiter}{pieces}")] {
                let _ = split(dialect, script);
            }
        }
    }

    #[test]
    fn statements_split_into_themselves_alone_and_joined(script in pieces()) {
        for dialect in ALL {
            let Ok(statements) = split(dialect, &script) else { continue };
            prop_assume!(!ends_in_hyphens(&statements));
            let found: Vec<_> = statements.into_iter().map(|statement| statement.text).collect();
            for text in &found {
                prop_assert_eq!(&texts(dialect, text), std::slice::from_ref(text), "{:?}", dialect);
            }
            // Behind a semicolon, rows would follow.
            if !script.contains("STDIN") {
                prop_assert_eq!(texts(dialect, &found.join("\n;\n")), found, "{:?}", dialect);
            }
        }
    }

    #[test]
    fn nothing_but_space_comments_and_semicolons_is_left_out(script in pieces()) {
        // Lines for clients and rows are no tokens of the server's.
        let script = script.replace(['\\', '.'], "").replace("STDIN", "");
        for dialect in ALL {
            let Ok(tokens) = lex(dialect, &script) else { continue };
            let Ok(statements) = split(dialect, &script) else { continue };
            prop_assume!(!ends_in_hyphens(&statements));
            let found: Vec<_> = statements.iter().map(|statement| statement.text.clone()).collect();
            let expected: Vec<_> =
                tokens.iter().filter(|token| !token.is_symbol(";")).map(|token| token.text.to_owned()).collect();
            prop_assert_eq!(kept(dialect, &found), expected, "{:?}", dialect);
            for statement in &statements {
                let line = script.lines().nth(statement.line as usize - 1).unwrap();
                let first = statement.text.lines().next().unwrap();
                prop_assert!(line.contains(first), "{:?} not in line {} {:?}", first, statement.line, line);
            }
        }
    }
}

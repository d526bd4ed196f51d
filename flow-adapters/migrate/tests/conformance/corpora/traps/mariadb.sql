== first early
CREATE TABLE first (id int PRIMARY KEY, note varchar(40)) ENGINE=InnoDB;
INSERT INTO first VALUES (1, 'a;b'), (2, NULL);
-- down --
DROP TABLE first;
== without_a_way_back early
ALTER TABLE first ADD COLUMN extra int DEFAULT 7;
== way_back_that_fails early
CREATE TABLE fails (id int);
-- down --
-- It fails before it did anything.

DROP TABLE nowhere;
DROP TABLE fails;
== table_of_another_tool
CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(20));
INSERT INTO schema_migrations VALUES ('{n}');
-- down --
DROP TABLE IF EXISTS schema_migrations;
== drops_the_table_of_another_tool
DROP TABLE IF EXISTS schema_migrations;
-- down --
CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(20));
== delimiter crlf
CREATE TABLE delimited_{n} (id int);
DELIMITER //
CREATE PROCEDURE fill_{n}(n int)
BEGIN
  DECLARE i int DEFAULT 0;
  WHILE i < n DO
    INSERT INTO delimited_{n} VALUES (i);
    SET i = i + 1;
  END WHILE;
END //
DELIMITER ;
CALL fill_{n}(3);
-- down --
DROP PROCEDURE fill_{n};
DROP TABLE delimited_{n};
== trigger
CREATE TABLE watched_{n} (id int, seen int DEFAULT 0);
CREATE TRIGGER watch_{n} BEFORE INSERT ON watched_{n} FOR EACH ROW SET NEW.seen = NEW.id * 2;
DELIMITER $$
CREATE TRIGGER watch_more_{n} BEFORE UPDATE ON watched_{n} FOR EACH ROW
BEGIN
  IF NEW.id > 1 THEN SET NEW.seen = 9; END IF;
END$$
DELIMITER ;
INSERT INTO watched_{n} (id) VALUES (1), (2);
UPDATE watched_{n} SET id = id + 1;
-- down --
DROP TABLE watched_{n};
== preamble_left_set
SET FOREIGN_KEY_CHECKS = 0;
CREATE TABLE child_{n} (id int, parent int, KEY (parent), CONSTRAINT fk_{n} FOREIGN KEY (parent) REFERENCES parent_{n} (id));
CREATE TABLE parent_{n} (id int PRIMARY KEY);
INSERT INTO child_{n} VALUES (1, 5);
INSERT INTO parent_{n} VALUES (5);
-- down --
SET FOREIGN_KEY_CHECKS = 0;
DROP TABLE parent_{n};
DROP TABLE child_{n};
== preamble_of_a_dump
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
CREATE TABLE dumped_{n} (id int NOT NULL AUTO_INCREMENT, t varchar(20) DEFAULT 'é;ß', PRIMARY KEY (id));
INSERT INTO dumped_{n} VALUES (1, 'naïve'), (7, 'ß');
/*!40000 ALTER TABLE dumped_{n} DISABLE KEYS */;
/*!50003 CREATE*/ /*!50003 TRIGGER dump_{n} BEFORE INSERT ON dumped_{n} FOR EACH ROW SET NEW.t = UPPER(NEW.t) */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
-- down --
DROP TABLE dumped_{n};
== commits_by_itself
INSERT INTO first (id, note) VALUES ({n}000, 'before');
CREATE TABLE implicit_{n} (id int);
INSERT INTO implicit_{n} SELECT id FROM first WHERE id = {n}000;
ALTER TABLE implicit_{n} ADD COLUMN b int DEFAULT 3, ADD KEY (b);
UPDATE implicit_{n} SET b = b + 1;
-- down --
DROP TABLE implicit_{n};
DELETE FROM first WHERE id = {n}000;
== comments
# a ; comment 'open
CREATE TABLE comments_{n} (id int); -- it's ; open
INSERT INTO comments_{n} VALUES (5--1);
/* not ; nested /* */ INSERT INTO comments_{n} VALUES (1 # ; here
);
-- down --
DROP TABLE comments_{n} # ; gone
== literals
CREATE TABLE `semi;colon {n}` (a varchar(40), b varchar(40), c varchar(40));
INSERT INTO `semi;colon {n}` VALUES ('it\'s; ?', "double; ""quotes"" \"", 'back\\');
INSERT INTO `semi;colon {n}` VALUES (1 || 0, 'it''s', X'41');
-- down --
DROP TABLE `semi;colon {n}`;
== own_transaction
START TRANSACTION;
INSERT INTO first (id, note) VALUES ({n}001, 'own');
UPDATE first SET note = 'own;' WHERE id = {n}001;
COMMIT;
-- down --
DELETE FROM first WHERE id = {n}001;
== variables_and_prepared_statements
SET @rows := 3;
SELECT @rows := @rows + 1;
SET @text = CONCAT('CREATE TABLE prepared_{n} AS SELECT ', @rows, ' AS a');
PREPARE made FROM @text;
EXECUTE made;
DEALLOCATE PREPARE made;
-- down --
DROP TABLE prepared_{n};
== quotes_of_the_standard
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
CREATE TABLE "ansi_{n}" ("a;b" varchar(20));
INSERT INTO "ansi_{n}" VALUES ('a' || 'b');
-- down --
DROP TABLE ansi_{n};
== enumeration_grows
CREATE TABLE moods_{n} (m ENUM('sad;', 'ok'));
INSERT INTO moods_{n} VALUES ('ok');
ALTER TABLE moods_{n} MODIFY m ENUM('sad;', 'ok', 'happy');
-- down --
DROP TABLE moods_{n};
== compound_without_a_procedure
DELIMITER |
BEGIN NOT ATOMIC
  CREATE TABLE compound_{n} (id int);
  INSERT INTO compound_{n} VALUES (1);
END|
DELIMITER ;
-- down --
DROP TABLE compound_{n};
== temporary_table_left
CREATE TEMPORARY TABLE scratch (i int);
INSERT INTO scratch VALUES (1), (2);
CREATE TABLE kept_{n} AS SELECT i * 2 AS i FROM scratch;
-- down --
DROP TABLE kept_{n};
== empty_statements_and_no_end
CREATE TABLE loose_{n} (id int);
INSERT INTO loose_{n} VALUES (1)
-- down --
DROP TABLE loose_{n}
== way_back_that_is_empty
CREATE TABLE IF NOT EXISTS stays_{n} (id int);
-- down --
== way_back_that_restores_nothing
CREATE TABLE IF NOT EXISTS remains_{n} (id int);
INSERT INTO remains_{n} VALUES ({n});
-- down --
SELECT 'nothing; to do';
== marked alone
CREATE TABLE marked_{n} (id int);
RENAME TABLE marked_{n} TO renamed_{n};
CREATE VIEW seen_{n} AS SELECT id FROM renamed_{n} WHERE id <> ';';
-- down --
DROP VIEW seen_{n};
DROP TABLE renamed_{n};

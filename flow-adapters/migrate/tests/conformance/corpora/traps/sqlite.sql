== first early
CREATE TABLE first (id INTEGER PRIMARY KEY, note TEXT);
INSERT INTO first VALUES (1, 'a;b'), (2, NULL);
-- down --
DROP TABLE first;
== without_a_way_back early
ALTER TABLE first ADD COLUMN extra INT DEFAULT 7;
== way_back_that_fails early
CREATE TABLE fails (id INT);
-- down --
DELETE FROM fails;

DROP TABLE nowhere;
== table_of_another_tool
CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT);
INSERT INTO schema_migrations VALUES ('{n}');
-- down --
DROP TABLE IF EXISTS schema_migrations;
== drops_the_table_of_another_tool
DROP TABLE IF EXISTS schema_migrations;
-- down --
CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT);
== rebuild_of_a_parent
CREATE TABLE parent_{n} (id INTEGER PRIMARY KEY, a TEXT);
CREATE TABLE child_{n} (id INTEGER PRIMARY KEY, parent INT REFERENCES parent_{n} (id) ON DELETE CASCADE);
INSERT INTO parent_{n} VALUES (1, 'x'), (2, 'y');
INSERT INTO child_{n} VALUES (1, 1), (2, 1), (3, 2);
CREATE TABLE new_parent_{n} (id INTEGER PRIMARY KEY, a TEXT NOT NULL);
INSERT INTO new_parent_{n} SELECT id, a FROM parent_{n};
DROP TABLE parent_{n};
ALTER TABLE new_parent_{n} RENAME TO parent_{n};
-- down --
DROP TABLE child_{n};
DROP TABLE parent_{n};
== rebuild_with_a_preamble
PRAGMA foreign_keys = OFF;
CREATE TABLE owner_{n} (id INTEGER PRIMARY KEY);
CREATE TABLE owned_{n} (owner INT REFERENCES owner_{n} ON DELETE CASCADE);
INSERT INTO owner_{n} VALUES (1);
INSERT INTO owned_{n} VALUES (1), (1);
CREATE TABLE owner_new_{n} (id INTEGER PRIMARY KEY, b INT DEFAULT 4);
INSERT INTO owner_new_{n} (id) SELECT id FROM owner_{n};
DROP TABLE owner_{n};
ALTER TABLE owner_new_{n} RENAME TO owner_{n};
PRAGMA foreign_key_check;
PRAGMA foreign_keys = ON;
-- down --
PRAGMA foreign_keys = OFF;
DROP TABLE owner_{n};
DROP TABLE owned_{n};
== trigger crlf
CREATE TABLE watched_{n} (id INT, seen INT DEFAULT 0);
CREATE TRIGGER watch_{n} AFTER INSERT ON watched_{n} BEGIN
  UPDATE watched_{n} SET seen = CASE WHEN NEW.id > 1 THEN 2 ELSE 1 END WHERE id = NEW.id;
  INSERT INTO first (id, note) SELECT {n}000 + NEW.id, 'end;' WHERE NEW.id = 1;
END;
INSERT INTO watched_{n} (id) VALUES (1), (2);
-- down --
DROP TABLE watched_{n};
DELETE FROM first WHERE id = {n}001;
== own_transaction
BEGIN;
CREATE TABLE own_{n} (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT);
INSERT INTO own_{n} (note) VALUES ('a'), ('b');
COMMIT;
-- down --
BEGIN TRANSACTION;
DROP TABLE own_{n};
END TRANSACTION;
== vacuum alone
CREATE TABLE vacuumed_{n} (a BLOB);
INSERT INTO vacuumed_{n} VALUES (zeroblob(5000));
DELETE FROM vacuumed_{n};
VACUUM;
-- down --
DROP TABLE vacuumed_{n};
== vacuum_unmarked
VACUUM;
-- down --
== literals
CREATE TABLE [semi;colon {n}] ("a""b;" TEXT, `c;d` TEXT, e BLOB);
INSERT INTO [semi;colon {n}] VALUES ('it''s; ? \', 'C:\', x'00ff');
INSERT INTO [semi;colon {n}] VALUES ('$1', ':a', 1.5);
-- down --
DROP TABLE [semi;colon {n}];
== comments
/* a ; comment /* not nested */
CREATE TABLE comments_{n} (id INT); -- it's ; open
INSERT INTO comments_{n} VALUES (5 /* ; */ - -1);
/* no end of the file
-- down --
DROP TABLE comments_{n} -- ; gone
== views
CREATE VIEW seen_{n} AS SELECT id, note FROM first WHERE note <> ';';
CREATE TABLE view_log_{n} (id INT);
CREATE TRIGGER into_{n} INSTEAD OF INSERT ON seen_{n} BEGIN INSERT INTO view_log_{n} VALUES (NEW.id); END;
INSERT INTO seen_{n} VALUES (4, 'x');
-- down --
DROP VIEW seen_{n};
DROP TABLE view_log_{n};
== columns_of_all_kinds
CREATE TABLE kinds_{n} (id TEXT PRIMARY KEY, b INT CHECK (b > 0), c INT GENERATED ALWAYS AS (b * 2) STORED) WITHOUT ROWID;
CREATE INDEX kinds_half_{n} ON kinds_{n} (b) WHERE b > 1;
CREATE UNIQUE INDEX kinds_case_{n} ON kinds_{n} (lower(id));
INSERT INTO kinds_{n} (id, b) VALUES ('a', 1), ('b', 2) ON CONFLICT DO NOTHING;
ALTER TABLE kinds_{n} RENAME COLUMN b TO bb;
-- down --
DROP TABLE kinds_{n};
== temporary_table_left
CREATE TEMP TABLE scratch AS SELECT 1 AS i UNION SELECT 2;
CREATE TABLE kept_{n} AS SELECT i * 2 AS i FROM scratch;
-- down --
DROP TABLE kept_{n};
== settings
PRAGMA user_version = {n};
PRAGMA recursive_triggers = ON;
CREATE TABLE settings_{n} (id INT) STRICT;
-- down --
DROP TABLE settings_{n};
== empty_statements_and_no_end
;;
CREATE TABLE loose_{n} (id INT);;
INSERT INTO loose_{n} VALUES (1)
-- down --
;DROP TABLE loose_{n}
== way_back_that_is_empty
CREATE TABLE IF NOT EXISTS stays_{n} (id INT);
-- down --
== way_back_that_restores_nothing
CREATE TABLE IF NOT EXISTS remains_{n} (id INT);
INSERT INTO remains_{n} VALUES ({n});
-- down --
SELECT 'nothing; to do';

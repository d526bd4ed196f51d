== first early
CREATE TABLE first (id int PRIMARY KEY, note text);
INSERT INTO first VALUES (1, 'a;b'), (2, NULL);
-- down --
DROP TABLE first;
== without_a_way_back early
ALTER TABLE first ADD COLUMN extra int DEFAULT 7;
== way_back_that_fails early
CREATE TABLE fails (id int);
-- down --
DELETE FROM fails;

DROP TABLE nowhere;
== table_of_another_tool
CREATE TABLE IF NOT EXISTS schema_migrations (version text);
INSERT INTO schema_migrations VALUES ('{n}');
-- down --
DROP TABLE IF EXISTS schema_migrations;
== drops_the_table_of_another_tool
DROP TABLE IF EXISTS schema_migrations;
-- down --
CREATE TABLE schema_migrations (version text);
== dollar_quotes crlf
CREATE TABLE dollars_{n} (id int, body text);
CREATE FUNCTION dollar_{n}(a int) RETURNS int LANGUAGE plpgsql AS $body$
DECLARE b text := 'it''s; $$ not the end $$';
BEGIN
  EXECUTE $x$ INSERT INTO dollars_{n} VALUES (1, 'a;b') $x$;
  RETURN a + 1; -- ; not here
END;
$body$;
INSERT INTO dollars_{n} SELECT dollar_{n}(1), $$one; 'two' $tag$ three$$;
-- down --
DROP FUNCTION dollar_{n};
DROP TABLE dollars_{n};
== nested_comments
/* outer ; /* inner ; */ still ; outer */
CREATE TABLE /* a ; */ comments_{n} (id int); -- it's ; open
-- ' unbalanced "
INSERT INTO comments_{n} VALUES (1 /* /* ; */ */);
/* no statement behind this; */
-- down --
DROP TABLE comments_{n} /* ; */
== literals
CREATE TABLE "semi;colon {n}" ("a""b;" text, c text, d text);
INSERT INTO "semi;colon {n}" VALUES ('it''s; $1 ?', E'back\'slash;\\', U&'\0061;');
INSERT INTO "semi;colon {n}" VALUES ('a' 
  ';b', 'C:\', B'101'::text);
-- down --
DROP TABLE "semi;colon {n}";
== concurrently_marked alone
CREATE TABLE conc_{n} (id int, b int);
INSERT INTO conc_{n} SELECT i, i % 7 FROM generate_series(1, 50) AS i;
CREATE INDEX CONCURRENTLY conc_{n}_a ON conc_{n} (id);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS conc_{n}_b ON conc_{n} (b, id);
-- down --
DROP INDEX CONCURRENTLY conc_{n}_a;
DROP TABLE conc_{n};
== concurrently_unmarked
CREATE INDEX CONCURRENTLY first_{n} ON first (note);
-- down --
DROP INDEX CONCURRENTLY IF EXISTS first_{n};
== vacuum_unmarked
VACUUM first;
-- down --
== search_path_left_set
CREATE SCHEMA other_{n};
SET search_path TO other_{n}, public;
CREATE TABLE here (id int DEFAULT 1);
INSERT INTO here DEFAULT VALUES;
-- down --
DROP SCHEMA other_{n} CASCADE;
== preamble_of_a_dump
SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET default_tablespace = '';
CREATE TABLE public.dumped_{n} (id integer NOT NULL, "naïve" text DEFAULT 'é;ß');
ALTER TABLE ONLY public.dumped_{n} ADD CONSTRAINT dumped_{n}_pkey PRIMARY KEY (id);
INSERT INTO public.dumped_{n} VALUES (1, DEFAULT);
-- down --
SET search_path = '';
DROP TABLE public.dumped_{n};
== enumeration_grows
CREATE TYPE mood_{n} AS ENUM ('sad', 'ok');
CREATE TABLE moods_{n} (m mood_{n});
ALTER TYPE mood_{n} ADD VALUE 'happy;' AFTER 'ok';
INSERT INTO moods_{n} VALUES ('sad');
-- down --
DROP TABLE moods_{n};
DROP TYPE mood_{n};
== trigger
CREATE TABLE watched_{n} (id int, seen int DEFAULT 0);
CREATE FUNCTION watch_{n}() RETURNS trigger LANGUAGE plpgsql AS '
BEGIN
  NEW.seen := NEW.id * 2;
  RETURN NEW;
END;
';
CREATE TRIGGER watch BEFORE INSERT ON watched_{n} FOR EACH ROW EXECUTE FUNCTION watch_{n}();
INSERT INTO watched_{n} VALUES (1), (2);
-- down --
DROP TABLE watched_{n};
DROP FUNCTION watch_{n}();
== own_transaction
BEGIN;
CREATE TABLE own_{n} (id serial PRIMARY KEY, note text);
INSERT INTO own_{n} (note) VALUES ('a'), ('b');
COMMIT;
-- down --
BEGIN;
DROP TABLE own_{n};
COMMIT;
== block
DO $$
BEGIN
  FOR i IN 1..3 LOOP
    EXECUTE format('CREATE TABLE block_{n}_%s (id int)', i);
  END LOOP;
END
$$;
-- down --
DO $$ BEGIN FOR i IN 1..3 LOOP EXECUTE format('DROP TABLE block_{n}_%s', i); END LOOP; END $$;
== body_of_the_standard
CREATE FUNCTION atomic_{n}(a int) RETURNS int LANGUAGE sql
BEGIN ATOMIC
  SELECT 1;
  SELECT CASE WHEN a > 1 THEN 2 ELSE 3 END;
END;
CREATE TABLE atomics_{n} AS SELECT atomic_{n}(5) AS a;
-- down --
DROP TABLE atomics_{n};
DROP FUNCTION atomic_{n};
== empty_statements_and_no_end
;;
CREATE TABLE loose_{n} (id int);;
INSERT INTO loose_{n} VALUES (1)
-- down --
;DROP TABLE loose_{n}
== rule_of_two_statements
CREATE TABLE ruled_{n} (id int);
CREATE TABLE ruled_log_{n} (id int);
CREATE RULE twice AS ON INSERT TO ruled_{n} DO ALSO (
  INSERT INTO ruled_log_{n} VALUES (NEW.id);
  INSERT INTO ruled_log_{n} VALUES (NEW.id + 1)
);
INSERT INTO ruled_{n} VALUES (4);
-- down --
DROP TABLE ruled_{n}, ruled_log_{n};
== temporary_table_left
CREATE TEMP TABLE scratch AS SELECT generate_series(1, 4) AS i;
CREATE TABLE kept_{n} AS SELECT i * 2 AS i FROM scratch;
-- down --
DROP TABLE kept_{n};
== time_zone_of_the_session
SET TIME ZONE 'America/New_York';
CREATE TABLE zoned_{n} (at timestamp);
INSERT INTO zoned_{n} VALUES ('2020-01-02 03:04:05');
ALTER TABLE zoned_{n} ALTER COLUMN at TYPE timestamptz;
-- down --
DROP TABLE zoned_{n};
== releases_every_lock
SELECT pg_advisory_unlock_all();
CREATE TABLE unlocked_{n} (id int);
-- down --
DROP TABLE unlocked_{n};
== way_back_that_is_empty
CREATE TABLE IF NOT EXISTS stays_{n} (id int);
-- down --
== way_back_that_restores_nothing
CREATE TABLE IF NOT EXISTS remains_{n} (id int);
INSERT INTO remains_{n} VALUES ({n});
-- down --
SELECT 'nothing; to do';
== views_and_comments
CREATE VIEW seen_{n} AS SELECT id, note FROM first WHERE note <> ';';
COMMENT ON VIEW seen_{n} IS 'it''s; fine';
CREATE MATERIALIZED VIEW counted_{n} AS SELECT count(*) FROM seen_{n};
REFRESH MATERIALIZED VIEW counted_{n};
-- down --
DROP MATERIALIZED VIEW counted_{n};
DROP VIEW seen_{n};

//! The live catalogue as the DDL that would make it, which is what the lint learns from.

use std::collections::BTreeMap;

use flow_core::{ErrorKind, StepError};
use flow_sql::{
    Advice, Backfill, Catalogue, Dialect, Impact, Phase, Product, Script, Server, Statement, lint,
};

use super::report::StatementPlan;
use crate::engine::{Engine, Session};

/// Types, tables, views, indexes and constraints in the order in which they can be made. Bodies of functions are nobody's business.
const POSTGRES: &str = r"
WITH space AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), relation AS (
    SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS written
    FROM pg_catalog.pg_class AS c JOIN space AS n ON n.oid = c.relnamespace
)
SELECT ddl FROM (
    SELECT 1 AS place, t.oid, pg_catalog.format('CREATE DOMAIN %I AS %s %s', t.typname, pg_catalog.format_type(t.typbasetype, t.typtypmod),
        CASE WHEN t.typnotnull OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid) THEN 'NOT NULL' END) AS ddl
    FROM pg_catalog.pg_type AS t JOIN space AS n ON n.oid = t.typnamespace WHERE t.typtype = 'd'
    UNION ALL SELECT 2, f.oid, pg_catalog.format('CREATE FUNCTION %I() RETURNS int LANGUAGE sql IMMUTABLE AS ''''', f.proname)
    FROM pg_catalog.pg_proc AS f JOIN space AS n ON n.oid = f.pronamespace WHERE f.prokind = 'f' AND f.provolatile <> 'v'
    UNION ALL SELECT 3, r.oid, pg_catalog.format('CREATE %s TABLE %s (%s) %s', CASE r.relpersistence WHEN 'u' THEN 'UNLOGGED' END, r.written,
        (SELECT string_agg(pg_catalog.format('%I %s %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN 'NOT NULL' END), ', ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped),
        'PARTITION BY ' || pg_catalog.pg_get_partkeydef(r.oid))
    FROM relation AS r WHERE r.relkind IN ('r', 'p', 'f')
    UNION ALL SELECT 4, i.inhrelid, pg_catalog.format('ALTER TABLE %s INHERIT %s', c.written, p.written)
    FROM pg_catalog.pg_inherits AS i JOIN relation AS c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')
    JOIN relation AS p ON p.oid = i.inhparent
    UNION ALL SELECT 5, r.oid, pg_catalog.format('CREATE %s VIEW %s AS %s', CASE r.relkind WHEN 'm' THEN 'MATERIALIZED' END, r.written,
        pg_catalog.rtrim(pg_catalog.pg_get_viewdef(r.oid), ';'))
    FROM relation AS r WHERE r.relkind IN ('v', 'm')
    UNION ALL SELECT 6, i.indexrelid, pg_catalog.pg_get_indexdef(i.indexrelid)
    FROM pg_catalog.pg_index AS i JOIN relation AS r ON r.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL SELECT CASE k.contype WHEN 'f' THEN 8 ELSE 7 END, k.oid,
        pg_catalog.format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', r.written, k.conname, pg_catalog.pg_get_constraintdef(k.oid))
    FROM pg_catalog.pg_constraint AS k JOIN relation AS r ON r.oid = k.conrelid WHERE k.contype IN ('p', 'u', 'x', 'c', 'f')
) AS everything ORDER BY place, oid";

/// How many rows the planner takes tables to have; tables that it knows nothing of are left out.
const POSTGRES_ROWS: &str = "SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END, c.reltuples::bigint
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.reltuples > 0 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

const POSTGRES_TABLES: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
const MYSQL_TABLES: &str =
    "SELECT CONCAT('`', REPLACE(TABLE_NAME, '`', '``'), '`') FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'";
const SQLITE_TABLES: &str =
    "SELECT '\"' || replace(name, '\"', '\"\"') || '\"' FROM sqlite_master WHERE type = 'table'";

/// Reads what the lint has to know of a database.
pub(crate) async fn catalogue(
    engine: &dyn Engine,
    session: &mut dyn Session,
) -> Result<Catalogue, StepError> {
    let dialect = engine.dialect();
    let software = engine.software(session).await?;
    let server = Server::read(dialect, &software.version).map_err(|error| {
        StepError::new(ErrorKind::Failed, "the server's version cannot be read").because(error)
    })?;
    // The migrator's sessions have a lock timeout of their own.
    let mut catalogue = Catalogue::empty(server).with_lock_timeout();
    let mut statements = Vec::new();
    if dialect == Dialect::Postgres {
        let zone = session.query("SHOW timezone", &[]).await?.concat().into_iter().flatten().next();
        catalogue = catalogue.in_time_zone(&zone.unwrap_or_default());
        statements.extend(session.query(POSTGRES, &[]).await?.concat().into_iter().flatten());
    } else {
        let schema = engine.schema(session).await?;
        statements.extend(schema.definitions().map(str::to_owned));
    }
    catalogue.learn(statements.iter().map(String::as_str));
    if dialect == Dialect::Postgres {
        for row in session.query(POSTGRES_ROWS, &[]).await? {
            if let [Some(table), Some(rows)] = &row[..] {
                catalogue.count(table, rows.parse().unwrap_or(u64::MAX));
            }
        }
    }
    Ok(catalogue)
}

/// What the lint knows of a database file that is not made yet: that nothing is in it.
pub(crate) fn nothing_yet() -> Catalogue {
    Catalogue::empty(Server { product: Product::Sqlite, version: (3, 37) })
}

/// What the lint says of a script's statements; the catalogue is what the script leaves.
pub(crate) fn foretell(dialect: Dialect, catalogue: &mut Catalogue, script: &Script) -> Vec<StatementPlan> {
    // A backfill is the same statement for every batch.
    let bound = |one: &Statement| Backfill::bind(dialect, &one.text, "NULL", "NULL");
    let statements: Vec<_> = match &script.backfill {
        Some(_) => script.up.statements.iter().map(bound).collect(),
        None => script.up.statements.iter().map(|one| one.text.clone()).collect(),
    };
    let impacts = lint(catalogue, statements.iter().map(String::as_str));
    let plan = |(number, (statement, mut foretold)): (u32, (&Statement, Impact))| {
        if let Impact::Predicted(prediction) = &mut foretold
            && script.phase == Phase::Expand
            // What the script itself made is in nobody's use.
            && !prediction.locks.is_empty()
            && let Some(problem) = statement.removal(dialect)
        {
            prediction.advice.push(Advice {
                lint: "removal-while-expanding".to_owned(),
                problem: format!("{problem}, and the running version may use it"),
                instead: "declare it `-- flow: contract`: it then waits until no running version uses it"
                    .to_owned(),
            });
        }
        StatementPlan { version: script.version.to_string(), statement: number, foretold, measured: None }
    };
    (1..).zip(script.up.statements.iter().zip(impacts)).map(plan).collect()
}

/// The number of rows of each table.
pub(super) async fn rows(
    dialect: Dialect,
    session: &mut dyn Session,
) -> Result<BTreeMap<String, u64>, StepError> {
    let tables = match dialect {
        Dialect::Postgres => POSTGRES_TABLES,
        Dialect::Mysql => MYSQL_TABLES,
        Dialect::Sqlite => SQLITE_TABLES,
    };
    let mut rows = BTreeMap::new();
    for table in session.query(tables, &[]).await?.concat().into_iter().flatten() {
        let counted = session.query(&format!("SELECT count(*) FROM {table}"), &[]).await?;
        let number = counted.concat().into_iter().flatten().next().and_then(|number| number.parse().ok());
        rows.insert(table.replace(['"', '`'], ""), number.unwrap_or_default());
    }
    Ok(rows)
}

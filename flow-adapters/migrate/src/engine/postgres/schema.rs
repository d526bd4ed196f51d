//! The catalogue as objects.

use flow_core::StepError;

use crate::engine::Session;
use crate::schema::{Object, Schema};

/// Everything but what belongs to the server, to an extension, or to us. Each definition is the server's own.
const OBJECTS: &str = r"
WITH space AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), extension AS (
    SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), relation AS (
    SELECT c.*, n.nspname FROM pg_catalog.pg_class AS c JOIN space AS n ON n.oid = c.relnamespace
    WHERE c.relname !~ '^_(flow|sqlx)_migrations(_|$)'
    AND NOT EXISTS (SELECT 1 FROM extension WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid)
)
SELECT 'schema', nspname, '', '' FROM space AS n WHERE nspname <> 'public'
    AND NOT EXISTS (SELECT 1 FROM extension WHERE classid = 'pg_catalog.pg_namespace'::regclass AND objid = n.oid)
UNION ALL SELECT 'extension', extname, '', '' FROM pg_catalog.pg_extension
UNION ALL SELECT 'relation', r.nspname || '.' || r.relname, '', concat_ws(' ', r.relkind, r.relpersistence, r.relrowsecurity,
        r.relforcerowsecurity, r.reloptions::text, pg_catalog.pg_get_partkeydef(r.oid),
        pg_catalog.pg_get_expr(r.relpartbound, r.oid), (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno)
            FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = r.oid),
        CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid) END)
    FROM relation AS r WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
UNION ALL SELECT 'column', r.nspname || '.' || r.relname || '.' || a.attname, r.relname,
        concat_ws(' ', row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum),
        pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
        (SELECT l.collname FROM pg_catalog.pg_collation AS l WHERE l.oid = a.attcollation),
        pg_catalog.pg_get_expr(d.adbin, d.adrelid))
    FROM relation AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
UNION ALL SELECT 'index', r.nspname || '.' || r.relname, t.relname,
        concat_ws(' ', pg_catalog.pg_get_indexdef(r.oid), i.indisvalid, i.indisreplident)
    FROM relation AS r JOIN pg_catalog.pg_index AS i ON i.indexrelid = r.oid
    JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
UNION ALL SELECT 'sequence', r.nspname || '.' || r.relname, '', concat_ws(' ', pg_catalog.format_type(s.seqtypid, NULL),
        s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle)
    FROM relation AS r JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = r.oid
UNION ALL SELECT 'constraint', r.nspname || '.' || r.relname || '.' || k.conname, r.relname,
        concat_ws(' ', pg_catalog.pg_get_constraintdef(k.oid), k.convalidated)
    FROM relation AS r JOIN pg_catalog.pg_constraint AS k ON k.conrelid = r.oid WHERE k.contype <> 'n'
UNION ALL SELECT 'trigger', r.nspname || '.' || r.relname || '.' || g.tgname, r.relname,
        concat_ws(' ', pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled)
    FROM relation AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid WHERE NOT g.tgisinternal
UNION ALL SELECT 'policy', r.nspname || '.' || r.relname || '.' || p.polname, r.relname, concat_ws(' ', p.polcmd, p.polpermissive,
        p.polroles::regrole[]::text, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
        pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
    FROM relation AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
UNION ALL SELECT 'rule', r.nspname || '.' || r.relname || '.' || w.rulename, r.relname, pg_catalog.pg_get_ruledef(w.oid)
    FROM relation AS r JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
UNION ALL SELECT 'routine', n.nspname || '.' || f.proname || '(' || pg_catalog.pg_get_function_identity_arguments(f.oid) || ')', '',
        CASE WHEN f.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(f.oid) ELSE f.prokind::text END
    FROM pg_catalog.pg_proc AS f JOIN space AS n ON n.oid = f.pronamespace
    WHERE NOT EXISTS (SELECT 1 FROM extension WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = f.oid)
UNION ALL SELECT 'type', n.nspname || '.' || t.typname, '', concat_ws(' ', t.typtype,
        (SELECT string_agg(pg_catalog.quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid),
        CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault,
        (SELECT string_agg(pg_catalog.pg_get_constraintdef(k.oid), ',' ORDER BY k.conname)
            FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid AND k.contype <> 'n'))
    FROM pg_catalog.pg_type AS t JOIN space AS n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r')
    AND NOT EXISTS (SELECT 1 FROM extension WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = t.oid)";

/// The schema now.
pub(super) async fn read(session: &mut dyn Session) -> Result<Schema, StepError> {
    let rows = session.query(OBJECTS, &[]).await?;
    Ok(Schema::new(rows.into_iter().filter_map(Object::from_row)))
}

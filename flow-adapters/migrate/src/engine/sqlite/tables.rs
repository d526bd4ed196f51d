//! The tables of the history.

/// Ours, and that of sqlx's own migrator as sqlx 0.9 makes it, so that an application that migrates itself finds its rows.
pub(super) fn create(schema: &str) -> Vec<String> {
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}._flow_migrations (
                seq INTEGER PRIMARY KEY,
                version TEXT NOT NULL UNIQUE,
                name TEXT NOT NULL,
                up_hash TEXT NOT NULL,
                down_hash TEXT,
                down_script TEXT,
                down_mode TEXT,
                applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
                applied_under TEXT NOT NULL,
                fence INTEGER NOT NULL,
                statements INTEGER NOT NULL,
                ms INTEGER NOT NULL,
                state TEXT NOT NULL,
                done INTEGER NOT NULL,
                done_hash TEXT,
                begun INTEGER,
                begun_hash TEXT,
                begun_by TEXT,
                footprint TEXT
            ) STRICT"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}._sqlx_migrations (
                version BIGINT PRIMARY KEY,
                description TEXT NOT NULL,
                installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
                success BOOLEAN NOT NULL,
                checksum BLOB NOT NULL,
                execution_time BIGINT NOT NULL
            )"
        ),
    ]
}
